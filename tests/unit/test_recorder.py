"""Entries go into a repository and come out as the same stream."""

import io
import tarfile
import threading
from collections import Counter

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from backup.listing import Listed
from backup.members import archive
from backup.recorder import BUNDLED_BELOW, Recorder
from backup.repository import Member, More, Note, Snapshot
from backup.tar.split import Entry, split
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, NOW, chunks_of, plain, reopened, save
from tests.strategies import paths, reused, sliced, tars
from tests.tars import END, header, noise, padded

sizes = st.one_of(
    st.integers(0, 3000),
    st.sampled_from([0, 1, 511, 512, 513, BUNDLED_BELOW - 1, BUNDLED_BELOW, BUNDLED_BELOW + 1]),
    st.integers(0, 1 << 20),
)


def record(repository, blocks):
    """Store a stream; return the manifest's records as another process reads them."""
    saved = save(repository, blocks)
    again = reopened(repository)
    return list(again.manifest(again.snapshot(saved)))


def returned(repository, blocks):
    """Store a stream and read it back."""
    saved = save(repository, blocks)
    again = reopened(repository)
    return b"".join(archive(again, again.snapshot(saved)))


@given(st.data())
@settings(max_examples=40)
def test_any_archive_comes_back_byte_for_byte(data):
    tar = data.draw(tars())
    blocks = data.draw(sliced(tar))

    assert returned(plain(MemoryStore()), reused(blocks)) == tar


@given(st.lists(st.tuples(paths, sizes), max_size=4), st.integers(0, 1500))
@settings(max_examples=15, phases=[Phase.explicit, Phase.generate])
def test_bodies_of_any_size_come_back_byte_for_byte(members, trailer):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, (path, size) in enumerate(members):
            info = tarfile.TarInfo(path.decode("utf-8", "surrogateescape"))
            info.size = size
            tar.addfile(info, io.BytesIO(noise(size, b"%d" % number)))
        length = stream.tell()
    whole = stream.getvalue()[:length] + END + noise(trailer)

    assert returned(plain(MemoryStore()), reused([whole])) == whole


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(
    "more", [b"", bytes(10_240), b"\0", bytes(511), b"text", bytes(513)], ids=len
)
def test_whatever_follows_the_end_comes_back(kind, more):
    tar = header(b"a", size=3) + padded(b"abc") + END + more

    assert returned(MAKERS[kind](MemoryStore()), [tar]) == tar


def test_padding_that_is_no_zeros_comes_back():
    tar = header(b"a", size=3) + b"abc" + b"rubbish".ljust(509, b"!") + END

    assert returned(plain(MemoryStore()), [tar]) == tar


def test_small_bodies_share_chunks():
    bodies = [noise(3000, b"%d" % n) for n in range(400)]
    tar = b"".join(header(b"f%d" % n, size=3000) + padded(body) for n, body in enumerate(bodies))

    lines = record(plain(MemoryStore()), [tar + END])

    chunks = {extent.chunk for line in lines for extent in line.extents}
    assert len(chunks) < 8
    assert [line.body_size for line in lines] == [3000] * 400 + [1024]


def test_a_large_body_has_chunks_of_its_own_wherever_it_lies():
    body = noise(9 << 20)  # more than the largest chunk, whatever the seed
    tar = header(b"large", size=len(body)) + body
    repository = plain(MemoryStore())

    first = record(repository, [tar + END])[0]
    moved = record(repository, [header(b"small", size=4) + padded(b"tiny") + tar + END])[1]

    assert first.extents == moved.extents
    assert len(first.extents) > 1


@pytest.mark.parametrize(("size", "shared"), [(BUNDLED_BELOW - 1, True), (BUNDLED_BELOW, False)])
def test_the_bound_of_bundles_is_exact(size, shared):
    body = noise(size)
    tar = header(b"a", size=size) + padded(body) + header(b"b", size=3) + padded(b"abc") + END

    one, other, _ = record(plain(MemoryStore()), [tar])

    assert (one.extents[-1].chunk == other.extents[0].chunk) is shared


def test_one_new_file_among_many_changes_few_chunks():
    files = [header(b"f%d" % n, size=9000) + padded(noise(9000, b"%d" % n)) for n in range(900)]
    repository = plain(MemoryStore())
    save(repository, [*files, END])
    again = reopened(repository)
    before = len(chunks_of(again))

    save(again, [*files[:400], header(b"new", size=9) + padded(b"something"), *files[400:], END])

    assert len(chunks_of(reopened(repository))) - before < 6


def test_the_manifest_tells_what_the_header_says():
    tar = header(b"./d/a", size=3, at={100: b"0004755\0", 108: b"0000106\0"}) + padded(b"abc") + END

    member = record(plain(MemoryStore()), [tar])[0]

    assert (member.path, member.kind, member.mode, member.uid) == ("d/a", "f", 0o4755, 70)
    assert (member.size, member.body_size, member.mtime_ns) == (3, 3, 0o14000000000 * 10**9)
    assert (member.inode, member.ctime_ns, member.links, member.device) == (0, 0, 0, 0)


