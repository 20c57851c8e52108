"""Reports for others: levels, results, and names that no format can hold as they are."""

import json
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backup.drill.boot import Booted
from backup.drill.formats import as_document, as_json, as_prometheus
from backup.drill.junit import as_junit
from backup.drill.level import Level, Outcome, Step
from backup.drill.proof import Proven, lacking_room, room
from backup.drill.report import DrillReport, UnitReport
from backup.errors import EngineUnavailable
from backup.history import Result

NASTY = 'volume:a"b\\\n\x01\x7f\udcff<&é\ufffe'
STARTED = datetime(2026, 11, 28, 3, tzinfo=UTC)


def step(level, outcome=Outcome.PASSED, **more):
    return Step(level=level, outcome=outcome, **more)


def unit(*steps, booted=None, name="volume:x"):
    source = Proven(
        source=name,
        snapshot="5" * 64,
        time=STARTED - timedelta(hours=2),
        steps=list(steps),
        seconds={"restore": 1.5},
    )
    return UnitReport(subject=name, sources=[source], booted=booted)


def report(*units, **more):
    found = DrillReport(run="r", job="n", started=STARTED, ended=STARTED, units=list(units), **more)
    found.select_s = 0.5
    return found


GOOD = [step(level) for level in (Level.CATALOG, Level.STORE, Level.CONTENT)]
SKIPPED = step(Level.BOOT, Outcome.SKIPPED, message="it did not run")
UNASKED = step(Level.ASSERT, Outcome.SKIPPED, message="it did not run")
ASKED = [*GOOD, step(Level.BOOT), step(Level.ASSERT)]
BAD = step(Level.BOOT, Outcome.FAILED, message="ended with 7")


@pytest.mark.parametrize(
    ("found", "result", "level", "failed"),
    [
        (report(unit(*GOOD)), Result.OK, Level.CONTENT, None),
        (report(unit(*GOOD, booted=Booted(steps=[SKIPPED]))), Result.OK, Level.CONTENT, None),
        (
            report(unit(*GOOD, booted=Booted(steps=[BAD]))),
            Result.FAILED,
            Level.CONTENT,
            Level.BOOT,
        ),
        (
            report(unit(*GOOD), unit(GOOD[0], step(Level.STORE, Outcome.FAILED, message="x"))),
            Result.INCOMPLETE,
            Level.CATALOG,
            Level.STORE,
        ),
        (report(unit(*GOOD), left=["a volume"]), Result.INCOMPLETE, Level.CONTENT, None),
        (report(unit(*GOOD), error=EngineUnavailable("gone")), Result.FAILED, Level.CONTENT, None),
        (report(), Result.FAILED, None, None),
        (
            report(unit(*GOOD, booted=Booted(steps=[SKIPPED, UNASKED])), asks=True),
            Result.INCOMPLETE,
            Level.CONTENT,
            None,
        ),
        (report(unit(*ASKED), unit(*GOOD, UNASKED), asks=True), Result.OK, Level.BOOT, None),
    ],
    ids=["good", "skipped", "failed", "partly", "left", "error", "nothing", "unasked", "asked"],
)
def test_a_drill_is_as_good_as_what_was_passed(found, result, level, failed):
    failure = found.failure

    assert (found.result, found.level) == (result, level)
    assert (failure[1].level if failure else None) == failed


def test_times_are_added_up_and_the_oldest_data_count():
    found = report(unit(*GOOD), unit(*GOOD))

    assert found.seconds == {"select": 0.5, "restore": 3.0, "verify": 0, "boot": 0, "assert": 0}
    assert found.point_s == 7200
    assert as_document(report())["recovery_point_seconds"] is None


def test_every_format_holds_names_with_any_character():
    steps = [step(Level.CATALOG, Outcome.FAILED, message=f"{NASTY} is missing", damaged=True)]
    found = [report(unit(*steps, name=NASTY)), report(unit(*GOOD))]

    document = json.loads(as_json(found))
    root = ElementTree.fromstring(as_junit(found))
    families = list(text_string_to_metric_families(as_prometheus(found)))

    assert (document["format"], document["drills"][0]["units"][0]["subject"]) == (1, NASTY)
    case = next(root.iter("testcase"))
    assert case.get("name") == 'volume:a"b\\\n\\x01\\x7f\\udcff<&é\\ufffe catalog'
    assert [one.get("type") for one in case] == ["damaged"]
    assert [suite.get("failures") for suite in root] == ["1", "0"]
    subjects = {s.labels.get("subject") for one in families for s in one.samples} - {None}
    assert len(subjects) == 2


def test_there_is_room_for_all_entries_and_a_tenth_more_or_it_is_said():
    needed = room([(9 << 20, 0), (0, 256)])

    assert needed == 11 << 20
    assert lacking_room(needed, 11 << 20) is None
    assert "9 MiB free, and 11 MiB" in (lacking_room(needed, 9 << 20) or "")
