"""What is to be told, given what was told and what is seen. Pure.

A failure is told when there was none before, and so is that something is overdue: both may be told
of one job. When it is well again that is told once, if anything was told before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backup.config import Occasion

Told = Mapping[str, frozenset[Occasion]]
"""What was told of each subject since it was well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is seen of a subject ("job nightly"): what is wrong with it, or None where a run went
    well. That something is not overdue, or not known, is no observation."""

    subject: str
    wrong: Occasion | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something to be told."""

    subject: str
    occasion: Occasion
    text: str


def alarms(before: Told, now: Iterable[Observation]) -> list[Alarm]:
    """Return what is to be told."""
    found = []
    for seen in now:
        told = before.get(seen.subject, frozenset())
        if seen.wrong is None:
            if told:
                found.append(
                    Alarm(subject=seen.subject, occasion=Occasion.RECOVERY, text=seen.text)
                )
        elif seen.wrong not in told:
            found.append(Alarm(subject=seen.subject, occasion=seen.wrong, text=seen.text))
    return found


def told(before: Told, alarm: Alarm) -> dict[str, frozenset[Occasion]]:
    """Return what is told once an alarm is."""
    after = dict(before)
    if alarm.occasion is Occasion.RECOVERY:
        after.pop(alarm.subject, None)
    else:
        after[alarm.subject] = after.get(alarm.subject, frozenset()) | {alarm.occasion}
    return after
