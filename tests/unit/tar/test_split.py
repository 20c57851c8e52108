import io
import tarfile

import pytest

from backup.tar.split import MalformedArchive, TruncatedArchive, join, padding_of, split
from tests import tars
from tests.tars import (
    END,
    GNU,
    V7,
    extended,
    extended_raw,
    header,
    long_name,
    octal,
    padded,
    record,
)


def read(stream):
    """Split a stream into entries and their whole bodies."""
    return [(entry, b"".join(bytes(piece) for piece in entry.body)) for entry in split([stream])]


def only(stream):
    """The first of two entries, where the second is the end."""
    (entry, _), (end, _) = read(stream)
    assert end.kind == "z"
    return entry


def seen(stream):
    return [(entry.kind, entry.path, body) for entry, body in read(stream) if entry.kind != "z"]


def joined(stream):
    return b"".join(bytes(block) for block in join(split([stream])))


def refused(stream):
    with pytest.raises(MalformedArchive) as caught:
        read(stream)
    return str(caught.value)


# --- entries


def test_an_entry_says_what_its_header_says():
    block = header(
        b"dir/name",
        size=5,
        at={100: b"0004755\0", 108: b"0000106\0", 116: b"0000107\0", 136: octal(1_600_000_000)},
    )
    entry, body = read(block + padded(b"hello") + END)[0]

    assert body == b"hello"
    assert (entry.head, entry.kind, entry.path, entry.link) == (block, "f", b"dir/name", b"")
    assert (entry.mode, entry.uid, entry.gid) == (0o4755, 70, 71)
    assert (entry.size, entry.body_size, entry.padding) == (5, 5, b"")
    assert entry.mtime_ns == 1_600_000_000_000_000_000
    assert (entry.major, entry.minor, entry.pax) == (0, 0, {})


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (b"0", "f"), (b"\0", "f"), (b"7", "f"), (b"1", "h"), (b"2", "l"), (b"3", "c"),
        (b"4", "b"), (b"5", "d"), (b"6", "p"), (b"D", "d"), (b"A", "f"), (b"N", "f"), (b"Q", "f"),
    ],
)  # fmt: skip
def test_types_become_kinds(kind, wanted):
    assert wanted == only(header(b"x", kind) + END).kind


@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
def test_a_file_with_a_slash_at_its_end_is_a_directory(kind):
    assert only(header(b"x/", kind) + END).kind == "d"


def test_devices_have_numbers_and_others_have_none():
    numbers = {329: b"0000010\0", 337: b"0000003\0"}

    device = only(header(b"x", b"3", at=numbers) + END)
    file = only(header(b"x", b"0", at=numbers) + END)

    assert (device.major, device.minor) == (8, 3)
    assert (file.major, file.minor) == (0, 0)


def test_prefix_and_name_are_put_together_in_posix_archives_only():
    at = {345: b"some/prefix"}

    assert only(header(b"name", at=at) + END).path == b"some/prefix/name"
    assert only(header(b"name", at=at, magic=GNU) + END).path == b"name"
    assert only(header(b"name", at=at, magic=V7) + END).path == b"name"


def test_a_name_may_fill_its_field():
    assert only(header(b"n" * 100, b"2", link=b"l" * 100) + END).path == b"n" * 100
    assert only(header(b"n" * 100, b"2", link=b"l" * 100) + END).link == b"l" * 100


def test_long_names_of_gnu_replace_the_short_ones():
    name, link = b"n" * 300, b"l" * 600
    head = (
        long_name(link + b"\0", kind=b"K") + long_name(name + b"\0") + header(b"n", b"2", link=b"l")
    )
    entry = only(head + END)

    assert (entry.head, entry.path, entry.link) == (head, name, link)


def test_an_empty_long_name_is_a_name():
    assert only(long_name(b"\0") + header(b"real") + END).path == b""


