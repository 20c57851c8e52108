"""Coming to know a host: what it shows, and keeping it.

Nothing is trusted here: whoever asks decides, by a question or by a fingerprint from elsewhere.
"""

from dataclasses import dataclass
from pathlib import Path

from transports.errors import HostKeyRefused, Refused
from transports.ssh.hostkeys import Known, judge, known_host, store, user_file
from transports.ssh.knownhosts import Entry, HostKey, alone, known_text, without
from transports.ssh.protocol import Options
from transports.ssh.session import Target, offered_key, shown_key, target_of


@dataclass(frozen=True, slots=True)
class Introduction:
    """A host and the key that it shows; `old` is what is known instead, where it has changed."""

    target: Target
    known: Known
    key: HostKey
    is_known: bool
    old: Entry | None

    @property
    def url(self) -> str:
        return self.target.url


def introduce(url: str, options: Options, fingerprint: str | None = None) -> Introduction:
    """Ask a host for its key, or for the one of a fingerprint.

    Raises Refused, ConnectionLost; HostKeyRefused where it is revoked, or not of that fingerprint.
    """
    target = target_of(url, options)
    known = known_host(target.settings, target.url)
    if fingerprint is None:
        key = shown_key(target, known)
    else:
        key = offered_key(target, fingerprint.rstrip("="))
    try:
        return Introduction(target, known, key, judge(known, key), None)
    except HostKeyRefused:
        if any(entry.key == key for entry in known.entries if entry.marker):
            raise
        old = next((e for e in known.keys if e.key.kind == key.kind), None)
        if not known.keys:
            raise
        return Introduction(target, known, key, is_known=False, old=old or known.keys[0])


def keep(introduction: Introduction) -> Path:
    """Write the key into the user's known hosts, in the place of another of its kind.

    Returns the file. Raises Refused.
    """
    with alone(user_file(introduction.target.settings)):
        return _kept(introduction)


def _kept(introduction: Introduction) -> Path:
    settings = introduction.target.settings
    kind = introduction.key.kind
    text, patterns = without(known_text(user_file(settings)), settings.known_as, kind)
    elsewhere = [
        entry.place
        for entry in introduction.known.keys
        if entry.key.kind == kind
        and (entry.file != settings.user_known_hosts[0] or entry.line in patterns)
    ]
    if elsewhere:
        raise Refused(
            f"another key of {introduction.url} is in {', '.join(elsewhere)},"
            " where voltar does not change it",
            hint="remove it there first",
        )
    return store(settings, introduction.key, text)
