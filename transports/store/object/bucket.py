"""From the parts of a location to a client.

    s3://BUCKET[/PREFIX][?endpoint=URL&region=…&profile=…&path-style=true|false]
    gs://BUCKET[/PREFIX][?endpoint=URL]
    az://CONTAINER[/PREFIX][?account=…&endpoint=URL]

What the URL says goes before the environment, and that before the shared files. The client reads
the environment's variables by itself (AWS_*, GOOGLE_*, AZURE_*); it does not read the shared files
of the AWS tools, which `profile` does. No secret may be in a URL.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from transports.errors import Refused
from transports.store.object.profile import Profile, find_profile
from transports.store.object.store import ObjectStore
from transports.store.place import Place
from transports.store.settings import Settings
from transports.store.timing import SMALL_WITHIN_S

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_S3_OPTIONS: Final = ("endpoint", "region", "profile", "path-style")
_PLAIN_HTTP: Final = "to send data unprotected, say so in the URL: ?endpoint=http://…"
_ACCOUNT: Final = "write az://CONTAINER/prefix?account=…, or set AZURE_STORAGE_ACCOUNT_NAME"
_NEVER: Final = timedelta(0)
_LONGEST_S: Final = 3600.0
"""A request that was given up ends at last; the store has limits of its own for each."""


def open_s3(place: Place, settings: Settings) -> ObjectStore:
    """Return the store in an S3 bucket. Raises Refused."""
    options = place.options(_S3_OPTIONS)
    profile = find_profile(options.get("profile"), settings.environ)
    given = options.get("endpoint")
    endpoint = given or _endpoint_of(profile, settings.environ)
    config: dict[str, Any] = {"disable_bulk_delete": True}
    if region := options.get("region") or _region_of(profile, settings.environ):
        config["region"] = region
    if endpoint is not None:
        _check_endpoint(endpoint, in_url=given is not None)
    path_style = _truth(options.get("path-style", "true"), "path-style")
    config["virtual_hosted_style_request"] = not path_style
    if endpoint is not None:
        whole = endpoint if path_style else _with_bucket(endpoint, place.container)
        # AWS_ENDPOINT_URL_S3 would go before `endpoint`, and nothing goes before this
        config["aws_endpoint_url_s3"] = whole
    return _opened(
        place,
        lambda common: S3Store(
            place.container, credential_provider=profile.provider, **config, **common
        ),
        settings.environ,
        endpoint,
    )


def open_gs(place: Place, settings: Settings) -> ObjectStore:
    """Return the store in a bucket of Google Cloud Storage. Raises Refused."""
    endpoint = place.options(("endpoint",)).get("endpoint")
    config: dict[str, Any] = (
        {} if endpoint is None else {"base_url": _check_endpoint(endpoint, in_url=True)}
    )
    return _opened(
        place,
        lambda common: GCSStore(place.container, **config, **common),
        settings.environ,
        endpoint,
    )


def open_az(place: Place, settings: Settings) -> ObjectStore:
    """Return the store in a container of Azure Blob Storage. Raises Refused."""
    options = place.options(("account", "endpoint"))
    endpoint = options.get("endpoint")
    config: dict[str, Any] = (
        {} if endpoint is None else {"endpoint": _check_endpoint(endpoint, in_url=True)}
    )
    if account := options.get("account"):
        config["account_name"] = account
    return _opened(
        place,
        lambda common: AzureStore(place.container, **config, **common),
        settings.environ,
        endpoint,
    )


def _opened(
    place: Place,
    make: Callable[[dict[str, Any]], "S3Store | GCSStore | AzureStore"],
    environ: Mapping[str, str],
    endpoint: str | None,
) -> ObjectStore:
    plain = endpoint is not None and endpoint.startswith("http://")
    client: ClientConfig = {"allow_http": plain, "connect_timeout": "15s"}
    if bundle := environ.get("AWS_CA_BUNDLE"):
        client["root_certificate"] = _certificates(bundle)
    retry: RetryConfig = {"max_retries": 0, "retry_timeout": _NEVER}
    common = {"prefix": place.prefix or None, "retry_config": retry}
    try:
        made, brief = (
            make({**common, "client_options": client | {"timeout": timedelta(seconds=limit_s)}})
            for limit_s in (_LONGEST_S, SMALL_WITHIN_S)
        )
    except (BaseError, ValueError, FileNotFoundError) as error:
        # the first line only: what follows is for developers, and may show the configuration
        reason = str(error).split("\n", 1)[0]
        hint = _ACCOUNT if "Account must be" in reason else None
        raise Refused(f"cannot open {place.shown}: {reason}", hint=hint) from error
    return ObjectStore(made, brief, place.shown)


def _region_of(profile: Profile, environ: Mapping[str, str]) -> str | None:
    if environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"):
        return None  # the client sees it
    return profile.region


def _endpoint_of(profile: Profile, environ: Mapping[str, str]) -> str | None:
    for variable in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        if value := environ.get(variable):
            return value
    return profile.endpoint


def _check_endpoint(endpoint: str, *, in_url: bool) -> str:
    """Return an endpoint that may be talked to. Raises Refused, without showing what it is: there
    may be a secret in it."""
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError as error:
        raise Refused("the endpoint is no URL", hint="write endpoint=https://host:port") from error
    if "@" in parts.netloc:
        raise Refused("the endpoint holds a user or a password", hint="use AWS_ACCESS_KEY_ID")
    if parts.scheme == "http" and not in_url:
        raise Refused(f"the environment's endpoint is plain http: {endpoint}", hint=_PLAIN_HTTP)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(
            f"the endpoint {endpoint!r} is no URL", hint="write endpoint=https://host:port"
        )
    return endpoint.rstrip("/")


def _with_bucket(endpoint: str, bucket: str) -> str:
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(netloc=f"{bucket}.{parts.netloc}"))


def _truth(text: str, option: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Refused(f"{option}={text}: expected true or false")
    return text.lower() == "true"


def _certificates(file: str) -> bytes:
    try:
        found = Path(file).read_bytes()
    except OSError as error:
        raise Refused(f"cannot read AWS_CA_BUNDLE, {file}: {error.strerror}") from error
    if b"-----BEGIN CERTIFICATE-----" not in found:
        raise Refused(f"AWS_CA_BUNDLE, {file}, holds no certificate in PEM form")
    return found
