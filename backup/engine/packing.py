"""What bytes look like on the way between voltar and a command in a helper: plain, or as zstd.

The command's own status decides, never zstd's: the shell around the two keeps both, and answers
with the command's, or with 125 where zstd failed. And a compressed stream counts as whole only when
its frame is complete, whose checksum covers every byte.
"""

from collections.abc import Iterator
from typing import IO, Protocol, cast

import zstandard

from backup.blocks import Blocks
from backup.engine.gather import gathered
from backup.engine.session import Finished, Source
from backup.errors import HelperFailed

_BLOCK = 1 << 20
_BY_SIGNAL = 128
_PLAIN_OUT = 'p=$1; shift; exec "$@" >"$p" </dev/null'
_PLAIN_IN = 'p=$1; shift; exec "$@" <"$p" >/dev/null'
# 3 carries the statuses to $s, 4 is the FIFO; neither is for the command
_ZSTD_OUT = """\
p=$1; shift; exec 4>"$p"
s=$({ { "$@" </dev/null 3>&- 4>&-; printf %s "$?" >&3; } | zstd -q -c -LEVEL 3>&- >&4 ||
    printf x >&3; } 3>&1)
case $s in "" | *x) echo "zstd failed in the helper" >&2; exit 125; esac
exit "$s"
"""
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
        """Return the bytes in this form."""

    def unpacked(self, source: Source) -> Source:
        """Return the bytes as they were."""


class Plain:
    """Bytes as they are."""

    name = "plain"
    out = _PLAIN_OUT
    into = _PLAIN_IN

    def packed(self, blocks: Blocks) -> Blocks:
        """Return the same."""
        return blocks

    def unpacked(self, source: Source) -> Source:
        """Return the same."""
        return source


PLAIN = Plain()


class Zstd:
    """One zstd frame with a checksum."""

    into = _ZSTD_IN

    def __init__(self, level: int) -> None:
        self.level = level
        self.name = f"zstd -{level}"
        self.out = _ZSTD_OUT.replace("LEVEL", str(level))

    def packed(self, blocks: Blocks) -> Iterator[bytes]:
        """Compress. When `blocks` raises, the frame stays incomplete."""
        frame = zstandard.ZstdCompressor(level=self.level, write_checksum=True).compressobj()
        for piece in gathered(blocks):
            if made := frame.compress(piece):
                yield made
        yield frame.flush()

    def unpacked(self, source: Source) -> Source:
        """Decompress, in bounded memory."""
        return Unpacked(source)


class Unpacked:
    """What was in a source's frame. Raises HelperFailed where it is damaged or incomplete."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def outcome(self) -> Finished | None:
        """How the command ended, once all was taken."""
        return self._source.outcome

    def __iter__(self) -> Iterator[memoryview]:
        feed = _Feed(iter(self._source))
        file = cast("IO[bytes]", feed)  # of a file it asks for no more than `read`
        frame = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=False)
        buffer = memoryview(bytearray(_BLOCK))
        try:
            while size := frame.readinto(buffer):
                yield buffer[:size]
        except zstandard.ZstdError as err:
            raise HelperFailed(f"the compressed stream from the helper is damaged ({err})") from err
        # the reader asks for more until the frame is complete: only then has it not seen the end
        complete = not feed.ended
        rest = sum(len(block) for block in feed.left())
        self._demand(complete=complete and not rest)

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()

    def _demand(self, *, complete: bool) -> None:
        """Raise unless the frame was complete; where the command was killed, that is the reason."""
        done = self._source.outcome
        if complete or (done is not None and done.status > _BY_SIGNAL):
            return
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
        self.ended = False

    def read(self, size: int) -> memoryview:
        """Return at most `size` bytes, valid until the next call; none at the end."""
        if not self._rest:
            self._rest = next(self._blocks, memoryview(b""))
            self.ended = not self._rest
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def left(self) -> Iterator[memoryview]:
        """Yield what was not read."""
        yield self._rest
        yield from self._blocks
