"""What is taken over from the parent, and what is read again."""

from typing import Any

import pytest

from backup.delta import Delta, Parent
from backup.listing import Listed
from backup.repository import Extent, Member, Stored
from backup.repository.manifest import to_text

BOUND = 1_000


def listed(path: bytes, **facts) -> Listed:
    known: dict[str, Any] = {
        "kind": "f",
        "mode": 0o644,
        "uid": 1,
        "gid": 2,
        "size": 3,
        "mtime_ns": 500,
        "ctime_ns": 600,
        "inode": hash(path) % 1000,
        "nlink": 1,
        "dev": 9,
        "link": b"",
    }
    return Listed(path, **(known | facts))


def stored(record: Listed, *, kind: str | None = None, chunk: str = "aa") -> Stored:
    """The parent's member for what was listed then."""
    member = Member(
        path=to_text(record.path),
        kind=kind or record.kind,
        mode=record.mode,
        uid=record.uid,
        gid=record.gid,
        size=0 if kind == "h" else record.size,
        mtime_ns=record.mtime_ns,
        link="",
        head="",
        body_size=0,
        extents=[],
        inode=record.inode,
        ctime_ns=record.ctime_ns,
        links=record.nlink,
        device=record.dev,
    )
    return Stored(member, [Extent(chunk, 0, 1)], b"line of " + record.path)


def decided(now, before, *, noted=(), there=lambda _: True):
    """Return the paths that are read again, and the delta."""
    delta = Delta(Parent(before, BOUND, noted, there))
    pairs = list(delta.decide(now))
    assert [record for record, *_ in pairs] == list(now)
    for record, lines, _ in pairs:
        assert lines in (b"", b"line of " + record.path)
    again = [record.path for record, lines, _ in pairs if not (lines and delta.stands(record))]
    return again, delta


def test_what_is_the_same_is_taken_over():
    now = [listed(b"", kind="d", nlink=4), listed(b"a"), listed(b"a-b"), listed(b"z")]

    again, delta = decided(now, map(stored, now))

    assert again == []
    assert delta.deleted == 0


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "l"},
        {"mode": 0o600},
        {"uid": 7},
        {"gid": 7},
        {"size": 4},
        {"mtime_ns": 501},
        {"ctime_ns": 601},
        {"inode": 1001},
        {"nlink": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_difference_is_enough_to_be_read_again(change):
    before = [listed(b"a"), listed(b"b")]

    again, _ = decided([before[0]._replace(**change), before[1]], map(stored, before))

    assert again == [b"a"]


def test_another_device_number_is_no_difference():
    before = [listed(b"a")]

    assert decided([before[0]._replace(dev=77)], map(stored, before))[0] == []


@pytest.mark.parametrize(("ctime", "again"), [(BOUND - 1, []), (BOUND, [b"a"]), (0, [b"a"])])
def test_a_ctime_of_the_parents_own_time_proves_nothing(ctime, again):
    now = [listed(b"a", ctime_ns=ctime)]

    assert decided(now, map(stored, now))[0] == again


def test_a_note_about_the_root_may_stand_for_anything():
    now = [listed(b"", kind="d"), listed(b"a"), listed(b"b")]

    assert decided(now, map(stored, now), noted={b""})[0] == [b"", b"a", b"b"]


def test_what_the_parent_noted_is_read_again():
    now = [listed(b"a"), listed(b"b")]

    assert decided(now, map(stored, now), noted={b"b"})[0] == [b"b"]


def test_what_can_no_longer_be_referred_to_is_read_again():
    now = [listed(b"a"), listed(b"b")]
    before = [stored(now[0], chunk="gone"), stored(now[1])]

    def there(extents):
        return all(extent.chunk != "gone" for extent in extents)

    assert decided(now, before, there=there)[0] == [b"a"]


def test_new_and_deleted_entries_are_seen_wherever_they_are():
    names = [b"", b"a", b"a/x", b"a-x", b"b", b"c"]
    before = [listed(name) for name in names if name not in (b"a/x", b"c")]
    now = [listed(name) for name in names if name not in (b"", b"a-x", b"b")]

    again, delta = decided(now, map(stored, before))

    assert again == [b"a/x", b"c"]
    assert delta.deleted == 3


def test_what_is_left_out_now_is_neither_kept_nor_deleted():
    before = [listed(name) for name in (b"a", b"b", b"c", b"d")]
    pair = [each._replace(inode=7, nlink=2) for each in before[1:3]]
    delta = Delta(Parent(map(stored, [before[0], *pair, before[3]]), BOUND, (), lambda _: True))

    pairs = delta.decide([before[0], *pair], lambda record: record.path in (b"a", b"b"))

    assert [each.record.path for each in pairs] == [b"c"]
    assert delta.deleted == 1
    assert not delta.stands(pair[1])


def group(*names: bytes, **facts) -> list[Listed]:
    return [listed(name, inode=5, nlink=len(names), **facts) for name in names]


def linked(records: list[Listed]) -> list[Stored]:
    return [stored(each, kind="h" if at else None) for at, each in enumerate(records)]


def test_hard_links_that_are_the_same_are_taken_over():
    now = group(b"a", b"b")

    assert decided(now, linked(now))[0] == []


def test_hard_links_are_read_together_when_a_name_was_added():
    before = group(b"a", b"b")

    # as on a file system that does not touch an inode's ctime when it is linked
    assert decided([*before, before[0]._replace(path=b"c")], linked(before))[0] == [
        b"a",
        b"b",
        b"c",
    ]


def test_hard_links_are_read_together_when_the_first_name_is_gone():
    before = group(b"a", b"b", b"c")

    assert decided(before[1:], linked(before))[0] == [b"b", b"c"]


def test_hard_links_are_read_together_when_a_name_became_another_file():
    before = group(b"a", b"b", b"c")
    now = [before[0], listed(b"b", inode=6), before[2]]

    assert decided(now, linked(before))[0] == [b"a", b"b", b"c"]


def test_hard_links_are_read_together_when_the_first_lost_its_content():
    before = linked(group(b"a", b"b"))
    before[0] = before[0]._replace(extents=[Extent("gone", 0, 1)])

    def there(extents):
        return all(extent.chunk != "gone" for extent in extents)

    assert decided(group(b"a", b"b"), before, there=there)[0] == [b"a", b"b"]


def test_members_about_the_archive_are_no_entries():
    now = [listed(b"a")]
    end = Stored(Member("", "z", 0, 0, 0, 0, 0, "", "", 1024, []), [], b"end")

    again, delta = decided(now, [stored(now[0]), end])

    assert (again, delta.deleted) == ([], 0)