def test_records_of_an_extended_header_come_first():
    head = (
        long_name(b"long\0")
        + extended(
            (b"path", b"the path"), (b"linkpath", b"the link"), (b"uid", b"4000000000"),
            (b"gid", b"65534"), (b"mtime", b"1.5"), (b"SCHILY.xattr.user.x", b"\0\n=\xff"),
        )
        + header(b"name", b"2", link=b"link")
    )  # fmt: skip
    entry = only(head + END)

    assert entry.head == head
    assert (entry.path, entry.link) == (b"the path", b"the link")
    assert (entry.uid, entry.gid, entry.mtime_ns) == (4_000_000_000, 65534, 1_500_000_000)
    assert entry.pax["SCHILY.xattr.user.x"] == b"\0\n=\xff"


def test_solaris_extended_headers_are_extended_headers():
    assert only(extended((b"path", b"p"), kind=b"X") + header(b"n") + END).path == b"p"


def test_an_extended_header_is_for_one_entry():
    stream = extended((b"path", b"p")) + header(b"a") + header(b"b") + END

    assert [path for _, path, _ in seen(stream)] == [b"p", b"b"]


def test_the_size_of_a_body_may_be_a_record():
    stream = extended((b"size", b"3")) + header(b"a", size=0) + padded(b"abc") + END

    assert seen(stream) == [("f", b"a", b"abc")]


def test_global_records_are_for_all_that_follow():
    head = extended((b"path", b"global"), (b"uid", b"7"), kind=b"g")
    stream = head + header(b"a") + extended((b"path", b"own")) + header(b"b") + END
    about, first, second, _ = [entry for entry, _ in read(stream)]

    assert (about.kind, about.head, about.path) == ("g", head, b"")
    assert (first.path, first.uid) == (b"global", 7)
    assert (second.path, second.uid) == (b"own", 7)
    assert second.pax == {"path": b"own", "uid": b"7"}


def test_a_global_header_that_says_two_things_is_refused():
    """GNU tar goes by the first, and what others take for the body may be a member to it."""
    head = extended((b"size", b"1"), (b"mtime", b"7"), (b"size", b"0"), kind=b"g")

    with pytest.raises(MalformedArchive, match="two records of one key"):
        list(split([head + header(b"a", b"0", 1) + padded(b"a") + END]))


def test_a_global_header_replaces_the_one_before():
    one, two = extended((b"uid", b"7"), kind=b"g"), extended((b"gid", b"8"), kind=b"g")
    entry = read(one + two + header(b"a") + END)[2][0]

    assert (entry.uid, entry.gid) == (0, 8)


def test_a_volume_label_is_about_the_archive():
    shared = extended((b"uid", b"7"), kind=b"g")
    stream = shared + extended((b"gid", b"9")) + header(b"label", b"V") + header(b"a") + END
    label, file = [entry for entry, _ in read(stream)][1:3]

    assert (label.kind, label.path) == ("g", b"")
    assert (file.uid, file.gid) == (7, 0)


@pytest.mark.parametrize("trailer", [bytes(512), bytes(1024), bytes(10240), bytes(512) + b"junk"])
def test_everything_from_the_first_zero_block_on_is_the_end(trailer):
    (_, _), (end, body) = read(header(b"a") + trailer)

    assert (end.kind, end.head, end.body_size, body) == ("z", b"", None, trailer)


def test_an_archive_without_entries_is_an_archive():
    assert [body for _, body in read(END)] == [b"\0" * 1024]


# --- bodies


def test_a_body_that_is_not_read_is_skipped():
    stream = header(b"a", size=1500) + padded(b"x" * 1500) + header(b"b") + END

    assert [entry.path for entry in split([stream])] == [b"a", b"b", b""]


def test_a_body_that_is_read_in_part_is_skipped():
    stream = header(b"a", size=1500) + padded(b"x" * 1500) + header(b"b") + END
    found = []
    for entry in split(stream[at : at + 100] for at in range(0, len(stream), 100)):
        found.append(entry.path)
        next(entry.body, None)

    assert found == [b"a", b"b", b""]


def test_a_body_is_not_there_any_more_after_the_next_entry():
    stream = header(b"a", size=3) + padded(b"abc") + header(b"b", size=3) + padded(b"def") + END
    entries = split([stream])
    first, second = next(entries), next(entries)

    assert list(first.body) == []
    assert b"".join(second.body) == b"def"


