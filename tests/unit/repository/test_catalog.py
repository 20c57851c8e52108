"""What is said of snapshots after they were written."""

from datetime import timedelta
from itertools import count

import pytest

from backup.errors import IntegrityError, NoSuchSnapshot, Protected, TooLate
from backup.repository import Repository, Snapshot, SnapshotId
from backup.repository import annotation as annotations
from backup.repository import sealed as sealed_objects
from backup.repository.annotation import Annotation
from backup.repository.catalog import RETURN, annotate, forget, history, unforget
from backup.repository.crypto import digest
from backup.repository.marker import Marker
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, NOW, at, memory, plain, reopened, sealed

SECOND = timedelta(seconds=1)


def filled(repository: Repository, count: int = 3) -> list[SnapshotId]:
    return [
        repository.commit(
            Snapshot(
                time=NOW + timedelta(hours=number),
                host="here",
                source="volume:data",
                run="00",
                tags=["first"],
            )
        )
        for number in range(count)
    ]


def visible(repository: Repository) -> list[SnapshotId]:
    return [found for found, _ in reopened(repository).readable()[0]]


def damages(repository: Repository) -> list[str]:
    return [str(error) for error in reopened(repository).readable()[1]]


def recorded(repository: Repository, snapshot_id: SnapshotId):
    (found,) = [each for each in history(reopened(repository)) if each.id == snapshot_id]
    return found


def only(repository: Repository, kind: str) -> tuple[str, bytes]:
    (found,) = [item for item in memory(repository).objects.items() if item[0].startswith(kind)]
    return found


@pytest.fixture(params=MAKERS)
def repository(request):
    return at(NOW, MAKERS[request.param](MemoryStore()))


def test_a_forgotten_snapshot_is_hidden_and_its_record_stays(repository):
    old, middle, new = filled(repository)

    assert forget(repository, [middle]) == [middle]

    assert visible(repository) == [old, new]
    assert [found for found, _ in reopened(repository).snapshots()] == [old, new]
    assert [(each.id, each.forgotten) for each in history(repository)] == [
        (old, None),
        (middle, NOW),
        (new, None),
    ]
    assert repository.snapshot(middle).tags == ["first"]
    assert len(repository.snapshot_ids()) == 3


def test_to_forget_twice_is_to_forget_once(repository):
    ids = filled(repository)
    forget(repository, ids[:1])

    assert forget(at(NOW + SECOND, reopened(repository)), ids[:2]) == [ids[1]]

    assert recorded(repository, ids[0]).forgotten == NOW


def test_each_marker_has_the_time_at_which_it_was_put(repository):
    """Many of them take long to put; what is left for a return is counted from there."""
    ids = filled(repository)
    hours = count()
    repository.clock = lambda: NOW + timedelta(hours=next(hours))

    forget(repository, ids)

    times = [recorded(repository, each).forgotten for each in ids]
    assert times == [NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=2)]


def test_of_two_that_forget_at_once_one_puts_the_marker(repository):
    """Both have looked, and found no marker, before either puts one."""
    ids = filled(repository, 1)
    other = reopened(repository)

    class Late(MemoryStore):
        def put(self, name, data):
            forget(other, ids)
            other.store.put(name, data)

    late = Late()
    late.objects = memory(repository).objects

    assert forget(at(NOW + SECOND, reopened(repository, late)), ids) == []

    assert recorded(repository, ids[0]).forgotten == NOW


def test_a_snapshot_is_brought_back_within_its_time(repository):
    ids = filled(repository)
    forget(repository, ids[:1])

    assert unforget(at(NOW + RETURN - SECOND, reopened(repository)), ids[0])

    assert visible(repository) == ids
    assert not unforget(repository, ids[0])


@pytest.mark.parametrize("late", [timedelta(0), SECOND, timedelta(days=400)], ids=str)
def test_a_snapshot_is_not_brought_back_once_prune_may_delete_it(repository, late):
    ids = filled(repository)
    forget(repository, ids[:1])

    with pytest.raises(TooLate, match=rf"{ids[0][:10]} was forgotten more than 23 hours ago"):
        unforget(at(NOW + RETURN + late, repository), ids[0])

    assert visible(repository) == ids[1:]


def test_what_was_brought_back_can_be_forgotten_again(repository):
    ids = filled(repository)
    forget(repository, ids[:1])
    unforget(repository, ids[0])

    assert forget(at(NOW + SECOND, repository), ids[:1]) == ids[:1]

    assert recorded(repository, ids[0]).forgotten == NOW + SECOND


def test_the_newest_annotation_counts_for_each_field(repository):
    (one,) = filled(repository, 1)
    said = [{"tags": ["a"]}, {"pinned": True}, {"tags": ["b", "c"]}, {"pinned": False}, {}]
    for number, fields in enumerate(said):
        moment = NOW + number * SECOND
        annotate(repository, recorded(repository, one), moment, **fields)  # type: ignore[arg-type]

    found = recorded(repository, one)

    assert found.snapshot.tags == ["b", "c"]
    assert not found.pinned
    assert found.annotated == NOW + 4 * SECOND
    assert [snapshot.tags for _, snapshot in repository.snapshots()] == [["b", "c"]]
    assert reopened(repository).snapshot(one).tags == ["first"]


