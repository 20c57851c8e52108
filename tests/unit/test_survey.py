"""What a survey refuses, and what it counts."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from backup import survey as surveys
from backup.errors import IntegrityError, UnsafeArchive, UsageError
from backup.members import selection
from backup.recorder import Recorder
from backup.repository import Group, Repository, Snapshot
from backup.repository.manifest import Extent, Member, encode_line, head_to_text
from backup.survey import Selection, survey
from backup.tar.split import split
from tests.memory_store import MemoryStore
from tests.saved import NOW, plain, reopened, save
from tests.tars import END, extended, header, padded

GOOD = (
    header(b"./", b"5")
    + header(b"./d/", b"5")
    + header(b"./d/a", size=5) + padded(b"hello")
    + header(b"./l", b"1", link=b"./d/a")
    + END
)  # fmt: skip


def look(tar, *paths, **facts):
    repository = plain(MemoryStore())
    saved = save(repository, [tar], **facts)
    again = reopened(repository)
    return survey(again, again.snapshot(saved), Selection.of(paths))


def test_entries_and_sizes_are_counted():
    found = look(GOOD)

    assert (found.entries, found.size, found.held) == (4, 5, 5)
    assert dict(found.links) == {b"l": b"d/a"}
    assert found.moved == {}


def test_only_what_is_selected_is_counted():
    found = look(GOOD, b"l")

    assert (found.entries, found.moved) == (1, {b"d/a": b"l"})


LINKED = (
    header(b"./", b"5")
    + header(b"./a", size=5) + padded(b"hello")
    + header(b"./b", b"5")
    + header(b"./b/c", b"1", link=b"./a")
    + header(b"./b/d", b"1", link=b"./a")
    + header(b"./e", size=5) + padded(b"other")
    + END
)  # fmt: skip


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize("few", [0, 10_000])
@pytest.mark.parametrize(
    ("path", "names"),
    [
        (b"a", [b"./", b"./a"]),
        (b"b", [b"./", b"b/c", b"./b", b"./b/d"]),
        (b"b/d", [b"./", b"b/d", b"./b"]),
        (b"e", [b"./", b"./e"]),
    ],
)
def test_a_selection_is_the_same_whether_its_records_are_kept_or_read_again(
    path, names, few, imported, monkeypatch
):
    monkeypatch.setattr(surveys, "_FEW", few)

    found = look(LINKED, path, imported=imported)

    assert (found.few is None) == (few == 0)
    entries = list(split(selection(found)))
    assert sorted(e.path.rstrip(b"/") for e in entries if e.kind != "z") == sorted(
        name.rstrip(b"/") for name in names
    )
    assert found.size == (0 if found.moved else 5)


def test_of_a_link_without_its_file_all_is_looked_at():
    """What it links to stands before it, and was passed over."""
    found = look(LINKED, b"b/d", imported=False)

    bodies = [b"".join(map(bytes, entry.body)) for entry in split(selection(found))]
    assert b"hello" in bodies
    assert dict(found.links) == {b"b/c": b"a", b"b/d": b"a"}


@pytest.mark.parametrize("few", [0, 10_000])
def test_of_what_was_not_chosen_nothing_is_decoded(few, monkeypatch):
    monkeypatch.setattr(surveys, "_FEW", few)

    found = look(LINKED, b"e", imported=False)

    records = [record for record in found.records() if isinstance(record, Member)]
    assert [record.path for record in records] == ["", "e", ""]
    assert records[-1].kind == "z"


def test_of_an_import_all_is_looked_at():
    """What comes later may have the same name."""
    twice = LINKED[: -len(END)] + header(b"./a") + END

    with pytest.raises(UsageError, match="holds a name twice"):
        look(twice, b"e", imported=True)


@pytest.mark.parametrize("path", [b"x", b"d/b", b"d/a/b", b"../d", b"d\x1b[2J"])
def test_a_path_that_is_not_there_is_told_in_a_printable_way(path):
    with pytest.raises(UsageError, match="the snapshot holds no ") as missing:
        look(GOOD, b"d", path)

    assert "\x1b" not in str(missing.value)
    assert "voltar ls" in str(missing.value.hint)


@pytest.mark.parametrize("path", [b"", b".", b"/", b"./"])
def test_the_root_selects_everything(path):
    assert look(GOOD, path).selection == Selection()


@pytest.mark.parametrize(
    ("tar", "why"),
    [
        (header(b"../x"), r"\.\./x: "),
        (header(b"a/../../x"), "a/../../x: "),
        (header(b"/etc/passwd"), "/etc/passwd: "),
        (header(b"s", b"2", link=b"/") + header(b"s/x"), "s/x: "),
        (header(b"h", b"1", link=b"/etc/passwd"), "h: "),
        (header(b"h", b"1", link=b"../x"), "h: "),
        (header(b"h", b"1", link=b"not-there"), "h: "),
    ],
    ids=range(7),
)
def test_what_would_leave_the_target_is_refused(tar, why):
    with pytest.raises(UnsafeArchive, match=f"entries would leave the target.*: {why}"):
        look(tar + END)


@pytest.mark.parametrize("imported", [False, True])
def test_it_is_refused_though_it_is_not_selected(imported):
    with pytest.raises(UnsafeArchive):
        look(GOOD[: -len(END)] + header(b"../x") + END, b"d", imported=imported)


def test_a_few_are_named_and_never_raw():
    tar = b"".join(header(b"../\x1b[2J%d" % n) for n in range(9)) + END

    with pytest.raises(UnsafeArchive) as refused:
        look(tar)

    assert "\x1b" not in str(refused.value)
    assert str(refused.value).count(r"\x1b[2J") == 5
    assert str(refused.value).endswith("; and more")


@pytest.mark.parametrize("key", [b"path", b"linkpath", b"size"])
def test_global_headers_that_rename_are_refused(key):
    shared = extended((key, b"5"), kind=b"g")

    with pytest.raises(UnsafeArchive, match="a global header of the archive sets"):
        look(shared + header(b"a", size=5) + padded(b"hello") + END)


def rewritten(
    change: Callable[[Any], dict[str, Any]], *, imported: bool = False
) -> tuple[Repository, Snapshot]:
    """A snapshot of GOOD whose first file's record was changed."""
    repository = plain(MemoryStore())
    with repository.writer() as writer:
        recorder = Recorder(repository, writer)
        for entry in split([GOOD]):
            recorder.add(entry)
        manifest = recorder.finish()
        writer.finish()
    first = reopened(repository)
    lines = list(first.manifest(snapshot(manifest)))
    lines[2] = msgspec.structs.replace(lines[2], **change(lines[2]))
    text = b"".join(map(encode_line, lines))
    with first.writer() as writer:
        chunk = writer.add(text, Group.MANIFEST)
        writer.finish()
    extents = [Extent(chunk.id.hex(), 0, len(text))]
    return reopened(first), snapshot(extents, imported=imported)


