"""The facts: from the history of this machine, and from snapshots where they could be read.

The history tells which sources a job has, what was proven, and why something failed; a snapshot
that is in the repository is worth more than one that the history remembers, so where both are to be
had, the repository says when a source was saved last.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from backup.anomaly import ACCEPTED
from backup.config import Config, Job
from backup.history import CONTENT, History, Kind, Result, Run, SourceResult
from backup.repository import Recorded
from backup.repository.timing import SKEW, is_future
from backup.status.facts import JobFacts, Proof, SourceFacts
from backup.timing.sentence import parse_sentence
from backup.timing.span import parse_span

_LOST: Final = "it was saved, but its repository has no snapshot of it any more"
_PROVES_CONTENT: Final = (CONTENT, "boot", "assert", "stack")
_TREND: Final = 8
"""So many sizes show where it goes."""
_LOOK_BACK: Final = 50
"""So many runs are looked through for one that tried all sources."""


def gather(
    found: Config,
    history: History,
    snapshots: Mapping[str, Sequence[Recorded]],
    *,
    zone: tzinfo,
    now: datetime,
) -> list[JobFacts]:
    """Return the facts of all jobs. `snapshots` are those of repositories that could be read, by
    name, the oldest first; `zone` is where jobs are that name none. Raises BackupError."""
    checked = {each: _checked(history, found, each) for each in found.repositories}
    stored = {each: _by_source(some, now) for each, some in snapshots.items()}
    facts = []
    for name, job in found.jobs.items():
        runs = history.runs(job=name, kind=Kind.BACKUP, limit=_LOOK_BACK)
        repository = job.repository or next(iter(found.repositories), "")
        gathered = _Gathering(history, name, stored.get(repository), checked.get(repository), now)
        facts.append(
            JobFacts(
                name=name,
                since=history.seen(name, now),
                schedule=parse_sentence(job.schedule) if job.schedule else None,
                zone=ZoneInfo(job.time_zone) if job.time_zone else zone,
                jitter_s=parse_span(job.jitter, "jitter") if job.jitter else 0.0,
                last=runs[0] if runs else None,
                sources=gathered.sources(job, runs),
            )
        )
    return facts


def tried_last(history: History, runs: Iterable[Run]) -> dict[str, SourceResult]:
    """Return what became of each source of a job last: from the runs since one has tried them all,
    the newest first. What is in none of these is not the job's any more. Raises BackupError."""
    tried: dict[str, SourceResult] = {}
    for run in runs:
        for each in history.sources(run.id):
            tried.setdefault(each.source, each)
        # a run with a message of its own was ended by what concerns all sources
        if run.ended is not None and not run.message:
            break
    return tried


_BySource = Mapping[str, Sequence[Recorded]]


def _by_source(snapshots: Iterable[Recorded], now: datetime) -> _BySource:
    """Return the snapshots that count; one that a wrong clock has dated in the future would hide
    until then that no other is made."""
    found: dict[str, list[Recorded]] = {}
    for each in snapshots:
        if each.forgotten is None and not is_future(each.snapshot.time, now):
            found.setdefault(each.snapshot.source, []).append(each)
    return found


def _checked(history: History, found: Config, repository: str) -> Proof | None:
    """Return when all data of a repository were read last, and were right."""
    location = found.repositories[repository].location
    proofs = [
        Proof(run.started, CONTENT)
        for called in {repository, location}  # as whoever checked it called it
        for run in history.runs(job=called, kind=Kind.CHECK, limit=_LOOK_BACK)
        if run.result is Result.OK
        if CONTENT in [each.level for each in history.sources(run.id)]
    ]
    return max(proofs, key=lambda proof: proof.time, default=None)


class _Gathering:
    """The sources of one job."""

    def __init__(
        self,
        history: History,
        job: str,
        stored: _BySource | None,
        checked: Proof | None,
        now: datetime,
    ) -> None:
        self._history = history
        self._job = job
        self._stored = stored
        self._checked = checked
        self._now = now

    def sources(self, job: Job, runs: Iterable[Run]) -> tuple[SourceFacts, ...]:
        """Return what is known of each, by name."""
        tried: dict[str, SourceResult | None] = {**tried_last(self._history, runs)}
        for name in job.volumes:
            tried.setdefault(f"volume:{name}", None)
        return tuple(self._facts(name, tried[name]) for name in sorted(tried))

    def _facts(self, name: str, last: SourceResult | None) -> SourceFacts:
        known = self._history.successes(Kind.BACKUP, self._job, name, _TREND)
        past = [each for each in known if each.time and not is_future(each.time, self._now)]
        facts = SourceFacts(
            source=name,
            host=last.host if last else past[0].host if past else "",
            failure=last.message if last and last.snapshot is None else "",
            warnings=last.warnings if last else 0,
        )
        if past:
            newest = past[0]
            facts = replace(
                facts,
                saved=newest.time,
                snapshot=newest.snapshot,
                files=newest.files,
                sizes=tuple(each.size for each in reversed(past)),
                seconds=newest.seconds,
                held=newest.held,
            )
        return self._proven(self._as_stored(facts))

    def _as_stored(self, facts: SourceFacts) -> SourceFacts:
        """Return the facts as the repository has them, where it could be read."""
        if self._stored is None:
            return facts
        some = self._stored.get(facts.source, ())
        stored = [each for each in some if facts.host in ("", each.snapshot.host)]
        if not stored:
            return self._missed(facts)
        newest = stored[-1].snapshot
        accepted = ACCEPTED in newest.tags
        return replace(
            facts,
            host=newest.host,
            saved=newest.time,
            snapshot=stored[-1].id,
            files=newest.statistics.files,
            sizes=tuple(each.snapshot.statistics.size for each in stored[-_TREND:]),
            seconds=newest.statistics.seconds,
            held="" if accepted else "; ".join(newest.anomalies),
            from_repository=True,
        )

    def _missed(self, facts: SourceFacts) -> SourceFacts:
        """Return the facts of a source of which the repository has nothing. What was saved just now
        may have been committed since the repository was asked."""
        is_lost = facts.saved is not None and self._now - facts.saved > SKEW
        return replace(
            facts,
            saved=None,
            snapshot=None,
            sizes=(),
            held="",
            failure=facts.failure or (_LOST if is_lost else ""),
            from_repository=True,
        )

    def _proven(self, facts: SourceFacts) -> SourceFacts:
        drills = [
            Proof(began, each.level, each.message)
            for began, each in self._history.drills(facts.source, _TREND)
        ]
        good = [each for each in drills if not each.failure and each.level in _PROVES_CONTENT]
        if self._checked is not None and facts.saved is not None:
            good.append(self._checked)
        good = [each for each in good if not is_future(each.time, self._now)]
        return replace(
            facts,
            drilled=drills[0] if drills else None,
            verified=max(good, key=lambda proof: proof.time, default=None),
        )
