"""Hostile archives and names: nothing leaves the target, nothing raw reaches a terminal."""

import io
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.acceptance.cli import Voltar
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

ESCAPE = "red\x1b[31m\x1b]0;owned\x07\u202e\x9b2J"


class Member(NamedTuple):
    """A member of a hostile archive."""

    name: str
    kind: bytes = tarfile.REGTYPE
    link: str = ""


DIRECTORY, SYMLINK, LINK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
HOSTILE: Mapping[str, Sequence[Member]] = {
    "parent": [Member("../escaped")],
    "parent-within": [Member("a", DIRECTORY), Member("a/../../escaped")],
    "parent-at-the-end": [Member("a", DIRECTORY), Member("a/..", DIRECTORY)],
    "parent-that-stays-inside": [Member("a", DIRECTORY), Member("a/../b")],
    "absolute": [Member("/escaped")],
    "absolute-twice": [Member("//escaped")],
    "child-of-absolute-symlink": [Member("link", SYMLINK, "/tmp"), Member("link/escaped")],
    "child-of-relative-symlink": [Member("link", SYMLINK, "../.."), Member("link/escaped")],
    "child-of-symlink-inside": [
        Member("d", DIRECTORY),
        Member("link", SYMLINK, "d"),
        Member("link/file"),
    ],
    "deep-child-of-symlink": [
        Member("d", DIRECTORY),
        Member("d/link", SYMLINK, "/"),
        Member("d/link/a/b/c/escaped"),
    ],
    "child-of-symlink-with-slashes": [
        Member("link", SYMLINK, "/tmp"),
        Member(".//link/.//escaped"),
    ],
    "directory-becomes-symlink": [
        Member("d", DIRECTORY),
        Member("d", SYMLINK, "/tmp"),
        Member("d/escaped"),
    ],
    "through-two-symlinks": [
        Member("one", SYMLINK, "."),
        Member("one/two", SYMLINK, "/tmp"),
        Member("two/escaped"),
    ],
    "hard-link-absolute": [Member("a", LINK, "/etc/passwd")],
    "hard-link-parent": [Member("a", LINK, "../../etc/passwd")],
    "hard-link-through-symlink": [
        Member("etc", SYMLINK, "/etc"),
        Member("a", LINK, "etc/passwd"),
    ],
    "hard-link-to-nothing": [Member("a", LINK, "not-in-the-archive")],
    "directory-through-symlink": [Member("l", SYMLINK, "/tmp"), Member("l/d", DIRECTORY)],
    "symlink-through-symlink": [Member("l", SYMLINK, "/tmp"), Member("l/s", SYMLINK, "x")],
}
HARMLESS: Mapping[str, Sequence[Member]] = {
    "symlink-that-leads-out": [Member("link", SYMLINK, "../../etc/passwd")],
    "symlink-absolute": [Member("link", SYMLINK, "/etc/passwd")],
    "dots-in-names": [Member("..."), Member("a..b"), Member("..c"), Member("d..")],
    "leading-dot-slash": [Member("./a", DIRECTORY), Member("./a/b")],
    "hard-link-to-earlier": [Member("a"), Member("b", LINK, "a"), Member("c", LINK, "./a")],
}


