"""A backup reads what changed, stores what is new, and restores as if it had read everything."""

import mmap
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import COMMAND, WITHIN_S, Voltar, until
from tests.acceptance.files import fill
from tests.testbed.command import run
from tests.testbed.scratch import Scratch

Filled = Callable[..., str]
Fresh = Callable[..., str]
Content = Callable[[str], dict[bytes, Any]]


@pytest.fixture
def place(scratch: Scratch) -> Callable[[str], Path]:
    return lambda volume: Path(scratch.engine.volume_directory(volume))


def saved(voltar: Voltar, volume: str, *options: str, code: int = 0) -> dict[str, Any]:
    """Back a volume up; return what is told of the snapshot."""
    told = voltar("--json", "backup", f"volume:{volume}", *options, code=code)
    return next(event for event in told.events if event["type"] == "snapshot")


def settled(voltar: Voltar, volume: str) -> dict[str, Any]:
    """Back a volume up until its time stamps are old enough to be trusted."""

    def unchanged() -> dict[str, Any] | None:
        told = saved(voltar, volume)
        return told if told["unchanged"] == told["entries"] else None

    found: dict[str, Any] = until(unchanged, what="a backup that has nothing to read")
    return found


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def test_what_did_not_change_is_not_read_and_yet_recorded(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path], fresh: Fresh, content: Content
):
    volume = filled({f"d{n % 7}/f{n}": b"%d" % n * 50 for n in range(300)})
    os.link(place(volume) / "d1" / "f1", place(volume) / "d2" / "linked")
    first = saved(voltar, volume)

    last = settled(voltar, volume)
    assert voltar.repository is not None
    before = size_of(voltar.repository)
    again = saved(voltar, volume)

    assert first["parent"] is None
    assert again["parent"] == last["id"]
    assert 0 < size_of(voltar.repository) - before < 3000
    assert first["bytes_read"] == first["bytes"] > 0
    assert last["parent"] != last["id"]
    assert (last["bytes_read"], last["bytes_added"], last["bytes_stored"]) == (0, 0, 0)
    assert (last["entries"], last["bytes"]) == (first["entries"], first["bytes"])
    assert last["deleted"] == 0
    copy = fresh()
    voltar("restore", last["id"], "--to", copy, "--verify=full")
    assert content(copy) == content(volume)


# started by a small process: what a program has used includes what its parent had when it began
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(voltar: Voltar, volume: str) -> int:
    """Back a volume up; return the most memory that it took, in bytes."""
    argv = [sys.executable, "-c", MEASURED, str(COMMAND), "backup", volume]
    done = subprocess.run(
        argv, env=voltar.environment, stdout=subprocess.PIPE, timeout=WITHIN_S, check=True
    )
    return int(done.stdout) * 1024


def test_memory_does_not_grow_with_the_number_of_files(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path], tmp_path: Path
):
    """100,000 files; docs/benchmarks.md has what a million take, with Argon2's memory."""
    bare = voltar.changed(repository=tmp_path / "bare", password=None)
    bare("init", "--no-encryption")
    many = filled()
    for number in range(100):
        directory = place(many) / f"{number}"
        fill(directory, {f"{n}": b"%d" % n for n in range(1000)})
    first = peak(bare, many)
    (place(many) / "0/0").unlink()
    second = peak(bare, many)

    assert max(first, second) < 140e6, "123 MB; a listing that is held takes 144"


def test_only_what_changed_is_read(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path], fresh: Fresh, content: Content
):
    volume = filled({f"f{n}": b"x" * 1000 for n in range(100)})
    settled(voltar, volume)
    fill(place(volume), {"f7": b"y" * 1000, "new": b"z" * 10})
    (place(volume) / "f8").unlink()
    shutil.move(place(volume) / "f9", place(volume) / "moved")

    told = saved(voltar, volume)

    assert told["bytes_read"] == 1000 + 10 + 1000
    assert told["entries"] - told["unchanged"] == 4  # the root too
    assert told["deleted"] == 2
    copy = fresh()
    voltar("restore", told["id"], "--to", copy, "--verify=full")
    assert content(copy) == content(volume)


def test_full_reads_everything_and_parent_names_what_to_compare_with(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path]
):
    volume = filled({"a": b"1" * 100, "b": b"2" * 100})
    old = settled(voltar, volume)
    fill(place(volume), {"a": b"3" * 100})
    settled(voltar, volume)

    full = saved(voltar, volume, "--full")
    against_old = saved(voltar, volume, "--parent", old["id"])

    assert (full["parent"], full["bytes_read"], full["unchanged"]) == (None, 200, 0)
    assert (against_old["parent"], against_old["bytes_read"]) == (old["id"], 100)


