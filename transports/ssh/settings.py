"""What ssh_config says about one host, as values that can be used.

Everything is either obeyed, or of no meaning to us (keywords.py lists both), or refused with a
hint to OpenSSH's own client. A host key that changed is refused whatever StrictHostKeyChecking
says, and `no` and `ask` accept no more than `accept-new` and `yes` do.
"""

import getpass
import hashlib
import os
import pwd
import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transports.errors import Refused
from transports.ssh.address import Address
from transports.ssh.configfile import Found, Local, Place, expand_user, read_config
from transports.ssh.keywords import DEMANDS

SYSTEM_CONFIG: Final = Path("/etc/ssh/ssh_config")
_DEFAULT_KEYS: Final = ("id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk")
_DEFAULT_AUTH: Final = "publickey,keyboard-interactive,password"
_STRICT: Final = {
    "yes": "yes", "true": "yes", "ask": "yes", "accept-new": "accept-new",
    "no": "accept-new", "off": "accept-new", "false": "accept-new",
}  # fmt: skip
_TIME: Final = re.compile(r"(?=.{1,40}$)(?:[0-9]+[smhdw])*[0-9]*", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_LONGEST_S: Final = 10**8  # three years; the system takes no more for a timeout than some of them
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_TEXTS: Final = (
    "ciphers",
    "macs",
    "kexalgorithms",
    "hostkeyalgorithms",
    "pubkeyacceptedalgorithms",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where to connect, as whom, and what is demanded of the connection."""

    name: str  # as the operator or the configuration wrote it
    hostname: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    chosen_keys: bool  # whether the configuration names the keys
    certificate_files: tuple[Path, ...]
    identities_only: bool
    agent: str | None  # path of a socket
    proxy_jump: str | None
    proxy_command: str | None
    user_known_hosts: tuple[Path, ...]
    global_known_hosts: tuple[Path, ...]
    revoked_host_keys: Path | None
    host_key_alias: str | None
    strict: str  # "yes" or "accept-new"
    hash_known_hosts: bool
    connect_timeout_s: float | None
    alive_interval_s: float | None
    alive_count: int | None
    algorithms: dict[str, str]  # ciphers, macs, … as they are written
    authentications: tuple[str, ...]
    batch: bool
    compression: bool
    family: int
    bind_address: str | None
    rekey_size: int | None
    rsa_size: int

    @property
    def known_as(self) -> str:
        """The name under which known_hosts has the host's keys."""
        name = self.host_key_alias or self.hostname.lower()
        return name if self.port == 22 or self.host_key_alias else f"[{name}]:{self.port}"


def settings_for(address: Address, config: Path | None) -> Settings:
    """Return what the configuration says about an address. Raises Refused."""
    home = home_directory()
    if config is None:
        place = Place(home / ".ssh/config", SYSTEM_CONFIG, checked=True, home=home)
    else:
        if not config.is_file():
            raise Refused(f"there is no file {config} to read as ssh_config")
        place = Place(config, None, checked=False, home=home)
    given = {"user": address.user, "port": address.port and str(address.port)}
    local = Local(local_user(), _expand_command, _succeeds)
    found = read_config(
        address.host, {name: value for name, value in given.items() if value}, place, local
    )
    return _Reading(found, home).settings()


class _Reading:
    """Turns the words of one host into values."""

    def __init__(self, found: Found, home: Path) -> None:
        self._found = found
        self._home = home
        self._tokens = tokens(found)

    def settings(self) -> Settings:
        self._refuse_demands()
        found = self._found
        keys = found.lists.get("identityfile")
        return Settings(
            name=found.original,
            hostname=self._tokens["h"],
            port=int(self._tokens["p"]),
            user=self._tokens["r"],
            identity_files=self._paths(
                keys if keys is not None else [f"~/.ssh/{name}" for name in _DEFAULT_KEYS]
            ),
            chosen_keys=keys is not None,
            certificate_files=self._paths(found.lists.get("certificatefile", [])),
            identities_only=self._flag("identitiesonly", default=False),
            agent=self._agent(),
            proxy_jump=self._unless_none("proxyjump"),
            proxy_command=self._unless_none("proxycommand"),
            user_known_hosts=self._paths(
                found.values.get(
                    "userknownhostsfile", ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
                )
            ),
            global_known_hosts=self._paths(
                found.values.get(
                    "globalknownhostsfile",
                    ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"),
                )
            ),
            revoked_host_keys=self._revoked(),
            host_key_alias=(found.first("hostkeyalias") or "").lower() or None,
            strict=self._choice("stricthostkeychecking", _STRICT, "yes"),
            hash_known_hosts=self._flag("hashknownhosts", default=False),
            connect_timeout_s=self._seconds("connecttimeout"),
            alive_interval_s=self._seconds("serveraliveinterval"),
            alive_count=self._number("serveralivecountmax"),
            algorithms={name: found.values[name][0] for name in _TEXTS if name in found.values},
            authentications=self._authentications(),
            batch=self._flag("batchmode", default=False),
            compression=self._flag("compression", default=False),
            family=self._family(),
            bind_address=found.first("bindaddress"),
            rekey_size=self._size(),
            rsa_size=self._number("requiredrsasize") or 1024,
        )

    def _refuse_demands(self) -> None:
        for keyword, harmless in DEMANDS.items():
            value = self._found.first(keyword)
            if value is not None and value.lower() not in (harmless, _NO.get(harmless or "")):
                raise self._bad(keyword, "is not done here", "--ssh-binary leaves it to OpenSSH")

    def _bad(self, keyword: str, why: str, hint: str | None = None) -> Refused:
        where = self._found.sources.get(keyword, "the address")
        value = " ".join(self._found.values[keyword])
        return Refused(f"{where}: {keyword} {value!r} {why}", hint=hint)

    def _flag(self, keyword: str, *, default: bool) -> bool:
        value = self._found.first(keyword)
        if value is None:
            return default
        if value.lower() not in ("yes", "true", "no", "false"):
            raise self._bad(keyword, "is neither yes nor no")
        return value.lower() in ("yes", "true")

    def _choice(self, keyword: str, choices: dict[str, str], default: str) -> str:
        value = self._found.first(keyword)
        if value is None:
            return default
        if value.lower() not in choices:
            raise self._bad(keyword, f"is none of {', '.join(choices)}")
        return choices[value.lower()]

    def _number(self, keyword: str) -> int | None:
        value = self._found.first(keyword)
        if value is None:
            return None
        if not _NUMBER.fullmatch(value):
            raise self._bad(keyword, "is not a number")
        return int(value)

    def _seconds(self, keyword: str) -> float | None:
        value = self._found.first(keyword)
        if value is None or value.lower() == "none":
            return None
        if not _TIME.fullmatch(value):
            raise self._bad(keyword, "is not a time")
        parts = re.findall(r"([0-9]+)([a-z]?)", value.lower())
        seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
        return float(min(seconds, _LONGEST_S))

    def _size(self) -> int | None:
        value = self._found.first("rekeylimit")
        if value is None or value.lower() in ("default", "none", "0"):
            return None
        parts = re.fullmatch(r"([0-9]{1,18})([kmg]?)", value.lower())
        if parts is None:
            raise self._bad("rekeylimit", "is not a size")
        return int(parts[1]) * _SIZES[parts[2]]

    def _family(self) -> int:
        families = {
            "any": "0",
            "inet": str(int(socket.AF_INET)),
            "inet6": str(int(socket.AF_INET6)),
        }
        return int(self._choice("addressfamily", families, "0"))

    def _unless_none(self, keyword: str) -> str | None:
        value = self._found.first(keyword)
        if value is None or value.lower() == "none":
            return None
        # a command gets its tokens later, for those of a jump are not ours
        return value

    def _authentications(self) -> tuple[str, ...]:
        switches = {
            "publickey": "pubkeyauthentication",
            "password": "passwordauthentication",
            "keyboard-interactive": "kbdinteractiveauthentication",
        }
        named = (self._found.first("preferredauthentications") or _DEFAULT_AUTH).split(",")
        return tuple(name for name in named if name in switches and self._on(name, switches[name]))

    def _on(self, name: str, keyword: str) -> bool:
        value = (self._found.first(keyword) or "yes").lower()
        if name == "publickey" and value in ("unbound", "host-bound"):
            return True
        return self._flag(keyword, default=True)

    def _agent(self) -> str | None:
        value = self._found.first("identityagent") or "SSH_AUTH_SOCK"
        if value.lower() == "none":
            return None
        if value == "SSH_AUTH_SOCK":
            return os.environ.get("SSH_AUTH_SOCK") or None
        if value.startswith("$") and not value.startswith("${"):
            return os.environ.get(value[1:]) or None
        return str(self._paths([value])[0])

    def _revoked(self) -> Path | None:
        value = self._found.first("revokedhostkeys")
        return None if value is None or value.lower() == "none" else self._paths([value])[0]

    def _paths(self, words: list[str] | tuple[str, ...]) -> tuple[Path, ...]:
        return tuple(self._path(word) for word in words if word.lower() != "none")

    def _path(self, word: str) -> Path:
        path = expand(_environment(word), self._tokens)
        if path == "~" or path.startswith("~/"):
            return self._home / path[2:]
        return expand_user(path)


_NO: Final = {"no": "false", "none": "none"}


def tokens(found: Found) -> dict[str, str]:
    """Return what the letters after "%" stand for."""
    host = found.hostname() if found.final else found.hostname().lower()
    port = found.first("port") or "22"
    if not _NUMBER.fullmatch(port) or not 0 < int(port) < 65536:
        raise Refused(f"{found.sources.get('port', 'the address')}: {port!r} is not a port")
    user = found.first("user") or local_user()
    here = socket.gethostname()
    return {
        "%": "%",
        "C": _digest(f"{here}{host}{port}{user}"),
        "d": str(home_directory()),
        "h": host,
        "i": str(os.getuid()),
        "k": (found.first("hostkeyalias") or found.original).lower(),
        "L": here.partition(".")[0],
        "l": here,
        "n": found.original,
        "p": port,
        "r": user,
        "u": local_user(),
    }


def _digest(text: str) -> str:
    data = text.encode(errors="surrogateescape")
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def expand(text: str, letters: dict[str, str]) -> str:
    """Replace %h and the like. Raises Refused for a letter that stands for nothing."""

    def meaning(found: re.Match[str]) -> str:
        if found[1] not in letters:
            raise Refused(f"ssh_config: {found[0]!r} in {text!r} stands for nothing here")
        return letters[found[1]]

    return re.sub(r"%(.?)", meaning, text)


def _environment(text: str) -> str:
    def meaning(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise Refused(f"ssh_config: there is no variable {found[1]} for {text!r}")
        return os.environ[found[1]]

    return re.sub(r"\$\{([^}]+)\}", meaning, text)


def home_directory() -> Path:
    """Return where this user's files are."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise Refused(f"this user has no home directory to read .ssh/config in: {error}") from error


def local_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return getpass.getuser()


def _expand_command(command: str, found: Found) -> str:
    return expand(command, tokens(found))


def _succeeds(command: str) -> bool:
    """Run the command of a `Match exec`."""
    shell = os.environ.get("SHELL") or "/bin/sh"
    done = subprocess.run(
        [shell, "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0
