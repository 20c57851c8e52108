from hypothesis import given
from hypothesis import strategies as st

from backup.listing import Expected, Listed, Parents, compare, ordered, parse
from backup.paths import ancestors, sort_key
from tests import strategies
from tests.listings import printed

_TIMES = st.integers(-(2**31) * 10**9, 2**34 * 10**9)
_RECORDS = st.builds(
    Listed,
    path=strategies.paths,
    kind=st.sampled_from("fdlcbp"),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 1),
    gid=st.integers(0, 2**32 - 1),
    size=st.integers(0, 2**50),
    mtime_ns=_TIMES,
    ctime_ns=_TIMES,
    inode=st.integers(1, 6),
    nlink=st.integers(1, 3),
    dev=st.integers(0, 2**40),
    link=strategies.paths,
)
_LISTINGS = st.lists(_RECORDS, unique_by=lambda record: record.path)


def in_order(records):
    return sorted(records, key=lambda record: sort_key(record.path))


def expectations(records):
    """What a listing must be compared with to have no differences."""
    first: dict[tuple[int, int], bytes] = {}
    for record in records:
        first.setdefault((record.dev, record.inode), record.path)
    return [
        Expected._make(
            [
                *record[:7],
                record.link,
                first[record.dev, record.inode] if record.nlink > 1 else b"",
            ]
        )
        for record in records
    ]


def consistent(records):
    """Give every inode with one link a number of its own, as a file system does."""
    return [
        record
        if record.nlink > 1 and record.kind != "d"
        else record._replace(inode=100 + place, nlink=1)
        for place, record in enumerate(records)
    ]


@given(_LISTINGS, st.data())
def test_what_is_printed_is_read(records, data):
    text = b"".join(map(printed, records))

    assert records == list(parse(strategies.reused(data.draw(strategies.sliced(text)))))


@given(_LISTINGS, st.integers(1, 5))
def test_ordering_on_disk_is_ordering(tmp_path_factory, records, run):
    directory = tmp_path_factory.getbasetemp()

    blocks = map(printed, records)

    assert in_order(records) == list(ordered(blocks, directory=directory, run=run))


@given(_LISTINGS)
def test_a_listing_has_no_differences_from_itself(records):
    records = consistent(in_order(records))

    assert list(compare(expectations(records), records)) == []


@given(_LISTINGS.filter(bool), st.data())
def test_every_change_of_one_record_is_found(records, data):
    records = consistent(in_order(records))
    wanted = expectations(records)
    place = data.draw(st.integers(0, len(records) - 1))
    field = data.draw(
        st.sampled_from(["kind", "mode", "uid", "gid", "size", "mtime_ns", "link", "path"])
    )
    old = records[place]
    value = {"kind": "s", "link": old.link + b"x", "path": old.path + b"\xff\xff"}.get(field)
    changed = old._replace(**{field: getattr(old, field) + 1 if value is None else value})
    there = in_order([*records[:place], changed, *records[place + 1 :]])

    ignored = (field == "mode" and old.kind == "l") or (field == "size" and old.kind != "f")
    assert ignored is (list(compare(wanted, there)) == [])


@given(_LISTINGS)
def test_implied_parents_are_no_differences(records):
    records = [record._replace(kind="f", nlink=1) for record in in_order(records)]
    given_paths = {record.path for record in records}
    parents = {parent for path in given_paths for parent in ancestors(path)} - given_paths
    directory = Listed(b"", "d", 0, 0, 0, 0, 0, 0, 0, 1, 0, b"")
    there = in_order([*records, *(directory._replace(path=parent) for parent in parents)])

    assert list(compare(expectations(records), there, parents=Parents.IMPLIED)) == []
