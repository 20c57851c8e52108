"""What a volume can hold, one builder per concern: `ZOO` maps a name to a function of a directory.

Each fills its directory (an absolute bytes path); `build` makes them all, and gives the root
directory itself an owner, a mode, a time and attributes.
"""

import os
import random
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.testbed.command import run

Builder = Callable[[bytes], None]
GIB = 1 << 30
TIB = 1 << 40
NS = 10**9
ROOT_TIME = 1_234_567_890_123_456_789
LONGEST_PATH = 4095
NAMES = {
    "newline": b"two\nlines",
    "only-newline": b"\n",
    "ends-with-newline": b"end\n",
    "carriage-return": b"a\rb",
    "tab": b"a\tb",
    "space-before": b" before",
    "space-after": b"after ",
    "only-space": b" ",
    "invalid-utf8": b"caf\xe9 \xff\xfe",
    "broken-surrogate": b"\xed\xa0\x80",
    "composed": "caf\u00e9".encode(),
    "decomposed": "cafe\u0301".encode(),
    "emoji": "\U0001f433".encode(),
    "bidi": "a\u202eb".encode(),
    "dash": b"-",
    "dash-rf": b"-rf",
    "dash-C": b"-C",
    "tar-option": b"--checkpoint-action=exec=false",
    "files-from-option": b"--files-from=x",
    "backslash": b"a\\b",
    "backslash-n": b"a\\nb",
    "backslash-at-end": b"end\\",
    "octal": b"\\012",
    "glob-star": b"*",
    "glob-all": b"?[a-z]{b}*",
    "negated": b"[!a]",
    "exclude-tag": b".nobackup",
    "cache-tag": b"CACHEDIR.TAG",
    "quotes": b"'\"`$(false)`",
    "percent": b"%s%n%00",
    "hash": b"#comment",
    "tilde": b"~",
    "exclamation": b"!x",
    "dots": b"...",
    "hidden": b".hidden",
    "whiteout": b".wh.file",
    "voltar": b".voltar",
    "pax-headers": b"PaxHeaders",
    "gnu-sparse": b"GNUSparseFile.0",
    "escape": b"\x1b[31mred\x1b]0;title\x07",
    "control": bytes(c for c in range(1, 32) if c != 10),
    "delete": b"\x7f",
    "colon": b"host:path",
    "equals": b"a=b",
    "bytes-100": b"h" * 100,
    "bytes-101": b"i" * 101,
    "bytes-255": b"n" * 255,
    "bytes-255-invalid": b"\xff" * 255,
}
"""File names, by what is special about them."""


def build(root: bytes) -> None:
    """Fill a volume with all of it."""
    for name, builder in ZOO.items():
        directory = root + b"/" + name.encode()
        os.mkdir(directory)
        builder(directory)
    attribute(root, "user.root", b"of the root")
    attribute(root, "trusted.root", b"\0\xff")
    run(["setfacl", "-m", "u:70:rx,d:u:70:rwx", os.fsdecode(root)])
    os.chown(root, 70, 4_000_000_000)
    os.chmod(root, 0o3751)
    os.utime(root, ns=(ROOT_TIME, ROOT_TIME))


def file(path: bytes, data: bytes = b"content\n", *, mode: int = 0o640) -> bytes:
    """Write a file."""
    with open(path, "wb") as opened:
        opened.write(data)
    os.chmod(path, mode)
    return path


def attribute(path: bytes, name: str, value: bytes) -> None:
    """Set an extended attribute of the path itself."""
    os.setxattr(path, name, value, follow_symlinks=False)


def owners(at: bytes) -> None:
    for owner in (0, 1, 70, 65534, 65536, 2_097_152, 2**31, 4_000_000_000, 2**32 - 2):
        for gid in {owner, 0}:
            name = b"%s/%d-%d" % (at, owner, gid)
            os.chown(file(name), owner, gid)
            os.mkdir(name + b".d")
            os.symlink(b"target", name + b".l")
            os.mkfifo(name + b".p")
            for suffix in (b".d", b".l", b".p"):
                os.chown(name + suffix, owner, gid, follow_symlinks=False)


def modes(at: bytes) -> None:
    for mode in (0, 0o400, 0o644, 0o777, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777, 0o4000, 0o2000):
        file(b"%s/%04o" % (at, mode), mode=mode)
        directory = b"%s/%04o.d" % (at, mode)
        os.mkdir(directory)
        file(directory + b"/below")
        os.chmod(directory, mode)


