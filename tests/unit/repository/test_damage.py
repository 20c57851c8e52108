"""Whatever happens to the bytes of a store, it is noticed, and nothing wrong is ever given out."""

import msgspec
import pytest

from backup.errors import IntegrityError, WrongKey
from backup.repository import Member, Repository, SnapshotId, catalog, codec, open_repository
from backup.repository import sealed as sealed_objects
from backup.repository.actor import CondemnedRecord
from backup.repository.check import Checked
from backup.repository.crypto import Keys, digest
from backup.repository.index import IndexObject
from backup.repository.manifest import Extent, chunk_of
from backup.repository.names import id_of
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, NOW, PASSWORD, checked, content, memory, reopened, save, sealed
from tests.tars import END, header, padded
from transports.errors import Refused, Unreadable

TAR = header(b"d/", b"5") + header(b"d/file", size=700) + padded(bytes(range(175)) * 4) + END
OTHER = header(b"other", size=5) + padded(b"other") + END
KINDS = ("packs", "index", "snapshots")
SAID = ("forgotten", "annotations", "condemned")


def filled(kind: str, tar: bytes = TAR, number: int = 0) -> Repository:
    """A small repository with one snapshot."""
    store = MemoryStore()
    repository = MAKERS[kind](store) if not number else sealed(store, number)
    save(repository, [tar])
    return reopened(repository)


def outcome(repository: Repository) -> tuple[dict[SnapshotId, bytes] | None, Checked | None]:
    """What reading everything gives, and what a check finds; None for an IntegrityError."""
    try:
        read = content(reopened(repository))
    except IntegrityError:
        read = None
    try:
        found = checked(repository)
    except IntegrityError:
        found = None
    return read, found


def noticed(repository: Repository, good: dict[SnapshotId, bytes]) -> bool:
    """Whether a check reports damage; reading must fail or give what is right."""
    read, found = outcome(repository)
    assert read is None or read.items() <= good.items()
    return found is None or bool(found.damages)


def objects(repository: Repository, kinds: tuple[str, ...] = KINDS) -> dict[str, bytes]:
    return {
        name: data
        for name, data in memory(repository).objects.items()
        if name.split("/")[0] in kinds
    }


@pytest.fixture(params=MAKERS)
def repository(request):
    return filled(request.param)


