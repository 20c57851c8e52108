"""Where the splitter and GNU tar could see different members, an attacker could hide some."""

import subprocess
import tempfile

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from backup.errors import BackupError
from backup.tar.split import split
from tests import tars

NAME = b"{name}"
_MAGIC = st.sampled_from([tars.POSIX, tars.POSIX, tars.POSIX, tars.GNU, tars.V7])
_WITH_BODY = st.sampled_from([b"0", b"0", b"0", b"\0", b"7", b"D", b"S", b"A", b"Q"])
_ANY = st.sampled_from([b"0", b"\0", b"7", b"1", b"2", b"5", b"6", b"D", b"S", b"A", b"Q"])
_SIZES = st.sampled_from([0, 1, 511, 512, 513, 1024, 1025])
_LISTS = st.lists(_SIZES, min_size=1, max_size=5)
_RECORD = st.one_of(
    st.tuples(st.sampled_from([b"size", b"mtime", b"GNU.sparse.realsize"]), _SIZES),
    st.tuples(st.sampled_from([b"GNU.sparse.major", b"GNU.sparse.numblocks"]), st.integers(0, 2)),
    st.tuples(st.just(b"GNU.sparse.numbytes"), _SIZES),
)


def seldom(draw, usual, unusual):
    """Draw from `unusual` once in a while."""
    return draw(unusual) if draw(st.integers(0, 9)) == 0 else usual


def body(draw, size):
    """Whole blocks that hold `size` bytes; as headers they would be members of their own."""
    blocks = seldom(draw, -(-size // 512), st.integers(0, 3))
    return tars.header(NAME) * blocks


def records(draw, *usual):
    """An extended header, seldom with one record more."""
    found = [*usual, *seldom(draw, [], st.lists(_RECORD, max_size=2))]
    kind = seldom(draw, b"x", st.sampled_from([b"X", b"g"]))
    return tars.extended(*((key, b"%d" % value) for key, value in found), kind=kind)


@st.composite
def _plain(draw):
    kind = draw(_WITH_BODY)
    size = draw(_SIZES)
    name = seldom(draw, NAME, st.just(NAME + b"/"))
    return tars.header(name, kind, size, magic=draw(_MAGIC)) + body(draw, size)


@st.composite
def _bodiless(draw):
    size = seldom(draw, 0, _SIZES)
    name = draw(st.sampled_from([NAME, NAME + b"/"]))
    return tars.header(name, draw(_ANY), size, link=b"target", magic=draw(_MAGIC))


@st.composite
def _extended(draw):
    size = draw(_SIZES)
    head = records(draw, (b"size", size), (b"mtime", 7))
    said = draw(st.one_of(st.just(size), _SIZES))
    return head + tars.header(NAME, draw(_ANY), said, magic=draw(_MAGIC)) + body(draw, size)


@st.composite
def _sparse_in_header(draw):
    sizes = draw(_LISTS)
    count = seldom(draw, len(sizes), st.integers(0, 3))
    size = seldom(draw, sum(sizes), _SIZES)
    regions = [
        pair
        for value in sizes
        for pair in [(b"GNU.sparse.offset", 0), (b"GNU.sparse.numbytes", value)]
    ]
    head = records(draw, (b"GNU.sparse.size", 9999), (b"GNU.sparse.numblocks", count), *regions)
    magic = seldom(draw, tars.POSIX, _MAGIC)
    kind = seldom(draw, b"0", _ANY)
    return head + tars.header(NAME, kind, size, magic=magic) + body(draw, size)


@st.composite
def _sparse_in_body(draw):
    sizes = draw(_LISTS)
    count = seldom(draw, len(sizes), st.integers(0, 3))
    text = tars.padded(b"%d\n" % count + b"".join(b"0\n%d\n" % size for size in sizes))
    size = seldom(draw, 512 + sum(-(-size // 512) * 512 for size in sizes), _SIZES)
    head = records(draw, (b"GNU.sparse.realsize", 9999), (b"GNU.sparse.major", 1))
    member = tars.header(
        NAME, seldom(draw, b"0", _ANY), size, magic=seldom(draw, tars.POSIX, _MAGIC)
    )
    return head + member + text + body(draw, max(size - 512, 0))


@st.composite
def _old_sparse(draw):
    regions = [(0, size) for size in draw(st.lists(_SIZES, max_size=6))]
    size = seldom(draw, sum(-(-size // 512) * 512 for _, size in regions), _SIZES)
    head = bytearray(tars.old_sparse(NAME, size, 10_000, regions))
    head[482] ^= seldom(draw, 0, st.just(1))
    return bytes(head) + body(draw, size)


_PIECES = st.one_of(
    _plain(),
    _bodiless(),
    _extended(),
    _sparse_in_header(),
    _sparse_in_body(),
    _old_sparse(),
    st.just(tars.long_name(NAME + b"\0") + tars.header(b"short")),
)


def numbered(pieces):
    """Give every header a name of its own, so that it is clear which of them were seen."""
    first, *parts = b"".join(pieces).split(NAME)
    names = [b"n%05d" % number + part for number, part in enumerate(parts)]
    stream = b"".join([first, *names]) + tars.END
    blocks = [stream[at : at + 512] for at in range(0, len(stream), 512)]
    return b"".join(tars.signed(block) if block[:1] == b"n" else block for block in blocks)


def members(stream):
    """What the splitter sees; None where it refuses."""
    try:
        return [entry.path for entry in split([stream]) if entry.kind not in ("g", "z")]
    except BackupError:
        return None


def extracted(stream):
    """What GNU tar sees."""
    with tempfile.TemporaryDirectory() as directory:
        words = ["tar", "-C", directory, "-xvf", "-"]
        result = subprocess.run(words, input=stream, capture_output=True, check=False)
    return result.stdout.splitlines()


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_PIECES, min_size=1, max_size=4).map(numbered))
def test_gnu_tar_extracts_the_members_that_we_see(stream):
    seen = members(stream)
    event("refused" if seen is None else f"{len(seen)} members")

    assert seen is None or seen == extracted(stream)