def test_the_end_is_read_to_its_end_even_if_nobody_wants_it():
    blocks = iter([header(b"a") + END, b"more", b"and more"])

    assert len(list(split(blocks))) == 2
    assert list(blocks) == []


def test_bodies_are_slices_of_the_blocks():
    block = bytearray(header(b"a", size=1000) + padded(b"x" * 1000) + END)
    entry = next(split([memoryview(block)]))
    piece = next(entry.body)
    block[512:515] = b"new"

    assert bytes(piece[:4]) == b"newx"


def test_padding_that_is_not_zeros_is_kept():
    stream = header(b"a", size=3) + b"abc" + b"\0" * 508 + b"!" + header(b"b") + END
    entry, _ = read(stream)[0]

    assert entry.padding == b"\0" * 508 + b"!"
    assert stream == joined(stream)


def test_padding_fills_blocks():
    assert [padding_of(size) for size in (0, 1, 511, 512)] == [0, 511, 1, 0]


# --- numbers and times


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"000644 \0", 0o644),
        (b"   644 \0", 0o644),
        (b"0000644 ", 0o644),
        (b"00000644", 0o644),
        (b"644\0\0\0\0\0", 0o644),
        (b"644\0junk", 0o644),
        (b"\0000644\0\0", 0o644),
        (bytes(8), 0),
        (b"\x80\0\0\0\0\0\1\0", 256),
        (b"\x80\0\0\0\xee\x6b\x28\0", 4_000_000_000),
    ],
)
def test_numbers_are_read_as_gnu_tar_reads_them(field, value):
    assert value == only(header(b"a", at={108: field}) + END).uid


@pytest.mark.parametrize(
    "field",
    [
        b"        ", b"\0       ", b"0000648\0", b"0000800\0", b"-0000001", b"+0000644",
        b"1_000_0\0", b"\xff" * 8, b"\x81\0\0\0\0\0\0\1", b"\x80\0\0\1\0\0\0\0",
        b"644junk\0", b"0x00644\0",
    ],
)  # fmt: skip
def test_other_numbers_are_refused(field):
    assert refused(header(b"a", at={108: field}) + END)


@pytest.mark.parametrize(
    ("field", "ns"),
    [
        ((-1).to_bytes(12, "big", signed=True), -1_000_000_000),
        ((-(2**31) - 1).to_bytes(12, "big", signed=True), -2_147_483_649_000_000_000),
        (b"\x80" + (2**33).to_bytes(11, "big"), 8_589_934_592_000_000_000),
        (b"77777777777\0", (8**11 - 1) * 10**9),
        (b"777777777777", (8**12 - 1) * 10**9),
    ],
)
def test_times_may_be_negative_and_far_away(field, ns):
    assert ns == only(header(b"a", at={136: field}) + END).mtime_ns


@pytest.mark.parametrize("field", [b"\x80" + b"\xff" * 11, b"\xff" + b"\0" * 11])
def test_numbers_of_more_than_64_bits_are_refused(field):
    assert "out of range" in refused(header(b"a", at={136: field}) + END)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"0", 0),
        (b"1700000000.123456789", 1_700_000_000_123_456_789),
        (b"1700000000.1", 1_700_000_000_100_000_000),
        (b"1700000000.", 1_700_000_000_000_000_000),
        (b"1.0000000019", 1_000_000_001),
        (b"-1", -1_000_000_000),
        (b"-0.5", -500_000_000),
        (b"-0.000000001", -1),
        (b"-1.100000000", -1_100_000_000),
        (b"-1.1000000000", -1_100_000_000),
        (b"-1.1000000001", -1_100_000_001),
        (b"15032385535.999999999", 15_032_385_535_999_999_999),
    ],
)
def test_times_in_records_are_exact(text, ns):
    assert ns == only(extended((b"mtime", text)) + header(b"a") + END).mtime_ns


