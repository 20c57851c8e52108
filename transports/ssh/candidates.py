"""Which keys to try, in which order.

Those of the agent come first, then files that need no passphrase, then those that do, so that
nobody is asked for what is not needed. Where ssh_config names files and says IdentitiesOnly, an
agent's other keys are left out. A certificate that belongs to a key goes before the key itself.
"""

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import paramiko
from paramiko.pkey import PublicBlob

from transports.ssh.keyfile import KeyFile, Unusable, look_at, public_blob
from transports.ssh.settings import Settings

_TIMES: Final = 3
_CERTIFICATE: Final = "-cert.pub"
# keys that were opened in this process: a new link must not ask again
_opened: dict[tuple[Path, int], paramiko.PKey] = {}
_opening = threading.Lock()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key to try; `load` may ask for a passphrase, and raises Unusable."""

    label: str
    load: Callable[[], paramiko.PKey]


@dataclass(frozen=True, slots=True)
class Secrets:
    """Where a passphrase comes from."""

    passphrase: str | None
    ask: Callable[[str], str | None] | None


def candidates(
    settings: Settings, held: Sequence[paramiko.PKey], secrets: Secrets, notes: list[str]
) -> Iterator[Candidate]:
    """Yield the keys to try; `notes` is told what cannot be used, and why."""
    files = list(_files(settings, notes))
    named = {file.blob for file in files if file.blob} | {
        blob for path in settings.identity_files if (blob := _beside(path))
    }
    usable = [key for key in held if not settings.identities_only or _blob(key) in named]
    usable.sort(key=lambda key: _blob(key) not in named)
    certificates = _certificates(settings, notes)
    for key in usable:
        label = f"agent's {getattr(key, 'comment', '') or key.get_name()}"
        yield from _with_certificates(label, partial(_same, key), _blob(key), certificates)
    in_agent = {_blob(key) for key in usable}
    for file in sorted(files, key=lambda file: file.encrypted):
        if file.blob is None or file.blob not in in_agent:
            load = _loader(file, secrets)
            yield from _with_certificates(str(file.path), load, file.blob, certificates)


def _same(key: paramiko.PKey) -> paramiko.PKey:
    return key


def _files(settings: Settings, notes: list[str]) -> Iterator[KeyFile]:
    for path in settings.identity_files:
        try:
            yield look_at(path)
        except FileNotFoundError:
            if settings.chosen_keys and not _beside(path):
                notes.append(f"{path}: it is not there")
        except Unusable as error:
            notes.append(f"{path}: {error}")


def _beside(path: Path) -> bytes | None:
    """Return the public key for a file that may only name a key of the agent."""
    public = path if path.suffix == ".pub" else path.with_name(path.name + ".pub")
    return public_blob(public)


def _certificates(settings: Settings, notes: list[str]) -> list[PublicBlob]:
    found = []
    beside = [path.with_name(path.name + _CERTIFICATE) for path in settings.identity_files]
    for path in (*settings.certificate_files, *beside):
        try:
            found.append(PublicBlob.from_file(str(path)))
        except FileNotFoundError:
            if path in settings.certificate_files:
                notes.append(f"{path}: it is not there")
        except (OSError, ValueError, paramiko.SSHException) as error:
            notes.append(f"{path}: it is no certificate ({error})")
    return found


def _with_certificates(
    label: str,
    load: Callable[[], paramiko.PKey],
    blob: bytes | None,
    certificates: list[PublicBlob],
) -> Iterator[Candidate]:
    for certificate in certificates:
        if blob is None or _holds(certificate.key_blob, blob):
            yield Candidate(f"{label} with its certificate", _certified(load, certificate))
    yield Candidate(label, load)


def _certified(
    load: Callable[[], paramiko.PKey], certificate: PublicBlob
) -> Callable[[], paramiko.PKey]:
    def loaded() -> paramiko.PKey:
        key = copy.copy(load())
        if not _holds(certificate.key_blob, key.asbytes()):
            raise Unusable("the certificate is of another key")
        key.public_blob = certificate
        return key

    return loaded


def _holds(certificate: bytes, blob: bytes) -> bool:
    """Return whether a certificate is of this key, whose parts it has within it."""
    size = 4 + int.from_bytes(blob[:4], "big")
    return blob[size:] in certificate


def _blob(key: paramiko.PKey) -> bytes:
    return getattr(key, "blob", None) or key.asbytes()


def _loader(file: KeyFile, secrets: Secrets) -> Callable[[], paramiko.PKey]:
    def load() -> paramiko.PKey:
        with _opening:
            mark = (file.path, file.path.stat().st_mtime_ns)
            if mark not in _opened:
                _opened[mark] = _opened_by(file, secrets)
            return _opened[mark]

    return load


def _opened_by(file: KeyFile, secrets: Secrets) -> paramiko.PKey:
    if not file.encrypted:
        return _read(file, None)
    if secrets.passphrase is not None:
        try:
            return _read(file, secrets.passphrase)
        except Unusable:
            if secrets.ask is None:
                raise
    if secrets.ask is None:
        raise Unusable(
            "it needs a passphrase, and there is no terminal to ask at;"
            " --ssh-passphrase-file names a file that has it"
        )
    return _asked_for(file, secrets.ask)


def _asked_for(file: KeyFile, ask: Callable[[str], str | None]) -> paramiko.PKey:
    for _ in range(_TIMES):
        passphrase = ask(f"passphrase of {file.path}: ")
        if not passphrase:
            break
        try:
            return _read(file, passphrase)
        except Unusable:
            continue
    raise Unusable("its passphrase was not given")


def _read(file: KeyFile, passphrase: str | None) -> paramiko.PKey:
    kinds = {"ssh-rsa": paramiko.RSAKey, "ssh-ed25519": paramiko.Ed25519Key}
    kind: type[paramiko.PKey] = kinds.get(file.kind, paramiko.ECDSAKey)
    try:
        return kind.from_private_key_file(str(file.path), password=passphrase)
    except (paramiko.SSHException, ValueError, OSError) as error:
        why = "the passphrase does not open it" if passphrase else f"it cannot be read: {error}"
        raise Unusable(why) from error