def test_the_manifest_tells_what_the_listing_said():
    repository = plain(MemoryStore())
    listed = Listed(b"a", "f", 0o644, 0, 0, 3, 0, -7, 2**64 - 1, 2, 2049, b"")
    with repository.writer() as writer:
        recorder = Recorder(repository, writer)
        for entry in split([header(b"a", size=3) + padded(b"abc") + END]):
            recorder.add(entry, listed if entry.kind == "f" else None)
        manifest = recorder.finish()
        writer.finish()

    member = next(reopened(repository).manifest(snapshot(manifest)))

    assert isinstance(member, Member)
    assert (member.inode, member.ctime_ns, member.links, member.device) == (2**64 - 1, -7, 2, 2049)


def snapshot(manifest):
    return Snapshot(time=NOW, host="h", source="volume:v", run="r", manifest=manifest)


@pytest.mark.parametrize("seconds", [0, -1, 2**33, -(2**40), 2**55])
def test_times_of_any_age_are_kept(seconds):
    number = seconds.to_bytes(12, "big", signed=True)
    field = bytes([0x80 if seconds >= 0 else 0xFF]) + number[1:]
    tar = header(b"a", at={136: field}) + END

    member = record(plain(MemoryStore()), [tar])[0]

    assert member.mtime_ns == seconds * 10**9


@pytest.mark.parametrize("text", ["gone", "caf\udce9", "\x1b[2J", "\ud800"])
def test_notes_come_last_and_any_text_is_kept(text):
    repository = plain(MemoryStore())
    with repository.writer() as writer:
        recorder = Recorder(repository, writer)
        recorder.note(b"sock\xff", text)
        for entry in split([header(b"a") + END]):
            recorder.add(entry)
        manifest = recorder.finish()
        writer.finish()

    lines = list(reopened(repository).manifest(snapshot(manifest)))

    assert recorder.notes == 1
    assert [type(line) for line in lines] == [Member, Member, Note]
    note = lines[-1]
    assert isinstance(note, Note)
    assert note.path == "sock\xff"


def test_counts_are_those_of_what_was_added():
    tar = (
        header(b"d/", b"5")
        + header(b"d/a", size=700) + padded(bytes(700))
        + header(b"d/b", b"1", link=b"d/a")
        + header(b"d/c", b"2", link=b"a")
        + END
    )  # fmt: skip
    repository = plain(MemoryStore())
    with repository.writer() as writer:
        recorder = Recorder(repository, writer)
        for entry in split([tar]):
            recorder.add(entry)
        recorder.finish()
        writer.finish()

    counts = (recorder.entries, recorder.files, recorder.size, recorder.read)
    assert counts == (4, 1, 700, 700)  # what ends the archive is no part of the source


def test_a_body_of_very_many_chunks_goes_on_in_more_records(monkeypatch):
    monkeypatch.setattr("backup.recorder.EXTENTS_PER_RECORD", 2)
    body = noise(9 << 20)
    tar = header(b"a", size=len(body)) + body + header(b"b", size=1) + padded(b"b") + END
    repository = plain(MemoryStore())

    lines = record(repository, [tar])

    kinds = Counter(type(line) for line in lines)
    assert kinds[Member] == 3
    assert kinds[More] >= 2
    assert returned(reopened(repository), [tar]) == tar


def test_a_body_is_consumed_and_need_not_be_kept():
    (entry, *_) = (
        Entry(b"", "f", b"a", b"", 0, 0, 0, 3, 0, 0, 0, {}, 3, iter([b"abc"])) for _ in range(1)
    )
    repository = plain(MemoryStore())
    with repository.writer() as writer:
        Recorder(repository, writer).add(entry)

    assert list(entry.body) == []


@pytest.mark.parametrize(
    "first", [b"", b"a small body that waits for its bundle"], ids=["", "small"]
)
def test_the_queue_of_entries_is_bounded(first):
    """Empty files after a small one: the manifest cannot be written before the bundle is cut."""
    repository = plain(MemoryStore())
    longest = 0

    with repository.writer() as writer:
        recorder = Recorder(repository, writer)
        start = header(b"first", size=len(first)) + padded(first)
        for entry in split([start, *[header(b"empty")] * 17_500, END]):
            recorder.add(entry)
            longest = max(longest, len(recorder._queue))
        recorder.finish()
        writer.finish()

    assert longest <= 16_385
    assert recorder.entries == 17_501


def test_many_entries_that_wait_come_back_in_their_order():
    small = [header(b"s%d" % n, size=5) + padded(b"%05d" % n) for n in range(3)]
    empty = [header(b"e%d" % n) for n in range(17_000)]
    tar = small[0] + b"".join(empty[:9000]) + small[1] + b"".join(empty[9000:]) + small[2] + END

    assert returned(plain(MemoryStore()), [tar]) == tar


def test_nothing_is_left_running():
    before = set(threading.enumerate())  # of a test that failed, some may be left

    save(plain(MemoryStore()), [header(b"a", size=3) + padded(b"abc") + END])

    begun = set(threading.enumerate()) - before
    assert [thread.name for thread in begun if thread.name.startswith("voltar")] == []