def symlinks(at: bytes) -> None:
    targets = {
        b"dangling": b"not/there",
        b"absolute": b"/etc/passwd",
        b"loop": b"loop",
        b"loop-a": b"loop-b",
        b"loop-b": b"loop-a",
        b"up": b"../../../../../../etc/shadow",
        b"self": b".",
        b"parent": b"..",
        b"slashes": b"a//b/./c/",
        b"newline": b"a\nb",
        b"invalid": b"\xff\xfe",
        b"backslash": b"\\",
        b"space": b" ",
        b"dash": b"--help",
        b"100": b"t" * 100,
        b"101": b"t" * 101,
        b"long": b"/".join([b"l" * 200] * 20),
        b"longest": b"t" * 4095,
        b"directory": b"real",
    }
    os.mkdir(at + b"/real")
    for number, (name, target) in enumerate(targets.items()):
        path = at + b"/" + name
        os.symlink(target, path)
        os.chown(path, number, 70, follow_symlinks=False)
        moment = (-5 + number) * NS + number
        os.utime(path, ns=(moment, moment), follow_symlinks=False)


def hard_links(at: bytes) -> None:
    for name in (b"a", b"b", b"a/c", b"z"):
        os.mkdir(at + b"/" + name)
    file(at + b"/b/first", b"many names")
    for name in (b"a/1", b"a/c/2", b"z/3", b"top"):
        os.link(at + b"/b/first", at + b"/" + name)
    file(at + b"/a/empty", b"")
    os.link(at + b"/a/empty", at + b"/z/empty")
    os.symlink(b"nowhere", at + b"/z/symlink")
    os.link(at + b"/z/symlink", at + b"/a/symlink", follow_symlinks=False)
    hole(at + b"/a/sparse", GIB, {0: b"x", GIB - 1: b"y"})
    os.link(at + b"/a/sparse", at + b"/z/sparse")
    attribute(file(at + b"/z/attributes"), "user.a", b"b")
    os.link(at + b"/z/attributes", at + b"/a/attributes")
    os.link(file(at + b"/a/twin\n\xff"), at + b"/z/-twin \\")
    for number in range(100):
        os.link(at + b"/b/first", b"%s/z/many-%d" % (at, number))