def test_all_tags_can_be_taken_away(repository):
    (one,) = filled(repository, 1)

    annotate(repository, recorded(repository, one), NOW, tags=[])

    assert recorded(repository, one).snapshot.tags == []


def test_of_two_annotations_of_one_moment_the_greater_id_counts(repository):
    (one,) = filled(repository, 1)
    put = {}
    for tag in "abcde":
        before = set(memory(repository).objects)
        said = Annotation(snapshot=one, time=NOW, tags=[tag])
        annotations.put(repository.store, repository.keys, said)
        put[next(iter(set(memory(repository).objects) - before))] = tag

    assert recorded(repository, one).snapshot.tags == [put[max(put)]]


def test_a_clock_that_is_behind_does_not_make_an_annotation_void(repository):
    (one,) = filled(repository, 1)
    annotate(repository, recorded(repository, one), NOW, pinned=True)

    annotate(repository, recorded(repository, one), NOW - timedelta(days=1), pinned=False)

    assert not recorded(repository, one).pinned


def test_a_pinned_snapshot_is_not_forgotten_and_neither_are_the_others(repository):
    ids = filled(repository)
    annotate(repository, recorded(repository, ids[1]), NOW, pinned=True)

    with pytest.raises(Protected, match=f"1 of the snapshots are pinned: {ids[1][:10]}"):
        forget(repository, ids)
    with pytest.raises(Protected, match=f"snapshot {ids[1][:10]} is pinned"):
        forget(repository, ids[1:2])

    assert visible(repository) == ids
    annotate(repository, recorded(repository, ids[1]), NOW, pinned=False)
    assert forget(repository, ids) == ids


def test_a_snapshot_that_is_pinned_while_it_is_forgotten_stays(repository):
    """The pin comes after forget has looked for pins, and before its marker is there."""
    ids = filled(repository)
    other = reopened(repository)

    class Late(MemoryStore):
        def put(self, name, data):
            if name == f"forgotten/{ids[1]}":
                annotate(other, recorded(other, ids[1]), NOW, pinned=True)
            super().put(name, data)

    late = Late()
    late.create()
    late.objects = memory(repository).objects

    with pytest.raises(Protected):
        forget(reopened(repository, late), ids)

    assert visible(repository) == ids
    assert recorded(repository, ids[1]).pinned


def test_who_pins_what_was_forgotten_meanwhile_is_told(repository):
    ids = filled(repository)
    seen = recorded(repository, ids[0])
    forget(repository, ids[:1])

    with pytest.raises(NoSuchSnapshot, match="was forgotten before it was pinned"):
        annotate(repository, seen, NOW, pinned=True)


def test_a_marker_of_another_snapshot_hides_nothing_and_is_told(repository):
    """Somebody who can write to the store copies a marker to hide a snapshot of his choice."""
    ids = filled(repository)
    forget(repository, ids[:1])
    memory(repository).objects[f"forgotten/{ids[1]}"] = only(repository, "forgotten")[1]

    assert visible(repository) == ids[1:]
    assert damages(repository) == [
        f"forgotten/{ids[1][:16]} is damaged: it is about another snapshot"
    ]
    with pytest.raises(IntegrityError, match="about another"):
        unforget(repository, ids[1])
    with pytest.raises(IntegrityError, match="about another"):
        forget(repository, ids[1:2])
    with pytest.raises(IntegrityError, match="about another"):
        history(repository)


def test_every_flipped_byte_of_a_marker_is_told_and_hides_nothing():
    repository = sealed(MemoryStore())
    ids = filled(repository, 1)
    forget(repository, ids)
    name, data = only(repository, "forgotten")

    for byte in range(len(data)):
        memory(repository).objects[name] = (
            data[:byte] + bytes([data[byte] ^ 1 << byte % 8]) + data[byte + 1 :]
        )
        assert (visible(repository), len(damages(repository))) == (ids, 1), byte


@pytest.mark.parametrize("kind", ["forgotten", "annotations"])
@pytest.mark.parametrize("length", [0, 20, 46, 60])
def test_a_cut_off_object_is_told_and_changes_nothing(repository, kind, length):
    ids = filled(repository, 1)
    annotate(repository, recorded(repository, ids[0]), NOW, tags=["later"])
    forget(repository, ids)
    name, data = only(repository, kind)
    memory(repository).objects[name] = data[:length]

    (told,) = damages(repository)

    assert told.startswith(f"{name[: len(kind) + 17]} is damaged")


def test_every_flipped_byte_of_an_annotation_is_told_and_changes_nothing(repository):
    ids = filled(repository, 1)
    annotate(repository, recorded(repository, ids[0]), NOW, tags=["later"])
    name, data = only(repository, "annotations")

    for byte in range(len(data)):
        memory(repository).objects[name] = (
            data[:byte] + bytes([data[byte] ^ 1 << byte % 8]) + data[byte + 1 :]
        )
        found, told = reopened(repository).readable()
        assert ([each.tags for _, each in found], len(told)) == ([["first"]], 1), byte


