"""Whether everything that holds data is backed up: each volume and each bind mount of each engine.

    protected    a job chooses it, and its newest snapshot is as young as the job's schedule wants
    stale        a job chooses it, and there is no snapshot, or it is too old
    excluded     a job would choose it but for an exclude, or it holds nothing that can be captured
    forgotten    no job chooses it

What there is comes from the engine, how old it is from the repository: what this machine remembers
of its runs proves nothing. Of several jobs that choose a source, the one that is behind counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from enum import Enum

from backup.config import LOCAL, Config, Job
from backup.engine import Engine
from backup.errors import BackupError
from backup.job.runner import Doors, repository_of
from backup.repository import Recorded
from backup.repository.timing import is_future
from backup.selection.intent import Intent, Present, intend, present
from backup.selection.resolve import source_names
from backup.timing.freshness import fresh_until
from transports.errors import TransportError


class State(Enum):
    """How a source is looked after."""

    PROTECTED = "protected"
    STALE = "stale"
    EXCLUDED = "excluded"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """One volume or bind mount of an engine, named as snapshots have it; `host` is the engine's
    name in the configuration. `jobs` choose it, `newest` is when they last captured it."""

    host: str
    source: str
    state: State
    why: str
    jobs: tuple[str, ...] = ()
    newest: datetime | None = None
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a job takes of an engine and what it leaves out; `newest` is what its repository has of
    each source, None where that cannot be read, and then `error` says why."""

    name: str
    job: Job
    taken: frozenset[str]
    left_out: Mapping[str, str]
    newest: Mapping[str, datetime] | None
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Coverage:
    """All that was found. `unreached` are engines, and `complaints` all else that is not right."""

    covered: list[Covered] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)
    unreached: dict[str, str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is to be done."""
        wrong = {State.STALE, State.FORGOTTEN}
        return not (
            self.unreached or self.complaints or any(each.state in wrong for each in self.covered)
        )


def survey(doors: Doors, now: datetime, clock: tzinfo) -> Coverage:
    """Look at all engines that the configuration is about; nothing is changed."""
    coverage = Coverage()
    called: dict[str, str] = {}
    for host in hosts(doors.config):
        try:
            with doors.engine(host) as engine:
                coverage.complaints += _mistakable(called, host, engine.name)
                there = present(engine)
                claims = [
                    _claim(doors, name, engine, there, coverage.complaints)
                    for name, job in doors.config.jobs.items()
                    if job.host == host
                ]
                found = cover(host, there, claims, now, clock)
        except (BackupError, TransportError) as error:
            coverage.unreached[host] = str(error)
        else:
            coverage.reached.append(host)
            coverage.covered += found
    return coverage


def _mistakable(called: dict[str, str], host: str, name: str) -> Iterable[str]:
    """Snapshots are told apart by the engine's name: two engines must not have the same one."""
    other = called.setdefault(name, host)
    if other != host:
        yield (
            f"hosts {other} and {host} are both called {name!r} by their engines, which is how "
            "snapshots are told apart: give one of the machines another hostname"
        )


def hosts(config: Config) -> list[str]:
    """Return the engines that a configuration is about: this machine's only if a job is about it,
    or if there is no other."""
    used = {job.host for job in config.jobs.values()}
    return [*([LOCAL] if LOCAL in used - config.hosts.keys() or not config.hosts else []),
            *config.hosts]  # fmt: skip


def cover(
    host: str, there: Present, claims: Sequence[Claim], now: datetime, clock: tzinfo
) -> list[Covered]:
    """Tell for each source of an engine how it is looked after."""
    users: dict[str, set[str]] = {f"volume:{each.name}": set() for each in there.volumes}
    barren: dict[str, str] = {}
    for container in there.containers:
        for name in source_names(container):
            users.setdefault(name, set()).add(container.name)
        for place, why in container.skipped:
            barren[f"{container.name}:{place}"] = why
    found = [
        _covered(host, source, claims, now, clock, tuple(sorted(users[source])))
        for source in sorted(users)
    ]
    return found + [
        Covered(host=host, source=source, state=State.EXCLUDED, why=why)
        for source, why in sorted(barren.items())
    ]


def _covered(
    host: str,
    source: str,
    claims: Sequence[Claim],
    now: datetime,
    clock: tzinfo,
    users: tuple[str, ...],
) -> Covered:
    taking = [claim for claim in claims if source in claim.taken]
    if not taking:
        reasons = {
            claim.name: claim.left_out[source] for claim in claims if source in claim.left_out
        }
        state = State.EXCLUDED if reasons else State.FORGOTTEN
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        return Covered(
            host=host, source=source, state=state, why=why or "no job chooses it", users=users
        )
    late = [why for claim in taking for why in _late(claim, source, now, clock)]
    times = [claim.newest[source] for claim in taking if claim.newest and source in claim.newest]
    return Covered(
        host=host,
        source=source,
        state=State.STALE if late else State.PROTECTED,
        why="; ".join(late),
        jobs=tuple(claim.name for claim in taking),
        newest=max(times, default=None),
        users=users,
    )


def _late(claim: Claim, source: str, now: datetime, clock: tzinfo) -> Iterable[str]:
    """Why what a job has of a source is not enough, if so."""
    if claim.newest is None:
        yield f"{claim.name}: {claim.error}"
    elif source not in claim.newest:
        yield f"{claim.name}: there is no snapshot of it"
    elif now > (until := fresh_until(claim.job, claim.newest[source], clock)):
        age = now - claim.newest[source]
        yield f"{claim.name}: its newest snapshot is {_told(age)} old, {_told(now - until)} too old"


def _told(span: timedelta) -> str:
    hours = int(span.total_seconds() // 3600)
    if hours < 1:
        return f"{int(span.total_seconds() // 60)} min"
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"


def _claim(doors: Doors, name: str, engine: Engine, there: Present, complaints: list[str]) -> Claim:
    job = doors.config.jobs[name]
    keep_out, newest, error = [engine.data_root], None, ""
    try:
        repository = doors.repository(repository_of(doors.config, job))
        keep_out = doors.keep_out(engine, repository)
        history, damaged = repository.recorded()
        complaints += [f"job {name}: {each}" for each in damaged]
        newest = _newest(history, engine.name, repository.clock())
    except (BackupError, TransportError) as caught:
        error = f"its repository cannot be read: {caught}"
        complaints.append(f"job {name}: {error}")
    intent = intend(name, doors.config.jobs, engine, keep_out, there)
    complaints += [f"job {name}: {target}: {why}" for target, why in intent.failed]
    complaints += [f"job {name}: {warning}" for warning in intent.selection.warnings]
    return Claim(
        name=name,
        job=job,
        taken=frozenset(source.name for source in intent.plan.sources),
        left_out=_left_out(intent, there),
        newest=newest,
        error=error,
    )


def _left_out(intent: Intent, there: Present) -> dict[str, str]:
    """Return the sources that a job leaves out: those of containers that are left out as well."""
    left_out = dict(intent.left_out)
    for container in there.containers:
        why = left_out.get(f"container:{container.name}")
        for source in source_names(container) if why else ():
            left_out.setdefault(source, f"container {container.name}: {why}")
    return left_out


def _newest(history: Iterable[Recorded], host: str, now: datetime) -> dict[str, datetime]:
    """Return when each source of a host was last captured; what a wrong clock has dated in the
    future, and what somebody imported, proves nothing."""
    return {
        each.snapshot.source: each.snapshot.time
        for each in history
        if each.forgotten is None
        and each.snapshot.host == host
        and not each.snapshot.imported
        and not is_future(each.snapshot.time, now)
    }
