"""A file's content is the same in whichever way tar wrote it. GNU tar itself writes here."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup.content import content_digest
from backup.tar.split import split
from tests.sparse import DENSE, WAYS, sparse_file, tar_of
from tests.strategies import reused
from tests.tars import END, header, old_sparse, padded

KiB = 1024
FILES = {
    "empty": ([], 0),
    "only a hole": ([], 1 << 20),
    "one byte at the end": ([((1 << 20) - 1, b"x")], 1 << 20),
    "data, hole, data": ([(0, b"a" * 5000), (300 * KiB, b"b" * 70_000)], 400 * KiB),
    "hole at the end": ([(0, b"a" * 5000)], 1 << 20),
    "odd": ([(4096, b"a" * 4097), (65_536 * 3 + 4096, b"b")], 65_536 * 5 + 77),
    "zeros that are no hole": ([(0, bytes(200 * KiB)), (300 * KiB, b"x")], 500 * KiB),
    "many regions": ([(n * 8 * KiB, b"%d" % n * 50) for n in range(60)], 1 << 20),
}


def digests(tar):
    return [content_digest(entry) for entry in split(reused([tar])) if entry.kind == "f"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", WAYS)
def test_sparse_and_dense_forms_have_one_digest(tmp_path, way, name):
    regions, size = FILES[name]
    sparse_file(tmp_path / "file", regions, size)

    assert digests(tar_of(tmp_path, WAYS[way], "file")) == digests(tar_of(tmp_path, DENSE, "file"))


def test_different_contents_have_different_digests(tmp_path):
    for number, (regions, size) in enumerate(FILES.values()):
        sparse_file(tmp_path / str(number), regions, size)
    names = [str(number) for number in range(len(FILES))]

    assert len(set(digests(tar_of(tmp_path, DENSE, *names)))) == len(FILES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"", b"\0"),
        (b"\0", b"\0\0"),
        (b"a", b"a\0"),
        (b"a" + bytes(65_535) + b"b", b"a" + bytes(65_536) + b"b"),
        (bytes(65_536) + b"a", b"a" + bytes(65_536)),
        (bytes(65_536) + b"a" + bytes(65_535), bytes(131_072) + b"a"),
    ],
    ids=range(6),
)
def test_sizes_and_places_count(one, other):
    tar = b"".join(header(b"f", size=len(body)) + padded(body) for body in (one, other))

    first, second = digests(tar + END)

    assert first != second


def test_a_hole_of_a_tebibyte_costs_nothing(tmp_path):
    sparse_file(tmp_path / "file", [(1 << 40, b"end")], (1 << 40) + 3)

    same = {digests(tar_of(tmp_path, options, "file"))[0] for options in WAYS.values()}

    assert len(same) == 1


def test_a_digest_is_what_its_description_says():
    body = b"x" * 70_000
    window = 65_536
    expected = hashlib.blake2b(len(body).to_bytes(8, "big"), digest_size=32)
    expected.update((0).to_bytes(8, "big") + body[:window])
    expected.update((1).to_bytes(8, "big") + body[window:].ljust(window, b"\0"))

    assert digests(header(b"f", size=len(body)) + padded(body) + END) == [expected.digest()]


pieces = st.lists(
    st.tuples(st.integers(1, 70_000), st.sampled_from([b"\0", b"a"])), min_size=1, max_size=8
)


@given(pieces, st.lists(st.integers(1, 90_000), max_size=10))
@settings(max_examples=40)
def test_any_map_and_any_blocks_give_the_digest_of_the_whole(parts, steps):
    body = b"".join(byte * size for size, byte in parts)
    regions, at = [], 0
    for size, byte in parts:
        if byte != b"\0":
            regions.append((at, size))
        at += size
    stored = b"".join(padded(body[start : start + size]) for start, size in regions)
    sparse = old_sparse(b"f", len(stored), len(body), regions or [(len(body), 0)]) + stored + END
    blocks, rest = [], sparse
    for step in steps:
        blocks.append(rest[:step])
        rest = rest[step:]

    found = [content_digest(e) for e in split(reused([*blocks, rest])) if e.kind == "f"]

    assert found == digests(header(b"f", size=len(body)) + padded(body) + END)
