import io
import tarfile

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backup.errors import BackupError
from backup.tar.split import MalformedArchive, TruncatedArchive, join, padding_of, split
from tests import strategies, tars

_KINDS = {
    tarfile.REGTYPE: "f", tarfile.AREGTYPE: "f", tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l",
    tarfile.LNKTYPE: "h", tarfile.FIFOTYPE: "p", tarfile.CHRTYPE: "c", tarfile.BLKTYPE: "b",
}  # fmt: skip


@given(strategies.tars(), st.data())
def test_joining_what_was_split_gives_the_archive(archive, data):
    blocks = data.draw(strategies.sliced(archive))

    assert archive == b"".join(bytes(block) for block in join(split(strategies.reused(blocks))))


def contents(tar, info):
    file = tar.extractfile(info)
    assert file
    return file.read()


@given(strategies.tars())
def test_entries_are_what_tarfile_sees(archive):
    with tarfile.open(
        fileobj=io.BytesIO(archive), encoding="utf-8", errors="surrogateescape"
    ) as tar:
        wanted = [
            (
                _KINDS[info.type],
                info.name.encode("utf-8", "surrogateescape"),
                info.linkname.encode("utf-8", "surrogateescape"),
                (info.mode, info.uid, info.gid, info.size, int(info.mtime) * 10**9),
                (info.devmajor, info.devminor) if info.isdev() and not info.isfifo() else (0, 0),
                contents(tar, info) if info.isreg() else b"",
            )
            for info in tar
        ]
    entries = [
        (
            entry.kind,
            entry.path.removesuffix(b"/"),
            entry.link,
            (entry.mode, entry.uid, entry.gid, entry.size, entry.mtime_ns),
            (entry.major, entry.minor),
            b"".join(entry.body),
        )
        for entry in split([archive])
        if entry.kind not in "gz"
    ]

    assert wanted == entries


def starts(archive):
    """Where each entry's head starts, the end's too."""
    at = 0
    for entry in split([archive]):
        yield at
        size = entry.body_size or 0
        at += len(entry.head) + size + padding_of(size)


def exhaust(entries):
    for entry in entries:
        for _ in entry.body:
            pass


@given(strategies.tars(), st.data())
def test_an_archive_that_is_cut_before_its_end_is_refused(archive, data):
    *_, end = starts(archive)
    cut = data.draw(st.integers(0, end + 511))
    blocks = data.draw(strategies.sliced(archive[:cut]))

    with pytest.raises(TruncatedArchive):
        exhaust(split(strategies.reused(blocks)))


@given(strategies.tars(), st.data())
def test_a_header_with_one_wrong_byte_is_refused(archive, data):
    *heads, _ = starts(archive)
    assume(heads)
    summed = st.integers(0, 511).filter(lambda offset: not 148 <= offset < 156)
    place = data.draw(st.sampled_from(heads)) + data.draw(summed)
    damaged = bytearray(archive)
    damaged[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(MalformedArchive):
        exhaust(split([bytes(damaged)]))


_PIECES = st.one_of(
    st.binary(max_size=600),
    st.sampled_from([tars.END, tars.header(b"a", size=3), tars.extended((b"path", b"p"))]),
)


@given(st.lists(_PIECES))
def test_garbage_is_split_whole_or_refused(pieces):
    stream = b"".join(pieces)
    try:
        whole = b"".join(bytes(block) for block in join(split([stream])))
    except BackupError:
        return

    assert stream == whole
