"""What killed runs left quiet runs again, and what they left to be run after the reading is run."""

from dataclasses import dataclass, replace
from pathlib import Path

from backup.engine import Engine
from backup.engine.inspection import identity
from backup.errors import BackupError
from backup.quiesce import hook, journal
from backup.quiesce.acts import is_there
from backup.quiesce.journal import Header, Journal
from backup.quiesce.site import Setting, Site


@dataclass(frozen=True, slots=True)
class Recovered:
    """A run that was killed, and what could not be made good; without a `header` its journal cannot
    be read."""

    header: Header | None
    containers: tuple[str, ...] = ()
    left: tuple[BackupError, ...] = ()


def make_good(engine: Engine, setting: Setting) -> list[Recovered]:
    """Bring to its end what killed runs did on an engine; journals of others stay for later."""
    return [
        _made_good(one, engine, setting)
        if isinstance(one, Journal)
        else Recovered(None, (), (one,))
        for one in journal.dead(setting.directory)
        if isinstance(one, BackupError) or _is_of(one.record.header, engine)
    ]


def _is_of(header: Header, engine: Engine) -> bool:
    """Whether a run was on this engine. Machines that were cloned have engines of the same id, and
    containers of the same names; those of containers are nobody else's."""
    if header.engine != identity(engine):
        return False
    touched = [one.id for unit in header.units for one in unit.containers]
    return header.url == engine.url or any(is_there(engine, one) for one in touched)


def _made_good(one: Journal, engine: Engine, setting: Setting) -> Recovered:
    header = one.record.header
    setting = replace(setting, job=header.job)
    names = [
        touched.name
        for unit, state in zip(header.units, one.record.units, strict=True)
        for at, touched in enumerate(unit.containers)
        if at in state.quieting and at not in state.running
    ]
    site = Site(engine=engine, journal=one, setting=setting)
    with site.stack:
        for number in reversed(range(len(header.units))):
            _end(site, number)
        if not site.undone:
            one.remove()
        return Recovered(header, tuple(names), tuple(site.failures))


def _end(site: Site, number: int) -> None:
    state = site.journal.record.units[number]
    if not state.begun or state.over:
        return
    for at, begun in state.hooks.items():
        if at not in state.done:
            try:
                hook.end(site.engine, begun, site.setting.run)
            except BackupError as error:
                site.warn("", f"a hook of a killed run may live on: {error}")
    site.close(number)


def left_quiet(directory: Path) -> list[Header]:
    """What dead runs are known by, the oldest first; of an engine once."""
    headers = [one.record.header for one in journal.dead(directory) if isinstance(one, Journal)]
    return list({header.url: header for header in headers}.values())
