import io

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from backup.errors import IntegrityError, UnsupportedFormat
from backup.repository import codec
from backup.repository.crypto import ENVELOPE_SIZE, Keys, digest
from backup.repository.names import PackId
from backup.repository.pack import PackBuilder, PackReader

KEYS = {
    "sealed": Keys(bytes(range(32)), sealed=True),
    "plain": Keys(bytes(range(32)), sealed=False),
}
CHUNKS = [b"first " * 30, b"x", b"", bytes(range(256)) * 4]
LARGEST = 1 << 20


def build(keys, chunks=CHUNKS):
    builder = PackBuilder(keys)
    for chunk in chunks:
        builder.add(keys.chunk_id(chunk), codec.compress(chunk), len(chunk))
    data, table = builder.finish()
    return bytes(data), table


def open_all(keys, data, pack):
    reader = PackReader.of_envelope(keys, pack, data, LARGEST)
    table = reader.table(data)
    return [reader.open(b, data[b.offset : b.offset + b.length]) for b in table.blobs]


@pytest.fixture(params=KEYS)
def keys(request):
    return KEYS[request.param]


@given(chunks=st.lists(st.binary(max_size=300), min_size=1, max_size=8))
@settings(max_examples=30)
@pytest.mark.parametrize("kind", KEYS)
def test_what_was_packed_is_unpacked(kind, chunks):
    data, table = build(KEYS[kind], chunks)

    assert open_all(KEYS[kind], data, table.pack) == chunks
    assert PackReader.of_envelope(KEYS[kind], table.pack, data, LARGEST).table(data) == table


def test_a_pack_is_named_by_its_bytes_and_its_table_tells_its_size(keys):
    data, table = build(keys)

    assert table.pack == digest(data)
    assert table.size == len(data)
    assert [blob.size for blob in table.blobs] == [len(chunk) for chunk in CHUNKS]
    assert table.blobs[0].offset == ENVELOPE_SIZE


def test_the_same_chunks_never_make_the_same_pack(keys):
    assert build(keys)[1].pack != build(keys)[1].pack


def test_without_encryption_a_zstd_decoder_gives_the_chunks():
    data, _ = build(KEYS["plain"])

    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True)

    assert reader.read() == b"".join(CHUNKS)


def test_encrypted_packs_show_nothing_of_their_chunks():
    data, table = build(KEYS["sealed"])

    assert b"first" not in data
    assert table.blobs[0].chunk.encode() not in data
    assert bytes.fromhex(table.blobs[0].chunk) not in data


def read_damaged(act):
    """What a damaged pack gives; None where the damage is noticed."""
    try:
        return act()
    except (IntegrityError, UnsupportedFormat):
        return None


@pytest.mark.parametrize("kind", KEYS)
def test_a_pack_with_a_changed_byte_never_gives_anything_but_its_chunks(kind):
    data, table = build(KEYS[kind])
    noticed = 0

    for at in range(len(data)):
        damaged = data[:at] + bytes([data[at] ^ 1 + at % 255]) + data[at + 1 :]
        got = read_damaged(lambda damaged=damaged: open_all(KEYS[kind], damaged, table.pack))
        assert got in (None, CHUNKS)
        noticed += got is None

    unsealed = 8 + (32 + 4 * 9 if kind == "plain" else 0)
    assert noticed >= len(data) - unsealed


def test_every_cut_off_pack_is_noticed(keys):
    data, table = build(keys)

    for length in range(len(data)):
        with pytest.raises(IntegrityError):
            open_all(keys, data[:length], table.pack)


def test_a_blob_in_the_place_of_another_is_noticed(keys):
    data, table = build(keys, [b"one", b"two"])
    first, second = table.blobs
    reader = PackReader.of_envelope(keys, table.pack, data, LARGEST)

    with pytest.raises(IntegrityError):
        reader.open(first, data[second.offset : second.offset + second.length])
    with pytest.raises(IntegrityError):
        reader.open(
            second._replace(chunk=first.chunk), data[second.offset : second.offset + second.length]
        )


def test_a_chunk_that_is_larger_than_any_is_refused(keys):
    data, table = build(keys, [bytes(5000)])
    reader = PackReader.of_envelope(keys, table.pack, data, 4999)

    with pytest.raises(IntegrityError, match="claims 5000 bytes, 4999 are allowed"):
        reader.open(table.blobs[0], data[table.blobs[0].offset :][: table.blobs[0].length])


def forged(blobs, tail=None):
    """A whole plain pack with this table."""
    keys = KEYS["plain"]
    data, _ = build(keys, [b"content"])
    head = data[: ENVELOPE_SIZE + len(codec.compress(b"content"))]
    table = codec.compress(blobs if isinstance(blobs, bytes) else msgspec.json.encode(blobs))
    length = len(table) if tail is None else tail
    return head + codec.skippable(table + length.to_bytes(4, "little"))


SIZE = len(codec.compress(b"content"))
BLOB = [KEYS["plain"].chunk_id(b"content").hex(), ENVELOPE_SIZE, SIZE, 7]


def test_a_table_made_by_the_book_is_read():
    data = forged([BLOB])

    assert open_all(KEYS["plain"], data, "p") == [b"content"]


@pytest.mark.parametrize(
    "data",
    [
        forged([]),
        forged([BLOB, BLOB]),
        forged([[BLOB[0], ENVELOPE_SIZE - 1, SIZE + 1, 7]]),
        forged([[BLOB[0], ENVELOPE_SIZE, SIZE - 1, 7]]),
        forged([[BLOB[0], ENVELOPE_SIZE, SIZE + 1, 7]]),
        forged([[BLOB[0], ENVELOPE_SIZE, -SIZE, 7]]),
        forged([[BLOB[0], ENVELOPE_SIZE, 0, 7], BLOB]),
        forged([BLOB[:3]]),
        forged([{"chunk": 1}]),
        forged({"blobs": []}),
        forged(b"no JSON"),
        forged(b'[["\xff",46,20,7]]'),
        forged([BLOB], tail=0),
        forged([BLOB], tail=1),
        forged([BLOB], tail=2**32 - 1),
        b"",
        bytes(100),
    ],
    ids=range(17),
)
def test_tables_that_do_not_fit_their_pack_are_refused(data):
    reader = PackReader.of_envelope(KEYS["plain"], PackId("p"), build(KEYS["plain"])[0], LARGEST)

    with pytest.raises(IntegrityError):
        reader.table(data)