@pytest.mark.parametrize(
    "text",
    [
        b"", b"x", b".5", b"1e-05", b"1e+16", b"--1", b"+1", b"1.2.3", b"1,5", b"inf", b"9" * 19,
        b"9" * 5000 + b".123456789",
    ],
)  # fmt: skip
def test_times_that_are_none_are_refused(text):
    assert "time" in refused(extended((b"mtime", text)) + header(b"a") + END)


@pytest.mark.parametrize("key", [b"uid", b"gid", b"size"])
@pytest.mark.parametrize("text", [b"", b"-1", b"x", b"1.5", b" 1", b"9" * 19, b"9" * 5000])
def test_whole_numbers_that_are_none_are_refused(key, text):
    assert key.decode() in refused(extended((key, text)) + header(b"a") + END)


# --- what is refused


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 513, 1024, 1535, 1536, 1537, 2047])
def test_a_stream_that_ends_too_early_is_never_a_whole_one(cut):
    stream = header(b"a", size=700) + padded(b"\0" * 700) + END

    with pytest.raises(TruncatedArchive):
        read(stream[:cut])


def test_a_truncated_archive_says_where_it_ends():
    stream = header(b"dir/a", size=700) + padded(b"x" * 700) + END

    with pytest.raises(TruncatedArchive, match="empty"):
        read(b"")
    with pytest.raises(TruncatedArchive, match=r"byte 900, in dir/a"):
        read(stream[:900])
    with pytest.raises(TruncatedArchive, match=r"byte 1536, after dir/a"):
        read(stream[:1536])
    with pytest.raises(TruncatedArchive, match=r"\(byte 100\)"):
        read(stream[:100])


def test_a_malformed_archive_says_where():
    message = refused(header(b"a\x1b", size=1) + padded(b"x") + b"\1" * 512)

    assert "(byte 1024, after a\\x1b)" in message


def test_a_header_with_a_wrong_sum_is_refused():
    block = bytearray(header(b"name"))
    block[0] += 1

    assert "checksum" in refused(bytes(block) + END)


def test_sums_over_signed_bytes_are_right_too():
    block = bytearray(header(b"gr\xfc\xdfe"))
    unsigned = int(block[148:154], 8)
    block[148:156] = b"%06o\0 " % (unsigned - 2 * 256)

    assert only(bytes(block) + END).path == b"gr\xfc\xdfe"


def test_sums_in_other_spellings_are_right_too():
    block = bytearray(header(b"name"))
    block[148:156] = b"%7o\0" % int(block[148:154], 8)

    assert only(bytes(block) + END).path == b"name"


def test_sums_over_a_header_full_of_high_bytes_are_exact():
    block = header(
        b"\xff" * 100, b"2", link=b"\xff" * 100, at={265: b"\xff" * 64, 345: b"\xff" * 155}
    )

    assert only(block + END).link == b"\xff" * 100


@pytest.mark.parametrize(
    "stream",
    [
        header(b"ln", b"2", 512, link=b"x"),
        header(b"ff", b"6", 512),
        header(b"cc", b"3", 512),
        header(b"bb", b"4", 512),
        header(b"old/", b"0", 512),
        extended((b"size", b"512")) + header(b"hard", b"1", link=b"a"),
        extended((b"size", b"512")) + header(b"dir", b"5"),
    ],
    ids=["symlink", "fifo", "char", "block", "old directory", "hard link", "directory"],
)
def test_bodies_that_readers_of_tar_disagree_about_are_refused(stream):
    assert "a body" in refused(stream + header(b"evil") + END)


@pytest.mark.parametrize("kind", [b"1", b"5"])
def test_sizes_in_headers_of_links_and_directories_mean_nothing(kind):
    stream = header(b"x", kind, 512) + header(b"next") + END

    assert [path for _, path, _ in seen(stream)] == [b"x", b"next"]


@pytest.mark.parametrize("kind", [b"D", b"V", b"Q"])
def test_other_types_have_bodies(kind):
    stream = header(b"x", kind, 512) + header(b"inside") + header(b"next") + END

    assert [header(b"inside"), b""] == [body for _, _, body in seen(stream)]


