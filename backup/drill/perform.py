"""A drill, from what is chosen to the report; each unit's volumes go before the next one comes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backup.drill.boot import Booted, Shelf, Wishes, boot, skipped
from backup.drill.choice import Unit
from backup.drill.level import Level, Outcome, Step
from backup.drill.proof import Proven, lacking_room, look, read, restored, room
from backup.drill.report import UnitReport
from backup.drill.scene import Scene
from backup.engine import free_space
from backup.report import OnEvent
from backup.repository import Repository
from backup.survey import Survey
from backup.targets import CONTAINER


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """What all units of a drill share."""

    stage: Scene
    repository: Repository
    shelf: Shelf
    wishes: Wishes
    on_event: OnEvent

    def each(self, units: Sequence[Unit]) -> Iterator[UnitReport]:
        """Drill one unit after the other; yield what became of each.

        Raises EngineUnavailable: all others would fail as well.
        """
        for unit in units:
            report = UnitReport(subject=unit.subject)
            self._drill(unit, report)
            self.stage.clear()
            yield report

    def _drill(self, unit: Unit, report: UnitReport) -> None:
        surveyed: list[tuple[Proven, Survey]] = []
        for found in unit.found:
            proven, seen = look(self.repository, found)
            report.sources.append(proven)
            if seen is None:
                proven.skip("the catalog failed")
            else:
                surveyed.append((proven, seen))
        self._prove(surveyed)
        if unit.definition is not None:
            report.booted = self._booted(unit, report.sources)

    def _prove(self, surveyed: Sequence[tuple[Proven, Survey]]) -> None:
        wanted = self.wishes.level
        if wanted.rank >= Level.CONTENT.rank:
            files = [seen for _, seen in surveyed if seen.snapshot.image is None]
            needed = room([(seen.held, seen.entries) for seen in files])
            why = lacking_room(needed, free_space(self.stage.engine, self.stage.run))
            for proven, seen in surveyed:
                if why is None:
                    restored(self.stage, proven, seen, self.on_event)
                else:
                    proven.steps.append(
                        Step(level=Level.CONTENT, outcome=Outcome.FAILED, message=why)
                    )
                    proven.skip("nothing was read: there is no room to restore it")
        elif wanted is Level.STORE:
            for proven, seen in surveyed:
                read(proven, seen)
        for proven, _ in surveyed:
            proven.skip("it was not asked for")

    def _booted(self, unit: Unit, sources: Sequence[Proven]) -> Booted:
        assert unit.definition is not None  # noqa: S101  a container's
        why = self._unbootable(unit, sources)
        if why is not None:
            return skipped(why)
        return boot(self.stage, unit, sources, self.wishes, self.shelf)

    def _unbootable(self, unit: Unit, sources: Sequence[Proven]) -> str | None:
        wishes = self.wishes
        if wishes.level.rank < Level.BOOT.rank:
            return "it was not asked for"
        if wishes.container and unit.subject != f"{CONTAINER}{wishes.container}":
            return f"the job's drill is about container {wishes.container}"
        missing = [one.source for one in sources if one.volume is None]
        if missing:
            return f"{missing[0]} was not restored"
        if unit.dumped:
            return "its database is kept as a dump, which no drill feeds back yet"
        if unit.definition and not unit.definition.get("running"):
            return "it did not run when it was captured"
        return None