def test_a_parent_may_be_of_another_source_and_harms_nothing(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path], fresh: Fresh, content: Content
):
    one, other = filled({"a": b"1", "same": b"s"}), filled({"a": b"2", "same": b"s"})
    for volume in (one, other):
        os.utime(place(volume) / "a", ns=(0, 0))
    parent = settled(voltar, one)

    told = saved(voltar, other, "--parent", parent["id"])

    assert (told["parent"], told["unchanged"]) == (parent["id"], 0)
    copy = fresh()
    voltar("restore", told["id"], "--to", copy, "--verify=full")
    assert content(copy) == content(other)
    assert saved(voltar, other)["parent"] == told["id"]


def test_a_parent_is_for_one_source_and_must_be_a_capture(
    voltar: Voltar, filled: Filled, tmp_path: Path
):
    volume, other = filled(), filled()
    parent = saved(voltar, volume)["id"]

    assert "one source" in voltar("backup", volume, other, "--parent", parent, code=2).err
    assert voltar("backup", volume, "--parent", "ffffffff", code=1).err
    voltar("export", parent, "-o", tmp_path / "a.tar")
    voltar("import", tmp_path / "a.tar", "--as", "volume:imported")
    imported = voltar("backup", volume, "--parent", "volume:imported", code=2)
    assert "was imported" in imported.err
    voltar("forget", parent, voltar.ask("snapshots")[-1]["id"])
    assert "was forgotten" in voltar("backup", volume, "--parent", parent, code=1).err
    assert voltar.ask("snapshots") == []


def test_a_change_that_keeps_size_and_mtime_is_seen(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path], fresh: Fresh, content: Content
):
    volume = filled({"a": b"old"})
    settled(voltar, volume)
    file = place(volume) / "a"
    times = file.stat()
    file.write_bytes(b"new")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    told = saved(voltar, volume)

    copy = fresh()
    voltar("restore", told["id"], "--to", copy)
    assert content(copy) == content(volume)


def test_a_change_right_after_a_backup_is_seen(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path], fresh: Fresh, content: Content
):
    volume = filled({"a": b"0"})
    for number in range(1, 4):
        saved(voltar, volume)
        fill(place(volume), {"a": b"%d" % number})

    told = saved(voltar, volume)

    copy = fresh()
    voltar("restore", told["id"], "--to", copy)
    assert content(copy) == content(volume)


