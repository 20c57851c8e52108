"""Pieces of streams: blocks gathered, frames taken apart, stderr kept within bounds."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.engine.gather import gathered
from backup.engine.session import KEPT, Frames, Tail


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(4, 40))
def test_gathered_blocks_are_the_same_bytes(sizes: list[int], size: int) -> None:
    counter = itertools.count()
    blocks = [bytes(next(counter) % 256 for _ in range(n)) for n in sizes]

    pieces = [bytes(piece) for piece in gathered(blocks, size)]

    assert b"".join(pieces) == b"".join(blocks)
    assert all(0 < len(piece) <= size for piece in pieces)


def test_small_blocks_travel_together() -> None:
    pieces = [bytes(piece) for piece in gathered([b"x"] * 1000, 100)]

    assert len(pieces) == 10


def test_a_large_block_is_not_copied() -> None:
    block = bytes(100)

    (piece,) = gathered([block], 100)

    assert piece.obj is block


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=30)), max_size=20),
    st.integers(1, 17),
)
def test_frames_are_found_wherever_the_pieces_are_cut(
    frames: list[tuple[int, bytes]], cut: int
) -> None:
    wire = b"".join(struct.pack(">BxxxI", kind, len(body)) + body for kind, body in frames)
    parser = Frames()
    found: dict[int, bytes] = {1: b"", 2: b""}

    for start in range(0, len(wire), cut):
        for kind, piece in parser.feed(memoryview(wire)[start : start + cut]):
            found[kind] += bytes(piece)

    assert found[1] == b"".join(body for kind, body in frames if kind == 1)
    assert found[2] == b"".join(body for kind, body in frames if kind == 2)


def test_the_tail_joins_lines_that_come_in_pieces() -> None:
    tail = Tail()

    for piece in (b"tar: a: ", b"changed\ntar: b", b": gone"):
        tail.add(piece)

    assert tail.text == "tar: a: changed\ntar: b: gone"
    assert tail.dropped == 0


def test_the_tail_is_bounded_and_counts_what_it_dropped() -> None:
    tail = Tail()
    line = b"x" * 999 + b"\n"

    for _ in range(2000):
        tail.add(line)

    assert len(tail.text) <= KEPT
    assert tail.dropped + tail.text.count("x" * 999) == 2000


@pytest.mark.parametrize("piece", [b"y" * (3 * KEPT), b"y" * KEPT + b"\n"])
def test_a_line_without_end_is_bounded_too(piece: bytes) -> None:
    tail = Tail()

    tail.add(piece)

    assert len(tail.text) <= KEPT + 1


def test_undecodable_bytes_are_escaped() -> None:
    tail = Tail()

    tail.add(b"tar: \xff: gone\n")

    assert tail.text == "tar: \\xff: gone"