@pytest.mark.parametrize(
    "payload",
    [
        b"x", b" 10 path=a\n", b"10 path=a", b"11 path=abc",
        b"11 path=ab", b"99 path=ab\n", b"0 path=ab\n",
        b"3 path=ab\n", b"11  path=a\n", b"8 path \n", b"6 =ab\n", b"-9 path=ab\n",
        b"\xb9 path=ab\n", b"9 path=q\n\0\0\0" + b"15 path=hidden\n", b"10 pa\0h=q\n",
        b"1" * 30 + b" a=b\n",
    ],
)  # fmt: skip
def test_records_that_are_none_are_refused(payload):
    assert "record" in refused(extended_raw(payload) + header(b"a") + END)


def test_records_may_be_followed_by_zeros():
    assert only(extended_raw(record(b"path", b"q") + bytes(7)) + header(b"a") + END).path == b"q"


@pytest.mark.parametrize("key", [b"path", b"linkpath", b"GNU.sparse.name"])
def test_paths_with_a_nul_are_refused(key):
    records = [(key, b"a\0b"), (b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"0")]

    assert "NUL" in refused(extended(*records) + header(b"a", size=512) + padded(b"0\n") + END)


@pytest.mark.parametrize(
    "stream",
    [
        extended((b"path", b"p")),
        extended((b"path", b"p")) + extended((b"uid", b"1"), kind=b"g") + header(b"a"),
    ],
    ids=["end", "global header"],
)
def test_an_extended_header_without_its_entry_is_refused(stream):
    assert "not followed by its entry" in refused(stream + END)


@pytest.mark.parametrize(
    "twice",
    [extended((b"path", b"p")), long_name(b"n\0"), long_name(b"n\0", kind=b"K")],
    ids=["x", "L", "K"],
)
def test_two_extended_headers_of_a_kind_are_refused(twice):
    assert "two extended headers" in refused(twice + twice + header(b"a") + END)
    assert refused(extended((b"path", b"p")) + extended((b"path", b"q"), kind=b"X") + END)


def test_extended_headers_have_a_limit():
    largest = extended((b"comment", b"x" * (16 * 2**20 - 18)))
    larger = header(b"pax", b"x", 16 * 2**20 + 1)

    assert only(largest + header(b"a") + END).path == b"a"
    assert "16777217 bytes" in refused(larger + END)
    assert "-1 bytes" in refused(header(b"pax", b"x", at={124: b"\xff" * 12}) + END)


def test_extended_headers_have_a_limit_of_records():
    payload = b"5 a=\n" * 200_001

    assert only(extended_raw(payload[5:]) + header(b"a") + END).pax == {"a": b""}
    assert "too many records" in refused(extended_raw(payload) + header(b"a") + END)


def test_a_negative_size_is_refused():
    assert "negative" in refused(header(b"a", at={124: b"\xff" * 12}) + END)


@pytest.mark.parametrize(
    "stream",
    [
        header(b"a", b"M", 512) + bytes(512),
        extended((b"GNU.volume.filename", b"a"), kind=b"g"),
        extended((b"GNU.volume.offset", b"512"), kind=b"g"),
    ],
)
def test_one_volume_of_several_is_refused(stream):
    assert "another volume" in refused(stream + END)


# --- sparse files

SPARSE_1 = [
    (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"real"),
    (b"GNU.sparse.realsize", b"9999"),
]  # fmt: skip
STAR = {475: b"\0" + octal(0)[:11] + b" " + octal(0)[:11] + b" "}


def sparse_1(text, data=b"", *, size=None):
    body = padded(text) + data
    head = extended(*SPARSE_1) + header(
        b"GNUSparseFile.0/real", size=len(body) if size is None else size
    )
    return head + padded(body) + header(b"next") + END


def sparse_0(*records, size, at=None, kind=b"0", magic=tars.POSIX):
    head = extended(*records) + header(b"a", kind, size, magic=magic, at=at)
    return head + bytes(size + padding_of(size)) + header(b"next") + END


