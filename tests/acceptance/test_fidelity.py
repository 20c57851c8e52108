"""What comes back is what was there: every kind of file system object, on every kind of engine."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import zoo
from tests.acceptance.cli import Result, Voltar
from tests.acceptance.conftest import on
from tests.testbed.engine import Engine, Pool
from tests.testbed.scratch import Scratch
from tests.testbed.walk import Facts, diff, snapshot

GIVEN = os.environ.get("VOLTAR_TEST_ENGINE")
WAYS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "20.10": ("20.10", {}),
    "20.10-attach": ("20.10", {"VOLTAR_DATA_PLANE": "attach"}),
    "28.5-classic": ("28.5-classic", {}),
    "28.5-containerd-attach": ("28.5-containerd", {"VOLTAR_DATA_PLANE": "attach"}),
}
Content = Mapping[bytes, Facts]


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """A volume that was backed up and restored, as the independent walk sees both."""

    before: Content
    after: Content
    backup: Result
    restore: Result


@pytest.fixture(scope="module", params=["20.10", "20.10-attach"] if GIVEN else list(WAYS))
def trip(
    pool: Pool,
    made: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[RoundTrip]:
    """Take the whole zoo there and back."""
    kind, more = WAYS[request.param]
    engine = pool.engine(kind)
    voltar = on(engine, made, tmp_path_factory.mktemp("trip")).changed(more=more)
    with Scratch(engine) as scratch:
        volume, restored = scratch.volume(), scratch.name("restored")
        scratch.claim(volumes=[restored])
        zoo.build(os.fsencode(engine.volume_directory(volume)))
        yield there_and_back(voltar, engine, volume, restored)


def there_and_back(voltar: Voltar, engine: Engine, volume: str, restored: str) -> RoundTrip:
    """Back up a volume and restore it to a new one, proven in full."""
    before = snapshot(engine.volume_directory(volume))
    backup = voltar("--json", "backup", f"volume:{volume}", code=(0, 3))
    restore = voltar("--json", "restore", f"volume:{volume}", "--to", restored, "--verify=full")
    after = snapshot(engine.volume_directory(restored))
    return RoundTrip(before=before, after=after, backup=backup, restore=restore)


def below(content: Content, area: str) -> dict[bytes, Facts]:
    """The part of a volume that one builder made."""
    top = area.encode()
    return {p: f for p, f in content.items() if p == top or p.startswith(top + b"/")}


@pytest.mark.parametrize("area", [name for name in zoo.ZOO if name != "sockets"])
def test_everything_comes_back_as_it_was(trip: RoundTrip, area: str) -> None:
    before = below(trip.before, area)

    after = below(trip.after, area)

    assert len(before) > 1
    assert diff(before, after) == []


def test_the_root_directory_comes_back_as_it_was(trip: RoundTrip) -> None:
    assert trip.before[b""].mtime_ns == zoo.ROOT_TIME
    assert trip.before[b""].uid == 70
    assert {"user.root", "trusted.root"} < {name for name, _ in trip.before[b""].xattrs}
    assert diff({b"": trip.before[b""]}, {b"": trip.after[b""]}) == []


def test_a_socket_and_paths_of_4095_bytes_are_no_reason_for_a_warning(trip: RoundTrip) -> None:
    snapshot = next(event for event in trip.backup.events if event["type"] == "snapshot")

    assert snapshot["warnings"] == 0
    assert trip.backup.code == 0


def test_a_socket_is_left_out_and_all_beside_it_comes_back(trip: RoundTrip) -> None:
    before = below(trip.before, "sockets")
    assert before.pop(b"sockets/server.sock").kind == "socket"

    assert diff(before, below(trip.after, "sockets")) == []


def test_a_socket_that_is_left_out_is_said(trip: RoundTrip) -> None:
    notes = [event for event in trip.backup.events if event["type"] == "note"]

    said = [note["text"] for note in notes if note["path"] == "sockets/server.sock"]
    assert len(said) == 1
    assert "socket" in said[0]


def test_nothing_appears_that_was_not_there(trip: RoundTrip) -> None:
    assert set(trip.after) - set(trip.before) == set()


def test_the_restore_says_that_every_byte_was_compared(trip: RoundTrip) -> None:
    assert trip.restore.summary["verified"] == "full"


def test_holes_cost_neither_time_nor_space(trip: RoundTrip) -> None:
    stored = next(e["bytes_stored"] for e in trip.backup.events if e["type"] == "snapshot")

    assert stored < 16 << 20
    assert trip.backup.seconds < 60
    assert trip.restore.seconds < 60


def test_an_empty_volume_comes_back_empty_with_its_root(
    voltar: Voltar,
    scratch: Scratch,
    fresh: Callable[..., str],
    content: Callable[[str], Any],
) -> None:
    volume, restored = scratch.volume(), fresh()
    root = scratch.engine.volume_directory(volume)
    root.chmod(0o1770)
    os.chown(root, 999, 999)
    os.utime(root, ns=(5, -7))
    before = content(volume)

    voltar("backup", f"volume:{volume}")
    voltar("restore", f"volume:{volume}", "--to", restored, "--verify=full")

    assert list(before) == [b""]
    assert diff(before, content(restored)) == []


def test_what_an_existing_empty_volume_had_as_root_gives_way_to_the_snapshots(
    voltar: Voltar,
    scratch: Scratch,
    filled: Callable[..., str],
    content: Callable[[str], Any],
) -> None:
    volume, target = filled({"a/b": b"1"}), scratch.volume()
    os.chown(scratch.engine.volume_directory(volume), 70, 70)
    target_root = scratch.engine.volume_directory(target)
    target_root.chmod(0o700)
    before = content(volume)

    voltar("backup", f"volume:{volume}")
    voltar("restore", f"volume:{volume}", "--to", target, "--verify=full")

    assert diff(before, content(target)) == []


def test_an_empty_volume_whose_root_has_attributes_of_its_own_is_refused(
    voltar: Voltar, scratch: Scratch, filled: Callable[..., str], content: Callable[[str], Any]
) -> None:
    """Nothing in a helper could take them away, and a restore is exact or it is none."""
    volume, target = filled({"a/b": b"1"}), scratch.volume()
    os.setxattr(scratch.engine.volume_directory(target), "user.of-target", b"1")
    before = content(target)

    voltar("backup", f"volume:{volume}")
    done = voltar("restore", f"volume:{volume}", "--to", target, code=5)

    assert "user.of-target" in done.err
    assert diff(before, content(target)) == []


def test_paths_that_tar_cannot_extract_are_named_and_all_others_come_back(
    voltar: Voltar,
    scratch: Scratch,
    fresh: Callable[..., str],
    content: Callable[[str], Any],
) -> None:
    volume, restored = scratch.volume(), fresh()
    top = os.fsencode(scratch.engine.volume_directory(volume)) + b"/deep"
    os.mkdir(top)
    longest = zoo.deep(top, 4095)
    too_long = [zoo.deep(top, 4096), zoo.deep(top, 4600), zoo.deep(top, 9000)]
    zoo.file(top + b"/beside", b"right")
    before = content(volume)
    named = {path for path in before if len(path) > 4095}

    backup = voltar("backup", f"volume:{volume}", code=3)
    said = backup.err.replace("\n", "")
    voltar("restore", f"volume:{volume}", "--to", restored, "--verify=full", code=(0, 3))
    after = content(restored)

    assert len(longest) == 4095
    assert longest in before
    assert set(too_long) <= named
    assert diff({p: f for p, f in before.items() if p not in named}, after) == []
    assert all(path[-60:].decode() in said for path in too_long[:1])


def test_tens_of_thousands_of_small_files_come_back(
    voltar: Voltar,
    scratch: Scratch,
    fresh: Callable[..., str],
    content: Callable[[str], Any],
) -> None:
    volume, restored = scratch.volume(), fresh()
    root = scratch.engine.volume_directory(volume)
    for group in range(30):
        (root / f"{group}").mkdir()
        for number in range(1000):
            path = f"{root}/{group}/{number}"
            handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600 + number % 64)
            os.write(handle, b"%d\n" % (number * group))
            os.close(handle)
    before = content(volume)

    backup = voltar.summary("backup", f"volume:{volume}")
    restore = voltar.summary("restore", f"volume:{volume}", "--to", restored)

    assert backup["code"] == 0
    assert restore["entries"] == 30_031
    assert diff(before, content(restored)) == []


def test_a_volume_that_shrinks_to_nothing_is_backed_up_as_nothing(
    voltar: Voltar,
    scratch: Scratch,
    filled: Callable[..., str],
    fresh: Callable[..., str],
    content: Callable[[str], Any],
) -> None:
    volume, restored = filled({"a": b"1", "b": b"2"}), fresh()
    voltar("backup", f"volume:{volume}")
    for path in scratch.engine.volume_directory(volume).iterdir():
        path.unlink()

    voltar("backup", f"volume:{volume}")
    voltar("restore", f"volume:{volume}", "--to", restored)

    assert list(content(restored)) == [b""]