@pytest.fixture
def own_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which nobody else has synced."""
    directory, image = tmp_path / "disk", tmp_path / "image"
    directory.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    run(["mkfs.ext4", "-q", image])
    run(["mount", "-o", "loop", image, directory])
    yield directory
    run(["umount", "--lazy", directory])


def test_a_store_through_a_mapping_is_seen(
    voltar: Voltar, scratch: Scratch, own_disk: Path, place: Callable[[str], Path]
):
    """A page that is dirty takes it without any new time stamp, until it was synced."""
    options = ("type=none", "o=bind", f"device={own_disk}")
    volume = scratch.volume(*(word for each in options for word in ("--opt", each)))
    fill(own_disk, {"database": bytes(4096)})
    with (
        (own_disk / "database").open("r+b") as file,
        mmap.mmap(file.fileno(), 4096) as mapping,
    ):
        os.fsync(file.fileno())  # or it would get its block, and be written, with the next commit
        mapping[:3] = b"old"
        settled(voltar, volume)
        mapping[:3] = b"new"

        told = saved(voltar, volume)

    copy = scratch.volume()
    voltar("restore", told["id"], "--to", copy)
    assert (place(copy) / "database").read_bytes()[:3] == b"new"


def _churn(root: Path, chance: random.Random) -> None:
    """Change a tree in all the ways that a listing can tell."""
    for _ in range(12):
        name = root / f"n{chance.randrange(20)}"
        other = root / f"n{chance.randrange(20)}"
        if not os.path.lexists(name):
            chance.choice(MAKE)(name)
        elif not os.path.lexists(other) and chance.random() < 0.4:
            chance.choice((os.rename, _link))(name, other)
        elif chance.random() < 0.5 or name.is_symlink():
            _remove(name)
        else:
            name.chmod(chance.choice([0o700, 0o755, 0o4711]))


def _link(name: Path, other: Path) -> None:
    if not name.is_dir():
        os.link(name, other, follow_symlinks=False)


def _remove(name: Path) -> None:
    if name.is_dir() and not name.is_symlink():
        shutil.rmtree(name)
    else:
        name.unlink()


def _directory(name: Path) -> None:
    fill(name, {"inside": b"in", "deep/er": b"deeper"})


MAKE: tuple[Callable[[Path], Any], ...] = (
    lambda name: name.write_bytes(os.urandom(700)),
    lambda name: name.write_bytes(b""),
    lambda name: name.write_bytes(bytes(300_000)),
    lambda name: name.symlink_to("somewhere"),
    os.mkfifo,
    _directory,
)


def test_a_volume_that_changes_for_weeks_restores_as_it_is(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path], fresh: Fresh, content: Content
):
    volume = filled({"n0": b"first"})
    chance = random.Random(4)
    for _ in range(8):
        _churn(place(volume), chance)
        saved(voltar, volume)
    told = settled(voltar, volume)
    _churn(place(volume), chance)
    last = saved(voltar, volume)

    assert 0 < last["unchanged"] < last["entries"]
    copy = fresh()
    voltar("restore", last["id"], "--to", copy, "--verify=full")
    assert content(copy) == content(volume)
    assert told["parent"] != last["parent"]


def test_a_name_may_come_to_mean_anything_else(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path], fresh: Fresh, content: Content
):
    volume = filled({"linked": b"two names"})
    root = place(volume)
    pairs = [(before, after) for before in KINDS for after in KINDS if before != after]
    for before, after in pairs:
        KINDS[before](root / f"{before}-{after}")
    settled(voltar, volume)
    for before, after in pairs:
        name = root / f"{before}-{after}"
        _remove(name)
        KINDS[after](name)

    told = saved(voltar, volume)

    assert len(pairs) == 20
    assert told["deleted"] == 4 * 3  # what was in a directory
    copy = fresh()
    voltar("restore", told["id"], "--to", copy, "--verify=full")
    assert content(copy) == content(volume)


KINDS: dict[str, Callable[[Path], Any]] = {
    "file": lambda name: name.write_bytes(b"content"),
    "directory": _directory,
    "symlink": lambda name: name.symlink_to("linked"),
    "fifo": os.mkfifo,
    "link": lambda name: os.link(name.parent / "linked", name),
}


def test_hard_links_survive_changes_of_their_group(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path], fresh: Fresh, content: Content
):
    volume = filled({"b": b"linked", "z": b"alone"})
    root = place(volume)
    os.link(root / "b", root / "c")
    os.link(root / "b", root / "d")
    settled(voltar, volume)
    os.link(root / "c", root / "a")
    (root / "c").unlink()

    told = saved(voltar, volume)

    copy = fresh()
    voltar("restore", told["id"], "--to", copy, "--verify=full")
    assert content(copy) == content(volume)
    assert len({(place(copy) / name).stat().st_ino for name in "abd"}) == 1


def test_a_damaged_parent_is_told_of_and_everything_is_read(voltar: Voltar, filled: Filled):
    volume = filled({f"f{n}": b"%d" % n * 300 for n in range(50)})
    last = settled(voltar, volume)
    assert voltar.repository is not None
    for pack in (voltar.repository / "packs").iterdir():
        data = bytearray(pack.read_bytes())
        data[60] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(data)

    told = saved(voltar, volume, code=3)

    assert told["bytes_read"] == last["bytes"]
    assert told["warnings"] == 1
    assert b"parent" in voltar("ls", "--notes", told["id"]).out


def test_a_damaged_record_of_a_snapshot_keeps_nothing_from_being_saved(
    voltar: Voltar, filled: Filled
):
    volume = filled()
    old = settled(voltar, volume)
    assert voltar.repository is not None
    record = voltar.repository / "snapshots" / saved(voltar, volume)["id"]
    record.chmod(0o600)
    record.write_bytes(record.read_bytes()[:-1])

    told = voltar("--json", "backup", f"volume:{volume}").events

    assert [event["parent"] for event in told if event["type"] == "snapshot"] == [old["id"]]
    assert any("damaged" in event["text"] for event in told if event["type"] == "note")


def test_what_is_excluded_is_counted_and_not_stored(
    voltar: Voltar, filled: Filled, fresh: Fresh, content: Content
):
    volume = filled(
        {
            "a.tmp": b"12345",
            "keep": b"k",
            "cache/CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc55\n",
            "cache/junk": b"123",
            "fake/CACHEDIR.TAG": b"no signature",
            "fake/data": b"d",
            "large": b"x" * 3000,
        }
    )

    told = saved(
        voltar, volume, "--exclude", "*.tmp", "--exclude-caches", "--exclude-larger-than", "2K"
    )

    assert (told["excluded"], told["bytes_excluded"]) == (3, 5 + 3 + 3000)
    copy = fresh()
    voltar("restore", told["id"], "--to", copy)
    names = {path for path in content(copy) if path}
    assert {b"keep", b"cache/CACHEDIR.TAG", b"fake/data"} <= names
    assert not {b"a.tmp", b"cache/junk", b"large"} & names

    again = saved(voltar, volume, "--exclude", "*.tmp", "--exclude", "/fake")
    assert again["deleted"] == 0
    assert "nothing of it is left" in voltar("backup", volume, "--exclude", "/**").err


def test_patterns_come_from_files_and_bad_ones_are_refused(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path], tmp_path: Path
):
    volume = filled({"a": b"1", "b": b"2"})
    patterns = tmp_path / "patterns"
    patterns.write_bytes(b"# what can be made again\nb\ncaf\xe9\n")
    (place(volume) / os.fsdecode(b"caf\xe9")).touch()

    assert saved(voltar, volume, "--exclude-file", str(patterns))["excluded"] == 2
    for options in (
        ["--exclude", "!"],
        ["--exclude-file", str(tmp_path / "none")],
        ["--exclude-larger-than", "much"],
        ["--full", "--parent", "abcd1234"],
    ):
        assert voltar("backup", volume, *options, code=2).err.strip()