def test_a_whole_repository_has_no_damage(repository):
    found = checked(repository)

    assert list(content(repository).values()) == [TAR]
    assert found.damages == []
    assert (found.packs, found.snapshots, found.chunks, found.unlisted) == (2, 1, 3, 0)
    assert found.size == sum(len(data) for data in objects(repository, ("packs",)).values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_byte_is_noticed(repository, kind):
    good = content(repository)
    unnoticed = []

    for name, data in objects(repository, (kind,)).items():
        for at in range(len(data)):
            flipped = data[at] ^ (1 << at % 8)
            memory(repository).objects[name] = data[:at] + bytes([flipped]) + data[at + 1 :]
            if not noticed(repository, good):
                unnoticed.append((name, at))
        memory(repository).objects[name] = data

    assert unnoticed == []
    assert not noticed(repository, good)


def test_every_flipped_byte_of_the_key_is_noticed():
    store = memory(filled("sealed"))
    ((name, data),) = [item for item in store.objects.items() if item[0].startswith("keys/")]

    for at in range(len(data)):
        store.objects[name] = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        with pytest.raises((IntegrityError, WrongKey)):
            open_repository(store, PASSWORD)


def test_every_cut_off_object_is_noticed(repository):
    good = content(repository)

    for name, data in objects(repository).items():
        for length in {0, 1, 8, 45, 46, 47, len(data) // 2, len(data) - 5, len(data) - 1}:
            memory(repository).objects[name] = data[:length]
            assert noticed(repository, good), (name, length)
        memory(repository).objects[name] = data


def test_every_lengthened_object_is_noticed(repository):
    good = content(repository)

    for name, data in objects(repository).items():
        for more in (b"\0", data):
            memory(repository).objects[name] = data + more
            assert noticed(repository, good), name
        memory(repository).objects[name] = data


def test_objects_that_changed_places_are_noticed(repository):
    save(repository, [OTHER], number=1)
    good = content(reopened(repository))
    names = list(objects(repository))

    for one in names:
        for two in names:
            if one < two:
                swap(repository.store, one, two)
                assert noticed(repository, good), (one, two)
                swap(repository.store, one, two)

    assert not noticed(repository, good)


def swap(store, one, two):
    store.objects[one], store.objects[two] = store.objects[two], store.objects[one]


def test_renamed_objects_are_noticed(repository):
    good = content(repository)

    for name, data in objects(repository).items():
        renamed = name[:-1] + ("0" if name[-1] != "0" else "1")
        del memory(repository).objects[name]
        memory(repository).objects[renamed] = data
        assert noticed(repository, good), name
        del memory(repository).objects[renamed]
        memory(repository).objects[name] = data


@pytest.mark.parametrize("kind", ["packs", "index"])
def test_missing_objects_are_noticed(repository, kind):
    good = content(repository)

    for name, data in objects(repository, (kind,)).items():
        del memory(repository).objects[name]
        assert noticed(repository, good), name
        memory(repository).objects[name] = data


@pytest.mark.parametrize("kind", KINDS)
def test_objects_of_another_repository_are_refused(kind):
    repository, other = filled("sealed"), filled("sealed", OTHER, 1)
    good = content(repository)

    memory(repository).objects |= objects(other, (kind,))

    assert noticed(repository, good)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_that_are_not_encrypted_are_refused_where_others_are(kind):
    """Somebody who can write to the store, and has no key, puts objects of his own making there."""
    repository, forger = filled("sealed"), filled("plain", OTHER)
    good = content(repository)

    memory(repository).objects |= objects(forger, (kind,))

    assert noticed(repository, good)


def test_a_forged_snapshot_is_refused_when_it_is_read():
    repository, forger = filled("sealed"), filled("plain", OTHER)
    memory(repository).objects |= objects(forger)
    (forged,) = forger.snapshot_ids()

    with pytest.raises(
        IntegrityError, match=f"snapshots/{forged[:16]} is damaged: an object is not"
    ):
        repository.snapshot(forged)


def test_an_object_in_the_place_of_another_kind_is_refused():
    repository = filled("sealed")
    ((name, data),) = objects(repository, ("index",)).items()
    keys = repository.keys

    with pytest.raises(IntegrityError, match="sealed data is damaged"):
        sealed_objects.decode(keys, "snapshots", id_of(name), data, IndexObject)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"no JSON", b'{"tables":1}', b'{"tables":[["\xff"]]}'], ids=str
)
def test_objects_that_say_the_impossible_are_damaged(text):
    keys = Keys(bytes(32), sealed=False)
    seal = keys.new_seal("index")
    data = seal.envelope + codec.compress(text)

    with pytest.raises(IntegrityError, match=r"index/.{16} is damaged"):
        sealed_objects.decode(keys, "index", digest(data), data, IndexObject)


def test_a_damaged_object_hides_no_other(repository):
    save(repository, [OTHER], number=1)
    packs = list(objects(repository, ("packs",)))
    for name in packs:
        memory(repository).objects[name] = memory(repository).objects[name][:60]

    found = checked(repository)

    assert {damage.object for damage in found.damages} >= set(packs)
    assert found.snapshots == 2
    assert {damage.snapshot for damage in found.damages} > {None}


def spoil(repository: Repository, extent: Extent) -> None:
    """Flip a bit of the chunk that a piece of a file lies in."""
    found = repository.readings.find(chunk_of(extent))
    assert found is not None
    pack, blob = found
    data = bytearray(memory(repository).objects[f"packs/{pack.id}"])
    data[blob.offset + 20] ^= 1
    memory(repository).objects[f"packs/{pack.id}"] = bytes(data)


def test_a_damaged_chunk_is_named_with_the_file_that_suffers(repository):
    (snapshot,) = repository.snapshot_ids()
    save(repository, [OTHER], number=1)
    line = list(repository.manifest(repository.snapshot(snapshot)))[1]
    spoil(repository, line.extents[0])

    found = checked(repository)

    about = [damage for damage in found.damages if damage.snapshot]
    assert [damage.snapshot for damage in about] == [snapshot]
    assert "d/file" in about[0].text
    assert "volume:data" in about[0].text


