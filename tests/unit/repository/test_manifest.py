import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.errors import IntegrityError
from backup.repository.manifest import (
    EXTENTS_PER_RECORD,
    Extent,
    Line,
    Member,
    More,
    Note,
    chunk_of,
    decode_lines,
    encode_line,
    head_to_bytes,
    head_to_text,
    to_bytes,
    to_text,
)
from tests.strategies import reused

CHUNK = "0f" * 32
MEMBER = Member("a\xff/b", "f", 0o644, 4_000_000_000, 0, 5, -1, "", "head", 5, [])

texts = st.binary(max_size=40).map(to_text)
extents = st.builds(
    Extent,
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.integers(0, 2**40),
    st.integers(1, 2**40),
)
members = st.builds(
    Member,
    path=texts,
    kind=st.sampled_from("fdlhcbpgz"),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 1),
    gid=st.integers(0, 2**32 - 1),
    size=st.integers(0, 2**63 - 1),
    mtime_ns=st.integers(-(2**80), 2**80),
    link=texts,
    head=st.binary(max_size=2000).map(head_to_text),
    body_size=st.integers(0, 2**63 - 1),
    extents=st.lists(extents, max_size=4),
    padding=texts,
    inode=st.integers(0, 2**64 - 1),
    ctime_ns=st.integers(-(2**80), 2**80),
    links=st.integers(0, 2**32),
    device=st.integers(0, 2**64 - 1),
)
notes = st.builds(Note, texts, st.text(max_size=40))
lines = st.lists(
    st.one_of(members, st.builds(More, st.lists(extents, min_size=1, max_size=4)), notes),
    max_size=6,
)


@given(lines, st.integers(1, 700))
def test_records_are_read_as_they_were_written(records, step):
    text = b"".join(encode_line(record) for record in records)
    blocks = [text[at : at + step] for at in range(0, len(text), step)]

    assert list(decode_lines(reused(blocks))) == records


def test_a_body_of_very_many_extents_is_read_as_it_was_written():
    many = [Extent(CHUNK, n, 1) for n in range(EXTENTS_PER_RECORD)]
    member = MEMBER.__class__(**{**fields(MEMBER), "extents": many})
    records: list[Line] = [member, More(many), More(many[:1])]
    text = b"".join(map(encode_line, records))

    assert list(decode_lines([text])) == records
    assert text.count(b"\n") == 3


def fields(member):
    return {name: getattr(member, name) for name in member.__struct_fields__}


def test_a_record_is_one_line_of_json():
    assert json.loads(encode_line(MEMBER)) == [
        "m", "a\xff/b", "f", 0o644, 4_000_000_000, 0, 5, -1, "", "head", 5, [], "", 0, 0, 0, 0,
    ]  # fmt: skip
    assert json.loads(encode_line(More([Extent(CHUNK, 1, 2)]))) == ["+", [[CHUNK, 1, 2]]]
    assert json.loads(encode_line(Note("a\nb", "gone"))) == ["!", "a\nb", "gone"]
    assert encode_line(Note("a\nb", "gone")).count(b"\n") == 1


def test_records_of_an_earlier_voltar_may_be_shorter():
    short = b'["m","a","f",420,0,0,0,0,"","",0,[]]\n'

    assert list(decode_lines([short])) == [Member("a", "f", 420, 0, 0, 0, 0, "", "", 0, [])]


@pytest.mark.parametrize(
    "text",
    [
        encode_line(MEMBER)[:-1],
        encode_line(MEMBER)[1:],
        encode_line(MEMBER) + b"x",
        b"\n",
        b"[]\n",
        b'["?","a"]\n',
        b'["m","a"]\n',
        b'["m",1,"f",420,0,0,0,0,"","",0,[]]\n',
        b'["+",[["00",0]]]\n',
        b'["!","a","\xff"]\n',
        encode_line(MEMBER) + b"\n",
        encode_line(MEMBER)[:-1] + encode_line(MEMBER),
        encode_line(MEMBER).replace(b",", b",\n", 1),
    ],
    ids=range(13),
)
def test_damaged_manifests_are_refused(text):
    with pytest.raises(IntegrityError, match="a manifest"):
        list(decode_lines([text]))


def test_records_before_the_damage_are_given_first():
    records = decode_lines([encode_line(MEMBER), b"damage\n"])

    assert next(records) == MEMBER
    with pytest.raises(IntegrityError):
        next(records)


@given(st.binary(max_size=3000))
def test_any_head_comes_back(head):
    assert head_to_bytes(head_to_text(head)) == head


zeros = st.integers(0, 0x1900 * 2 + 9).map(bytes)


@given(st.lists(st.one_of(zeros, st.binary(min_size=1, max_size=5)), max_size=6).map(b"".join))
def test_any_run_of_zeros_comes_back(head):
    assert head_to_bytes(head_to_text(head)) == head


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 0x18FE, 0x18FF, 0x1900, 0x1904, 0x31FE, 100_000])
def test_runs_of_zeros_of_every_length_come_back(length):
    head = b"a" + bytes(length) + b"\xff"

    assert head_to_bytes(head_to_text(head)) == head


def test_headers_shrink():
    assert len(head_to_text(b"name".ljust(512, b"\0"))) == 5
    assert head_to_text(b"\0\0\0") == "\0\0\0"
    assert head_to_text(bytes(4)) == "\ue004"


@given(st.binary())
def test_any_bytes_come_back(data):
    assert to_bytes(to_text(data)) == data


@pytest.mark.parametrize("text", ["\u0100", "a\ue003", "\uf900", "\U0001f600"])
def test_characters_that_are_no_bytes_are_damage(text):
    with pytest.raises(IntegrityError):
        to_bytes(text)
    with pytest.raises(IntegrityError):
        head_to_bytes(text)


@pytest.mark.parametrize("text", ["0", "zz" * 32, "\u0660" * 64])
def test_impossible_chunks_are_damage(text):
    with pytest.raises(IntegrityError):
        chunk_of(Extent(text, 0, 1))


def test_possible_chunks_are_ids():
    assert chunk_of(Extent(CHUNK, 0, 1)) == b"\x0f" * 32
