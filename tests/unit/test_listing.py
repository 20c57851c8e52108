import random

import pytest

from backup.listing import (
    Difference,
    Expected,
    Listed,
    MalformedListing,
    Parents,
    compare,
    ordered,
    parse,
)
from backup.paths import sort_key
from tests.listings import printed

RECORD = b"f 644 0 0 5 1700000000.1234567890 1700000001.0000000010 131 1 65024 etc/passwd\0\0"


def listed(path, kind="f", **changes):
    fields = {
        "mode": 0o644, "uid": 0, "gid": 0, "size": 5, "mtime_ns": 1, "ctime_ns": 2, "inode": 3,
        "nlink": 1, "dev": 4, "link": b"",
    }  # fmt: skip
    return Listed(path, kind, **{**fields, **changes})


def expected(path, kind="f", **changes):
    fields = {
        "mode": 0o644,
        "uid": 0,
        "gid": 0,
        "size": 5,
        "mtime_ns": 1,
        "link": b"",
        "group": b"",
    }
    return Expected(path, kind, **{**fields, **changes})


def found(expectations, listing, **options):
    return [str(difference) for difference in compare(expectations, listing, **options)]


# --- parse


def test_a_record_becomes_a_value():
    assert list(parse([RECORD])) == [
        Listed(
            b"etc/passwd", "f", 0o644, 0, 0, 5,
            1_700_000_000_123_456_789, 1_700_000_001_000_000_001, 131, 1, 65024, b"",
        )
    ]  # fmt: skip


def test_links_have_targets_and_the_root_has_no_name():
    records = b"d 1777 7 8 4096 0.0000000000 0.0000000000 2 3 9 \0\0" + RECORD.replace(
        b"\0\0", b"\0a b\nc\0"
    )
    root, link = parse([records])

    assert (root.path, root.kind, root.mode, root.nlink) == (b"", "d", 0o1777, 3)
    assert link.link == b"a b\nc"


def test_names_may_have_any_bytes():
    name = b" a\nb\t\xff f 644 "
    record = RECORD.replace(b"etc/passwd", name)

    assert next(parse([record])).path == name


@pytest.mark.parametrize(
    ("printed", "ns"),
    [
        (b"0.0000000000", 0),
        (b"0.1000000000", 100_000_000),
        (b"-1.5000000000", -500_000_000),
        (b"-1.9999999990", -1),
        (b"-2.5000000000", -1_500_000_000),
        (b"-2147483648.0000000000", -2_147_483_648_000_000_000),
        (b"15032385535.9999999990", 15_032_385_535_999_999_999),
    ],
)
def test_times_are_exact(printed, ns):
    record = next(parse([RECORD.replace(b"1700000000.1234567890", printed)]))

    assert ns == record.mtime_ns


def test_blocks_may_end_anywhere():
    records = RECORD * 3

    for size in (1, 2, 7, 80, 81, 1000):
        blocks = [memoryview(records)[at : at + size] for at in range(0, len(records), size)]
        assert len(list(parse(blocks))) == 3


def test_records_are_given_as_soon_as_they_are_there():
    def blocks():
        yield RECORD + b"f"
        pytest.fail("the second block was asked for before the first was used up")

    assert next(parse(blocks())).path == b"etc/passwd"


@pytest.mark.parametrize("cut", range(1, len(RECORD)))
def test_a_listing_that_is_cut_short_is_refused(cut):
    with pytest.raises(MalformedListing):
        list(parse([RECORD + RECORD[:cut]]))


@pytest.mark.parametrize(
    "record",
    [
        b"\0\0",
        b"x\0y\0",
        RECORD.replace(b"f 644", b"D 644"),
        RECORD.replace(b"644", b"648"),
        RECORD.replace(b"1700000000.1234567890", b"1700000000.123456789"),
        RECORD.replace(b"1700000000.1234567890", b"17000000001234567890"),
        RECORD.replace(b"131", b""),
    ],
)
def test_what_is_no_record_is_refused(record):
    with pytest.raises(MalformedListing, match="not a record"):
        list(parse([record]))


def test_a_record_without_an_end_does_not_fill_the_memory():
    def endless():
        while True:
            yield b"x" * 10_000

    with pytest.raises(MalformedListing, match="without end"):
        list(parse(endless()))