def archive(members: Sequence[Member]) -> bytes:
    """A tar of these members, with a harmless one before and after."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in (Member("first"), *members, Member("last")):
            header = tarfile.TarInfo(member.name)
            header.type, header.linkname, header.mode = member.kind, member.link, 0o755
            data = b"hostile" if member.kind == tarfile.REGTYPE else b""
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
def test_an_archive_that_tries_to_leave_the_target_is_refused_before_anything_is_written(
    voltar: Voltar, bed: Engine, fresh: Callable[..., str], members: Sequence[Member]
) -> None:
    target = fresh()

    imported = voltar("import", "-", "--as", "volume:x", stdin=archive(members), code=(0, 1, 4))
    if imported.code == 0:
        refused = voltar("restore", "volume:x", "--to", target, code=4)
        assert any(member.name.strip("./") in refused.err for member in members)

    assert target not in bed.docker("volume", "ls", "--quiet").split()
    assert (imported.code == 0) == (voltar.ask("snapshots") != [])


def test_an_empty_volume_stays_as_it_was_when_a_hostile_archive_is_refused(
    voltar: Voltar, scratch: Scratch, content: Callable[[str], Any]
) -> None:
    target = scratch.volume()
    root = scratch.engine.volume_directory(target)
    os.chown(root, 70, 71)
    root.chmod(0o2750)
    os.utime(root, ns=(1, 1_234_567_891))
    before = content(target)

    hostile = archive(HOSTILE["child-of-absolute-symlink"])
    imported = voltar("import", "-", "--as", "volume:x", stdin=hostile, code=(0, 1, 4))
    if imported.code == 0:
        voltar("restore", "volume:x", "--to", target, code=4)

    assert content(target) == before


@pytest.mark.parametrize("members", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_only_looks_dangerous_is_restored(
    voltar: Voltar,
    fresh: Callable[..., str],
    content: Callable[[str], Any],
    members: Sequence[Member],
) -> None:
    target = fresh()

    voltar("import", "-", "--as", "volume:x", stdin=archive(members))
    voltar("restore", "volume:x", "--to", target, "--verify=full")

    expected = {member.name.removeprefix("./").encode() for member in members}
    assert expected < set(content(target))


def test_a_hostile_archive_can_still_be_listed(voltar: Voltar) -> None:
    members = [*HOSTILE["parent"], *HOSTILE["absolute"]]
    imported = voltar("import", "-", "--as", "volume:x", stdin=archive(members), code=(0, 1, 4))

    if imported.code == 0:
        assert "escaped" in voltar("ls", "volume:x").text


@pytest.mark.parametrize("option", [[], ["--json"], ["-v"]], ids=["plain", "json", "verbose"])
def test_names_with_escapes_are_never_printed_raw(
    voltar: Voltar, fresh: Callable[..., str], tmp_path: Path, option: list[str]
) -> None:
    members = [Member(ESCAPE), Member(f"{ESCAPE}-link", SYMLINK, ESCAPE), Member(f"../{ESCAPE}")]

    calls = [
        voltar(*option, "import", "-", "--as", "volume:x", stdin=archive(members[:2])),
        voltar(*option, "ls", "volume:x"),
        voltar(*option, "ls", "volume:x", ESCAPE, code=(0, 1, 2)),
        voltar(*option, "restore", "volume:x", "--to", fresh(), f"no{ESCAPE}", code=(1, 2)),
        voltar(*option, "restore", f"volume:{ESCAPE}", "--to", fresh(), code=(1, 2)),
        voltar(*option, "backup", ESCAPE, code=(1, 2)),
        voltar(*option, "import", tmp_path / ESCAPE, "--as", "volume:x", code=(1, 2)),
        voltar(*option, "import", "-", "--as", "volume:y", stdin=archive(members), code=(0, 1, 4)),
    ]
    if calls[-1].code == 0:
        calls.append(voltar(*option, "restore", "volume:y", "--to", fresh(), code=4))

    for call in calls:
        assert "\x1b" not in call.said
        assert "\u202e" not in call.said
        assert "\x9b" not in call.said


def test_labels_and_names_of_containers_with_escapes_are_not_printed_raw(
    voltar: Voltar, scratch: Scratch
) -> None:
    volume = scratch.volume("--label", f"label={ESCAPE}")

    voltar("backup", volume)

    for words in (["snapshots"], ["--json", "snapshots"], ["snapshots", f"volume:{volume}"]):
        assert "\u202e" not in voltar(*words).said


# --- a restore that fails


def spoil(voltar: Voltar) -> None:
    """Damage the largest pack of the repository."""
    assert voltar.repository is not None
    packs = [path for path in (voltar.repository / "packs").rglob("*") if path.is_file()]
    pack = max(packs, key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)


def test_a_new_volume_does_not_exist_after_a_failed_restore(
    voltar: Voltar, bed: Engine, filled: Callable[..., str], fresh: Callable[..., str]
) -> None:
    volume, target = filled({f"{n}": os.urandom(1 << 20) for n in range(6)}), fresh()
    voltar("backup", volume)
    spoil(voltar)

    refused = voltar("restore", f"volume:{volume}", "--to", target, code=4)

    assert refused.err.strip()
    assert target not in bed.docker("volume", "ls", "--quiet").split()


def test_an_empty_volume_is_as_it_was_after_a_failed_restore(
    voltar: Voltar,
    filled: Callable[..., str],
    scratch: Scratch,
    content: Callable[[str], Any],
) -> None:
    volume, target = filled({f"{n}": os.urandom(1 << 20) for n in range(6)}), scratch.volume()
    root = scratch.engine.volume_directory(target)
    os.chown(root, 70, 71)
    root.chmod(0o2750)
    os.utime(root, ns=(1, 1_234_567_891))
    before = content(target)
    voltar("backup", volume)
    spoil(voltar)

    voltar("restore", f"volume:{volume}", "--to", target, code=4)

    assert content(target) == before
