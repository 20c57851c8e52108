import io

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from backup.errors import IntegrityError
from backup.repository import codec

CONTENT = b"a text that compresses, compresses, compresses" * 20


@given(st.binary(max_size=5000))
def test_what_was_compressed_is_decompressed(content):
    assert codec.decompress(codec.compress(content), limit=len(content)) == content


def test_what_does_not_compress_hardly_grows():
    content = zstandard.ZstdCompressor().compress(bytes(range(256)) * 4000)

    assert len(codec.compress(content)) < len(content) + 32


def test_every_changed_byte_of_a_frame_is_noticed():
    frame = codec.compress(CONTENT)

    for at in range(len(frame)):
        damaged = bytearray(frame)
        damaged[at] ^= 0x55
        with pytest.raises(IntegrityError):
            codec.decompress(bytes(damaged), limit=len(CONTENT))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x28",
        b"no frame at all",
        codec.compress(CONTENT)[:-1],
        codec.compress(CONTENT)[:5],
        codec.compress(CONTENT) + b"\0",
        codec.compress(CONTENT) * 2,
        codec.skippable(b"x") + b"\0",
        zstandard.ZstdCompressor(write_content_size=False).compress(CONTENT),
    ],
    ids=range(9),
)
def test_what_is_not_one_whole_frame_is_refused(data):
    with pytest.raises(IntegrityError):
        codec.decompress(data, limit=1 << 20)


def test_a_frame_that_would_be_too_large_is_refused_before_it_is_unpacked():
    bomb = codec.compress(bytes(64 << 20))

    with pytest.raises(IntegrityError, match=f"claims {64 << 20} bytes, 1000 are allowed"):
        codec.decompress(bomb, limit=1000)


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_a_payload_comes_back_and_decoders_pass_over_it(payload, rest):
    data = codec.skippable(payload) + rest

    assert bytes(codec.skippable_payload(data)) == payload
    whole = codec.skippable(payload) + codec.compress(CONTENT)
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(whole), read_across_frames=True)
    assert reader.read() == CONTENT


@pytest.mark.parametrize(
    "data",
    [b"", b"1234567", codec.compress(b"x"), codec.skippable(b"12345")[:-1], b"\0" * 60],
    ids=range(5),
)
def test_what_is_no_skippable_frame_is_refused(data):
    with pytest.raises(IntegrityError):
        codec.skippable_payload(data)
