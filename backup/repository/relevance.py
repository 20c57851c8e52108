"""Most lines of a manifest tell nothing of a few paths, and need not be decoded to see that.

To look at a line as it is stored costs a tenth of decoding it. What is passed over for certain are
members that are neither one of the paths, nor below one, nor a directory that leads to one.
Whatever might be spelled in another way stays (JSON can escape any character), and so does what a
survey refuses wherever it is: absolute paths, and those with two dots.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from backup.paths import ancestors
from backup.repository.manifest import to_text

_PLAIN: Final = r'(?!/)[^"\\.]*+(?:\.(?!\.)[^"\\.]*+)*+'
_KIND: Final = "[fdlhcbp]"
_MORE: Final = re.compile(rb'\s*\[\s*"(?:\+|\\u002[bB])"').match
"""Whether a line has more extents of the member before, however that is spelled."""


class Relevant:
    """Lets through what may tell something of some paths; for the lines of one manifest."""

    def __init__(self, paths: Sequence[bytes]) -> None:
        wanted = "|".join(map(_spelled, paths))
        leading = "|".join(map(_spelled, {each for path in paths for each in ancestors(path)}))
        other = rf'\["m","(?!(?:{wanted})["/]|(?:{leading})"){_PLAIN}","{_KIND}",'
        self._other = re.compile(other.encode()).match
        self._passing_over = False

    def __call__(self, lines: Iterable[bytes]) -> list[bytes]:
        """Return what is left of the next lines."""
        left = []
        for line in lines:
            if not _MORE(line):
                self._passing_over = self._other(line) is not None
            if not self._passing_over:
                left.append(line)
        return left


def _spelled(path: bytes) -> str:
    """Return a pattern of a path as it stands in a line that escapes nothing."""
    return re.escape(msgspec.json.encode(to_text(path))[1:-1].decode())
