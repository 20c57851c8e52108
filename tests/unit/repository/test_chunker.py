"""Where streams are cut. The golden cut points are in tests/golden/test_chunker.py."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup.repository.chunker import Cutter
from backup.repository.descriptor import DATA_CHUNKS, ChunkerParameters
from tests.strategies import reused
from tests.tars import noise

SMALL = ChunkerParameters(minimum=256, average=1024, maximum=4096)
SEED = 0x0123456789ABCDEF


def cut(blocks, parameters=SMALL, seed=SEED):
    cutter = Cutter(parameters, seed)
    return [chunk for block in blocks for chunk in cutter.feed(block)] + list(cutter.end())


contents = st.one_of(
    st.binary(max_size=9000),
    st.integers(0, 60_000).map(noise),
    st.integers(0, 60_000).map(bytes),
    st.builds(lambda piece, n: piece * n, st.binary(min_size=1, max_size=40), st.integers(0, 900)),
)


@given(contents, st.lists(st.integers(1, 20_000), max_size=20))
def test_chunks_are_the_stream_whatever_its_blocks(content, sizes):
    blocks, rest = [], content
    for size in sizes:
        blocks.append(rest[:size])
        rest = rest[size:]

    chunks = cut(reused([*blocks, rest]))

    assert b"".join(chunks) == content
    assert chunks == cut([content])


@given(contents)
def test_chunks_keep_their_bounds(content):
    chunks = cut([content])

    assert all(SMALL.minimum <= len(chunk) <= SMALL.maximum for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= SMALL.maximum for chunk in chunks[-1:])


@given(st.integers(0, 200_000), st.binary(min_size=1, max_size=300))
@settings(max_examples=50)
def test_an_insertion_changes_few_chunks(at, inserted):
    content = noise(200_000)
    before = cut([content])

    after = cut([content[:at] + inserted + content[at:]])

    assert len(set(after) - set(before)) <= 6


def test_streams_are_cut_each_for_itself():
    cutter = Cutter(SMALL, SEED)
    first, second = noise(50_000, b"1"), noise(50_000, b"2")

    chunks = [*cutter.feed(first), *cutter.end(), *cutter.feed(second), *cutter.end()]

    assert chunks == cut([first]) + cut([second])


def test_nothing_is_no_chunk():
    assert cut([]) == []
    assert cut([b"", b""]) == []


def test_another_seed_cuts_elsewhere():
    content = noise(500_000)

    assert len(set(cut([content])) & set(cut([content], seed=SEED + 1))) < 10


def test_chunks_are_of_the_size_that_was_asked_for():
    content = noise(24 << 20)

    sizes = [len(chunk) for chunk in cut([content], DATA_CHUNKS)]

    assert DATA_CHUNKS.average * 0.6 < sum(sizes) / len(sizes) < DATA_CHUNKS.average * 1.7


@pytest.mark.parametrize("step", [1000, 65_536, 5 << 20], ids=str)
def test_large_streams_are_held_in_part_only(step):
    cutter = Cutter(SMALL, SEED)
    content = noise(300_000)
    held = 0

    for at in range(0, len(content), step):
        held += len(content[at : at + step])
        held -= sum(map(len, cutter.feed(content[at : at + step])))

        assert held < 2 * SMALL.maximum