# --- ordered


@pytest.mark.parametrize("run", [1, 2, 99, 100, 101, 1000])
def test_records_are_ordered_however_many_fit_in_memory(tmp_path, run):
    names = (
        [b"d/%d" % number for number in range(40)]
        + [b"d-%d" % number for number in range(59)]
        + [b"d"]
    )
    random.Random(run).shuffle(names)
    records = [listed(name, mtime_ns=-(2**65), link=name) for name in names]

    result = list(ordered(map(printed, records), directory=tmp_path, run=run))

    assert sorted(records, key=lambda record: sort_key(record.path)) == result
    assert all(type(record) is Listed for record in result)


def test_nothing_is_left_on_disk(tmp_path):
    blocks = [printed(listed(b"%d" % number)) for number in range(9)]
    records = ordered(blocks, directory=tmp_path, run=2)
    next(records)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rest", [b"x", b"x\0y\0", RECORD.replace(b"644", b"648")])
@pytest.mark.parametrize("run", [1, 9])
def test_an_error_of_the_listing_comes_through(tmp_path, rest, run):
    with pytest.raises(MalformedListing):
        list(ordered([RECORD, rest], directory=tmp_path, run=run))


# --- compare


def test_what_is_as_expected_has_no_differences():
    wanted = [
        expected(b"c", "c", size=0),
        expected(b"d", "d", mode=0o755, size=0),
        expected(b"f"),
        expected(b"l", "l", mode=0o777, size=0, link=b"x"),
    ]
    there = [
        listed(b"c", "c", size=7),
        listed(b"d", "d", mode=0o755, size=4096, nlink=2),
        listed(b"f", ctime_ns=77, inode=8, dev=9),
        listed(b"l", "l", mode=0o755, size=1, link=b"x"),
    ]

    assert found(wanted, there) == []


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"mode": 0o4755}, "a: mode should be 0644, is 4755"),
        ({"uid": 70}, "a: uid should be 0, is 70"),
        ({"gid": 70}, "a: gid should be 0, is 70"),
        ({"size": 4}, "a: size should be 5, is 4"),
        ({"mtime_ns": -500_000_000}, "a: mtime should be 0.000000001, is -0.500000000"),
        ({"kind": "p"}, "a: kind should be file, is fifo"),
    ],
)
def test_a_property_that_differs_is_named(changes, shown):
    assert [shown] == found([expected(b"a")], [listed(b"a")._replace(**changes)])


@pytest.mark.parametrize("kind", list("dcbplf"))
@pytest.mark.parametrize("what", ["uid", "gid", "mtime_ns"])
def test_owners_and_times_count_for_every_kind(kind, what):
    there = listed(b"a", kind)._replace(**{what: 99})

    assert [what.removesuffix("_ns")] == [d.what for d in compare([expected(b"a", kind)], [there])]


@pytest.mark.parametrize("kind", list("dcbpf"))
def test_modes_count_for_every_kind_but_symbolic_links(kind):
    assert [d.what for d in compare([expected(b"a", kind)], [listed(b"a", kind, mode=0)])] == [
        "mode"
    ]


def test_link_targets_count():
    there = listed(b"a", "l", link=b"b\n")

    assert found([expected(b"a", "l", link=b"c")], [there]) == ["a: link should be c, is b\\n"]


def test_all_properties_that_differ_are_named():
    there = [listed(b"a", mode=0, uid=1, gid=2, size=3, mtime_ns=4)]

    assert [d.what for d in compare([expected(b"a")], there)] == [
        "mode",
        "uid",
        "gid",
        "size",
        "mtime",
    ]


def test_what_is_missing_and_what_is_extra_is_named():
    wanted = [expected(b"", "d"), expected(b"a"), expected(b"b/c", "l"), expected(b"d")]
    there = [listed(b"", "d"), listed(b"a/b", "d"), listed(b"b"), listed(b"d"), listed(b"e")]

    assert found(wanted, there) == [
        "a: missing file",
        "a/b: extra directory",
        "b: extra file",
        "b/c: missing symbolic link",
        "e: extra file",
    ]
    assert found([], there[:1]) == ["/: extra directory"]


