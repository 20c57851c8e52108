"""Whether what a configuration says makes sense as a whole: what refers to what, what contradicts
what, and what would never do anything.

Each table is looked at as long as its own shape is right, whatever is wrong with the others.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from backup.config.mistake import Key, Mistake, listed, nearest
from backup.config.model import LOCAL, Config, Host, Job, Keep, Metrics, Notify, Quiesce, Repository
from backup.errors import ConfigError
from backup.timing.span import parse_grace, parse_timeout

_SELECTORS: Final = ("volumes", "containers", "projects", "labels", "patterns")
_LISTS: Final = (*_SELECTORS, "exclude", "tags", "exclude_files")
_PASSWORDS: Final = ("password_file", "password_command", "password_credential")


@dataclass(frozen=True, slots=True)
class Names:
    """What tables may refer to."""

    hosts: Collection[str]
    repositories: Collection[str]


def job_mistakes(name: str, job: Job, names: Names) -> Iterator[Mistake]:
    """Yield what makes no sense in a job."""
    key: Key = ("jobs", name)
    if job.host != LOCAL and job.host not in names.hosts:
        known = sorted({LOCAL, *names.hosts})
        yield _unknown((*key, "host"), "host", job.host, known)
    if job.repository is not None and job.repository not in names.repositories:
        known = sorted(names.repositories)
        yield _unknown((*key, "repository"), "repository", job.repository, known)
    if job.repository is None and len(names.repositories) > 1:
        known = sorted(names.repositories)
        yield Mistake(key, f"the key repository is missing: there are {' and '.join(known)}")
    yield from _choices(key, job)
    if job.keep is not None and _keeps_nothing(job.keep):
        yield Mistake((*key, "keep"), "it keeps nothing", "say last = 1 at least, or leave it out")
    yield from _times(key, job)
    yield from _hooks(key, job)
    yield from _drill(key, job)


def doubts(config: Config) -> Iterator[Mistake]:
    """Yield what may be right, and probably is not."""
    for name, job in config.jobs.items():
        yield from _job_doubts(name, job)
    if config.jobs and not config.repositories:
        yield Mistake(
            (),
            "it has no repository, so whatever runs a job must have VOLTAR_REPOSITORY set",
            'add [repositories.main] with location = "…"',
        )

    yield from _unattended(config)


def _unattended(config: Config) -> Iterator[Mistake]:
    for name, one in config.repositories.items():
        jobs = [job for job in config.jobs.values() if job.repository in (None, name)]
        scheduled = one.check or one.prune or any(job.schedule for job in jobs)
        if scheduled and not any(getattr(one, each) is not None for each in _PASSWORDS):
            yield Mistake(
                ("repositories", name),
                "it names no password, and nobody is there to type one when a schedule is due",
                'say password-file = "/etc/voltar/password", unless nothing is encrypted in it',
            )


def _job_doubts(name: str, job: Job) -> Iterator[Mistake]:
    if not job.all and not job.labelled and not any(getattr(job, each) for each in _SELECTORS):
        yield Mistake(
            ("jobs", name),
            "it chooses nothing by itself, only what labels give to it",
            f"say {listed(_SELECTORS)}, or all = true",
        )


def repositories_mistakes(found: Mapping[str, Repository]) -> Iterator[Mistake]:
    """Yield what makes no sense in repositories."""
    seen: dict[str, str] = {}
    for name, one in found.items():
        key: Key = ("repositories", name)
        places = [each for each in _PASSWORDS if getattr(one, each) is not None]
        if len(places) > 1:
            said = " and ".join(map(_spelled, places))
            yield Mistake(key, f"{said} are there; only one of them can be", "keep one")
        if one.password_command and not one.password_command[0]:
            yield Mistake((*key, "password-command", 0), "expected a program, got ''")
        if one.location in seen:
            yield Mistake((*key, "location"), f"repository {seen[one.location]} is there already")
        seen.setdefault(one.location, name)
        if one.time_zone is not None and one.check is None and one.prune is None:
            yield _pointless_zone(key)


def hosts_mistakes(found: Mapping[str, Host]) -> Iterator[Mistake]:
    """Yield what makes no sense in hosts."""
    seen: dict[str, str] = {}
    for name, one in found.items():
        if one.url in seen:
            yield Mistake(("hosts", name, "url"), f"it is that of host {seen[one.url]} already")
        seen.setdefault(one.url, name)


def notify_mistakes(notify: Notify) -> Iterator[Mistake]:
    """Yield what makes no sense in who is told."""
    if not notify.urls and notify.urls_file is None and notify.ping is None:
        yield Mistake(("notify",), "nobody is told anything", "say urls, urls-file or ping")
    yield from _twice(("notify", "on"), [each.value for each in notify.on])


def metrics_mistakes(metrics: Metrics) -> Iterator[Mistake]:
    """Yield what makes no sense in the metrics."""
    if metrics.textfile is None and metrics.listen is None:
        yield Mistake(("metrics",), "they go nowhere", "say textfile or listen")


def _unknown(key: Key, noun: str, name: str, known: Collection[str]) -> Mistake:
    said = f"; there is {' and '.join(known)}" if known else f": no {noun} is configured"
    return Mistake(key, f"there is no {noun} {name!r}{said}", nearest(name, known))


def _choices(key: Key, job: Job) -> Iterator[Mistake]:
    for field in _LISTS:
        yield from _twice((*key, _spelled(field)), getattr(job, field))
    for number, each in enumerate(job.exclude):
        kind, _, name = each.partition(":")
        if name and name in getattr(job, f"{kind}s", ()):
            yield Mistake(
                (*key, "exclude", number), f"it excludes {each}, which {kind}s = […] chooses"
            )


def _twice(key: Key, values: Collection[str]) -> Iterator[Mistake]:
    seen: set[str] = set()
    for number, each in enumerate(values):
        if each in seen:
            yield Mistake((*key, number), f"{each!r} is there twice")
        seen.add(each)


def _keeps_nothing(keep: Keep) -> bool:
    return not any(getattr(keep, each) for each in keep.__struct_fields__)


def _times(key: Key, job: Job) -> Iterator[Mistake]:
    scheduled = job.schedule is not None
    if job.jitter is not None and not scheduled:
        yield Mistake((*key, "jitter"), "there is no schedule that it could shift")
    drilled = job.drill is not None and job.drill.schedule is not None
    if job.time_zone is not None and not scheduled and not drilled:
        yield _pointless_zone(key)
    if job.grace is not None and job.quiesce in (Quiesce.NONE, Quiesce.PAUSE):
        said = f"nothing is stopped with quiesce = {job.quiesce.value!r}"
        yield Mistake((*key, "grace"), said)
    elif job.grace is not None:
        yield from _bounded((*key, "grace"), job.grace, parse_grace)


def _pointless_zone(key: Key) -> Mistake:
    return Mistake((*key, "time-zone"), "there is no schedule that it could be for")


def _hooks(key: Key, job: Job) -> Iterator[Mistake]:
    for number, hook in enumerate(job.hooks):
        here = (*key, "hooks", number)
        if not hook.command[0]:
            yield Mistake((*here, "command", 0), "expected a program, got ''")
        if hook.user is not None and hook.container is None:
            yield Mistake((*here, "user"), "only a hook in a container has a user")
        if hook.container and hook.directory and not hook.directory.startswith("/"):
            said = f"expected an absolute path in the container, got {hook.directory!r}"
            yield Mistake((*here, "directory"), said)
        yield from _bounded((*here, "timeout"), hook.timeout, parse_timeout)


def _bounded(key: Key, span: str, parse: Callable[[str, str], float]) -> Iterator[Mistake]:
    try:
        parse(span, "")
    except ConfigError as error:
        yield Mistake(key, str(error).removeprefix(": "))


def _drill(key: Key, job: Job) -> Iterator[Mistake]:
    drill = job.drill
    if drill is None:
        return
    if drill.assert_ is not None and not drill.assert_[0]:
        yield Mistake((*key, "drill", "assert", 0), "expected a program, got ''")
    yield from _bounded((*key, "drill", "timeout"), drill.timeout, parse_timeout)
    if not drill.boot:
        for name, value in (("assert", drill.assert_), ("container", drill.container)):
            if value is not None:
                yield Mistake((*key, "drill", name), "with boot = false no container is started")


def _spelled(field: str) -> str:
    return field.replace("_", "-")


def known_names(document: Mapping[str, Any], table: str) -> Collection[str]:
    """Return what a table of the file names, whatever is wrong with it."""
    found = document.get(table)
    return list(found) if isinstance(found, dict) else []
