"""Archives that the tar programs of this world write, taken apart and put together again."""

import io
import math
import os
import socket
import stat
import struct
import subprocess
import tarfile

import pytest

from backup import listing, paths
from backup.tar.split import TruncatedArchive, join, split
from tests import strategies
from tests.testbed import debian

GNU = ["tar", "--numeric-owner", "--sort=name", "-C", "{}", "-cf", "-"]
EVERYTHING = ["--sparse", "--xattrs", "--xattrs-include=*", "--acls"]
BSD = ["bsdtar", "--numeric-owner", "-C", "{}", "-cf", "-"]

# of trees with names, owners and times of any kind
FULL = {
    "gnu posix": [*GNU, "--format=posix", *EVERYTHING, "."],
    "gnu posix, no atime": [*GNU, "--format=posix", "--pax-option=delete=atime,delete=ctime", "."],
    "gnu posix, global": [*GNU, "--format=posix", "--pax-option=globexthdr.name=g,comment=x", "."],
    "gnu posix, label": [*GNU, "--format=posix", "-V", "label", "."],
    "gnu gnu": [*GNU, "--format=gnu", "."],
    "gnu gnu, label": [*GNU, "--format=gnu", "-V", "label", "."],
    "gnu gnu, incremental": [*GNU, "--format=gnu", "--incremental", "."],
    "gnu oldgnu": [*GNU, "--format=oldgnu", "."],
    "bsd pax": [*BSD, "--format=pax", "."],
    "bsd pax, xattrs": [*BSD, "--format=pax", "--xattrs", "--acls", "--fflags", "."],
    "bsd pax, no sparse": [*BSD, "--format=pax", "--no-read-sparse", "."],
    "bsd restricted pax": [*BSD, "--format=paxr", "."],
    "bsd gnutar": [*BSD, "--format=gnutar", "."],
}
# of files with holes
HOLES = {
    "gnu posix 0.0": [*GNU, "--format=posix", "-S", "--sparse-version=0.0", "."],
    "gnu posix 0.1": [*GNU, "--format=posix", "-S", "--sparse-version=0.1", "."],
    "gnu posix 1.0": [*GNU, "--format=posix", "-S", "--sparse-version=1.0", "."],
    "gnu gnu": [*GNU, "--format=gnu", "-S", "."],
    "gnu oldgnu": [*GNU, "--format=oldgnu", "-S", "."],
    "bsd pax": [*BSD, "--format=pax", "."],
}
# of trees that every format can hold
PLAIN = {
    "gnu ustar": [*GNU, "--format=ustar", "."],
    "gnu v7": [*GNU, "--format=v7", "."],
    "bsd ustar": [*BSD, "--format=ustar", "."],
    "bsd mac metadata": [*BSD, "--format=pax", "--mac-metadata", "."],
    "busybox": ["busybox", "tar", "-C", "{}", "-cf", "-", "."],
    "busybox, one by one": ["busybox", "tar", "-C", "{}", "-cf", "-", "d", "file", "link"],
}
PYTHON = {
    "python ustar": tarfile.USTAR_FORMAT,
    "python gnu": tarfile.GNU_FORMAT,
    "python pax": tarfile.PAX_FORMAT,
}