def snapshot(manifest: list[Extent], *, imported: bool = False) -> Snapshot:
    return Snapshot(
        time=NOW, host="h", source="volume:v", run="r", imported=imported, manifest=manifest
    )


@pytest.mark.parametrize(
    "change",
    [
        {"path": "elsewhere"},
        {"kind": "d"},
        {"link": "x"},
        {"body_size": 6},
        {"path": "../x"},
    ],
    ids=str,
)
def test_a_record_of_an_import_that_contradicts_its_header_is_damage(change):
    with pytest.raises(IntegrityError, match="contradicts its tar header"):
        survey(*rewritten(lambda _: change, imported=True), Selection())


LIES = {
    "path": header(b"./elsewhere", size=5),
    "symlink": header(b"./d/a", b"2", link=b"/etc"),
    "link": header(b"./d/a", b"1", link=b"./"),
    "size": header(b"./d/a", size=512),
    "up": header(b"../d/a", size=5),
    "absolute": header(b"/d/a", size=5),
    "nameless": header(b"", size=5),
    "extended": extended((b"path", b"elsewhere")) + header(b"./d/a", size=5),
    "one more": header(b"./d/a", size=5) + header(b"./d/b", b"2", link=b"/etc"),
}
"""Headers in the place of that of d/a."""


@pytest.mark.parametrize("head", LIES.values(), ids=LIES)
def test_a_header_of_a_capture_that_contradicts_its_record_is_never_handed_out(head):
    """It is not decoded before anything is written, but before it is written itself."""
    spoilt = rewritten(lambda _: {"head": head_to_text(head)})
    written: list[bytes] = []

    with pytest.raises(IntegrityError, match="the record of d/a contradicts its tar header"):
        written.extend(map(bytes, selection(survey(*spoilt, Selection()))))

    assert head not in b"".join(written)


def test_a_header_behind_the_header_is_refused_in_an_import_too():
    spoilt = rewritten(lambda _: {"head": head_to_text(LIES["one more"])}, imported=True)

    with pytest.raises(IntegrityError, match="the record of d/a contradicts its tar header"):
        survey(*spoilt, Selection())


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize("head", ["", "x", "\ue200", "\u0100"], ids=ascii)
def test_a_head_that_is_none_is_an_error(head, imported):
    with pytest.raises(Exception, match=r"\w") as refused:
        list(
            selection(survey(*rewritten(lambda _: {"head": head}, imported=imported), Selection()))
        )

    assert "BackupError" in {kind.__name__ for kind in type(refused.value).__mro__}


@pytest.mark.parametrize(
    ("path", "why"),
    [("../x", 'has a ".." component'), ("/x", "is absolute"), ("", "would replace the root")],
)
def test_a_record_of_a_capture_that_leads_out_is_refused_whatever_its_header_says(path, why):
    with pytest.raises(UnsafeArchive, match=why):
        survey(*rewritten(lambda _: {"path": path}), Selection())


def test_extents_that_do_not_add_up_to_the_body_are_damage():
    """A body that is shorter than its header says would make tar read headers as contents."""
    with pytest.raises(IntegrityError):
        survey(*rewritten(lambda _: {"extents": []}), Selection())
    with pytest.raises(IntegrityError):
        survey(*rewritten(lambda line: {"extents": line.extents * 2}), Selection())


def test_padding_that_does_not_fit_is_damage():
    with pytest.raises(IntegrityError):
        survey(*rewritten(lambda _: {"padding": "x"}), Selection())


def test_a_chunk_that_no_pack_holds_is_told_with_the_file():
    with pytest.raises(
        IntegrityError, match=r"^d/a cannot be read: chunk 0000000000000000"
    ) as damaged:
        survey(*rewritten(lambda _: {"extents": [Extent("00" * 32, 0, 5)]}), Selection())

    assert "voltar check" in str(damaged.value.hint)


def test_the_unchanged_snapshot_passes():
    assert survey(*rewritten(lambda _: {}), Selection()).entries == 4
