"""What an engine tells while it moves layers: a message a line, by layer, with numbers that jump.

Pure: messages in, progress out. A layer counts as done once, whatever is said of it afterwards.
Unpacking a layer is told with numbers of its own, which are no bytes of the network.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from backup.report import Advanced

_MOVING: Final = ("Pushing", "Downloading")
_DONE: Final = ("Pushed", "Pull complete")
_THERE: Final = ("Layer already exists", "Already exists", "Mounted from")
_DIGEST: Final = re.compile(r"(?:^|[^\w])digest: (sha256:[0-9a-f]{64})", re.IGNORECASE)


@dataclass(slots=True)
class Transfer:
    """One image under way. `digest` is what the engine calls the result, once it has said so."""

    digest: str | None = None
    moved: int = 0
    there: int = 0
    size: int = 0
    _at: dict[str, int] = field(default_factory=dict)
    _finished: set[str] = field(default_factory=set)

    def feed(self, message: Mapping[str, Any]) -> Iterator[Advanced]:
        """Take a message; yield what it means for the whole."""
        status = str(message.get("status") or "")
        layer = str(message.get("id") or "")
        if told := _digest(message, status):
            self.digest = told
        if status in _MOVING:
            yield from self._advance(layer, message.get("progressDetail") or {})
        elif layer and layer not in self._finished and status.startswith((*_DONE, *_THERE)):
            self._finished.add(layer)
            if status in _DONE:
                self.moved += 1
            else:
                self.there += 1
            yield Advanced(0, 1)

    def _advance(self, layer: str, detail: Mapping[str, Any]) -> Iterator[Advanced]:
        now = int(detail.get("current") or 0)
        # a transfer that broke off begins anew, and its bytes are moved again
        more = max(0, now - self._at.get(layer, 0))
        self._at[layer] = now
        self.size += more
        if more:
            yield Advanced(more, 0)


def _digest(message: Mapping[str, Any], status: str) -> str | None:
    aux = message.get("aux")
    if isinstance(aux, Mapping) and aux.get("Digest"):
        return str(aux["Digest"])
    found = _DIGEST.search(status)
    return found[1] if found else None
