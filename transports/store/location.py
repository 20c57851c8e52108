"""From what the operator writes to a store, with what is around it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from transports.errors import Refused
from transports.store.file import FileStore
from transports.store.place import parse_place
from transports.store.protocol import Store
from transports.store.retrying import Retrying
from transports.store.settings import Settings
from transports.store.throttled import Allowance, Throttled

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+):(.*)|((?i:[a-z][a-z0-9+.-]+)):(//.*)", re.DOTALL)
"""In capitals only what can be nothing else: a directory may be called "Backup:old"."""
_REMOTE: Final = re.compile(r"[A-Za-z0-9_.+@ -]+:[^\0-\x1f]*")
_DEFAULT: Final = Settings()
_WHAT_THERE_IS: Final = (
    "use a directory (a path, or file:/path), s3://BUCKET/prefix, gs://BUCKET/prefix,"
    " az://CONTAINER/prefix, sftp://HOST/directory, or rclone:REMOTE:path"
)


def open_store(location: str, settings: Settings = _DEFAULT) -> Store:
    """Return the store at a path or URL ("file:/srv/backup", "/srv/backup", "s3://bucket/host");
    nothing is contacted.

    Where a store is far away, what fails by a lost connection is tried again. Raises Refused for
    what is no location.
    """
    directory = directory_of(location)
    if directory is not None:
        return _limited(FileStore(directory), settings)
    scheme, rest = _divided(location)
    opener = _FAR.get(scheme)
    if opener is None:
        raise Refused(f"no store of the kind {scheme!r} in this version", hint=_WHAT_THERE_IS)
    far = _limited(opener(scheme, rest, settings), settings)
    return Retrying(far, on_retry=settings.on_retry, stop=settings.stop)


def directory_of(location: str) -> Path | None:
    """Return the directory of this machine that a location is, None for one elsewhere.

    Raises Refused.
    """
    scheme, rest = _divided(location)
    if scheme == "":
        return _directory(location)
    return _directory(unquote(_path(rest, location))) if scheme == "file" else None


def _divided(location: str) -> tuple[str, str]:
    """The scheme of a location, "" for a path, and what is behind it."""
    found = _SCHEME.fullmatch(location)
    if found is None:
        return "", location
    return found[1] or found[3].lower(), found[2] or found[4] or ""


def _limited(store: Store, settings: Settings) -> Store:
    limits = (settings.upload_limit, settings.download_limit)
    if limits == (None, None):
        return store
    return Throttled(store, *(Allowance(limit, stop=settings.stop) for limit in limits))


def _bucket(scheme: str, rest: str, settings: Settings) -> Store:
    place = parse_place(scheme, rest)
    from transports.store import object as buckets  # noqa: PLC0415  it is large

    open_it = {"s3": buckets.open_s3, "gs": buckets.open_gs, "az": buckets.open_az}[scheme]
    return open_it(place, settings)


def _rclone(_scheme: str, rest: str, settings: Settings) -> Store:
    if not _REMOTE.fullmatch(rest):
        raise Refused(
            "rclone: names no remote",
            hint="write rclone:REMOTE:path; `rclone listremotes` shows those that there are",
        )
    from transports.store import rclone  # noqa: PLC0415  http.client and more, likewise

    return rclone.RcloneStore(rest, rclone.Daemon(rclone.find_rclone(settings.environ.get("PATH"))))


def _sftp(_scheme: str, rest: str, settings: Settings) -> Store:
    """Open sftp://[user@]host[:port]/directory, or /~/directory for one at the user's home."""
    host, slash, path = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not slash:
        raise Refused(
            "sftp: names no directory of a host",
            hint="write sftp://host/directory, or sftp://host/~/directory below the home there",
        )
    directory = unquote(f"/{path}")
    if directory == "/~" or directory.startswith("/~/"):
        directory = directory[3:]
    if "\0" in directory or ".." in directory.split("/"):
        raise Refused(f"not a directory: {directory!r}")
    from transports.ssh.address import parse_address  # noqa: PLC0415  for this kind only
    from transports.store.sftp import SftpStore  # noqa: PLC0415

    return SftpStore(parse_address(f"ssh://{host}").url, directory, settings.ssh)


_FAR: Final[dict[str, Callable[[str, str, Settings], Store]]] = {
    "s3": _bucket,
    "gs": _bucket,
    "az": _bucket,
    "rclone": _rclone,
    "sftp": _sftp,
}
"""Stores behind a network, by the scheme of their URLs."""


def _path(rest: str, location: str) -> str:
    """Return the path of a file URL: file:/path, file:///path, file://localhost/path."""
    if not rest.startswith("//"):
        return rest
    host, slash, path = rest[2:].partition("/")
    if host not in ("", "localhost"):
        raise Refused(
            f"{location!r} names the host {host!r}, and file: is this machine",
            hint=f"write file:/{host}/{path} for an absolute path",
        )
    return slash + path


def _directory(path: str) -> Path:
    if not path:
        raise Refused("the repository's location is empty", hint="name a directory")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise Refused(f"cannot tell where {path!r} is: {error}") from error
