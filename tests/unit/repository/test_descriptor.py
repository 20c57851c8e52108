import re
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from backup.errors import IntegrityError, NotARepository, RepositoryError, UnsupportedFormat
from backup.repository import create, open_repository, read_descriptor
from backup.repository.descriptor import (
    DATA_CHUNKS,
    MANIFEST_CHUNKS,
    ChunkerParameters,
    Descriptor,
    decode,
    encode,
)
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, NOW, password_of, sealed

KEY = bytes(range(32))
GOOD = Descriptor("1f" * 32, NOW, "aes-256-gcm").signed(KEY)


def test_what_was_written_can_be_read():
    assert decode(encode(GOOD)) == GOOD
    GOOD.verify(KEY)


def test_it_is_text_that_a_person_can_read():
    lines = encode(GOOD).decode().splitlines()

    assert (lines[0], lines[-1]) == ("{", "}")
    assert '  "cipher": "aes-256-gcm",' in lines
    assert '  "created": "2026-11-25T03:00:00Z",' in lines


def test_times_with_microseconds_and_zones_survive():
    for moment in (NOW.replace(microsecond=123456), NOW.astimezone(timezone(timedelta(hours=2)))):
        made = Descriptor("1f", moment, "none").signed(KEY)
        assert decode(encode(made)) == made


def test_the_format_has_the_parameters_that_deduplication_depends_on():
    assert ChunkerParameters(256 << 10, 1 << 20, 4 << 20, "fastcdc-2020") == DATA_CHUNKS
    assert ChunkerParameters(64 << 10, 256 << 10, 1 << 20, "fastcdc-2020") == MANIFEST_CHUNKS


@pytest.mark.parametrize(
    "change",
    [
        {"id": "2f" * 32},
        {"created": datetime(2020, 1, 1, tzinfo=UTC)},
        {"cipher": "none"},
        {"data_chunks": ChunkerParameters(256 << 10, 1 << 20, 8 << 20)},
        {"manifest_chunks": DATA_CHUNKS},
        {"mac": ""},
        {"mac": "00" * 32},
    ],
    ids=str,
)
def test_every_field_is_authenticated(change):
    forged = msgspec.structs.replace(GOOD, **change)

    with pytest.raises(IntegrityError):
        decode(encode(forged)).verify(KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"manifest_chunks": ChunkerParameters(64 << 10, 256 << 10, DATA_CHUNKS.maximum + 1)},
        {"data_chunks": ChunkerParameters(0, 1 << 20, 4 << 20)},
        {"data_chunks": ChunkerParameters(2 << 20, 1 << 20, 4 << 20)},
        {"data_chunks": ChunkerParameters(256 << 10, 8 << 20, 4 << 20)},
        {"manifest_chunks": ChunkerParameters(-1, 256 << 10, 1 << 20)},
    ],
    ids=str,
)
def test_bounds_by_which_nothing_readable_can_be_written_are_refused(change):
    """A chunk of a manifest may not be larger than the largest that a reader takes."""
    made = msgspec.structs.replace(GOOD, **change).signed(KEY)

    with pytest.raises(IntegrityError, match="asks for chunks that cannot be"):
        decode(encode(made))


def test_another_key_does_not_fit():
    with pytest.raises(IntegrityError):
        GOOD.verify(bytes(32))


def test_the_same_said_in_other_bytes_is_refused():
    text = encode(GOOD)

    for other in (text[:-1], text + b"\n", text.replace(b"  ", b" "), text.replace(b"1f", b"1F")):
        with pytest.raises(IntegrityError):
            decode(other).verify(KEY)


@pytest.mark.parametrize("data", [b"", b"x", b"[]", b"{}", b"\xff", b'{"format": "1"}'], ids=str)
def test_what_is_no_descriptor_is_no_repository(data):
    with pytest.raises(NotARepository, match=r"voltar\.json is not one of ours"):
        decode(data)


def test_a_later_format_is_said_to_be_one():
    with pytest.raises(UnsupportedFormat, match="has the format 2, this voltar knows 1") as later:
        decode(encode(GOOD).replace(b'"format": 1', b'"format": 2'))

    assert "newer" in str(later.value.hint)


def test_an_unknown_field_is_damage():
    with pytest.raises(IntegrityError, match=r"voltar\.json is damaged"):
        decode(encode(GOOD).replace(b'"format"', b'"x": 1,\n  "format"'))


@pytest.mark.parametrize("kind", MAKERS)
def test_every_flipped_bit_of_it_is_noticed(kind):
    store = MemoryStore()
    password = password_of(MAKERS[kind](store))
    good = store.objects["voltar.json"]
    unnoticed = []

    for at, bit in ((at, bit) for at in range(len(good)) for bit in range(8)):
        store.objects["voltar.json"] = good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
        try:
            open_repository(store, password)
            unnoticed.append((at, bit))
        except RepositoryError:
            pass

    assert unnoticed == []


@pytest.mark.parametrize("kind", MAKERS)
def test_every_cut_off_one_is_noticed(kind):
    store = MemoryStore()
    password = password_of(MAKERS[kind](store))
    good = store.objects["voltar.json"]

    for length in range(len(good)):
        store.objects["voltar.json"] = good[:length]
        with pytest.raises(RepositoryError):
            open_repository(store, password)


def test_an_unencrypted_one_put_in_its_place_gets_nothing_for_a_password():
    store, other = MemoryStore(), MemoryStore()
    sealed(store)
    create(other, None)
    store.objects["voltar.json"] = other.objects["voltar.json"]

    with pytest.raises(RepositoryError, match=re.escape("not encrypted, and a password was given")):
        open_repository(store, "correct horse")


def test_that_of_another_repository_is_refused():
    store, other = MemoryStore(), MemoryStore()
    sealed(store)
    sealed(other, 1)
    store.objects["voltar.json"] = other.objects["voltar.json"]

    with pytest.raises(RepositoryError):
        open_repository(store, "correct horse")


def test_an_empty_place_is_no_repository_and_says_what_to_do():
    with pytest.raises(NotARepository, match="there is no repository at memory:") as nothing:
        read_descriptor(MemoryStore())

    assert "voltar init" in str(nothing.value.hint)
