"""What the command line asks of a benchmark."""

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.tools import Work

_UNITS = {"": 1_000_000, "k": 1000, "M": 1_000_000, "G": 1_000_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How much, how often, and of what; a benchmark takes from it what it knows.

    None and nothing mean the benchmark's own default, and everything.
    """

    rounds: int
    size: int | None = None
    files: int | None = None
    sets: Sequence[str] = ()
    tools: Sequence[str] = ()
    until: Work | None = None

    def chosen(self, sets: Iterable[str]) -> list[str]:
        """Those of the sets of data that are asked for, in the order of `sets`."""
        return [name for name in sets if not self.sets or name in self.sets]

    def up_to(self, works: Sequence[Work]) -> list[Work]:
        """The works up to the last one that is asked for."""
        order = list(Work)
        last = order.index(self.until) if self.until else len(order)
        return [work for work in works if order.index(work) <= last]

    def command(self, name: str) -> str:
        """The command that asks for the same."""
        options = {
            "rounds": self.rounds,
            "size": f"{self.size // 1_000_000}M" if self.size else None,
            "files": self.files,
            "data": ",".join(self.sets),
            "tools": f'"{",".join(self.tools)}"' if self.tools else None,
            "until": self.until,
        }
        said = [f"--{option} {value}" for option, value in options.items() if value]
        return " ".join(["python -m bench", name, *said])


def size(text: str) -> int:
    """Bytes: 300M, 4G; a mere number is millions."""
    found = re.fullmatch(r"(\d+)([kMG]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected a size such as 300M or 4G, got {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def words(text: str) -> tuple[str, ...]:
    """Words with commas between them."""
    return tuple(word.strip() for word in text.split(","))