def test_a_renamed_annotation_is_told(repository):
    ids = filled(repository, 1)
    annotate(repository, recorded(repository, ids[0]), NOW, tags=["later"])
    name, data = only(repository, "annotations")
    del memory(repository).objects[name]
    memory(repository).objects[f"annotations/{ids[0]}"] = data

    assert damages(repository) == [
        f"annotations/{ids[0][:16]} is damaged: its id names other bytes"
    ]


@pytest.mark.parametrize(
    "make_foreign", [lambda store: sealed(store, 1), plain], ids=["other", "not encrypted"]
)
def test_foreign_objects_are_told_and_change_nothing(make_foreign):
    repository, foreign = sealed(MemoryStore()), make_foreign(MemoryStore())
    ids = filled(repository, 1)
    _, marker = sealed_objects.encode(foreign.keys, "forgotten", Marker(snapshot=ids[0], time=NOW))
    name, said = sealed_objects.encode(
        foreign.keys, "annotations", Annotation(snapshot=ids[0], time=NOW, tags=["x"])
    )

    memory(repository).objects |= {f"forgotten/{ids[0]}": marker, f"annotations/{name}": said}

    assert visible(repository) == ids
    assert len(damages(repository)) == 2


def test_a_marker_in_the_place_of_an_annotation_is_refused():
    """Kinds have keys of their own; the name fits, as it is the digest of the bytes."""
    repository = sealed(MemoryStore())
    ids = filled(repository, 1)
    name, data = sealed_objects.encode(
        repository.keys, "forgotten", Marker(snapshot=ids[0], time=NOW)
    )
    memory(repository).objects[f"annotations/{name}"] = data

    assert visible(repository) == ids
    assert len(damages(repository)) == 1


@pytest.mark.parametrize("kind", ["forgotten", "annotations"])
def test_an_object_of_a_later_version_is_told_and_hides_no_other(repository, kind):
    ids = filled(repository)
    annotate(repository, recorded(repository, ids[0]), NOW, tags=["later"])
    forget(repository, ids[:1])
    name, data = only(repository, kind)
    later = data[:12] + b"\x02" + data[13:]
    del memory(repository).objects[name]
    name = name if kind == "forgotten" else f"{kind}/{digest(later)}"
    memory(repository).objects[name] = later

    assert set(visible(repository)) >= set(ids[1:])
    (told,) = damages(repository)
    assert "version 2" in told


def test_a_time_without_a_zone_is_damage(repository):
    ids = filled(repository, 1)
    bare = Snapshot(time=NOW.replace(tzinfo=None), host="here", source="volume:x", run="00")
    repository.commit(bare)
    said = Annotation(snapshot=ids[0], time=NOW.replace(tzinfo=None))
    annotations.put(repository.store, repository.keys, said)

    assert len(damages(repository)) == 2
    assert visible(repository) == ids


def test_an_annotation_that_may_be_a_pin_keeps_everything_from_being_forgotten(repository):
    ids = filled(repository)
    annotate(repository, recorded(repository, ids[0]), NOW, pinned=True)
    name, data = only(repository, "annotations")
    memory(repository).objects[name] = data[:-1]

    with pytest.raises(IntegrityError, match="it may be a pin, so nothing was forgotten"):
        forget(repository, ids[1:])

    assert visible(repository) == ids


def test_a_damaged_snapshot_can_be_forgotten_and_is_not_told_of_any_more(repository):
    ids = filled(repository)
    memory(repository).objects[f"snapshots/{ids[0]}"] = b""
    assert len(damages(repository)) == 1

    assert forget(repository, ids[:1]) == ids[:1]

    assert damages(repository) == []
    assert visible(repository) == ids[1:]


def test_what_is_said_of_snapshots_that_are_gone_means_nothing(repository):
    ids = filled(repository)
    annotate(repository, recorded(repository, ids[0]), NOW, pinned=True)
    forget(repository, ids[1:2])
    for each in ids[:2]:
        del memory(repository).objects[f"snapshots/{each}"]

    assert [each.id for each in history(reopened(repository))] == ids[2:]


def test_a_snapshot_that_is_deleted_while_it_is_listed_is_passed_over(repository):
    ids = filled(repository)
    annotate(repository, recorded(repository, ids[0]), NOW, tags=["a"])
    forget(repository, ids[:1])

    class Vanishing(MemoryStore):
        def list(self, kind):
            yield from super().list(kind)
            if kind == "annotations":
                for name in [f"snapshots/{ids[0]}", *self.objects]:
                    if name.startswith("annotations") or name.endswith(ids[0]):
                        self.objects.pop(name, None)

    store = Vanishing()
    store.objects = memory(repository).objects

    assert [found for found, _ in reopened(repository, store).snapshots()] == ids[1:]