VERSION_00 = [
    (b"GNU.sparse.size", b"9999"), (b"GNU.sparse.numblocks", b"2"),
    (b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"512"),
    (b"GNU.sparse.offset", b"4096"), (b"GNU.sparse.numbytes", b"100"),
]  # fmt: skip
VERSION_01 = [
    (b"GNU.sparse.size", b"9999"), (b"GNU.sparse.numblocks", b"2"),
    (b"GNU.sparse.map", b"0,512,4096,100"),
]  # fmt: skip


@pytest.mark.parametrize(
    "stream",
    [
        sparse_0(*VERSION_00, size=612),
        sparse_0(*VERSION_01, size=612),
        sparse_0(*VERSION_01, (b"GNU.sparse.major", b"0"), size=612),
        sparse_1(b"2\n0\n512\n4096\n100\n", bytes(612)),
        sparse_1(b"1\n0\n512\n", b"7\n" * 256),
        tars.old_sparse(b"a", 612, 9999, [(0, 512), (4096, 100)])
        + bytes(1024)
        + header(b"next")
        + END,
    ],
    ids=["0.0", "0.1", "0.1 with major", "1.0", "1.0, a body of numbers", "old"],
)
def test_sparse_files_have_their_apparent_size(stream):
    (sparse, body), (following, _), _ = read(stream)

    assert (sparse.kind, sparse.size, sparse.body_size, len(body)) == (
        "f",
        9999,
        len(body),
        len(body),
    )
    assert sparse.body_size < 9999
    assert following.path == b"next"
    assert stream == joined(stream)


def test_a_sparse_file_has_its_real_name():
    assert read(sparse_1(b"0\n"))[0][0].path == b"real"


@pytest.mark.parametrize("order", [1, -1])
def test_the_real_name_of_a_sparse_file_comes_before_its_path(order):
    names = [(b"GNU.sparse.name", b"real/"), (b"path", b"other")][::order]
    head = extended(*names, (b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"5"))
    entry = only(head + header(b"a", size=512) + padded(b"0\n") + END)

    assert (entry.kind, entry.path) == ("f", b"real/")


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 24, 25, 26, 46, 47])
def test_old_sparse_maps_have_extensions(count):
    regions = [(number * 4096, 512) for number in range(count)]
    head = tars.old_sparse(b"a", 512 * count, 4096 * count, regions)
    (sparse, body), (following, _), _ = read(head + bytes(512 * count) + header(b"next") + END)

    assert (sparse.head, sparse.size, len(body)) == (head, 4096 * count, 512 * count)
    assert following.path == b"next"


@pytest.mark.parametrize("count", [0, 1, 200, 70_000])
def test_maps_in_the_body_may_be_of_any_size(count):
    text = b"%d\n" % count + b"".join(b"%d\n512\n" % (number * 4096) for number in range(count))
    stream = sparse_1(text, bytes(512 * count))
    blocks = [stream[at : at + 1000] for at in range(0, len(stream), 1000)]

    assert [entry.path for entry in split(blocks)] == [b"real", b"next", b""]


@pytest.mark.parametrize(
    "stream",
    [
        sparse_0(*VERSION_01[:2], (b"GNU.sparse.map", b"0,1,1000,1"), size=2),
        sparse_0(*VERSION_01, size=512),
        sparse_0(*VERSION_00, size=512),
        sparse_1(b"2\n0\n1\n1000\n1\n", bytes(2)),
        sparse_1(b"1\n0\n513\n", bytes(512)),
        tars.old_sparse(b"a", 512, 9999, [(0, 513)]) + bytes(512) + header(b"next") + END,
        tars.old_sparse(b"a", 2, 9999, [(0, 1), (512, 1)]) + bytes(512) + header(b"next") + END,
    ],
)  # fmt: skip
def test_maps_that_take_more_than_the_body_are_refused(stream):
    assert "larger than its body" in refused(stream)


