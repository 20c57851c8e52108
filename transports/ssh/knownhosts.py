"""Files of known host keys, as OpenSSH writes them.

    [@marker] names key-type base64 [comment]

Names are patterns with commas between, or one hashed name ("|1|salt|digest"). A host at another
port than 22 is called "[host]:port". Nothing is decided here; see `hostkeys`.
"""

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transports.errors import Refused
from transports.ssh.pattern import matches_list

REVOKED: Final = "@revoked"
AUTHORITY: Final = "@cert-authority"
_HASHED: Final = "|1|"


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public key: its type as in known_hosts, and its bytes."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        return fingerprint(self.blob)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that names the host that was looked for."""

    file: Path
    line: int
    names: str
    marker: str
    key: HostKey

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line}"


def fingerprint(blob: bytes) -> str:
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return "SHA256:" + digest.rstrip("=")


def entries_for(name: str, files: Iterable[Path]) -> list[Entry]:
    """Return the lines about a host, in all files that are there. Raises Refused."""
    return [entry for file in files for entry in _read(file, name)]


def line_for(name: str, key: HostKey, *, hashed: bool) -> str:
    """Return a line for known_hosts."""
    names = _hashed(name, secrets.token_bytes(20)) if hashed else name
    return f"{names} {key.kind} {base64.b64encode(key.blob).decode()}"


def without(text: str, name: str, kind: str) -> tuple[str, list[int]]:
    """Return a file without a host's keys of a kind, and the lines that name it by a pattern only.

    Marked lines stay. Of a line for several hosts, the others stay.
    """
    kept: list[str] = []
    patterns: list[int] = []
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        entry = _parse(line, Path(), number, name)
        if entry is None or entry.marker or entry.key.kind != kind:
            kept.append(line)
            continue
        others = [other for other in entry.names.split(",") if other.lower() != name]
        if entry.names.startswith(_HASHED):
            continue
        if _names(",".join(others), name):
            patterns.append(number)
            kept.append(line)
        elif others:
            kept.append(line.replace(entry.names, ",".join(others), 1))
    return "".join(kept), patterns


def revoked_blobs(file: Path) -> set[bytes]:
    """Return the keys in a file of RevokedHostKeys. Raises Refused."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Refused(
            f"cannot read the revoked host keys in {file}: {error.strerror}",
            hint="RevokedHostKeys in ssh_config names it; without it no host key is accepted",
        ) from error
    if data.startswith(b"SSHKRL\n"):
        raise Refused(
            f"the revoked host keys in {file} are a binary list, which is not read here",
            hint="--ssh-binary leaves it to OpenSSH; a text file, a key a line, is read",
        )
    found: set[bytes] = set()
    for line in data.decode(errors="replace").splitlines():
        words = line.split()
        if len(words) >= 2 and not line.startswith("#") and (blob := _decoded(words[1])):
            found.add(blob)
    return found


def known_text(file: Path) -> str:
    """Return what is in a file of known hosts; nothing where there is none. Raises Refused."""
    try:
        if stat.S_ISFIFO(file.stat().st_mode):
            raise Refused(f"cannot read the known host keys in {file}: it is a FIFO")
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise Refused(f"cannot read the known host keys in {file}: {error.strerror}") from error


def _read(file: Path, name: str) -> Iterator[Entry]:
    for number, line in enumerate(known_text(file).splitlines(), 1):
        if (entry := _parse(line, file, number, name)) is not None:
            yield entry


def _parse(line: str, file: Path, number: int, name: str) -> Entry | None:
    """Return what a line says of a host; None for other hosts', comments and what nobody can read,
    as OpenSSH does. The names are looked at first: there may be 100,000 lines."""
    words = line.split(maxsplit=4)
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3 or not _names(words[0], name) or (blob := _decoded(words[2])) is None:
        return None
    size = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + size] != words[1].encode(errors="surrogateescape"):
        return None
    return Entry(file, number, words[0], marker, HostKey(words[1], blob))


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _names(names: str, name: str) -> bool:
    if not names:
        return False
    if not names.startswith(_HASHED):
        return matches_list(name, names, lower=True)
    salt = _decoded(names[len(_HASHED) :].partition("|")[0])
    return salt is not None and hmac.compare_digest(_hashed(name, salt), names)


def _hashed(name: str, salt: bytes) -> str:
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"{_HASHED}{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """Keep other voltars from changing a file meanwhile, where the file system can."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            directory = os.open(file.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
            held.callback(os.close, directory)
            fcntl.flock(directory, fcntl.LOCK_EX)
        yield


def write_text(file: Path, text: str) -> None:
    """Replace a file, or make it, at once. Raises OSError."""
    file = file.resolve()
    file.parent.mkdir(mode=0o700, exist_ok=True)  # a home that is not there is not made
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
