"""The brake: what a snapshot has of a loss or an attack, so that older ones must not be forgotten.

A snapshot is compared with the newest calm one of its source, by counts that both carry. What is
found goes into its record when it is committed, so whoever forgets by a policy, on any host and
however long after, sees it there. A source is held as long as its newest snapshot has anomalies and
not the tag `accepted`; it goes on by itself when a later snapshot is like the calm one again.

The bounds are chosen to be silent where all is well: each is a share and an amount, so small
sources do not alarm; what was there must be gone or changed, so an import does not; and content is
called encrypted only where that is new, so a compressed dump of each night is not. A loss of less
than the bounds, or one that is spread over many runs, is not seen.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from backup.repository import Recorded, Snapshot, Statistics

ACCEPTED: Final = "accepted"
"""The tag of a snapshot whose anomalies are known to be meant."""

_DUMP: Final = "dump:"
ENCRYPTED: Final = "encrypted"
_MIB: Final = 1 << 20
_LEAST_FILES: Final = 50
_LEAST_EMPTIED: Final = 10
_LEAST_SHRUNK: Final = 64 * _MIB
_LEAST_WIPED: Final = _MIB
_LEAST_BEFORE_GROWTH: Final = 64 * _MIB
_LEAST_GROWN: Final = 1024 * _MIB
_LEAST_FRESH: Final = _MIB
_INCOMPRESSIBLE: Final = 0.97
_COMPRESSIBLE: Final = 0.9
_SETTLED: Final = 0.2
"""Of a source that is settled, a run finds no larger share to be new."""


class _Bounds(NamedTuple):
    """What of files and bytes must be left, also of a small source, and to how much it may grow."""

    left: float
    small: float
    growth: float


_CALM: Final = _Bounds(0.4, 0.1, 10.0)
_HELD: Final = _Bounds(0.8, 0.8, 2.0)
"""Once it is held, a source must come closer to what it was than it may go away from that: else one
at the bound would be let go of by chance."""


class Origin(NamedTuple):
    """Whose snapshots are compared with each other."""

    host: str
    source: str


def is_comparable(snapshot: Snapshot) -> bool:
    """Whether snapshots of its source are alike, time after time: those of images are not, nor what
    somebody imports; what a database dumps is, though it comes as an archive as well."""
    return not snapshot.imported or snapshot.source.startswith(_DUMP)


def is_calm(snapshot: Snapshot) -> bool:
    """Whether a snapshot's anomalies, if any, are accepted."""
    return not snapshot.anomalies or ACCEPTED in snapshot.tags


def anomalies(now: Snapshot, past: Sequence[Snapshot]) -> list[str]:
    """Return in what a snapshot differs from those of its source before it, the oldest first.

    Each is a word (files, shrunk, grown, encrypted), a colon, and what was compared.
    """
    if not past or not is_comparable(now):
        return []
    last = past[-1]
    calm = next((each for each in reversed(past) if is_calm(each)), None)
    if calm is None or (calm is not last and now.excludes != calm.excludes):
        return last.anomalies  # nothing is left that could show that it is over
    bounds = _CALM if calm is last else _HELD
    found = []
    if now.excludes == calm.excludes:
        found += _counted(now.statistics, calm.statistics, bounds)
    if calm is not last and (known := _about_encryption(last)):
        found += known  # that what changed stayed changed is no sign that all is well
    elif _is_encrypted(now.statistics, [each.statistics for each in past], calm.statistics):
        found.append(_encryption_text(now.statistics))
    return found


def held(recorded: Iterable[Recorded]) -> dict[Origin, Recorded]:
    """Return the newest snapshot of each source that is held; they are given the oldest first."""
    newest = {
        Origin(each.snapshot.host, each.snapshot.source): each
        for each in recorded
        if each.forgotten is None
    }
    return {origin: each for origin, each in newest.items() if not is_calm(each.snapshot)}


def _counted(now: Statistics, calm: Statistics, bounds: _Bounds) -> list[str]:
    found = []
    lost = calm.files - now.files
    wiped = lost >= _LEAST_EMPTIED and now.files <= bounds.small * calm.files
    if wiped or (lost >= _LEAST_FILES and now.files <= bounds.left * calm.files):
        found.append(f"files: {calm.files} before, {now.files} now")
    sizes = f"{calm.size // _MIB} MiB before, {now.size // _MIB} MiB now"
    lost = calm.size - now.size
    wiped = lost >= _LEAST_WIPED and now.size <= bounds.small * calm.size
    if wiped or (lost >= _LEAST_SHRUNK and now.size <= bounds.left * calm.size):
        found.append(f"shrunk: {sizes}")
    if (
        calm.size >= _LEAST_BEFORE_GROWTH
        and now.size - calm.size >= _LEAST_GROWN
        and now.size >= bounds.growth * calm.size
        and now.unchanged_size < calm.size / 2  # else it is something that came in addition
    ):
        found.append(f"grown: {sizes}")
    return found


def _is_encrypted(now: Statistics, past: Sequence[Statistics], calm: Statistics) -> bool:
    """Whether most of what was there became something new that does not compress, which is news."""
    replaced = (
        now.fresh >= max(_LEAST_FRESH, now.size / 2)
        and now.unchanged_size <= calm.size / 2
        and calm.size * 2 >= now.size  # else most of it is something that came in addition
    )
    if not replaced or now.compressed < _INCOMPRESSIBLE * now.fresh:
        return False
    fresh = sum(each.fresh for each in past)
    compressible = fresh >= _LEAST_FRESH and (
        sum(each.compressed for each in past) <= _COMPRESSIBLE * fresh
    )
    shares = sorted(each.fresh / each.size for each in past[1:] if each.size)
    return compressible or (bool(shares) and shares[len(shares) // 2] <= _SETTLED)


def _encryption_text(now: Statistics) -> str:
    share = f"{now.fresh / max(1, now.size):.0%}"
    return f"{ENCRYPTED}: {share} of it is new, and does not compress as what was there did"


def _about_encryption(snapshot: Snapshot) -> list[str]:
    return [each for each in snapshot.anomalies if each.startswith(ENCRYPTED)]