@pytest.mark.parametrize(
    "stream",
    [
        sparse_1(b"1\n0\n"),
        sparse_1(b"1\n0\n", size=4),
        sparse_1(b"\n"),
        sparse_1(b"x\n"),
        sparse_1(b"-1\n"),
        sparse_1(b"1" * 600),
        sparse_1(b"9" * 19 + b"\n"),
        sparse_1(b"1\n0\n512\n", bytes(512), size=0),
        sparse_0(*VERSION_01[1:], size=612),
        sparse_0(*VERSION_01[:2], size=612),
        sparse_0(VERSION_01[0], VERSION_01[2], size=612),
        sparse_0(VERSION_01[0], VERSION_01[2], VERSION_01[1], size=612),
        sparse_0(VERSION_01[0], VERSION_01[1], (b"GNU.sparse.map", b"0,512,4096"), size=612),
        sparse_0(*VERSION_01, VERSION_01[1], size=612),
        sparse_0(*VERSION_01, VERSION_01[2], size=612),
        sparse_0((b"GNU.sparse.realsize", b"0"), size=512),
        sparse_0(*VERSION_01, (b"GNU.sparse.major", b"2"), size=612),
        sparse_0(*VERSION_01, size=612, magic=GNU),
        sparse_0(*VERSION_01, size=612, magic=V7),
        sparse_0(*VERSION_01, size=612, kind=b"S"),
        sparse_0(*VERSION_01, size=612, kind=b"D"),
        sparse_0(*VERSION_01, size=0, kind=b"2"),
        sparse_0(*VERSION_01, size=612, at=STAR),
        extended((b"GNU.sparse.major", b"1"), kind=b"g") + END,
    ],
)  # fmt: skip
def test_sparse_files_that_gnu_tar_would_take_for_something_else_are_refused(stream):
    assert "sparse" in refused(stream)


@pytest.mark.parametrize(
    "at",
    [
        {386: octal(0) + octal(512), 482: b"\1"},
        {386: octal(9000) + octal(1000)},
        {386: b"\xff" * 12 + octal(512)},
        {386: octal(0) + b"\xff" * 12},
        {483: b"\xff" * 12},
    ],
    ids=[
        "extended too early",
        "beyond the end",
        "negative offset",
        "negative size",
        "negative file",
    ],
)
def test_old_sparse_maps_that_make_no_sense_are_refused(at):
    block = header(b"a", b"S", 512, magic=GNU, at={483: octal(9999), **at})

    assert "sparse" in refused(block + bytes(512) + header(b"next") + END)


def test_old_sparse_maps_have_a_limit(monkeypatch):
    monkeypatch.setattr("backup.tar.split.MAX_HEADER", 1024)
    regions = [(number * 512, 0) for number in range(100)]

    assert "too long" in refused(tars.old_sparse(b"a", 0, 51200, regions) + END)


@pytest.mark.parametrize("magic", [tars.POSIX, V7])
def test_type_s_is_sparse_in_gnu_archives_only(magic):
    stream = (
        header(b"a", b"S", 512, magic=magic, at={482: b"\1"}) + bytes(512) + header(b"next") + END
    )

    assert [("f", b"a", bytes(512)), ("f", b"next", b"")] == seen(stream)


def test_maps_in_records_have_a_limit():
    regions = b",".join([b"0,0"] * 500_001)
    stream = sparse_0(*VERSION_01[:2], (b"GNU.sparse.map", regions), size=512)

    assert "too many regions" in refused(stream)


def test_sparse_files_of_star_are_refused():
    assert "star" in refused(header(b"a", b"S", 512, at=STAR) + bytes(512) + END)
    assert only(header(b"a", at=STAR) + END).path == b"a"


def test_a_damaged_map_is_found_even_if_the_body_is_not_read():
    with pytest.raises(MalformedArchive, match="larger"):
        list(split([sparse_1(b"1\n0\n513\n", bytes(512))]))


# --- an archive of Python's


def test_what_tarfile_writes_is_what_is_read(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("ü" * 120)
        info.mtime, info.uid, info.size = -1.5, 4_000_000_000, 3
        tar.addfile(info, io.BytesIO(b"abc"))
    entry, body = read(stream.getvalue())[0]

    assert (entry.path, entry.mtime_ns, entry.uid, body) == (
        ("ü" * 120).encode(),
        -1_500_000_000,
        4_000_000_000,
        b"abc",
    )
