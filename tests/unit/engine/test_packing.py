"""Compressed streams: whole or an error, and the command's status whatever zstd says."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.engine.pace import FAST, SLOW, packing_for
from backup.engine.packing import PLAIN, Zstd
from backup.engine.session import Finished
from backup.errors import HelperFailed

SIZES = (0, 1, 34, 35, 36, 1 << 17, (1 << 20) - 1, 1 << 20, (1 << 20) + 35, 3_000_001)


class Piped:
    """What a shell's script wrote into a file that stands for the FIFO."""

    def __init__(self, data: bytes, status: int, size: int = 50_000) -> None:
        self.outcome: Finished | None = None
        self._data = data
        self._size = size
        self._status = status

    def __iter__(self) -> Iterator[memoryview]:
        for start in range(0, len(self._data), self._size):
            yield memoryview(self._data)[start : start + self._size]
        self.outcome = Finished(status=self._status, stderr="")

    def close(self) -> None:
        """Nothing is open."""


def written(packing: Zstd, tmp_path: Path, *command: str) -> tuple[bytes, int]:
    """What a command's shell writes into the FIFO, and its status."""
    path = tmp_path / "fifo"
    done = subprocess.run(["sh", "-c", packing.out, "voltar", path, *command], check=False)
    return path.read_bytes(), done.returncode


def data(size: int) -> bytes:
    return random.Random(size).randbytes(size // 2) + bytes(size - size // 2)


@pytest.mark.parametrize("size", SIZES)
def test_what_a_command_writes_comes_out_as_it_was(tmp_path: Path, size: int) -> None:
    (tmp_path / "data").write_bytes(data(size))
    packing = Zstd(1)

    source = packing.unpacked(Piped(*written(packing, tmp_path, "cat", f"{tmp_path}/data")))
    got = b"".join(map(bytes, source))

    assert got == data(size)
    assert source.outcome == Finished(status=0, stderr="")


@pytest.mark.parametrize(("script", "status"), [("exit 2", 2), ("kill -9 $$", 137)])
def test_the_status_is_the_commands(tmp_path: Path, script: str, status: int) -> None:
    packing = Zstd(1)

    source = packing.unpacked(Piped(*written(packing, tmp_path, "sh", "-c", f"echo x; {script}")))
    got = b"".join(map(bytes, source))

    assert got == b"x\n"
    assert source.outcome is not None
    assert source.outcome.status == status


def test_a_stream_that_is_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    packing = Zstd(1)
    whole, status = written(packing, tmp_path, "seq", "200")

    for cut in range(len(whole) - 4):  # the last four are the checksum of what has come by then
        with pytest.raises(HelperFailed, match=r"broke off|damaged"):
            list(packing.unpacked(Piped(whole[:cut], status)))


def test_a_flipped_bit_changes_no_byte_unnoticed(tmp_path: Path) -> None:
    packing = Zstd(1)
    whole, status = written(packing, tmp_path, "seq", "200")
    expected = b"".join(map(bytes, packing.unpacked(Piped(whole, status))))
    noticed = 0

    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 1
        try:
            got = b"".join(map(bytes, packing.unpacked(Piped(bytes(broken), status))))
        except HelperFailed:
            noticed += 1
        else:
            assert got == expected  # a bit of the header that says nothing of the content

    assert noticed > len(whole) - 5


def test_zstd_that_fails_is_an_error_though_all_came(tmp_path: Path) -> None:
    packing = Zstd(1)
    whole, _ = written(packing, tmp_path, "echo", "x")

    with pytest.raises(HelperFailed, match="broke off"):
        list(packing.unpacked(Piped(whole, 1)))


def test_zeros_take_no_memory(tmp_path: Path) -> None:
    packing = Zstd(1)
    made = written(packing, tmp_path, "head", "-c", "300000000", "/dev/zero")

    blocks = [len(block) for block in packing.unpacked(Piped(*made))]

    assert sum(blocks) == 300_000_000
    assert max(blocks) <= 1 << 20


def read_by(packing: Zstd, tmp_path: Path, sent: bytes, *command: str) -> int:
    """The status of a command's shell that reads `sent` from the FIFO."""
    (tmp_path / "fifo").write_bytes(sent)
    argv = ["sh", "-c", packing.into, "voltar", f"{tmp_path}/fifo", *command]
    return subprocess.run(argv, check=False, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize("size", SIZES)
def test_a_command_reads_what_was_packed(tmp_path: Path, size: int) -> None:
    packing = Zstd(3)
    blocks = [data(size)[start : start + 70_001] for start in range(0, size, 70_001)]

    status = read_by(
        packing, tmp_path, b"".join(map(bytes, packing.packed(blocks))), "dd", f"of={tmp_path}/out"
    )

    assert status == 0
    assert (tmp_path / "out").read_bytes() == data(size)


@pytest.mark.parametrize(
    ("command", "status"),
    [(("head", "-c", "1"), 0), (("sh", "-c", "cat >&2; exit 2"), 2), (("false",), 1)],
)
def test_the_status_of_a_command_that_reads_is_its_own(
    tmp_path: Path, command: tuple[str, ...], status: int
) -> None:
    packing = Zstd(1)
    sent = b"".join(map(bytes, packing.packed([data(3_000_001)])))

    assert read_by(packing, tmp_path, sent, *command) == status


def test_a_command_that_reads_a_truncated_stream_has_failed(tmp_path: Path) -> None:
    packing = Zstd(1)
    sent = b"".join(map(bytes, packing.packed([data(3_000_001)])))

    assert read_by(packing, tmp_path, sent[:-1], "cat") == 125


def test_blocks_that_raise_leave_the_frame_incomplete(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield data(3_000_001)
        raise ZeroDivisionError

    sent: list[bytes] = []
    with pytest.raises(ZeroDivisionError):
        sent += Zstd(1).packed(broken())

    assert read_by(Zstd(1), tmp_path, b"".join(map(bytes, sent)), "cat") == 125


@pytest.mark.parametrize(
    ("speed", "name"),
    [
        (FAST, "plain"),
        (FAST - 1, "zstd -1"),
        (SLOW, "zstd -1"),
        (SLOW - 1, "zstd -3"),
        (0, "zstd -3"),
    ],
)
def test_the_slower_the_link_the_harder_it_is_compressed(speed: float, name: str) -> None:
    assert packing_for(speed).name == name


def test_plain_is_the_same() -> None:
    source = Piped(b"data", 0)

    assert PLAIN.unpacked(source) is source
    assert b"".join(map(bytes, PLAIN.packed([b"da", b"ta"]))) == b"data"
    assert shutil.which("zstd")
