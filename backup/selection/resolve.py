"""What a job is about: what of an engine it chooses, and how containers are treated meanwhile.

A pure function of the jobs and of what the engine shows. Who wins (docs/selection.md):

- What a job excludes is left out, even if it is spelled out. What it spells out by name is taken,
  whatever labels say. Else a label that excludes wins over all other ways to be chosen.
- A container's label is nearer than one of a volume, and that is nearer than the job.

**Projects are apart.** What a job did not choose itself it touches (stops, pauses, executes in)
only for the sake of a source that it reads, and only in the project because of which that source
was chosen. A volume that the job takes by its name, by a pattern or with all others was not chosen
because of a project, so all who use it are touched; but then labels of another project than the
volume's own do not count. Who is excluded is never touched.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backup.config import Hook, Job, Quiesce
from backup.engine import Container, Mount, Volume
from backup.errors import BackupError
from backup.selection.choice import (
    CONTAINER,
    PATH,
    VOLUME,
    Choice,
    Thing,
    Way,
    choose,
    excluding_rule,
    thing_of,
)
from backup.selection.labels import SILENT
from backup.timing.span import parse_grace

_STRENGTH = (Quiesce.NONE, Quiesce.PAUSE, Quiesce.STOP)
_BROAD = frozenset({Way.NAMED, Way.PATTERN, Way.ALL})
"""The ways by which a volume is chosen whoever uses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """How a container is treated while what it mounts is read.

    `grace_s` is how long it may take to stop, None for its own time. `hooks` are those that its
    labels ask for, all in this container; the job has its own. `dump` names a database.
    """

    quiesce: Quiesce = Quiesce.NONE
    grace_s: float | None = None
    hooks: tuple[Hook, ...] = ()
    dump: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a job captures. `targets` are "container:NAME" and "volume:NAME"; `excluded` are (name,
    why) of targets and sources that it would choose but for an exclude.

    `treatments` are by name of the container; one that is not there is not touched. `failed` are
    (name, error) of what is asked for and cannot be had, `warnings` are to be told.
    """

    targets: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...] = ()
    treatments: dict[str, Treatment] = field(default_factory=dict)
    failed: tuple[tuple[str, BackupError], ...] = ()
    warnings: tuple[str, ...] = ()


def select(
    name: str,
    jobs: Mapping[str, Job],
    containers: Iterable[Container],
    volumes: Iterable[Volume],
) -> Selection:
    """Choose from what there is for a job, of all that are configured."""
    selector = _Selector(name, jobs, tuple(containers), tuple(volumes))
    return selector.selection()


def source_names(found: Container) -> list[str]:
    """Return the sources that a container mounts."""
    return list(dict.fromkeys(map(_source_name, found.mounts)))


def _source_name(mount: Mount) -> str:
    return f"{VOLUME if mount.kind == 'volume' else PATH}{mount.source}"


def _leads_into(theirs: Sequence[str], source: str, ours: Iterable[str]) -> bool:
    """Whether what is in a source, in our directories, can be reached by a mount of theirs: one
    lies in the other. A directory that volumes lie in is for who looks after the engine."""
    if any(one.startswith(other) for other in ours for one in theirs):
        return True
    return source.startswith(PATH) and any(a.startswith(b) for a in ours for b in theirs)


def _closed(paths: Iterable[str]) -> list[str]:
    """Directories with a slash at the end, so that what is below one begins with it."""
    return [f"{each.rstrip('/')}/" for each in paths]


class _Selector:
    """All that is asked of one job on one engine."""

    def __init__(
        self,
        name: str,
        jobs: Mapping[str, Job],
        containers: tuple[Container, ...],
        volumes: tuple[Volume, ...],
    ) -> None:
        self.job = job = jobs[name]
        self.containers = {f"{CONTAINER}{each.name}": each for each in containers}
        self.things = {
            thing.target: thing for thing in (thing_of(each, job) for each in self._all(volumes))
        }
        self.sources = {target: source_names(each) for target, each in self.containers.items()}
        self.places = {f"{VOLUME}{each.name}": _closed(each.places) for each in volumes}
        holders: dict[str, list[Thing]] = {}
        for target, names in self.sources.items():
            for each in names:
                holders.setdefault(each, []).append(self.things[target])
        self.choice: Choice = choose(name, jobs, tuple(self.things.values()), holders)
        self.taken = [each for each in self.choice.chosen if each not in self.choice.excluded]
        self.left_out: dict[str, str] = {
            each: why for each, why in self.choice.excluded.items() if each in self.choice.chosen
        }
        self.limits: dict[str, set[str | None]] = {}
        self.writable: dict[str, dict[str, bool]] = {}

    def _all(self, volumes: tuple[Volume, ...]) -> Iterable[Container | Volume]:
        yield from self.containers.values()
        yield from volumes

    def selection(self) -> Selection:
        self._find_sources()
        treatments = {
            self.things[target].name: self._treatment(self.things[target])
            for target in self.containers
            if self._is_touched(target)
        }
        return Selection(
            targets=tuple(sorted(self.taken)),
            excluded=tuple(sorted(self.left_out.items())),
            treatments=treatments,
            failed=tuple(self.choice.failed),
            warnings=(*self.choice.warnings, *self._untouched(treatments)),
        )

    def _find_sources(self) -> None:
        """Find what is read, and the projects because of which it is; None means: of nobody's."""
        for target in self.taken:
            thing = self.things[target]
            if thing.kind == VOLUME:
                broad = self.choice.chosen[target] & _BROAD
                self.limits.setdefault(target, set()).add(None if broad else thing.project)
                continue
            for name in self.sources[target]:
                if why := self._why_left_out(name):
                    self.left_out[name] = why
                else:
                    self.limits.setdefault(name, set()).add(thing.project)
        for target, found in self.containers.items():
            self.writable[target] = self._used(found)

    def _used(self, found: Container) -> dict[str, bool]:
        """What of that a container uses, and whether it may write to it."""
        mounts = [
            (
                _source_name(each),
                _closed(each.volume.places if each.volume else [each.source]),
                each.read_only,
            )
            for each in found.mounts
        ]
        used: dict[str, bool] = {}
        for source in self.limits:
            ours = self.places.get(source) or _closed([source.removeprefix(PATH)])
            for name, theirs, read_only in mounts:
                if name == source or _leads_into(theirs, source, ours):
                    used[source] = used.get(source, False) or not read_only
        return used

    def _why_left_out(self, source: str) -> str | None:
        if source in self.things:
            return self.choice.excluded.get(source)
        rule = excluding_rule(self.job.exclude, source)
        return None if rule is None else f"the job excludes {rule!r}"

    def _touched_sources(self, target: str) -> list[str]:
        """The sources that a container uses, and for the sake of which it may be touched."""
        chosen, project = target in self.taken, self.things[target].project
        return [
            name
            for name in self.writable[target]
            if chosen or None in self.limits[name] or project in self.limits[name]
        ]

    def _is_touched(self, target: str) -> bool:
        if target in self.choice.excluded:
            return False
        return target in self.taken or bool(self._touched_sources(target))

    def _treatment(self, thing: Thing) -> Treatment:
        job = self.job
        touched = self._touched_sources(thing.target)
        counts = thing.target in self.taken or any(self._is_akin(thing, each) for each in touched)
        said = thing.said if counts else SILENT
        by_volume = [
            found
            for each in touched
            if each in self.things and self._is_akin(thing, each)
            for found in [self.things[each].said.quiesce]
            if found is not None
        ]
        grace_s = parse_grace(job.grace, "grace") if job.grace else None
        return Treatment(
            quiesce=said.quiesce
            or max(by_volume, key=_STRENGTH.index, default=job.quiesce or Quiesce.NONE),
            grace_s=grace_s if said.grace_s is None else said.grace_s,
            hooks=said.hooks,
            dump=said.dump or (job.dump if thing.target in self.taken else None),
        )

    def _is_akin(self, thing: Thing, source: str) -> bool:
        """Whether labels of a container and of what it uses are of one project, or of none."""
        owner = self.things[source].project if source in self.things else None
        return owner is None or owner == thing.project

    def _untouched(self, treatments: Mapping[str, Treatment]) -> Iterable[str]:
        """Tell who goes on writing to what others stop for."""
        for source in sorted(self.limits):
            users = [target for target, used in self.writable.items() if source in used]
            names = [self.things[target].name for target in users]
            quieted = self.job.quiesce not in (None, Quiesce.NONE) or any(
                treatments[each].quiesce is not Quiesce.NONE for each in names if each in treatments
            )
            for target in users if quieted else ():
                user = self.things[target]
                writes = self.containers[target].running and self.writable[target][source]
                if writes and user.name not in treatments:
                    whose = f" of project {user.project}" if user.project else ""
                    yield (
                        f"{source} is also used by container {user.name}{whose}, which this job"
                        " does not touch: it may change while it is read"
                    )
