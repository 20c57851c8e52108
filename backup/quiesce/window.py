"""The windows of a run: in each, who uses a unit's sources is quiet, and runs again at its end.

    with quiesced(engine, setting, plan, order, prove) as windows:
        for unit in windows.units:
            with windows.window(unit) as window:
                …            # read, unless window.skipped
            # all run again here, whatever happened, as far as they could be brought to

One window at a time is open on an engine, of all runs of this machine.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from backup.config import Quiesce, When
from backup.engine import Container, Engine, containers, path_users, users
from backup.engine.inspection import identity
from backup.errors import BackupError
from backup.quiesce import acts, journal, recovery
from backup.quiesce.hook import demand_possible
from backup.quiesce.journal import Header, Touched, UnitRecord
from backup.quiesce.plan import Order, Quieted, Unit, units
from backup.quiesce.site import Setting, Site
from backup.report import Noted
from backup.restore import uninterrupted
from backup.targets import Plan


@dataclass(frozen=True, slots=True)
class Downtime:
    """How long a container did not run, and how it was made quiet."""

    container: str
    how: Quiesce
    seconds: float


@dataclass(slots=True)
class Window:
    """One unit's. `skipped` is why its sources are left out; `downtimes` are known after it."""

    skipped: str | None = None
    downtimes: list[Downtime] = field(default_factory=list)


@dataclass(slots=True)
class Windows:
    """What a run does to containers, as it goes on. `running` are the ids of those that ran when
    the units were made."""

    units: tuple[Unit, ...]
    site: Site | None = None
    running: frozenset[str] = frozenset()
    skipped: str | None = None
    warnings: list[str] = field(default_factory=list)
    failures: list[BackupError] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def leave_out(self, names: Iterable[str], why: str) -> None:
        """Take note that a hook wants sources left out."""
        self.left_out += [(name, why) for name in names]

    @contextmanager
    def window(self, unit: Unit) -> Iterator[Window]:
        """Keep a unit quiet. Raises BackupError where that cannot be; then all run again, too."""
        if unit.refused is not None:
            raise unit.refused
        if self.site is None or not (unit.quieted or unit.hooks):
            yield Window()
            return
        site, window = self.site, Window()
        number = 1 + next(at for at, one in enumerate(self.units) if one is unit)
        with _alone(site.engine, site.setting):
            began: dict[str, float] = {}
            site.write(number, "begun")
            try:
                window.skipped = site.run_hooks(number, When.BEFORE)
                if window.skipped is None:
                    for at, one in enumerate(unit.quieted):
                        _quiet(site, number, at, one, began)
                yield window
            finally:
                with uninterrupted():
                    site.close(number)
                    window.downtimes += _told(site, unit, began)
                    _tell_of_others(site, unit, self.running)


def _quiet(site: Site, number: int, at: int, one: Quieted, began: dict[str, float]) -> None:
    if not acts.is_at_work(site.engine, one):
        return  # somebody has stopped it since, and may start it again
    site.write(number, "quieting", container=at)
    began[one.name] = time.monotonic()
    if said := acts.quiet(site.engine, one):
        site.warn(one.name, said)
    site.write(number, "quiet", container=at)


def _told(site: Site, unit: Unit, began: dict[str, float]) -> Iterator[Downtime]:
    now = time.monotonic()
    for one in unit.quieted:
        if one.name in began:
            seconds = round(site.resumed_at.get(one.name, now) - began[one.name], 3)
            did = "stopped" if one.how is Quiesce.STOP else "paused"
            if one.name in site.resumed_at:
                site.say(one.name, f"was {did} for {seconds:.1f} s")
            yield Downtime(one.name, one.how, seconds)


def _users(engine: Engine, unit: Unit) -> dict[str, str]:
    """Who runs and uses a unit's sources: ids, with names."""
    found: dict[str, str] = {}
    for source in unit.sources:
        using = (
            users(engine, source.volume.name)
            if source.volume
            else path_users(engine, PurePosixPath(source.origin))
        )
        found |= {each.id: each.name for each in using if each.running and not each.paused}
    return found


