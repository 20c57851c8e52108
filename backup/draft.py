"""A first configuration for what runs on an engine, with comments, ready to be used. Pure.

One job takes everything and dumps the databases of the kind that is there most. Those of other
kinds get a job each, because a job has one kind of dump.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from backup.config.mistake import quoted
from backup.database.kind import DUMPED, Kind, recognised
from backup.engine import Container, Volume
from backup.paths import printable
from backup.selection.labels import project_of

NIGHTLY: Final = "nightly"
_SCHEDULE: Final = "every day at 03:00"
_KEEP: Final = "{ daily = 7, weekly = 4, monthly = 12 }"
_WIDTH: Final = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a draft is made of. `engine_url` is None where it is that of this machine."""

    engine_url: str | None
    location: str
    password_file: str | None
    containers: Sequence[Container]
    volumes: Sequence[Volume]


def draft(facts: Facts) -> str:
    """Return the text of a configuration."""
    return "\n".join(_lines(facts)) + "\n"


def _lines(facts: Facts) -> Iterator[str]:
    yield "# What voltar backs up, when, and what it keeps. After a change: voltar config check"
    yield "# All keys: docs/configuration.md. Editors complete them: voltar config schema"
    yield ""
    if facts.engine_url is not None:
        yield "# The engine. Without this table it is the one that `docker` talks to."
        yield "[hosts.local]"
        yield f"url = {quoted(facts.engine_url)}"
        yield ""
    yield from _repository(facts)
    dumped = _by_kind(facts.containers)
    first = next(iter(dumped), None)
    yield from _nightly(
        facts, first, [each for kind in dumped if kind != first for each in dumped[kind]]
    )
    for kind in dumped:
        if kind != first:
            yield from _database(kind, dumped[kind])
    yield from _further()


def _repository(facts: Facts) -> Iterator[str]:
    yield "# `voltar -r main init` makes it, if it is not there yet."
    yield "[repositories.main]"
    yield f"location = {quoted(facts.location)}"
    if facts.password_file is None:
        yield "# Without somebody who types it, the password comes from a file (chmod 600)."
        yield '# password-file = "/etc/voltar/password"'
    else:
        yield f"password-file = {quoted(facts.password_file)}"
    yield 'check = "every sunday at 12:00"'
    yield 'prune = "every sunday at 13:00"'
    yield ""


def _by_kind(containers: Sequence[Container]) -> Mapping[Kind, list[Container]]:
    """Return the containers that can be dumped, by their kind, those of the most frequent first."""
    kinds = {each.name: recognised(each.definition) for each in containers}
    frequent = Counter(kind for kind in kinds.values() if kind in DUMPED)
    return {
        kind: [each for each in containers if kinds[each.name] is kind]
        for kind, _ in frequent.most_common()
        if kind is not None
    }


def _nightly(facts: Facts, kind: Kind | None, others: Sequence[Container]) -> Iterator[str]:
    yield "# All containers with what they mount, and all volumes. Today these are:"
    for project, members in _projects(facts.containers).items():
        where = f"compose project {_shown(project)}: " if project else ""
        yield from _comment(
            where + ", ".join(f"{each.name} ({_shown(_image(each))})" for each in members)
        )
    named = [each.name for each in facts.volumes if not each.anonymous]
    yield from _comment(f"volumes: {', '.join(named) or 'none with a name'}")
    yield f"[jobs.{NIGHTLY}]"
    yield "all = true"
    excluded = [quoted(f"container:{each.name}") for each in others]
    yield f"exclude = [{', '.join(excluded)}]"
    yield from _when()
    if kind is not None:
        yield "# The database's own dump, as a source of its own beside its files."
        yield f"dump = {quoted(kind.value)}"
    yield from _cached(facts.containers)
    yield "# Nobody writes while a volume is read; stop is safer, and takes longer:"
    yield '# quiesce = "pause"'
    yield ""


def _cached(containers: Sequence[Container]) -> Iterator[str]:
    for each in containers:
        if recognised(each.definition) is Kind.REDIS:
            yield from _comment(
                f"{each.name} is Redis: with the label voltar.quiesce=pause on it, its files are"
                " read while it stands still"
            )


def _database(kind: Kind, containers: Sequence[Container]) -> Iterator[str]:
    yield "# A job has one kind of dump."
    yield f"[jobs.{kind.value}]"
    yield f"containers = [{', '.join(quoted(each.name) for each in containers)}]"
    yield from _when()
    yield f"dump = {quoted(kind.value)}"
    yield ""


def _when() -> Iterator[str]:
    yield f"schedule = {quoted(_SCHEDULE)}"
    yield 'jitter = "15min"'
    yield f"keep = {_KEEP}"


def _further() -> Iterator[str]:
    yield "# Prove every week that it can be restored:"
    yield f"# [jobs.{NIGHTLY}.drill]"
    yield '# schedule = "every sunday at 15:00"'
    yield ""
    yield "# Be told of a failure, of the next success, and of what is overdue (see apprise):"
    yield "# [notify]"
    yield '# urls-file = "/etc/voltar/notify"'


def _projects(containers: Sequence[Container]) -> Mapping[str, list[Container]]:
    found: dict[str, list[Container]] = {}
    for each in sorted(containers, key=lambda one: (_project(one), one.name)):
        found.setdefault(_project(each), []).append(each)
    return found


def _project(container: Container) -> str:
    of_image = (container.definition["image"].get("config") or {}).get("Labels") or {}
    return project_of(container.labels, of_image) or ""


def _image(container: Container) -> str:
    return str(container.definition["image"].get("reference") or "")


def _shown(text: str) -> str:
    return printable(text.encode("utf-8", "surrogateescape"))


def _comment(text: str) -> Iterator[str]:
    """Yield a text as lines of a comment; names are not torn."""
    line = "#"
    for word in text.split():
        if len(line) + len(word) > _WIDTH and line != "#":
            yield line
            line = "#  "
        line += f" {word}"
    yield line
