"""Whether a host is the one that it was.

A host's key must be known: from the files of known hosts, or from `--host-key`. What is unknown is
refused unless ssh_config says `accept-new`; what changed, or is revoked, always. A host that is
known by keys of other types than the one it shows has changed as well: we ask for the types that
are known first, so it has none of these any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from transports.errors import HostKeyRefused, Refused
from transports.ssh.knownhosts import (
    AUTHORITY,
    REVOKED,
    Entry,
    HostKey,
    alone,
    entries_for,
    known_text,
    line_for,
    revoked_blobs,
    write_text,
)
from transports.ssh.settings import Settings

_ALGORITHMS: Final = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about one host before it is asked."""

    url: str
    name: str
    entries: list[Entry]
    elsewhere: list[Entry] = field(default_factory=list)  # under the name without the port
    revoked: frozenset[bytes] = frozenset()
    pins: tuple[str, ...] = ()

    @property
    def keys(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.marker]

    def preferred(self, algorithms: Sequence[str]) -> tuple[str, ...]:
        """Return the algorithms in an order in which those of known keys come first."""
        kinds = [entry.key.kind for entry in (self.keys or self.elsewhere)]
        first = [name for kind in kinds for name in _ALGORITHMS.get(kind, (kind,))]
        known = [name for name in algorithms if name in first]
        return (*known, *(name for name in algorithms if name not in known))


def known_host(settings: Settings, url: str, pins: Sequence[str] = ()) -> Known:
    """Look up what is known. Raises Refused for a file that cannot be read."""
    for pin in pins:
        if not pin.startswith("SHA256:"):
            raise Refused(
                f"not a fingerprint: {pin!r}",
                hint="it begins with SHA256:, as `ssh-keygen -l` says it",
            )
    files = (*settings.user_known_hosts, *settings.global_known_hosts)
    plain = settings.hostname.lower()
    other = settings.port != 22 and settings.host_key_alias is None
    revoked = revoked_blobs(settings.revoked_host_keys) if settings.revoked_host_keys else set()
    return Known(
        url,
        settings.known_as,
        entries_for(settings.known_as, files),
        entries_for(plain, files) if other else [],
        frozenset(revoked),
        tuple(pin.rstrip("=") for pin in pins),
    )


def judge(known: Known, key: HostKey) -> bool:
    """Return whether a key is known: False for a new host. Raises HostKeyRefused."""
    entries = known.entries + known.elsewhere
    for entry in entries:
        if entry.marker == REVOKED and entry.key == key:
            raise _revoked(known, key, entry.place)
    if key.blob in known.revoked:
        raise _revoked(known, key, "RevokedHostKeys of ssh_config")
    if known.pins:
        if key.fingerprint not in known.pins:
            raise HostKeyRefused(
                f"the host key of {known.url} is {key.fingerprint} ({key.kind}),"
                f" and only {' or '.join(known.pins)} is wanted",
                hint="ask whoever runs the host which one is its own; with several hosts, name each"
                " one's key: --host-key may be given more than once",
            )
        return True
    if any(not entry.marker and entry.key == key for entry in entries):
        return True
    if known.keys:
        raise _changed(known, key)
    return False


def unknown(known: Known, key: HostKey) -> HostKeyRefused:
    """Return the error for a host that nobody has vouched for."""
    if any(entry.marker == AUTHORITY for entry in known.entries):
        return HostKeyRefused(
            f"the host key of {known.url} is vouched for by a certificate, which is not checked"
            f" here; the key itself, {key.fingerprint} ({key.kind}), is unknown",
            hint="--ssh-binary leaves the certificate to OpenSSH",
        )
    return HostKeyRefused(
        f"the host key of {known.url} is unknown: {key.fingerprint} ({key.kind})",
        hint=f"if whoever runs the host says so too, `voltar host trust {known.url}` keeps it",
    )


def _changed(known: Known, key: HostKey) -> HostKeyRefused:
    old = next((e for e in known.keys if e.key.kind == key.kind), known.keys[0])
    return HostKeyRefused(
        f"THE HOST KEY OF {known.url} HAS CHANGED: somebody may listen in between, or the host was"
        f" set up anew; it shows {key.fingerprint} ({key.kind}), and was {old.key.fingerprint}"
        f" ({old.key.kind}) in {old.place}",
        hint="ask whoever runs the host; only if they name the new fingerprint,"
        f" `voltar host trust {known.url} --fingerprint {key.fingerprint}` replaces the old one",
    )


def _revoked(known: Known, key: HostKey, place: str) -> HostKeyRefused:
    return HostKeyRefused(
        f"THE HOST KEY OF {known.url} IS REVOKED: {key.fingerprint} ({key.kind}), says {place};"
        " whoever shows it is not to be trusted"
    )


def remember(settings: Settings, key: HostKey) -> Path:
    """Add a key to the user's known hosts, and return the file. Raises Refused."""
    with alone(user_file(settings)):
        return store(settings, key, known_text(user_file(settings)))


def store(settings: Settings, key: HostKey, text: str) -> Path:
    """Write the user's known hosts, `text` and one line more. Raises Refused."""
    file = user_file(settings)
    if text and not text.endswith("\n"):
        text += "\n"
    line = line_for(settings.known_as, key, hashed=settings.hash_known_hosts)
    try:
        write_text(file, f"{text}{line}\n")
    except OSError as error:
        raise Refused(f"cannot write {file}: {error.strerror}") from error
    return file


def user_file(settings: Settings) -> Path:
    """Return where the user's known hosts are kept. Raises Refused."""
    if not settings.user_known_hosts:
        raise Refused(
            "there is no file to keep a host key in: UserKnownHostsFile is none",
            hint="--host-key names the one key to accept",
        )
    return settings.user_known_hosts[0]
