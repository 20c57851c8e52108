"""Files of known host keys, as OpenSSH writes them.

    [@marker] names key-type base64 [comment]

Names are patterns with commas between, or one hashed name ("|1|salt|digest"). A host at another
port than 22 is called "[host]:port". Nothing is decided here; see `hostkeys`.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
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
    return [entry for file in files for entry in _read(file) if _names(entry.names, name)]


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
        entry = _parse(line, Path(), number)
        if entry is None or not _is_about(entry, name, kind):
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


def _is_about(entry: Entry, name: str, kind: str) -> bool:
    return not entry.marker and entry.key.kind == kind and _names(entry.names, name)


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


def _read(file: Path) -> Iterator[Entry]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise Refused(f"cannot read the known host keys in {file}: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if (entry := _parse(line, file, number)) is not None:
            yield entry


def _parse(line: str, file: Path, number: int) -> Entry | None:
    """Return what a line says; None for comments and what nobody can read, as OpenSSH does."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3 or (blob := _decoded(words[2])) is None:
        return None
    size = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + size] != words[1].encode():
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
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"{_HASHED}{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def write_text(file: Path, text: str) -> None:
    """Replace a file, or make it, at once. Raises OSError."""
    file = file.resolve()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
