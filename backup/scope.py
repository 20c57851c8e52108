"""Which snapshots a policy is about, in which groups, and what it decides of each.

A policy is applied to each group on its own: by default to each source of each host, so that the
snapshots of one volume do not use up the places of another's.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from backup.anomaly import Origin
from backup.lookup import source_name
from backup.repository import Recorded, SnapshotId
from backup.repository.timing import is_future
from backup.retention import Decision, Moment, Policy, decide

_FUTURE: Final = "dated in the future"
_HELD: Final = "held: the newest one is not like those before it"


class Group(NamedTuple):
    """What the snapshots of a group have in common; "" where that is not asked."""

    host: str
    source: str

    def __str__(self) -> str:
        if self.host and self.source:
            return f"{self.source} on {self.host}"
        return self.source or self.host or "all snapshots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Snapshots of any of these sources, of any of these hosts, with all tags of any of these
    lists, in groups; where nothing is given, it does not matter."""

    sources: Sequence[str] = ()
    hosts: Sequence[str] = ()
    tags: Sequence[frozenset[str]] = ()
    by_host: bool = True
    by_source: bool = True

    def matches(self, recorded: Recorded) -> bool:
        """Whether a snapshot is meant."""
        snapshot = recorded.snapshot
        return (
            (not self.sources or any(snapshot.is_of(source_name(each)) for each in self.sources))
            and (not self.hosts or snapshot.host in self.hosts)
            and has_tags(recorded, self.tags)
        )

    def groups(self, history: Iterable[Recorded]) -> dict[Group, list[Recorded]]:
        """Return the snapshots that are meant and not forgotten, by group, in order."""
        groups: dict[Group, list[Recorded]] = {}
        for each in history:
            if each.forgotten is None and self.matches(each):
                host = each.snapshot.host if self.by_host else ""
                source = each.snapshot.source if self.by_source else ""
                groups.setdefault(Group(host, source), []).append(each)
        return dict(sorted(groups.items()))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a snapshot; it is kept if there is a reason."""

    recorded: Recorded
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        return bool(self.reasons)


Verdicts = dict[Group, list[Verdict]]


def judge(
    history: Iterable[Recorded],
    scope: Scope,
    policy: Policy,
    *,
    now: datetime,
    held: Container[Origin] = (),
) -> Verdicts:
    """Return what becomes of each snapshot that is meant, by group, the newest first.

    What a wrong clock has dated in the future is kept, and takes no other's place: as the newest of
    all, it would have a policy keep it and forget what is newer. What is of a source that is `held`
    is kept. Raises UsageError for an empty policy, Protected for one that keeps nothing of a group.
    """
    policy.demand_rules()
    judged = {}
    for group, members in scope.groups(history).items():
        future = [each for each in members if is_future(each.snapshot.time, now)]
        rest = [each for each in members if each not in future]
        judged[group] = [Verdict(each, (_FUTURE,)) for each in reversed(future)]
        if rest:
            decisions = decide(map(moment, rest), policy, now=now, of=str(group))
            judged[group] += _verdicts(rest, decisions, held)
    return judged


def to_forget(judged: Verdicts) -> list[SnapshotId]:
    """Return the ids of what is not kept."""
    return [each.recorded.id for group in judged.values() for each in group if not each.kept]


def has_tags(recorded: Recorded, lists: Sequence[frozenset[str]]) -> bool:
    """Whether a snapshot has all tags of one of the lists, or there is none.

    An empty list means: has no tags.
    """
    tags = frozenset(recorded.snapshot.tags)
    return not lists or any(wanted <= tags if wanted else not tags for wanted in lists)


def moment(recorded: Recorded) -> Moment:
    """Return what a policy sees of a snapshot."""
    snapshot = recorded.snapshot
    return Moment(recorded.id, snapshot.time, frozenset(snapshot.tags), recorded.pinned)


def _verdicts(
    members: Iterable[Recorded], decisions: Iterable[Decision], held: Container[Origin]
) -> list[Verdict]:
    by_id = {each.id: each for each in members}
    verdicts = []
    for each in decisions:
        recorded = by_id[SnapshotId(each.moment.key)]
        is_held = Origin(recorded.snapshot.host, recorded.snapshot.source) in held
        verdicts.append(Verdict(recorded, (*each.reasons, _HELD) if is_held else each.reasons))
    return verdicts
