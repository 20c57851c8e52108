"""What an operator can learn of a repository's history without restoring anything."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar
from tests.acceptance.files import fill
from tests.testbed.scratch import Scratch

Filled = Callable[..., str]
EVIL = "evil\x1b[2J"
SHOWN = "evil\\x1b[2J"


@pytest.fixture
def place(scratch: Scratch) -> Callable[[str], Path]:
    return lambda volume: Path(scratch.engine.volume_directory(volume))


def saved(voltar: Voltar, volume: str, *options: str) -> str:
    """Back a volume up; return the snapshot's id."""
    events = voltar("--json", "backup", f"volume:{volume}", *options).events
    found: str = next(event["id"] for event in events if event["type"] == "snapshot")
    return found


def by_path(result: Any) -> dict[str, dict[str, Any]]:
    return {event["path"]: event for event in result.events if event["type"] == "difference"}


def test_a_diff_tells_what_changed_and_nothing_else(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path]
):
    files = {
        name: name.encode() * 50 for name in ("kept", "grown", "mode", "gone", "d/one", "attr")
    }
    volume = filled(files)
    directory = place(volume)
    os.link(directory / "d/one", directory / "d/two")
    (directory / "kind").symlink_to("kept")
    first = saved(voltar, volume)
    (directory / "d/one").unlink()  # now d/two is the name that the file is stored under
    (directory / "gone").unlink()
    (directory / "mode").chmod(0o600)
    os.setxattr(directory / "attr", "user.note", b"x")
    (directory / "kind").unlink()
    (directory / "kind").mkdir()
    fill(directory, {"grown": b"more" * 100, EVIL: b"new"})
    second = saved(voltar, volume)

    told = voltar("--json", "diff", first, second, "--ignore-times")

    found = by_path(told)
    assert {path: event["change"] for path, event in found.items()} == {
        SHOWN: "added",
        "attr": "changed",
        "d/one": "removed",
        "gone": "removed",
        "grown": "changed",
        "kind": "changed",
        "mode": "changed",
    }
    assert found["mode"]["what"] == ["mode"]
    assert (found["mode"]["before"]["mode"], found["mode"]["after"]["mode"]) == ("0644", "0600")
    assert found["attr"]["attributes"] == ["xattr.user.note"]
    assert found["grown"]["what"] == ["content", "size"]
    assert "type" in found["kind"]["what"]
    assert told.summary == {
        "type": "summary",
        "before": first,
        "after": second,
        "added": 1,
        "removed": 2,
        "changed": 4,
        "unchanged": 4,
        "bytes_added": 3,
        "bytes_removed": 200 + 250,
        "bytes_changed": 400,
    }
    text = voltar("diff", f"volume:{volume}", first, "--ignore-times").text
    assert f"removed  {SHOWN}  3 B\n" in text
    assert "changed  mode  mode 0600 -> 0644\n" in text
    assert text.endswith("2 added (450 B), 1 removed (3 B), 4 changed (250 B), 4 the same\n")
    assert "mtime" in by_path(voltar("--json", "diff", first, second))[""]["what"]


def test_everything_read_anew_is_no_difference(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path]
):
    volume = filled({f"f{number}": os.urandom(3000) for number in range(200)})
    first = saved(voltar, volume)
    (place(volume) / "f0").unlink()  # what follows it is cut elsewhere
    second = saved(voltar, volume, "--full")

    assert set(by_path(voltar("--json", "diff", first, second))) == {"", "f0"}
    assert voltar("--json", "diff", second, second).summary["unchanged"] == 200


def test_find_tells_which_snapshots_have_which_version(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path]
):
    volume, other = filled({"etc/App.conf": b"1", "gone": b"2", EVIL: b"3"}), filled()
    ids = [saved(voltar, volume)]
    fill(place(volume), {"new": b"4"})
    ids.append(saved(voltar, volume, "--full"))
    (place(volume) / "gone").unlink()
    fill(place(volume), {"etc/App.conf": b"changed"})
    ids.append(saved(voltar, volume))
    saved(voltar, other)

    told = voltar("--json", "find", "*.conf", "gone", "EVIL*", "--ignore-case")

    found = [event for event in told.events if event["type"] == "version"]
    assert [(event["entry"]["path"], event["snapshots"]) for event in found] == [
        ("etc/App.conf", ids[2:]),
        (SHOWN, ids),
        ("etc/App.conf", ids[:2]),
        ("gone", ids[:2]),
    ]
    assert {(event["source"], event["first"]["id"]) for event in found} == {
        (f"volume:{volume}", ids[0]),
        (f"volume:{volume}", ids[2]),
    }
    assert told.summary == {"type": "summary", "versions": 4, "snapshots": 4}
    lines = voltar("find", "gone").text.splitlines()
    assert lines[0].startswith(ids[1][:10])
    assert lines[0].endswith(f"volume:{volume}")
    assert lines[1].endswith(f"gone  (2 snapshots, since {ids[0][:10]} of {lines[1][-20:-1]})")
    assert SHOWN in voltar("find", "evil*").text
    only_one = voltar("--json", "find", "etc/*", "--snapshot", ids[0], "--source", volume)
    assert [event["snapshots"] for event in only_one.events if event["type"] == "version"] == [
        ids[:1]
    ]
    assert voltar("--json", "find", "gone", "--source", other).summary["versions"] == 0
    assert "nothing matches" in voltar("find", "*.CONF").err
    assert voltar("find", "x", "--source", "nobody", code=1).err
    assert voltar("find", "x", "--from-host", "nowhere", code=1).err
    assert voltar("find", "[z-a]", code=2).err


def test_stats_tell_what_snapshots_hold_and_what_they_take(voltar: Voltar, filled: Filled):
    data = os.urandom(600_000)
    one, two = filled({"a": data, "b": bytes(100_000)}), filled({"copy": data})
    ids = [saved(voltar, one), saved(voltar, one), saved(voltar, two)]

    told = voltar("--json", "stats")

    summary = told.summary
    sources = {event["source"]: event for event in told.events if event["type"] == "source"}
    assert set(sources) == {f"volume:{one}", f"volume:{two}"}
    assert (summary["snapshots"], summary["entries"]) == (3, 8)
    assert summary["bytes"] == 2 * 700_000 + 600_000
    assert 600_000 < summary["bytes_stored"] < 620_000  # the zeros take next to nothing
    assert 700_000 < summary["bytes_unique"] < 720_000
    assert 2.7 < summary["deduplication"] < 2.9
    assert sources[f"volume:{two}"]["bytes_stored"] > 600_000
    packs = [path.stat().st_size for path in (voltar.repository or Path()).glob("packs/*")]
    assert (summary["packs"], summary["bytes_packs"]) == (len(packs), sum(packs))
    assert summary["bytes_unused"] == sum(packs) - summary["bytes_stored"] < 10_000
    some = voltar.summary("stats", ids[1], f"volume:{one}", ids[2][:8])
    assert (some["snapshots"], some["bytes"]) == (2, 1_300_000)
    assert "packs" not in some
    text = voltar("stats").text
    assert "size           1.9 MiB, if each were restored\n" in text
    assert f"\nvolume:{two}\t" in text
    assert voltar("stats", "nobody", code=1).err
