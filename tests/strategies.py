"""Hypothesis strategies: names, archives in the formats that Python writes, cuts of a stream."""

import io
import tarfile
from collections.abc import Iterator
from itertools import pairwise

from hypothesis import strategies as st

from backup.blocks import Block
from tests.trees import Name, Thing

names = (
    st.one_of(
        st.binary(min_size=1, max_size=12),
        st.text(min_size=1, max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from([b"a", b"b", b"-n", b" ", b"a\nb", b"\xff", "ü".encode(), b"n" * 120]),
    )
    .map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
    .filter(lambda name: name not in (b".", b".."))
)

paths = st.lists(names, min_size=1, max_size=4).map(b"/".join)
"""Paths inside of a volume, with any bytes that a file system takes."""

spellings = st.lists(
    st.sampled_from([b"a", b"b", b"c", b".", b"..", b"", b"s"]), min_size=1, max_size=5
).map(b"/".join)
"""Member names as an attacker spells them, out of few components so that they meet."""

_TYPES = [
    tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
    tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
]  # fmt: skip
_FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


@st.composite
def _member(draw: st.DrawFn, kind: int) -> tuple[tarfile.TarInfo, bytes]:
    wide = kind != tarfile.USTAR_FORMAT
    info = tarfile.TarInfo(
        draw(paths if wide else names.map(lambda name: name[:99])).decode(
            "utf-8", "surrogateescape"
        )
    )
    info.type = draw(st.sampled_from(_TYPES))
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(st.tuples(*[st.integers(0, 2**32 - 1 if wide else 2**21 - 1)] * 2))
    info.mtime = draw(st.integers(-(2**33) if wide else 0, 2**33 - 1))
    body = draw(st.binary(max_size=1500)) if info.type in tarfile.REGULAR_TYPES else b""
    info.size = len(body)
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(paths if wide else names.map(lambda name: name[:99])).decode(
            "utf-8", "surrogateescape"
        )
    if info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = draw(st.tuples(st.integers(0, 4095), st.integers(0, 2**20)))
    return info, body


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """Draw a small archive as tarfile writes it, but with two zero blocks instead of twenty."""
    kind = draw(st.sampled_from(_FORMATS))
    shared = {"comment": "global"} if kind == tarfile.PAX_FORMAT and draw(st.booleans()) else None
    stream = io.BytesIO()
    with tarfile.open(
        fileobj=stream,
        mode="w",
        format=kind,
        pax_headers=shared,
        encoding="utf-8",
        errors="surrogateescape",
    ) as tar:
        for info, body in draw(st.lists(_member(kind), min_size=bool(shared), max_size=6)):
            tar.addfile(info, io.BytesIO(body))
        length = stream.tell()
    return stream.getvalue()[:length] + bytes(1024)


@st.composite
def sliced(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Draw a way to cut `data` into blocks, empty ones among them."""
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=12))
    edges = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def reused(blocks: list[bytes]) -> Iterator[Block]:
    """Give blocks one after the other in the same memory, as a reader with one buffer does.

    Whoever keeps a block, or a slice of it, beyond that finds it overwritten.
    """
    memory = memoryview(bytearray(max(map(len, blocks), default=0)))
    for block in blocks:
        memory[: len(block)] = block
        yield memory[: len(block)]
        memory[:] = b"\xa5" * len(memory)


TREE_PATHS = [b"a", b"a-", b"a/b", b"a/b/c", b"a.b", b"b", b"b\xff", b"b\x01", b"\x1b[2J"]

things = st.builds(
    Thing,
    kind=st.sampled_from("fffdlpc"),
    content=st.sampled_from([b"", b"1", b"2", b"33", b"3" * 4000, b"4" * 4000]),
    mode=st.sampled_from([0o644, 0o4755]),
    uid=st.integers(0, 1),
    gid=st.integers(0, 1),
    mtime=st.integers(1, 2),
    link=st.sampled_from(["x", "y"]),
    minor=st.integers(0, 1),
    attribute=st.sampled_from(["", "v", "w"]),
)


@st.composite
def trees(draw: st.DrawFn) -> dict[bytes, Thing | Name]:
    """Draw a small tree out of few paths and properties: two of them have much in common."""
    tree: dict[bytes, Thing | Name] = draw(
        st.dictionaries(st.sampled_from(TREE_PATHS), things, max_size=6)
    )
    files = sorted(p for p, thing in tree.items() if isinstance(thing, Thing) and thing.kind == "f")
    if files:
        others = [path for path in TREE_PATHS if path not in tree]
        for path in draw(st.lists(st.sampled_from(others), unique=True, max_size=4)):
            tree[path] = Name(draw(st.sampled_from(files)))
    return tree