def hard_links_of_special_files(at: bytes) -> None:
    os.mkfifo(at + b"/fifo")
    os.link(at + b"/fifo", at + b"/fifo-too")
    os.mknod(at + b"/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.link(at + b"/null", at + b"/null-too")


def hole(path: bytes, size: int, data: dict[int, bytes]) -> None:
    """Make a sparse file with some data at some offsets."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o640)
    try:
        os.ftruncate(handle, size)
        for offset, piece in data.items():
            os.pwrite(handle, piece, offset)
    finally:
        os.close(handle)


def sparse_files(at: bytes) -> None:
    block = b"data" * 1024
    hole(at + b"/only-hole", 1 << 20, {})
    hole(at + b"/one-block-hole", 4096, {})
    hole(at + b"/hole-first", 10 << 20, {(10 << 20) - 4096: block})
    hole(at + b"/hole-last", 10 << 20, {0: block})
    hole(at + b"/hole-last-odd", (10 << 20) + 7, {0: b"x" * 5000})
    hole(at + b"/hole-between", 10 << 20, {0: block, (10 << 20) - 4096: block})
    hole(at + b"/many-holes", 8 << 20, {n << 16: b"%d" % n for n in range(128)})
    hole(at + b"/thousand-holes", 64 << 20, {n << 15: b"%d" % n for n in range(2000)})
    file(at + b"/zeros-not-a-hole", bytes(1 << 20))


def terabyte_hole(at: bytes) -> None:
    hole(at + b"/1-TiB", TIB + 1, {0: b"begin", TIB // 2: b"middle", TIB: b"e"})
    hole(at + b"/1-TiB-empty", TIB, {})


def nine_gigabytes(at: bytes) -> None:
    places = (0, 4 * GIB - 3, 8 * GIB - 3, 8 * GIB + 4096, 9 * GIB - 9)
    hole(at + b"/9-GiB", 9 * GIB, {place: b"something" for place in places})


def xattrs(at: bytes) -> None:
    path = file(at + b"/file")
    values = {
        "user.text": b"text",
        "user.empty": b"",
        "user.binary": bytes(range(256)),
        "user.newline": b"a\nb\n",
        "user.ends-in-zero": b"a\0",
        "user.a=b": b"equals in the name",
        "user.100%": b"percent in the name",
        "user.with space": b"space in the name",
        "user.*": b"a pattern",
        "user.\u00fc": b"not ASCII",
        "trusted.overlay.opaque": b"y",
        "trusted.binary": b"\0\1\2",
        "security.test": b"security",
    }
    for name, value in values.items():
        attribute(path, name, value)
    attribute(file(at + b"/large"), "user.large", bytes(range(250)) * 12)
    attribute(file(at + b"/empty", b""), "user.on-empty", b"1")
    attribute(file(at + b"/mode-0", mode=0), "user.on-0000", b"1")
    hole(at + b"/sparse", 1 << 20, {0: b"x"})
    attribute(at + b"/sparse", "user.on-sparse", b"1")
    os.mkdir(at + b"/directory")
    attribute(at + b"/directory", "user.on-directory", b"1")
    attribute(at + b"/directory", "trusted.on-directory", b"1")
    os.symlink(b"file", at + b"/symlink")
    attribute(at + b"/symlink", "trusted.on-symlink", b"1")
    os.mkfifo(at + b"/fifo")
    attribute(at + b"/fifo", "trusted.on-fifo", b"1")
    long = at + b"/" + b"l" * 200
    os.mkdir(long)
    attribute(file(long + b"/" + b"m" * 200), "user.below-a-long-path", b"1")


def capabilities(at: bytes) -> None:
    run(["setcap", "cap_net_raw,cap_net_bind_service+ep", os.fsdecode(file(at + b"/ping"))])
    run(["setcap", "cap_sys_admin=i", os.fsdecode(file(at + b"/admin", mode=0o4755))])
    os.chown(file(at + b"/owned"), 70, 70)
    run(["setcap", "cap_chown+ep", os.fsdecode(at + b"/owned")])
    version_3 = struct.pack("<IIIIII", 0x03000001, 1 << 13, 0, 0, 0, 100_000)
    attribute(file(at + b"/namespaced"), "security.capability", version_3)


def acls(at: bytes) -> None:
    path = os.fsdecode(file(at + b"/file"))
    run(["setfacl", "-m", "u:1000:rw,u:4000000000:r,g:70:rwx,m::rx", path])
    for name, entries in (
        (b"default", "d:u:1000:rwx,d:g:70:rx,d:o::-"),
        (b"both", "u:70:rwx,d:u:70:rwx,d:m::rx"),
    ):
        os.mkdir(at + b"/" + name)
        run(["setfacl", "-m", entries, os.fsdecode(at + b"/" + name)])
        file(at + b"/" + name + b"/plain", mode=0o666)
        os.mkdir(at + b"/" + name + b"/inherits")
        run(["setfacl", "-b", os.fsdecode(at + b"/" + name + b"/plain")])
    os.mkdir(at + b"/default/without")
    run(["setfacl", "-b", "-k", os.fsdecode(at + b"/default/without")])
    file(at + b"/default/without/file", mode=0o604)


def directories_to_come_back_to(at: bytes) -> None:
    """Make directories that are touched again after all that is in them seems to be done.

    Absolute links and such that lead up are made last of all, and links to them after that.
    """
    for name in (b"a", b"a/deep", b"a/deep/er", b"b", b"c"):
        os.mkdir(at + b"/" + name)
        file(at + b"/" + name + b"/file")
    os.symlink(b"/absolute", at + b"/a/deep/er/link")
    os.symlink(b"../../up", at + b"/a/link")
    for first, second in (
        (b"a/file", b"b/hard"),
        (b"a/deep/er/file", b"a/hard"),
        (b"a/deep/er/link", b"b/link"),
        (b"a/link", b"c/link"),
    ):
        os.link(at + b"/" + first, at + b"/" + second, follow_symlinks=False)
    run(["setfacl", "-m", "d:u:1000:rwx,d:o::-", *map(os.fsdecode, (at + b"/a", at + b"/b"))])
    for number, name in enumerate((b"c", b"b", b"a/deep/er", b"a/deep", b"a", b"")):
        path = at + b"/" + name
        os.chmod(path, 0o500)
        os.utime(path, ns=(NS, (10**9 + number) * NS + number))


def special_files(at: bytes) -> None:
    os.mkfifo(at + b"/fifo", 0o604)
    for name, kind, major, minor in (
        (b"null", stat.S_IFCHR, 1, 3),
        (b"loop", stat.S_IFBLK, 7, 0),
        (b"large", stat.S_IFBLK, 4095, 1_048_575),
        (b"zero", stat.S_IFCHR, 0, 0),
    ):
        os.mknod(at + b"/" + name, kind | 0o640, os.makedev(major, minor))
        os.chown(at + b"/" + name, 70, 65534)
        os.utime(at + b"/" + name, ns=(NS, NS + 1))


def names(at: bytes) -> None:
    for name in NAMES.values():
        file(at + b"/" + name, name)
        os.mkdir(at + b"/in-" + name[:250])
        file(at + b"/in-" + name[:250] + b"/" + name, name * 2)
    os.mkdir(at + b"/twice")
    for name in NAMES.values():
        os.link(at + b"/" + name, at + b"/twice/" + name)
        os.symlink(name, at + b"/twice/" + name[:250] + b".sym")


def long_paths(at: bytes) -> None:
    for length in (100, 101, 155, 156, 255, 256, 257, 1023, 1024, 1025, 4000, LONGEST_PATH):
        deep(at, length)
    deep(at, LONGEST_PATH, directory=True)


def deep(at: bytes, length: int, *, directory: bool = False) -> bytes:
    """Make a file whose path relative to the volume (the parent of `at`) has that many bytes."""
    path = os.path.basename(at)
    prefix = b"D" if directory else b"f"
    with entered(at) as state:
        while length - len(path) > 256:
            step = prefix * 200
            if length - len(path) - 201 < 2:
                step = prefix * 100
            path += b"/" + step
            state.enter(step)
        rest = length - len(path) - 1
        name = (b"%d-" % length).ljust(rest, prefix)[:rest]
        if directory:
            os.mkdir(name, dir_fd=state.handle)
        else:
            handle = os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=state.handle)
            os.write(handle, b"%d" % length)
            os.close(handle)
    return path + b"/" + name


class Place:
    """An open directory that can be gone down from."""

    def __init__(self, path: bytes) -> None:
        self.handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def enter(self, name: bytes) -> None:
        """Go into a directory below, made if need be."""
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=self.handle)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.handle)
        os.close(self.handle)
        self.handle = below


@contextmanager
def entered(path: bytes) -> Iterator[Place]:
    """Be in a directory."""
    place = Place(path)
    try:
        yield place
    finally:
        os.close(place.handle)


TIMES = {
    b"nanoseconds": 1_700_000_000 * NS + 123_456_789,
    b"last-nanosecond": 1_700_000_000 * NS + 999_999_999,
    b"one-nanosecond": 1_700_000_000 * NS + 1,
    b"epoch": 0,
    b"after-epoch": 1,
    b"before-epoch": -1,
    b"half-before-epoch": -NS // 2,
    b"before-1970": -86_400 * NS + 250_000_000,
    b"year-1901": -2_147_483_648 * NS,
    b"year-1902": -2_145_000_000 * NS + 1,
    b"end-of-2038": 2**31 * NS - 1,
    b"after-2038": 2**31 * NS + 5,
    b"year-2106": 2**32 * NS + 123,
    b"year-2400": 13_569_465_600 * NS + 999_999_999,
}


def times(at: bytes) -> None:
    for name, moment in TIMES.items():
        directory = at + b"/" + name
        os.mkdir(directory)
        file(directory + b"/file")
        os.symlink(b"file", directory + b"/symlink")
        os.mkfifo(directory + b"/fifo")
        for path in (b"/file", b"/symlink", b"/fifo", b""):
            os.utime(directory + path, ns=(moment, moment), follow_symlinks=False)


def empties(at: bytes) -> None:
    file(at + b"/empty", b"")
    os.mkdir(at + b"/directory")
    os.makedirs(at + b"/a/b/c/d")


def contents(at: bytes) -> None:
    dice = random.Random(3)
    for size in (1, 511, 512, 513, 4095, 4096, 4097, 65536, 1 << 20):
        file(b"%s/%d" % (at, size), dice.randbytes(size))
    file(at + b"/random", dice.randbytes((5 << 20) + 3))
    file(at + b"/repeated", b"the same again and again\n" * 100_000)
    file(at + b"/like-a-tar", b"ustar\x0000" * 1000 + bytes(2048) + b"after the end")


def sockets(at: bytes) -> None:
    """Make a socket beside a file; it is the one thing that cannot be restored."""
    file(at + b"/beside")
    with socket.socket(socket.AF_UNIX) as server:
        place = os.open(at, os.O_PATH)
        server.bind(f"/proc/self/fd/{place}/server.sock")
        os.close(place)
    os.utime(at, ns=(NS, NS))


ZOO: dict[str, Builder] = {
    "owners": owners,
    "modes": modes,
    "symlinks": symlinks,
    "hard-links": hard_links,
    "hard-links-of-special-files": hard_links_of_special_files,
    "sparse-files": sparse_files,
    "terabyte-hole": terabyte_hole,
    "nine-gigabytes": nine_gigabytes,
    "xattrs": xattrs,
    "capabilities": capabilities,
    "acls": acls,
    "directories-to-come-back-to": directories_to_come_back_to,
    "special-files": special_files,
    "names": names,
    "long-paths": long_paths,
    "times": times,
    "empties": empties,
    "contents": contents,
    "sockets": sockets,
}
