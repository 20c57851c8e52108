"""What a file with a private key says before anybody has its passphrase."""

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MAGIC: Final = b"openssh-key-v1\0"
_PKCS8: Final = "it is in PKCS#8 form; `ssh-keygen -p -f` of it writes it in OpenSSH's"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file with a private key; `blob` is its public key, where that can be told."""

    path: Path
    kind: str
    encrypted: bool
    blob: bytes | None


class Unusable(Exception):
    """The file is no key that can be used; the text says why."""


def look_at(path: Path) -> KeyFile:
    """Return what a file is. Raises Unusable; FileNotFoundError."""
    try:
        status = path.stat()
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable(f"{error.strerror}") from error
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        raise Unusable("others can read it; `chmod 600` makes it private")
    begin, _, rest = text.lstrip().partition("\n")
    kind = begin.strip().removeprefix("-----BEGIN ").removesuffix("PRIVATE KEY-----").strip()
    body = rest.partition("-----END")[0]
    if not begin.startswith("-----BEGIN ") or "PRIVATE KEY" not in begin:
        raise Unusable("it has no private key in it")
    if kind == "OPENSSH":
        return _openssh(path, body)
    if kind in ("RSA", "EC"):
        name = "ssh-rsa" if kind == "RSA" else "ecdsa"
        return KeyFile(path, name, "ENCRYPTED" in body, _public(path))
    raise Unusable(_PKCS8 if kind in ("", "ENCRYPTED") else f"{kind} keys are not used any more")


def _openssh(path: Path, body: str) -> KeyFile:
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
        if not data.startswith(_MAGIC):
            raise Unusable("it is damaged")
        cipher, rest = _text(data[len(_MAGIC) :])
        _, rest = _text(rest)
        _, rest = _text(rest)
        blob, _ = _text(rest[4:])
        kind, _ = _text(blob)
    except (binascii.Error, ValueError) as error:
        raise Unusable("it is damaged") from error
    name = kind.decode(errors="replace")
    if name.startswith("sk-"):
        raise Unusable("it is of a security key; an agent that has it, or --ssh-binary, can use it")
    return KeyFile(path, name, cipher != b"none", blob)


def _text(data: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size:
        raise ValueError("cut off")
    return data[4 : 4 + size], data[4 + size :]


def _public(path: Path) -> bytes | None:
    return public_blob(path.with_name(path.name + ".pub"))


def public_blob(path: Path) -> bytes | None:
    """Return the key in a file of one public key or certificate, or None."""
    try:
        words = path.read_text(encoding="ascii", errors="replace").split()
        return base64.b64decode(words[1], validate=True)
    except (OSError, IndexError, binascii.Error, ValueError):
        return None