@pytest.fixture(scope="module", autouse=True)
def tools():
    debian.require(debian.TEST_TOOLS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What v7 can store: short names, small owners, whole seconds."""
    root = tmp_path_factory.mktemp("plain")
    (root / "d" / "sub").mkdir(parents=True)
    for size in (0, 1, 511, 512, 513, 10_000):
        (root / "d" / f"{size}").write_bytes(os.urandom(size))
    (root / "file").write_bytes(b"content")
    (root / "._file").write_bytes(b"\0\x05\x16\x07" + bytes(60))
    (root / "d" / "hard").hardlink_to(root / "file")
    (root / "link").symlink_to("d/../file")
    os.chown(root / "d" / "513", 70, 71)
    (root / "d" / "513").chmod(0o6755)
    for path in [*root.rglob("*"), root]:
        os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)
    return root


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Everything that a volume may have and tar can store."""
    root = tmp_path_factory.mktemp("full")
    deep = root.joinpath(*[f"directory-{depth:03}" for depth in range(20)])
    deep.mkdir(parents=True)
    (deep / ("n" * 255)).write_bytes(b"deep")
    (deep / "hard").hardlink_to(deep / ("n" * 255))
    for raw in (b"a\nb", b" c ", b"-d", b"\xff\xfe", "grüße 📦".encode(), b"e\\f", b"n" * 100):
        (root / os.fsdecode(raw)).write_bytes(raw * 100)
    (root / "long-link").symlink_to("/".join(["t" * 200] * 15))
    (root / "n100-link").symlink_to("t" * 100)
    os.mkfifo(root / "fifo")
    os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    os.mknod(root / "disk", 0o60660, os.makedev(259, 70_000))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    (root / "mode-0").touch(mode=0)
    (root / "setuid").touch()
    os.chown(root / "setuid", 4_000_000_000, 65534)
    (root / "setuid").chmod(0o4755)
    os.chown(root / "long-link", 70, 70, follow_symlinks=False)
    times = {"past": -500_000_000, "1901": -(2**31) * 10**9, "2110": 4_418_000_000_123_456_789}
    for name, mtime in times.items():
        (root / name).write_bytes(b"x")
        os.utime(root / name, ns=(0, mtime))
    attributes(root)
    return root


@pytest.fixture(scope="module")
def holes(tmp_path_factory):
    """Files that are mostly nothing."""
    root = tmp_path_factory.mktemp("holes")
    sparse(root / "forty", [(number * 1_000_000, b"data" * 1100) for number in range(40)], 10**8)
    sparse(root / "hole", [], 2**40)
    sparse(root / "tail", [(0, b"1\n" * 2500)], 10**6)
    sparse(root / "end", [(10**6, b"x" * 5000)], 10**6 + 5000)
    (root / "whole").write_bytes(b"no hole")
    return root


def attributes(root):
    file = root / "with-attributes"
    file.write_bytes(b"x" * 600)
    os.setxattr(file, "user.binary", bytes(range(256)))
    os.setxattr(file, "user.a=b%", b"GNU.sparse.major=1\n")
    os.setxattr(file, "trusted.secret", b"yes")
    users = [(1, 6, -1), (2, 4, 70), (4, 4, -1), (16, 6, -1), (32, 0, -1)]
    acl = b"".join(struct.pack("<HHi", *user) for user in users)
    os.setxattr(file, "system.posix_acl_access", struct.pack("<I", 2) + acl)


def sparse(path, regions, size):
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in regions:
            file.seek(offset)
            file.write(data)


def made(command, root):
    """The archive that a command writes of a tree, whatever it says of sockets and old times."""
    words = [word.replace("{}", str(root)) for word in command]
    result = subprocess.run(words, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


def made_by_python(kind, root):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
        tar.add(root, ".")
    return stream.getvalue()


@pytest.fixture(scope="module", params=[*FULL, *PLAIN, *PYTHON])
def archive(request, full, plain):
    """(its maker, the tree, the archive)"""
    name = request.param
    if name in FULL:
        return name, full, made(FULL[name], full)
    stream = made(PLAIN[name], plain) if name in PLAIN else made_by_python(PYTHON[name], plain)
    return name, plain, stream


def kept(entries):
    return [entry for entry in entries if entry.kind not in ("g", "z")]


@pytest.mark.parametrize("size", [511, 512, 513, 10_240, 1 << 20])
def test_joining_what_was_split_gives_the_archive(archive, size):
    _, _, stream = archive
    blocks = [stream[at : at + size] for at in range(0, len(stream), size)]

    assert stream == b"".join(bytes(block) for block in join(split(strategies.reused(blocks))))


def test_an_archive_without_its_end_is_refused(archive):
    _, _, stream = archive
    *_, end = ((entry, sum(map(len, entry.body))) for entry in split([stream]))

    with pytest.raises(TruncatedArchive):
        list(split([stream[: -end[1]]]))


def test_no_member_is_taken_for_an_attack(archive):
    _, _, stream = archive
    members = ((entry.path, entry.kind, entry.link) for entry in split([stream]))

    assert list(paths.unsafe(members)) == []


def test_entries_are_what_the_file_system_has(archive):
    maker, root, stream = archive
    exact = maker.startswith(("gnu posix", "bsd pax"))

    for entry in kept(split([stream])):
        there = os.lstat(os.fsencode(root) + b"/" + paths.relative(entry.path))
        if there.st_mtime_ns >= 0 or not maker.startswith("bsd"):  # bsdtar writes -0.5 as -1.5
            second = 1 if exact or "mtime" in entry.pax else 10**9
            assert entry.mtime_ns == there.st_mtime_ns // second * second, entry.path
        assert (entry.uid, entry.gid) == (there.st_uid, there.st_gid)
        if entry.kind != "l" and not (maker.startswith("bsd") and has_acl(entry)):
            assert entry.mode == stat.S_IMODE(there.st_mode)
        assert kind_of(entry, there, root) == entry.kind


def has_acl(entry):
    """Where there is an ACL, bsdtar writes its group's rights into the mode instead of its mask."""
    return entry.path == b"./with-attributes"


def kind_of(entry, there, root):
    """The kind that the file system says, once size, target and device number agree."""
    if entry.kind == "h":
        target = os.lstat(os.fsencode(root) + b"/" + paths.relative(entry.link))
        return "h" if os.path.samestat(target, there) else "not linked"
    if stat.S_ISLNK(there.st_mode):
        path = root / os.fsdecode(entry.path)
        return "l" if os.fsdecode(entry.link) == str(path.readlink()) else "another target"
    if stat.S_ISREG(there.st_mode):
        return "f" if entry.size == there.st_size else "another size"
    device = os.makedev(entry.major, entry.minor) == there.st_rdev
    kinds = {stat.S_IFDIR: "d", stat.S_IFIFO: "p", stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
    return kinds[stat.S_IFMT(there.st_mode)] if device else "another device"


def test_every_file_is_an_entry(archive):
    maker, root, stream = archive
    if maker == "busybox, one by one":
        wanted = {path for path in tree(root) if path.split(b"/")[0] in (b"d", b"file", b"link")}
    else:
        wanted = tree(root)

    assert wanted == {paths.relative(entry.path) for entry in kept(split([stream]))}


def tree(root):
    """All paths but those of sockets."""
    found = {b""}
    for directory, names, files in os.walk(os.fsencode(root)):
        for name in [*names, *files]:
            path = directory + b"/" + name
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                found.add(os.path.relpath(path, os.fsencode(root)))
    return found


def test_entries_are_what_tarfile_sees(archive):
    maker, _, stream = archive
    if maker == "gnu gnu, incremental":
        return  # tarfile takes the atime in its headers for a prefix of the name
    with tarfile.open(
        fileobj=io.BytesIO(stream), encoding="utf-8", errors="surrogateescape"
    ) as tar:
        wanted = [seen_by_tarfile(info) for info in tar if info.type != b"V"]

    assert wanted == [
        (
            entry.path.removesuffix(b"/"),
            entry.link,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime_ns // 10**9,
            entry.size if entry.kind == "f" else 0,
        )
        for entry in kept(split([stream]))
    ]


def seen_by_tarfile(info):
    return (
        info.name.encode("utf-8", "surrogateescape").removesuffix(b"/"),
        info.linkname.encode("utf-8", "surrogateescape"),
        info.mode & 0o7777,
        info.uid,
        info.gid,
        math.floor(info.mtime),
        info.size if info.isreg() and info.type != b"D" else 0,
    )


@pytest.mark.parametrize("maker", HOLES)
def test_holes_are_not_in_bodies(maker, holes):
    stream = made(HOLES[maker], holes)
    entries = {entry.path.removeprefix(b"./"): entry for entry in kept(split([stream]))}

    for name in (b"forty", b"hole", b"tail", b"end"):
        assert (holes / name.decode()).stat().st_size == entries[name].size
        assert entries[name].body_size < 400_000
    assert stream == b"".join(bytes(block) for block in join(split([stream])))


@pytest.mark.parametrize("maker", HOLES)
def test_holes_are_where_tarfile_sees_them(maker, holes):
    stream = made(HOLES[maker], holes)
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        wanted = {info.name.removeprefix("./"): info.size for info in tar if info.isreg()}

    assert wanted == {
        entry.path.decode().removeprefix("./"): entry.size
        for entry in kept(split([stream]))
        if entry.kind == "f"
    }


def test_attributes_are_in_the_records(full):
    stream = made(FULL["gnu posix"], full)
    entries = {entry.path: entry for entry in kept(split([stream]))}
    pax = entries[b"./with-attributes"].pax

    assert pax["SCHILY.xattr.user.binary"] == bytes(range(256))
    assert pax["SCHILY.xattr.trusted.secret"] == b"yes"
    assert b"user:70:r--" in pax["SCHILY.acl.access"]


def test_archives_of_an_appended_tar_have_both_versions(plain, tmp_path):
    target = tmp_path / "appended.tar"
    for _ in range(2):
        words = ["tar", "-C", str(plain), "--append", "-f", str(target), "file"]
        subprocess.run(words, check=True)
    stream = target.read_bytes()

    assert [entry.path for entry in kept(split([stream]))] == [b"file", b"file"]


# --- find


def found(root):
    """What find prints for a directory."""
    words = ["find", ".", "-printf", listing.FORMAT]
    return subprocess.run(words, cwd=root, capture_output=True, check=True).stdout


def listed(root):
    return list(listing.parse([found(root)]))


def test_a_listing_is_what_the_file_system_has(full, holes):
    for root in (full, holes):
        for record in listed(root):
            path = root / os.fsdecode(record.path)
            there = path.lstat()
            assert record.mode == stat.S_IMODE(there.st_mode)
            assert (record.uid, record.gid, record.size) == (
                there.st_uid,
                there.st_gid,
                there.st_size,
            )
            assert (record.mtime_ns, record.ctime_ns) == (there.st_mtime_ns, there.st_ctime_ns)
            assert (record.inode, record.nlink, record.dev) == (
                there.st_ino,
                there.st_nlink,
                there.st_dev,
            )
            assert record.link == (os.fsencode(path.readlink()) if record.kind == "l" else b"")


def test_a_listing_has_everything(full):
    kinds = {record.path: record.kind for record in listed(full)}

    assert {path for path, kind in kinds.items() if kind != "s"} == tree(full)
    assert set(kinds.values()) == set("fdlcbps")


@pytest.mark.parametrize(
    "ns", [-(2**31) * 10**9, -1_500_000_001, -500_000_000, -1, 0, 1, 15_032_385_535 * 10**9]
)
def test_find_prints_times_as_we_read_them(tmp_path, ns):
    (tmp_path / "file").touch()
    os.utime(tmp_path / "file", ns=(0, ns))
    there = (tmp_path / "file").stat().st_mtime_ns

    assert {record.path: record.mtime_ns for record in listed(tmp_path)}[b"file"] == there


def expected(stream):
    """What an archive says must be there after it was extracted."""
    entries = {}
    for entry in kept(split([stream])):
        entries[paths.relative(entry.path)] = entry
    linked = {paths.relative(entry.link) for entry in entries.values() if entry.kind == "h"}
    for path, entry in sorted(entries.items(), key=lambda item: paths.sort_key(item[0])):
        first = paths.relative(entry.link) if entry.kind == "h" else path
        named = entries[first]
        yield listing.Expected(
            path,
            named.kind,
            entry.mode,
            entry.uid,
            entry.gid,
            named.size,
            entry.mtime_ns,
            entry.link if entry.kind == "l" else b"",
            first if first in linked else b"",
        )


def test_what_was_extracted_is_what_was_archived(full, tmp_path):
    stream = made(FULL["gnu posix"], full)
    target = tmp_path / "target"
    target.mkdir()
    words = ["tar", "-C", str(target), "-xpf", "-", *EVERYTHING[1:], "--delay-directory-restore"]
    subprocess.run(words, input=stream, capture_output=True, check=True)
    there = list(listing.ordered([found(target)], directory=tmp_path, run=10))

    assert list(listing.compare(expected(stream), there)) == []

    (target / "setuid").chmod(0o755)
    (target / "past").unlink()
    there = list(listing.ordered([found(target)], directory=tmp_path, run=10))

    assert {str(difference) for difference in listing.compare(expected(stream), there)} == {
        f"/: mtime should be {seconds(full)}, is {seconds(target)}",
        "past: missing file",
        "setuid: mode should be 4755, is 0755",
    }


def seconds(path):
    ns = path.stat().st_mtime_ns
    return f"{ns // 10**9}.{ns % 10**9:09}"
