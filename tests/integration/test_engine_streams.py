"""Bytes into and out of helpers: the same on every engine and on every way."""

import hashlib
import io
import random
import tarfile
from collections.abc import Iterator

import pytest

from backup.engine import Access, Attached, Engine, Helper, helper
from backup.errors import HelperFailed
from tests.integration.engine_side import TAR, UNTAR, WAYS, by_way
from tests.tars import archive
from tests.testbed import engine as testbed
from tests.testbed.scratch import Scratch

SIZES = (0, 1, 34, 35, 36, 4096, 1 << 20, (1 << 20) + 35, 5_000_001)


@pytest.fixture(scope="module", params=WAYS)
def voltar(every_engine: testbed.Engine, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A connection to each kind of engine, by each way for bulk data."""
    with by_way(every_engine, request.param, request) as engine:
        yield engine


@pytest.fixture
def at_work(voltar: Engine, scratch: Scratch) -> Iterator[Helper]:
    """A helper that may write to an empty volume at /v."""
    mounts = (Attached(scratch.volume(), "/v"),)
    with helper(voltar, mounts, access=Access.WRITE, run="test") as h:
        yield h


def data(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_the_forced_data_plane_is_used_and_over_ssh_a_fifo(voltar: Engine, at_work: Helper) -> None:
    assert at_work.data_plane == (voltar.settings.data_plane or "fifo")


def test_what_was_written_is_read_back(at_work: Helper) -> None:
    files = {f"f{size}": data(size) for size in SIZES}

    done = at_work.writing(UNTAR, [archive(files)])
    with at_work.reading(TAR) as stream:
        read = b"".join(bytes(block) for block in stream)

    assert (done.status, stream.status) == (0, 0)
    with tarfile.open(fileobj=io.BytesIO(read)) as tar:
        found = {m.name: tar.extractfile(m) for m in tar if m.isreg()}
        assert {n: f.read() for n, f in found.items() if f} == {
            f"./{n}": c for n, c in files.items()
        }


def test_streams_of_any_length_are_whole(at_work: Helper) -> None:
    whole = {}

    for size in SIZES:
        content = data(size)
        blocks = [content[start : start + 70_001] for start in range(0, size, 70_001)]
        at_work.writing(["dd", f"of=/v/{size}", "bs=1M", "status=none"], blocks)
        with at_work.reading(["cat", f"/v/{size}"]) as stream:
            whole[size] = b"".join(bytes(block) for block in stream) == content

    assert whole == dict.fromkeys(SIZES, True)


def test_what_is_not_read_is_drained(at_work: Helper) -> None:
    with at_work.reading(["head", "-c", "20000000", "/dev/zero"]) as stream:
        next(iter(stream))

    assert stream.status == 0


def test_a_reader_that_gives_up_is_not_held_back(at_work: Helper) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        at_work.reading(["cat", "/dev/zero"]) as stream,
    ):
        next(iter(stream))
        raise ZeroDivisionError

    assert at_work.run(["date", "+%Y"])


def test_a_bad_status_is_an_error_at_the_end_of_the_with(at_work: Helper) -> None:
    received = []

    with (
        pytest.raises(HelperFailed, match="tar in the helper failed with status 2") as caught,
        at_work.reading(["tar", "-C", "/v", "-cf", "-", "./none"]) as stream,
    ):
        received += [bytes(block) for block in stream]

    assert caught.value.status == 2
    assert "none" in caught.value.stderr


def test_a_status_that_was_asked_for_is_no_error(at_work: Helper) -> None:
    with at_work.reading(["tar", "-C", "/v", "-cf", "-", "./none"], ok=(0, 2)) as stream:
        pass

    assert stream.status == 2
    assert "Cannot stat" in stream.stderr


def test_a_failed_writing_is_an_error(at_work: Helper) -> None:
    with pytest.raises(HelperFailed, match="tar in the helper failed with status 2") as caught:
        at_work.writing(UNTAR, [b"this is not a tar archive" * 1000])

    assert "tar archive" in caught.value.stderr


def test_a_command_that_reads_only_the_beginning_is_no_error(at_work: Helper) -> None:
    done = at_work.writing(["head", "-c", "10"], (bytes(1 << 20) for _ in range(100)))

    assert done.status == 0


def test_an_error_of_the_producer_is_passed_on_and_the_archive_stays_unfinished(
    at_work: Helper,
) -> None:
    def broken() -> Iterator[bytes]:
        yield archive({"first": data(100), "second": data(3_000_000)})[: 1 << 20]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        at_work.writing(UNTAR, broken())

    assert at_work.run(["cat", "/v/first"]) == data(100)
    assert at_work.run(["rm", "-rf", "/v/first", "/v/second"]) == b""


def test_run_returns_what_was_printed(at_work: Helper) -> None:
    assert at_work.run(["sh", "-c", "echo out; echo err >&2"]) == b"out\n"


def test_an_unknown_command_is_named(at_work: Helper) -> None:
    with pytest.raises(HelperFailed, match="nonesuch in the helper was not found"):
        at_work.run(["nonesuch"])


def test_warnings_are_kept_with_a_good_end(at_work: Helper) -> None:
    script = 'i=0; while [ $i -lt 3000 ]; do echo "warning $i" >&2; i=$((i+1)); done; echo out'

    with at_work.reading(["sh", "-c", script]) as stream:
        out = b"".join(bytes(block) for block in stream)

    lines = stream.stderr.splitlines()
    assert (out, len(lines), lines[-1], stream.dropped) == (b"out\n", 3000, "warning 2999", 0)


def test_a_placed_file_can_be_read_by_the_helper(at_work: Helper) -> None:
    names = b"".join(b"./name with\nnewline %d\0" % n for n in range(100_000))

    path = at_work.place("names", (names[n : n + 999] for n in range(0, len(names), 999)))

    digest = at_work.run(["sha256sum", path]).split()[0].decode()
    assert digest == hashlib.sha256(names).hexdigest()


def test_one_helper_serves_many_commands(at_work: Helper) -> None:
    for number in range(5):
        at_work.writing(UNTAR, [archive({f"file{number}": data(number)})])

    listed = at_work.run(["find", "/v", "-type", "f", "-printf", "%f %s\\n"]).decode().splitlines()
    assert sorted(listed) == [f"file{n} {n}" for n in range(5)]
