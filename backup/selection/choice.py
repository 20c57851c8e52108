"""Which containers and volumes a job chooses, and why it leaves out what it would choose otherwise.

A job that names compose projects hears the labels of these and of what is in no project, and no
others: nobody gets into it, out of it, or changes it by labels of another project.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final

from backup.config import Job
from backup.engine import Container, Volume
from backup.errors import BackupError, ConfigError, NotOnEngine
from backup.selection.labels import SILENT, Labels, of_container, of_volume, project_of

CONTAINER: Final = "container:"
VOLUME: Final = "volume:"
PATH: Final = "path:"
_PROJECT: Final = "project:"
_SHORT_ID: Final = 12


class Way(Enum):
    """How something came to be chosen."""

    NAMED = "name"
    ALL = "all"
    PATTERN = "pattern"
    PROJECT = "project"
    LABEL = "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A container or volume, as jobs see it. `kind` is "container:" or "volume:".

    `said` are its labels for voltar, where the job hears them.
    """

    kind: str
    name: str
    id: str
    project: str | None
    labels: Mapping[str, str]
    said: Labels

    @property
    def target(self) -> str:
        return f"{self.kind}{self.name}"


@dataclass(slots=True, kw_only=True)
class Choice:
    """What a job chooses, by target, and how. `excluded` says why something is left out, chosen or
    not; `failed` what the job or a label asks for and cannot have, `warnings` what is odd."""

    chosen: dict[str, frozenset[Way]] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    failed: list[tuple[str, BackupError]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def thing_of(found: Container | Volume, job: Job) -> Thing:
    """Return what a job sees of a container or volume."""
    if isinstance(found, Volume):
        project = project_of(found.labels)
        said = of_volume(found.labels)
        kind, identity = VOLUME, found.name
    else:
        image = (found.definition["image"].get("config") or {}).get("Labels") or {}
        project = project_of(found.labels, image)
        said = of_container(found.name, found.labels, image)
        kind, identity = CONTAINER, found.id
    return Thing(
        kind=kind,
        name=found.name,
        id=identity,
        project=project,
        labels=found.labels,
        said=said if hears(job, project) else SILENT,
    )


def hears(job: Job, project: str | None) -> bool:
    """Whether labels of a project's things count in a job."""
    return not job.projects or project is None or project in job.projects


def labelled_jobs(jobs: Mapping[str, Job], host: str) -> list[str]:
    """Return the jobs of a host that take what labels enable without naming a job."""
    here = {name: job for name, job in jobs.items() if job.host == host}
    explicit = [name for name, job in here.items() if job.labelled]
    if explicit or len(here) != 1:
        return explicit
    return [name for name, job in here.items() if job.labelled is None]


def choose(
    name: str, jobs: Mapping[str, Job], things: Sequence[Thing], users: Mapping[str, list[Thing]]
) -> Choice:
    """Choose; `users` are the containers that mount a volume, by its target."""
    chooser = _Chooser(name, jobs, jobs[name], things)
    for thing in things:
        chooser.look_at(thing)
    for thing in things:
        if thing.kind == VOLUME:
            chooser.leave_out_unused(thing, users.get(thing.target, []))
    chooser.demand_names()
    chooser.tell_of_nothing()
    return chooser.choice


def excluding_rule(rules: Iterable[str], target: str, project: str | None = None) -> str | None:
    """Return which of a job's excludes leaves something out."""
    kind, name = target.partition(":")[0] + ":", target.partition(":")[2]
    for rule in rules:
        if rule.startswith(PATH):
            found = kind == PATH and _is_below(name, rule.removeprefix(PATH))
        elif rule.startswith(_PROJECT):
            found = project is not None and _matches(project, rule.removeprefix(_PROJECT))
        elif rule.startswith((CONTAINER, VOLUME)):
            found = rule.startswith(kind) and _matches(name, rule.removeprefix(kind))
        else:
            found = kind != PATH and _matches(name, rule)
        if found:
            return rule
    return None


@dataclass(frozen=True, slots=True)
class _Chooser:
    name: str
    jobs: Mapping[str, Job]
    job: Job
    things: Sequence[Thing]
    choice: Choice = field(default_factory=Choice)

    def look_at(self, thing: Thing) -> None:
        ways = frozenset(self._ways(thing))
        rule = excluding_rule(self.job.exclude, thing.target, thing.project)
        if rule is not None:
            self.choice.excluded[thing.target] = f"the job excludes {rule!r}"
        elif thing.said.exclude and Way.NAMED not in ways:
            self.choice.excluded[thing.target] = "its labels exclude it"
        if ways:
            self.choice.chosen[thing.target] = ways
        self._tell(thing, chosen=bool(ways))

    def _ways(self, thing: Thing) -> Iterable[Way]:
        job = self.job
        named = job.containers if thing.kind == CONTAINER else job.volumes
        if any(self._called(thing.kind, each) == [thing] for each in named):
            yield Way.NAMED
        if job.all:
            yield Way.ALL
        if any(fnmatchcase(thing.name, each) for each in job.patterns):
            yield Way.PATTERN
        if thing.project in job.projects:
            yield Way.PROJECT
        heard = hears(job, thing.project)
        by_label = heard and any(_has_label(thing, each) for each in job.labels)
        if by_label or self.name in self._asked(thing):
            yield Way.LABEL

    def _called(self, kind: str, name: str) -> list[Thing]:
        """What has a name, or of containers an id, which may be as short as docker shows it: the
        id of another one may begin with "db" when db is gone."""
        same = [each for each in self.things if each.kind == kind]
        by_id = kind == CONTAINER and len(name) >= _SHORT_ID
        return [each for each in same if each.name == name] or [
            each for each in same if by_id and each.id.startswith(name)
        ]

    def _asked(self, thing: Thing) -> Sequence[str]:
        """The jobs that a thing's labels ask for."""
        if thing.said.jobs:
            return thing.said.jobs
        return labelled_jobs(self.jobs, self.job.host) if thing.said.enable else ()

    def _tell(self, thing: Thing, *, chosen: bool) -> None:
        """Tell what is wrong with labels, by a job that has the thing, or else by who would."""
        if chosen:
            self.choice.warnings += [f"{thing.target}: {note}" for note in thing.said.notes]
        wrong = list(thing.said.problems) if chosen or self._tells(thing) else []
        if self._tells(thing):
            wrong += self._stray(thing)
        if wrong:
            error = ConfigError(f"its labels are wrong: {'; '.join(wrong)}")
            self.choice.failed.append((thing.target, error))

    def _tells(self, thing: Thing) -> bool:
        """Whether labels that nobody obeys are for this job to tell: for those for what is
        labelled, or else for all of this host."""
        labelled = [
            name
            for name in labelled_jobs(self.jobs, self.job.host)
            if hears(self.jobs[name], thing.project)
        ]
        return self.name in labelled if labelled else hears(self.job, thing.project)

    def _stray(self, thing: Thing) -> Iterable[str]:
        here = {name: job for name, job in self.jobs.items() if job.host == self.job.host}
        for name in thing.said.jobs:
            if name not in here:
                near = get_close_matches(name, here, 1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                yield f"voltar.job: no job {name!r} is configured for this host{meant}"
            elif not hears(here[name], thing.project):
                listed = ", ".join(here[name].projects)
                yield f"voltar.job: job {name!r} is for other projects alone: {listed}"
        taken = any(hears(here[each], thing.project) for each in self._asked(thing) if each in here)
        if thing.said.enable and not thing.said.jobs and not taken:
            yield "voltar.enable: no job takes it; one must say `labelled = true`"

    def leave_out_unused(self, volume: Thing, users: Sequence[Thing]) -> None:
        """Leave out a volume that nobody chose for itself, where only excluded containers have it.

        Such a container must be of the volume's own project, unless it is the job that excludes it.
        """
        choice = self.choice
        ways = choice.chosen.get(volume.target, frozenset())
        if not users or volume.target in choice.excluded or ways - {Way.ALL, Way.PROJECT}:
            return
        if all(
            user.target in choice.excluded
            and (
                user.project == volume.project
                or excluding_rule(self.job.exclude, user.target, user.project)
            )
            for user in users
        ):
            listed = ", ".join(user.target for user in users)
            choice.excluded[volume.target] = f"only what is excluded uses it: {listed}"

    def demand_names(self) -> None:
        """What a job spells out must be there."""
        job, failed = self.job, self.choice.failed
        for kind, names in ((CONTAINER, job.containers), (VOLUME, job.volumes)):
            for name in names:
                found = self._called(kind, name)
                if len(found) != 1:
                    failed.append((f"{kind}{name}", _missing(kind, name, found)))
        projects = {thing.project for thing in self.things}
        for name in job.projects:
            if name not in projects:
                error = NotOnEngine("compose project", name, hint="`docker compose ls --all`")
                failed.append((f"{_PROJECT}{name}", error))

    def tell_of_nothing(self) -> None:
        """What matches nothing is odd; a job that chooses nothing has failed."""
        job, choice = self.job, self.choice
        for pattern in job.patterns:
            if not any(fnmatchcase(thing.name, pattern) for thing in self.things):
                choice.warnings.append(f"the pattern {pattern!r} matches nothing")
        for label in job.labels:
            if not any(
                hears(job, each.project) and _has_label(each, label) for each in self.things
            ):
                choice.warnings.append(f"nothing has the label {label!r}")
        if not choice.chosen and not choice.failed:
            error = ConfigError("it chooses nothing that is there")
            choice.failed.append((f"job {self.name}", error))


def _missing(kind: str, name: str, found: Sequence[Thing]) -> BackupError:
    if found:
        listed = ", ".join(each.name for each in found)
        return ConfigError(f"several containers' ids begin with {name!r}: {listed}")
    return NotOnEngine(kind.removesuffix(":"), name)


def _has_label(thing: Thing, wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in thing.labels and (not equals or thing.labels[key] == value)


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _is_below(path: str, rule: str) -> bool:
    return PurePosixPath(path).is_relative_to(rule) or fnmatchcase(path, rule)