@pytest.mark.parametrize(
    ("files", "more"),
    [(10, []), (13, ["volume:data: and 3 more files cannot be read whole"])],
    ids=str,
)
def test_of_many_files_that_suffer_ten_are_named_and_the_rest_counted(files, more):
    names = [b"%02d" % number for number in range(files)]
    tar = b"".join(header(name, size=5) + padded(b"hello") for name in names) + END
    repository = filled("plain", tar)
    (snapshot,) = repository.snapshot_ids()
    line = next(repository.manifest(repository.snapshot(snapshot)))
    assert isinstance(line, Member)
    spoil(repository, line.extents[0])

    texts = [damage.text for damage in checked(repository).damages if damage.snapshot == snapshot]

    named = [f"volume:data: {name.decode()} cannot be read whole" for name in names[:10]]
    assert texts == named + more


@pytest.mark.parametrize("byte", [12, 13, 0, 8, 20])
def test_a_damaged_pack_that_no_index_lists_hides_no_other(repository, byte):
    """What a killed backup left, damaged in its envelope: version, scheme, frame, magic, salt."""
    good = content(repository)
    stray = filled("plain" if not repository.keys.sealed else "sealed", OTHER)
    name, data = next(iter(objects(stray, ("packs",)).items()))
    memory(repository).objects[name] = data[:byte] + bytes([data[byte] ^ 4]) + data[byte + 1 :]

    found = checked(repository)

    assert name in {damage.object for damage in found.damages}
    assert content(repository) == good
    assert found.snapshots == 1


@pytest.mark.parametrize("kind", ["index", "snapshots"])
def test_an_object_of_a_later_version_hides_no_other(repository, kind):
    data = next(iter(objects(repository, (kind,)).values()))
    later = data[:12] + b"\x02" + data[13:]
    memory(repository).objects[f"{kind}/{digest(later)}"] = later

    found = checked(repository)

    assert found.damages
    assert found.packs == 2


def test_one_damaged_snapshot_leaves_the_others_readable_by_their_ids(repository):
    other = save(repository, [OTHER], number=1)
    (name,) = [n for n in objects(repository, ("snapshots",)) if id_of(n) != other]
    memory(repository).objects[name] = memory(repository).objects[name][:-1]
    again = reopened(repository)

    lines = list(again.manifest(again.snapshot(other)))
    assert [isinstance(line, Member) and line.path for line in lines] == ["other", ""]
    assert {damage.snapshot for damage in checked(repository).damages} == {id_of(name)}


def test_a_second_damaged_key_is_noticed_by_a_check():
    repository = filled("sealed")
    repository.store.put("keys/" + "0" * 64, b"damaged")

    assert "keys/" + "0" * 64 in {damage.object for damage in checked(repository).damages}


@pytest.mark.parametrize("error", [Refused, Unreadable])
def test_an_object_that_cannot_be_read_is_damage_and_ends_no_check(error):
    """A disk fails in one place, or one file belongs to somebody else."""

    class Failing(MemoryStore):
        bad = ""

        def get(self, name, offset=0, length=None):
            if name == self.bad:
                raise error(f"cannot read {name}: Input/output error")
            return super().get(name, offset, length)

    store = Failing()
    repository = sealed(store)
    first, second = save(repository, [TAR]), save(repository, [OTHER], number=1)
    catalog.forget(repository, [first])
    (recorded,) = [each for each in catalog.history(repository) if each.id == second]
    catalog.annotate(repository, recorded, NOW, pinned=True)
    list_id, data = sealed_objects.encode(repository.keys, "condemned", CondemnedRecord(NOW, []))
    store.put(f"condemned/{list_id}", data)
    names = [name for name in store.objects if "/" in name]

    for name in names:
        store.bad = name
        found = checked(repository)

        assert found.snapshots == 2
        assert any(name.startswith(each.object) for each in found.damages), name
        assert all("Input/output error" in each.text for each in found.damages[:1])
    assert {name.partition("/")[0] for name in names} == {*KINDS, "keys", *SAID}


def test_an_index_that_contradicts_a_pack_is_damage(repository):
    ((name, data),) = objects(repository, ("index",)).items()
    said = sealed_objects.decode(repository.keys, "index", id_of(name), data, IndexObject)
    changed = msgspec.structs.replace(said.tables[0], size=said.tables[0].size + 1)
    object_id, forged = sealed_objects.encode(
        repository.keys, "index", IndexObject([changed, *said.tables[1:]])
    )
    del memory(repository).objects[name]
    repository.store.put(f"index/{object_id}", forged)

    texts = [damage.text for damage in checked(repository).damages]

    assert "an index contradicts its table" in texts
