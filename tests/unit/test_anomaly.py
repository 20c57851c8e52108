"""When old snapshots are held: what alarms, what must not, and when it is over."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backup.anomaly import ACCEPTED, Origin, anomalies, held, is_calm
from backup.repository import Recorded, Snapshot, SnapshotId, Statistics

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
MIB = 1 << 20
GIB = 1 << 30


def snapshot(*, tags=(), excludes=(), source="volume:db", imported=False, host="a", **counts):
    """A snapshot with counts; a source of 1,000 files and 1 GiB in which little changes."""
    usual = {"files": 1000, "entries": 1100, "size": GIB, "unchanged_size": GIB - 10 * MIB}
    usual |= {"fresh": 10 * MIB, "compressed": 3 * MIB}
    statistics = Statistics(**(usual | counts))
    return Snapshot(
        time=NOW,
        host=host,
        source=source,
        run="00",
        tags=list(tags),
        excludes=list(excludes),
        imported=imported,
        statistics=statistics,
    )


FIRST = snapshot(unchanged_size=0, fresh=GIB, compressed=GIB // 3)
CALM = [FIRST, snapshot(), snapshot()]
ENCRYPTED = snapshot(unchanged_size=0, fresh=GIB, compressed=GIB)


def words(now, past=CALM):
    return [each.partition(":")[0] for each in anomalies(now, past)]


def lived(*later, past=CALM):
    """What is found in each of some snapshots that follow each other."""
    known, found = list(past), []
    for each in later:
        known.append(replace(each, anomalies=anomalies(each, known)))
        found.append([text.partition(":")[0] for text in known[-1].anomalies])
    return found


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(snapshot(files=400), ["files"], id="60 % of the files are gone"),
        pytest.param(snapshot(files=401), [], id="59.9 % are gone"),
        pytest.param(
            snapshot(files=0, size=0, unchanged_size=0), ["files", "shrunk"], id="all is gone"
        ),
        pytest.param(snapshot(size=GIB * 4 // 10), ["shrunk"], id="60 % of the bytes are gone"),
        pytest.param(
            snapshot(size=11 * GIB, unchanged_size=0), ["grown"], id="it is eleven times as large"
        ),
        pytest.param(
            snapshot(size=100 * GIB), [], id="a hundred times as much came in addition: an import"
        ),
        pytest.param(ENCRYPTED, ["encrypted"], id="all is new, and does not compress"),
        pytest.param(
            snapshot(files=2000, size=GIB + MIB, unchanged_size=0, fresh=GIB, compressed=GIB),
            ["encrypted"],
            id="all files have become others, with a note beside each",
        ),
        pytest.param(
            snapshot(unchanged_size=0, fresh=0, compressed=0), [], id="all was touched, by chown"
        ),
        pytest.param(
            snapshot(unchanged_size=0, fresh=GIB, compressed=GIB // 3), [], id="all was rewritten"
        ),
        pytest.param(
            snapshot(size=5 * GIB, fresh=4 * GIB, compressed=4 * GIB), [], id="films were added"
        ),
        pytest.param(
            snapshot(size=2 * GIB, unchanged_size=GIB, fresh=GIB, compressed=GIB),
            [],
            id="as many films were added as there were",
        ),
        pytest.param(
            snapshot(size=5 * GIB, unchanged_size=0, fresh=5 * GIB, compressed=5 * GIB),
            [],
            id="films were put into the one file that there is",
        ),
    ],
)
def test_a_run_is_compared_with_the_one_before(now, expected):
    assert words(now) == expected


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param({"files": 60}, {"files": 11}, id="few files"),
        pytest.param({"files": 9, "size": 10}, {"files": 0, "size": 0}, id="emptied"),
        pytest.param({"size": 60 * MIB}, {"size": 7 * MIB}, id="few bytes are gone"),
        pytest.param({"size": MIB}, {"size": 1}, id="hardly a byte was there"),
        pytest.param({"size": 1 * MIB}, {"size": 20 * GIB}, id="first data of a new service"),
        pytest.param({"size": 65 * MIB}, {"size": 900 * MIB}, id="grown by little"),
        pytest.param(
            {"size": 400 << 10, "fresh": 400 << 10, "compressed": 50 << 10},
            {"size": 400 << 10, "fresh": 400 << 10, "compressed": 400 << 10},
            id="encrypted, but tiny",
        ),
    ],
)  # fmt: skip
def test_small_sources_do_not_alarm(before, now):
    past = [snapshot(unchanged_size=0, **before)]

    assert words(snapshot(unchanged_size=0, **now), past) == []


def test_a_volume_of_which_nothing_is_left_alarms_though_it_had_few_files():
    past = [snapshot(files=12, size=MIB // 2)]

    assert words(snapshot(files=0, size=0, unchanged_size=0), past) == ["files"]


def test_a_small_database_that_was_made_anew_alarms_until_it_is_back():
    """Few files and bytes, and all that its owner has: the file is there, and empty."""
    past = [snapshot(files=5, size=6 * MIB)]

    found = lived(*(snapshot(files=5, size=size) for size in (MIB // 2, MIB, 6 * MIB)), past=past)

    assert found == [["shrunk"], ["shrunk"], []]


def test_a_first_backup_is_never_an_anomaly():
    assert words(ENCRYPTED, []) == []
    assert words(snapshot(files=0, size=0), []) == []


def dump(size, compressed):
    return snapshot(
        files=1, entries=2, size=size, unchanged_size=0, fresh=size, compressed=compressed
    )


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0], ids=["text", "mixed", "compressed"])
def test_a_dump_that_is_written_anew_each_night_is_no_anomaly(share):
    nights = [dump(size, int(size * share)) for size in range(500 * MIB, 900 * MIB, 40 * MIB)]

    assert lived(*nights, past=[]) == [[]] * len(nights)


def test_a_dump_that_was_cut_off_is_one():
    assert words(dump(3 * MIB, MIB), [dump(500 * MIB, 100 * MIB)]) == ["shrunk"]


def test_a_dump_that_does_not_compress_any_more_is_one():
    assert words(dump(500 * MIB, 500 * MIB), [dump(500 * MIB, 100 * MIB)]) == ["encrypted"]


def test_photos_that_never_compressed_are_seen_to_be_replaced_all_at_once():
    """What is new of a settled source says nothing, once its first snapshot is forgotten."""
    past = [snapshot(fresh=10 * MIB, compressed=10 * MIB)] * 5

    assert words(ENCRYPTED, past) == ["encrypted"]


def test_other_excludes_make_other_counts():
    now = snapshot(files=10, size=MIB, excludes=["*.tmp"])

    assert words(now) == []
    assert words(replace(ENCRYPTED, excludes=["*.tmp"])) == ["encrypted"]


def test_images_and_imports_are_what_somebody_chose():
    assert words(snapshot(files=0, imported=True)) == []


def test_a_dump_that_comes_as_an_archive_is_looked_at():
    before, now = (
        replace(dump(size, size // 5), imported=True, source="dump:db/postgres")
        for size in (500 * MIB, 3 * MIB)
    )

    assert words(now, [before]) == ["shrunk"]


def test_it_is_over_when_the_files_are_back_and_not_before():
    found = lived(*(snapshot(files=files) for files in (300, 310, 700, 900, 1000)))

    assert found == [["files"], ["files"], ["files"], [], []]


def test_what_grew_is_held_until_it_is_less_than_twice_as_large():
    sizes = (11 * GIB, 5 * GIB, 2 * GIB, 2 * GIB - 1)

    found = lived(*(snapshot(size=size, unchanged_size=0) for size in sizes))

    assert found == [["grown"], ["grown"], ["grown"], []]


def test_what_was_encrypted_stays_so_until_somebody_says_otherwise():
    """The next run finds nothing new, which is no sign that all is well."""
    assert lived(ENCRYPTED, snapshot(), snapshot()) == [["encrypted"]] * 3


def test_what_was_accepted_is_what_later_ones_are_compared_with():
    lost = snapshot(files=300, tags=[ACCEPTED])
    lost = replace(lost, anomalies=anomalies(lost, CALM))

    assert is_calm(lost)
    assert lived(snapshot(files=310), snapshot(files=100), past=[*CALM, lost]) == [[], ["files"]]


def test_excludes_that_change_meanwhile_end_nothing():
    assert lived(snapshot(files=300), snapshot(files=300, excludes=["x"])) == [["files"]] * 2


def test_where_all_calm_ones_were_forgotten_it_waits_for_somebody():
    alone = replace(snapshot(files=300), anomalies=["files: 1000 before, 300 now"])

    assert lived(snapshot(files=300), past=[alone]) == [["files"]]


def test_each_word_says_what_was_compared():
    assert anomalies(snapshot(files=12), CALM) == ["files: 1000 before, 12 now"]


def recorded(one, name, **more):
    return Recorded(id=SnapshotId(name), snapshot=one, **more)


def test_a_source_is_held_by_its_newest_snapshot():
    bad = replace(snapshot(), anomalies=["files: 9 before, 1 now"])
    other = replace(bad, source="volume:web")
    history = [recorded(snapshot(), "1"), recorded(other, "2"), recorded(bad, "3")]
    history += [recorded(replace(snapshot(), source="volume:web"), "4")]

    assert list(held(history)) == [Origin("a", "volume:db")]
    assert not held([*history, recorded(replace(bad, tags=[ACCEPTED]), "5")])
    assert held([*history, recorded(snapshot(), "5", forgotten=NOW + timedelta(hours=1))])


@given(
    st.lists(
        st.builds(
            lambda files, size, fresh: snapshot(
                files=files, size=size, unchanged_size=size - min(size, fresh), fresh=fresh,
                compressed=fresh // 2,
            ),
            st.integers(900, 1100), st.integers(GIB, GIB * 5 // 4), st.integers(0, GIB),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_a_source_that_stays_about_the_same_never_alarms(later):
    assert not any(lived(*later))


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=12))
def test_as_long_as_files_are_missing_the_source_is_held(counts):
    """Whatever comes and goes: no snapshot is calm that has 60 % less than the calm one before."""
    known = [snapshot(files=1000)]
    for count in counts:
        now = snapshot(files=count)
        calm = next(each for each in reversed(known) if is_calm(each))
        known.append(replace(now, anomalies=anomalies(now, known)))
        lost = calm.statistics.files - count
        if lost >= 50 and count <= 0.4 * calm.statistics.files:
            assert known[-1].anomalies
