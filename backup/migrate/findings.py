"""What a preflight finds: one sentence, how bad it is, and what settles it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """Whether a finding keeps a migration from beginning."""

    BLOCKS = "blocks"
    WARNS = "warns"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the two engines that the operator should know. `settles` says what to do."""

    severity: Severity
    text: str
    settles: str = ""


Findings = Iterator[Finding]


def blocks(text: str, settles: str) -> Finding:
    """Return a finding that must be settled first."""
    return Finding(Severity.BLOCKS, text, settles)


def warns(text: str, settles: str = "") -> Finding:
    """Return a finding that the operator may live with."""
    return Finding(Severity.WARNS, text, settles)


def blocking(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return those that must be settled."""
    return tuple(one for one in findings if one.severity is Severity.BLOCKS)
