"""Addresses: ssh://[user@]host[:port], as the operator writes them."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from transports.errors import Refused

_URL: Final = re.compile(
    r"ssh://(?:(?P<user>[^@/]*)@)?(?P<host>\[[^\]/]+\]|[^:/@\[\]]+)(?::(?P<port>[0-9]+))?/?"
)
_HOST: Final = re.compile(r"[A-Za-z0-9_.%:-]+")
_WANTED: Final = "write ssh://host, ssh://user@host or ssh://user@host:port"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to; `host` may be an alias of ssh_config. None: as ssh_config says."""

    host: str
    user: str | None = None
    port: int | None = None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port else "")


def parse_address(url: str) -> Address:
    """Return what an ssh:// URL says. Raises Refused."""
    found = _URL.fullmatch(url)
    if found is None:
        raise Refused(f"not an SSH address: {_without_password(url)!r}", hint=_WANTED)
    user, host, port = found["user"], found["host"].strip("[]"), found["port"]
    if user is not None and ":" in user:
        raise Refused(
            f"the address {_without_password(url)!r} has a password in it, for everyone to see",
            hint="leave it out: keys, an agent, or a prompt are used",
        )
    if user == "" or (user and user.startswith("-")):
        raise Refused(f"not a user name in {url!r}", hint=_WANTED)
    # a name that begins with "-" would be an option to programs that get it
    if not _HOST.fullmatch(host) or host.startswith("-"):
        raise Refused(f"not a host name: {host!r}", hint=_WANTED)
    if port is not None and not 0 < int(port) < 65536:
        raise Refused(f"not a port: {port}", hint=_WANTED)
    return Address(host, unquote(user) if user else None, int(port) if port else None)


def _without_password(url: str) -> str:
    return re.sub(r"//([^@/:]*):[^@]*@", r"//\1:…@", url)