def _tell_of_others(site: Site, unit: Unit, before: Collection[str]) -> None:
    """Tell of who has been started since it was decided who is to be quiet."""
    if not unit.quieted:
        return
    try:
        now = _users(site.engine, unit)
    except BackupError as error:
        site.warn("", f"nobody knows who was started while it was read: {error}")
        return
    for other in now.keys() - set(before):
        site.warn(now[other], "was started while what it uses was read")


@contextmanager
def quiesced(
    engine: Engine, setting: Setting, plan: Plan, order: Order, prove: Callable[[], object]
) -> Iterator[Windows]:
    """The windows of a run, and the hooks around all of it. Without any there is no journal.

    `prove` is asked before anything is done to anybody, and raises where it would be in vain.
    Raises BackupError where a hook cannot run, or one of those before the reading fails.
    """
    if not order.asks_for_anything:
        yield Windows(tuple(Unit(groups=(group,)) for group in plan.groups))
        return
    with _alone(engine, setting):
        seen = containers(engine)
    own = own_container(setting.environ.get("HOSTNAME", ""), _mounts())
    planned = units(plan.groups, seen, replace(order, own=own))
    windows = Windows(
        tuple(_checked(each, seen, setting) for each in planned),
        running=frozenset(each.id for each in seen if each.running),
    )
    for hook in order.hooks:
        demand_possible(hook, seen, setting.environ)
    if not order.hooks and not any(unit.quieted or unit.hooks for unit in windows.units):
        yield windows
        return
    prove()
    with journal.opened(setting.directory, _header(engine, setting, windows.units, order)) as book:
        site = Site(engine=engine, journal=book, setting=setting)
        with site.stack:
            windows.site, windows.warnings, windows.failures = site, site.warnings, site.failures
            site.write(0, "begun")
            try:
                windows.skipped = site.run_hooks(0, When.BEFORE)
                yield windows
            finally:
                with uninterrupted():
                    site.close(0)
                    site.look_again()
                    if not site.undone:
                        book.remove()


def own_container(hostname: str, mounts: str) -> str:
    """The beginning of the id of the container that this runs in, "" where it runs in none. Pure.

    Engines mount files of a container's own into it, whose paths tell, and name its host by its id
    where nobody has given it another name.
    """
    for line in mounts.splitlines():
        root, point = (line.split() + [""] * 5)[3:5]
        found = re.search("/containers/([0-9a-f]{64})/", root)
        if found and point in ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf"):
            return found[1]
    return hostname if re.fullmatch("[0-9a-f]{12}", hostname) else ""


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:  # where there is no Linux, there is no container either
        return ""


@contextmanager
def _alone(engine: Engine, setting: Setting) -> Iterator[None]:
    """No other run keeps anybody quiet meanwhile, nor has one that was killed."""

    def tell() -> None:
        text = "waits for another run, which keeps containers quiet"
        setting.on_event(Noted(setting.job, b"", text, harmless=True))

    with journal.alone(setting.directory, identity(engine), tell):
        recovery.make_good(engine, setting)
        yield


def _checked(unit: Unit, seen: Sequence[Container], setting: Setting) -> Unit:
    """The unit, refused where one of its hooks is certain to fail."""
    try:
        for hook in unit.hooks:
            demand_possible(hook, seen, setting.environ)
    except BackupError as error:
        return unit if unit.refused else replace(unit, refused=error)
    return unit


def _header(engine: Engine, setting: Setting, planned: Sequence[Unit], order: Order) -> Header:
    records = [UnitRecord(containers=(), hooks=order.hooks)]
    for unit in planned:
        touched = (
            Touched(id=one.id, name=one.name, how=one.how, grace_s=one.grace_s, service=one.service)
            for one in unit.quieted
        )
        records.append(UnitRecord(containers=tuple(touched), hooks=unit.hooks))
    return Header(
        format=journal.FORMAT,
        run=setting.run,
        job=setting.job,
        engine=identity(engine),
        url=engine.url,
        units=tuple(records),
    )