def test_differences_come_in_order_and_one_at_a_time():
    def listing():
        yield listed(b"a", mode=0)
        yield listed(b"b")
        pytest.fail("more was asked for than was needed")

    first = next(compare([expected(b"a"), expected(b"b"), expected(b"c")], listing()))

    assert first == Difference(b"a", "mode", "0644", "0000")


def test_names_in_differences_are_printable():
    assert found([], [listed(b"a\x1b[2J")]) == [r"a\x1b[2J: extra file"]


def test_sockets_on_one_side_do_not_count():
    assert found([expected(b"a", "s")], [listed(b"b", "s")]) == []
    assert found([expected(b"a")], [listed(b"a", "s")]) == ["a: kind should be file, is socket"]


def test_what_is_to_be_skipped_does_not_count():
    wanted = [expected(b"a"), expected(b"b"), expected(b"c/d")]
    there = [listed(b"a", mode=0), listed(b".marker"), listed(b".marker/x"), listed(b".markers")]

    assert found(wanted, sorted(there), skip=[b".marker", b"a", b"c"]) == [
        ".markers: extra file",
        "b: missing file",
    ]


def test_ancestors_of_what_is_expected_may_be_implied():
    wanted = [expected(b"a/b/c"), expected(b"d/e")]
    there = [
        listed(b"", "d"), listed(b"a", "d"), listed(b"a/b", "d"), listed(b"a/b/c"),
        listed(b"d", "d"), listed(b"d/a", "d"), listed(b"d/e"), listed(b"f", "d"),
    ]  # fmt: skip

    assert found(wanted, there, parents=Parents.IMPLIED) == [
        "d/a: extra directory",
        "f: extra directory",
    ]
    assert len(found(wanted, there)) == 6


def test_a_directory_is_not_implied_by_a_longer_name():
    there = [listed(b"d", "d"), listed(b"d-x", "d"), listed(b"d-x/e")]
    differences = found([expected(b"d-x/e")], there, parents=Parents.IMPLIED)

    assert differences == ["d: extra directory"]


def test_only_directories_are_implied():
    there = [listed(b"a"), listed(b"a/b")]

    assert found([expected(b"a/b")], there, parents=Parents.IMPLIED) == ["a: extra file"]


def names(*groups):
    return [expected(b"%d" % place, group=group) for place, group in enumerate(groups)]


def inodes(*numbers, nlink=2):
    return [
        listed(b"%d" % place, inode=number, nlink=nlink) for place, number in enumerate(numbers)
    ]


def test_hard_link_groups_are_compared_as_partitions():
    assert found(names(b"0", b"0", b"2", b"2"), inodes(10, 10, 11, 11)) == []
    assert found(names(b"0", b"1", b"0", b"1"), inodes(10, 11, 10, 11)) == []


NOT_LINKED = "1: hard links should be linked to 0, is not linked to it"
LINKED = "1: hard links should be not linked to it, is linked to 0"


@pytest.mark.parametrize(
    ("groups", "there", "shown"),
    [
        ((b"0", b"0"), inodes(10, 11), NOT_LINKED),
        ((b"0", b"0"), inodes(10, 11, nlink=1), NOT_LINKED),
        ((b"", b""), inodes(10, 10), LINKED),
        ((b"0", b"1", b"0"), inodes(10, 10, 10), LINKED),
    ],
)
def test_names_that_are_linked_otherwise_are_named(groups, there, shown):
    assert [shown] == found(names(*groups), there)


def test_one_inode_number_on_two_devices_is_two_inodes():
    there = [listed(b"0", inode=10, nlink=2, dev=1), listed(b"1", inode=10, nlink=2, dev=2)]

    assert found(names(b"", b""), there) == []


def test_links_to_names_elsewhere_do_not_count():
    assert found(names(b""), inodes(10)) == []
    assert found(names(b"0"), inodes(10, nlink=1)) == []


def test_directories_have_links_without_being_linked():
    there = [listed(b"a", "d", nlink=5, inode=1), listed(b"b", "d", nlink=5, inode=1)]

    assert found([expected(b"a", "d"), expected(b"b", "d")], there) == []
