"""From one volume to another through here: what is not proven is an error."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup.engine import Access, Attached, Engine, connect, helper
from backup.errors import MigrationFailed, VerificationFailed
from backup.migrate.transfer import Side, carry, listing_digest
from backup.report import Event, Started
from tests.acceptance import zoo
from tests.testbed import walk
from tests.testbed.engine import Engine as Bed
from tests.testbed.scratch import Scratch

AT = "/voltar-test"
CAPABLE = b"\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0"


class Route:
    """Two volumes of one engine; `go` carries, and calls `meddle` when a piece of work begins."""

    def __init__(self, engine: Engine, source: str, target: str, bed: Bed) -> None:
        self.engine, self.source, self.target = engine, source, target
        self.here = bed.volume_directory(source)
        self.there = bed.volume_directory(target)

    def go(self, work: str = "", meddle: Callable[[], object] = lambda: None) -> int:
        def listen(event: Event) -> None:
            if isinstance(event, Started) and event.work == work:
                meddle()

        with (
            helper(
                self.engine, (Attached(self.source, AT),), access=Access.READ, run="t"
            ) as reader,
            helper(
                self.engine, (Attached(self.target, AT),), access=Access.WRITE, run="t"
            ) as writer,
        ):
            sides = Side(reader, AT, AT), Side(writer, AT, AT)
            return carry(*sides, "volume:x", listen).entries


@pytest.fixture
def route(engine: Bed, scratch: Scratch) -> Iterator[Route]:
    with connect(engine.url) as ours:
        yield Route(ours, scratch.volume(), scratch.volume(), engine)


@pytest.fixture
def filled(route: Route) -> Route:
    """A few files, one with an attribute, one with a hole, and a device."""
    (route.here / "sub").mkdir()
    (route.here / "sub" / "plain").write_bytes(b"content")
    (route.here / "capable").write_bytes(b"program")
    os.setxattr(route.here / "capable", "security.capability", CAPABLE)
    with open(route.here / "holey", "wb") as file:
        file.truncate(1 << 22)
        file.seek(1 << 21)
        file.write(b"island")
    os.mknod(route.here / "device", 0o20600, os.makedev(1, 3))
    os.symlink("sub/plain", route.here / "link")
    os.link(route.here / "sub" / "plain", route.here / "again")
    return route


def test_all_of_the_zoo_arrives(route: Route) -> None:
    zoo.build(os.fsencode(route.here))

    entries = route.go()

    seen = [dict(walk.snapshot(os.fsencode(side))) for side in (route.here, route.there)]
    assert walk.diff(*seen) == ["b'sockets/server.sock': missing (socket)"]
    assert entries == len(seen[0])


def test_an_empty_volume_arrives(route: Route) -> None:
    os.chown(route.here, 70, 71)
    os.chmod(route.here, 0o2750)

    assert route.go() == 1

    found = route.there.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (70, 71, 0o2750)


def keeping_times(path: Path, act: Callable[[Path], object]) -> None:
    """Do something that no time of modification tells, neither its own nor its directory's."""
    before = [(each, each.lstat()) for each in (path, path.parent)]
    act(path)
    for each, was in before:
        os.utime(each, ns=(was.st_atime_ns, was.st_mtime_ns), follow_symlinks=False)


def another_device(path: Path) -> None:
    path.unlink()
    os.mknod(path, 0o20600, os.makedev(1, 5))


def unlinked(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"content")


def another_kind(path: Path) -> None:
    path.unlink()
    path.mkdir()


def rewritten(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"C")


def at_island(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(1 << 21)
        file.write(b"I")


SPOILT: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "content": ("sub/plain", rewritten, "its content is not what was sent"),
    "content of a capable file": ("capable", rewritten, "capable: "),
    "content between holes": ("holey", at_island, "holey: its content is not what was sent"),
    "mode": ("sub", lambda path: os.chmod(path, 0o700), "sub: mode"),
    "owner": ("sub", lambda path: os.chown(path, 5, 5), "sub: uid"),
    "attribute": (
        "capable",
        lambda path: os.removexattr(path, "security.capability"),
        "xattr.security.capability",
    ),
    "device": (
        "device",
        another_device,
        "device number",
    ),
    "more": ("sub", lambda path: (path / "more").write_bytes(b""), "sub/more is extra"),
    "hard link": (
        "again",
        unlinked,
        "sub/plain: hard links",
    ),
}


@pytest.mark.parametrize(("name", "act", "words"), SPOILT.values(), ids=SPOILT)
def test_what_arrives_otherwise_is_found(
    filled: Route, name: str, act: Callable[[Path], object], words: str
) -> None:
    def spoil() -> None:
        keeping_times(filled.there / name, act)

    with pytest.raises(VerificationFailed) as caught:
        filled.go("compare", spoil)

    assert any(words in line for line in caught.value.differences), caught.value.differences


CHANGED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "new": ("compare", lambda here: (here / "new").write_bytes(b"")),
    "rewritten in place": (
        "compare",
        lambda here: rewritten(here / "sub" / "plain"),
    ),
    "renamed": ("compare", lambda here: (here / "sub" / "plain").rename(here / "sub" / "other")),
    "gone before it is read": ("copy", lambda here: os.unlink(here / "sub" / "plain")),
    "another kind": (
        "copy",
        lambda here: another_kind(here / "link"),
    ),
}


@pytest.mark.parametrize(("when", "act"), CHANGED.values(), ids=CHANGED)
def test_a_source_that_somebody_writes_to_is_found(
    filled: Route, when: str, act: Callable[[Path], object]
) -> None:
    with pytest.raises(MigrationFailed):
        filled.go(when, lambda: act(filled.here))


def test_what_cannot_be_carried_is_an_error(route: Route) -> None:
    zoo.deep(os.fsencode(route.here), 4200, directory=True)

    with pytest.raises(MigrationFailed, match="cannot be moved"):
        route.go()


def test_a_file_system_within_is_an_error(filled: Route, tmp_path: Path) -> None:
    (filled.here / "inner").mkdir()
    os.system(f"mount -t tmpfs none {filled.here}/inner")
    try:
        with pytest.raises(MigrationFailed, match="another file system"):
            filled.go()
    finally:
        os.system(f"umount {filled.here}/inner")


def test_the_digest_of_a_listing_tells_every_change(filled: Route) -> None:
    def digest() -> str:
        mounts = (Attached(filled.source, AT),)
        with helper(filled.engine, mounts, access=Access.READ, run="t") as reader:
            return listing_digest(Side(reader, AT, AT))

    before = digest()
    assert digest() == before
    keeping_times(filled.here / "sub" / "plain", rewritten)
    assert digest() != before
