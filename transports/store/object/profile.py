"""Profiles of the AWS tools: ~/.aws/credentials and ~/.aws/config.

The client knows the environment, web identity and the metadata of instances and containers; not
these files. Their order is that of the AWS tools: a profile that was named on the command line goes
before keys in the environment, those go before AWS_PROFILE, and the profile `default` comes last.
"""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from transports.errors import Refused

if TYPE_CHECKING:
    from obstore.store import S3Credential

_KEYS: Final = ("aws_access_key_id", "aws_secret_access_key")
_ELSEWHERE: Final = ("sso_session", "sso_start_url", "credential_process", "role_arn")
"""What says that a profile's keys come from a service or a program, which voltar does not ask."""
_READ_AGAIN_AFTER: Final = timedelta(minutes=5)

Section = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of a profile, read again every few minutes: other programs renew them."""

    name: str
    environ: Mapping[str, str] = field(repr=False)

    def __call__(self) -> "S3Credential":
        section = _section(self.name, self.environ)
        return {
            "access_key_id": section[_KEYS[0]],
            "secret_access_key": section[_KEYS[1]],
            "token": section.get("aws_session_token"),
            "expires_at": datetime.now(UTC) + _READ_AGAIN_AFTER,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What the shared files say. Without a `provider` the client looks for credentials."""

    provider: Keys | None = None
    region: str | None = None
    endpoint: str | None = None


def find_profile(named: str | None, environ: Mapping[str, str]) -> Profile:
    """Return the profile that was named, or the usual one; an empty one where there is none.

    Raises Refused where a named one is not there, or has its keys from elsewhere.
    """
    wanted = named or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    name = wanted or "default"
    section = _section(name, environ)
    if not section and wanted:
        raise Refused(
            f"there is no profile {name!r} in {_file('CREDENTIALS', environ)} or"
            f" {_file('CONFIG', environ)}",
            hint="`aws configure list-profiles` shows those that there are",
        )
    by_environment = named is None and bool(environ.get("AWS_ACCESS_KEY_ID"))
    return Profile(
        provider=None if by_environment else _provider(name, section, environ),
        region=section.get("region"),
        endpoint=section.get("endpoint_url"),
    )


def _provider(name: str, section: Section, environ: Mapping[str, str]) -> Keys | None:
    there = [key for key in _KEYS if section.get(key)]
    if len(there) == len(_KEYS):
        return Keys(name, environ)
    if there:
        missing = next(key for key in _KEYS if key not in there)
        raise Refused(f"the profile {name!r} has no {missing}")
    elsewhere = [key for key in _ELSEWHERE if key in section]
    if elsewhere:
        raise Refused(
            f"the keys of the profile {name!r} come by {elsewhere[0]}, which voltar does not ask",
            hint=f'eval "$(aws configure export-credentials --profile {name} --format env)"',
        )
    return None


def _section(name: str, environ: Mapping[str, str]) -> Section:
    """Return what both files say of a profile; the file of credentials goes before the other."""
    in_config = name if name == "default" else f"profile {name}"
    config = _read(_file("CONFIG", environ)).get(in_config, {})
    return {**config, **_read(_file("CREDENTIALS", environ)).get(name, {})}


def _file(which: str, environ: Mapping[str, str]) -> Path:
    variable = "AWS_SHARED_CREDENTIALS_FILE" if which == "CREDENTIALS" else "AWS_CONFIG_FILE"
    if named := environ.get(variable):
        return Path(named)
    return Path(environ.get("HOME") or "/nonexistent") / ".aws" / which.lower()


def _read(file: Path) -> dict[str, Section]:
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Refused(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"cannot read {file}: it is no UTF-8") from error
    except configparser.Error as error:
        # what it says has the line itself, and that may be a secret
        line = getattr(error, "lineno", None) or next(iter(getattr(error, "errors", [(0,)])))[0]
        raise Refused(f"cannot read {file}: line {line} is not NAME = VALUE") from None
    return {section: dict(parser[section]) for section in parser.sections()}
