"""What bytes look like on the way between voltar and a command in a helper: plain, or as zstd.

The command's own status decides, never zstd's. What a command writes is followed by a random mark
and its status, inside of the frame; of one that reads, the shell keeps the statuses of both. Where
zstd fails, the command has failed.
"""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Protocol, cast

import zstandard

from backup.blocks import Blocks
from backup.engine.gather import gathered
from backup.engine.session import Finished, Source
from backup.errors import HelperFailed

_BLOCK = 1 << 20
_STATUS = 3
_BY_SIGNAL = 128
_PLAIN_OUT = 'p=$1; shift; exec "$@" >"$p" </dev/null'
_PLAIN_IN = 'p=$1; shift; exec "$@" <"$p" >/dev/null'
_ZSTD_OUT = """\
p=$1; shift
{ "$@" </dev/null; printf %s%03d MARK "$?"; } | zstd -q -c -LEVEL >"$p"
"""
# 3 carries the statuses to $s, 4 is the FIFO; neither is for the command
_ZSTD_IN = """\
p=$1; shift; exec 4<"$p"
s=$({ { zstd -q -d -c <&4 3>&-; printf 'z%s.' "$?" >&3; } |
    { "$@" 3>&- 4<&- >/dev/null; printf 'c%s.' "$?" >&3; }; } 3>&1)
case $s in *z0.* | *z141.*) ;; *) echo "zstd failed in the helper" >&2; exit 125; esac
s=${s#*c}; exit "${s%%.*}"
"""


class Packing(Protocol):
    """A form of bytes. `out` and `into` are shells' scripts around a command: its first argument
    is the FIFO that the command writes to or reads from, the others are the command."""

    name: str
    out: str
    into: str

    def packed(self, blocks: Blocks) -> Blocks:
        """Yield the bytes in this form, in large pieces; empty ones, now and then, are a chance to
        look around."""

    def unpacked(self, source: Source) -> Source:
        """Return the bytes as they were."""


class Plain:
    """Bytes as they are."""

    name = "plain"
    out = _PLAIN_OUT
    into = _PLAIN_IN

    def packed(self, blocks: Blocks) -> Blocks:
        """Return the same, gathered."""
        return gathered(blocks)

    def unpacked(self, source: Source) -> Source:
        """Return the same."""
        return source


PLAIN = Plain()


class Zstd:
    """One zstd frame with a checksum; behind what a command writes, a mark and its status."""

    into = _ZSTD_IN

    def __init__(self, level: int) -> None:
        self.level = level
        self.name = f"zstd -{level}"
        mark = secrets.token_hex(16)
        self.out = _ZSTD_OUT.replace("LEVEL", str(level)).replace("MARK", mark)
        self._mark = mark.encode()

    def packed(self, blocks: Blocks) -> Iterator[bytes]:
        """Compress, a piece for each MiB. When `blocks` raises, the frame stays incomplete."""
        frame = zstandard.ZstdCompressor(level=self.level, write_checksum=True).compressobj()
        for piece in gathered(blocks):
            yield frame.compress(piece)
        yield frame.flush()

    def unpacked(self, source: Source) -> Source:
        """Decompress, in bounded memory."""
        return Unpacked(source, self._mark)


class Unpacked:
    """What is in a source's frame. Raises HelperFailed where that is damaged or incomplete.

    The decompressor takes a frame without an end for a frame at its end; the mark tells. And zstd
    in the helper must have ended well.
    """

    def __init__(self, source: Source, mark: bytes) -> None:
        self._source = source
        self._mark = mark
        self.outcome: Finished | None = None

    def __iter__(self) -> Iterator[memoryview]:
        """The last bytes are always held back: they are the mark and the status."""
        file = cast("IO[bytes]", _Feed(iter(self._source)))  # it asks for no more than `read`
        frame = zstandard.ZstdDecompressor().stream_reader(file)
        held = len(self._mark) + _STATUS
        buffer = memoryview(bytearray(_BLOCK + held))
        used = 0
        try:
            while size := frame.readinto(buffer[used:]):
                used += size
                if used > held:
                    yield buffer[: used - held]
                    buffer[:held] = bytes(buffer[used - held : used])
                    used = held
        except zstandard.ZstdError as err:
            raise HelperFailed(f"the compressed stream from the helper is damaged ({err})") from err
        self.outcome = self._ending(bytes(buffer[:used]))

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()

    def _ending(self, end: bytes) -> Finished:
        """How the command ended. Raises HelperFailed unless its mark came and zstd ended well."""
        done = self._source.outcome
        mark, status = end[:-_STATUS], end[-_STATUS:]
        if done is not None and done.status == 0 and mark == self._mark and status.isdigit():
            return replace(done, status=int(status))
        if done is not None and done.status > _BY_SIGNAL:
            return done  # the shell was killed, and says so better than we could
        said = done.stderr.strip().partition("\n")[0] if done else ""
        raise HelperFailed(
            f"the compressed stream from the helper broke off{f': {said}' if said else ''}",
            status=done.status if done else None,
            stderr=done.stderr if done else "",
        )


class _Feed:
    """Blocks as the file that the decompressor reads from."""

    def __init__(self, blocks: Iterator[memoryview]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def read(self, size: int) -> memoryview:
        """Return at most `size` bytes, valid until the next call; none at the end."""
        if not self._rest:
            self._rest = next(self._blocks, memoryview(b""))
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece
