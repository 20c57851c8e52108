"""The jobs of a configuration as lines for cron, and what cron cannot do for them.

cron knows minutes, days and months, and the clock of its machine. Not every sentence can be said in
that (every second week, a few seconds), and what was missed is missed. Some crons understand
CRON_TZ, others (Debian's) take it for a variable like any other.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from backup.config import Config
from backup.timing.sentence import Sentence, Unit, parse_sentence
from backup.timing.timetable import Task, tasks

_DAYS_AHEAD: Final = 731


@dataclass(frozen=True, slots=True, kw_only=True)
class Crontab:
    """`unsaid` are what cron would not do, in sentences: it has no line then. `remarks` are what it
    does otherwise than the configuration says."""

    lines: tuple[str, ...]
    unsaid: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What stands in each line but the time: as whom (only in /etc/cron.d), and the command."""

    user: str | None
    command: Path
    config: Path


def crontab(config: Config, caller: Caller, *, clock: tzinfo, now: datetime) -> Crontab:
    """Return lines for all that has a schedule; `clock` is that of the machine."""
    here: list[str] = []
    elsewhere: dict[str, list[str]] = {}
    unsaid, remarks = [], list(_remarks(config))
    for task in tasks(config):
        if task.schedule is None:
            continue
        sentence = parse_sentence(task.schedule)
        whose = f"{task.work.value} {task.subject}".strip() + f", {task.schedule}"
        expressions = fields(sentence)
        if not expressions:
            unsaid.append(f"{whose}: cron cannot say that; the daemon can")
            continue
        lines = [f"# {whose}", *(_line(each, task, caller) for each in expressions)]
        if task.zone is None or _agree(ZoneInfo(task.zone), clock, now):
            here += lines
        else:
            elsewhere.setdefault(task.zone, []).extend(lines)
        if task.jitter:
            remarks.append(f"{whose}: without its jitter, for cron starts all at the minute")
    for zone, lines in elsewhere.items():
        remarks.append(f"{zone} is not the zone of this machine: see that your cron has CRON_TZ")
        here += [f"CRON_TZ={zone}", *lines]
    return Crontab(lines=tuple(here), unsaid=tuple(unsaid), remarks=tuple(remarks))


def fields(sentence: Sentence) -> list[str]:
    """Return the five fields of as many lines as it takes; none if cron cannot say it."""
    if sentence.unit is Unit.HOUR:
        return [f"{_numbers(sentence.marks)} * * * *"]
    days = _days(sentence)
    if sentence.unit is Unit.MINUTE or days is None:
        return []
    return [f"{minute} {_numbers(hours)} {days}" for minute, hours in _hours(sentence.times)]


def _days(sentence: Sentence) -> str | None:
    """The last three fields."""
    if sentence.unit is Unit.MONTH and 12 % sentence.interval == 0:
        months = "*" if sentence.interval == 1 else _numbers(range(1, 13, sentence.interval))
        return f"{_numbers(sentence.month_days)} {months} *"
    if sentence.interval != 1:
        return None
    if sentence.unit is Unit.WEEK:  # Sunday is 0, and Monday 1
        return f"* * {_numbers(sorted((day + 1) % 7 for day in sentence.weekdays))}"
    return "* * *"


def _hours(times: Sequence[time]) -> Iterator[tuple[int, list[int]]]:
    """The hours of each minute: 03:00 and 15:00 are one line, 03:00 and 04:30 are two."""
    for minute in sorted({at.minute for at in times}):
        yield minute, [at.hour for at in times if at.minute == minute]


def _line(expression: str, task: Task, caller: Caller) -> str:
    words = [str(caller.command), "--config", str(caller.config), "--quiet", *task.words]
    # what is behind a percent sign would be the command's input
    command = shlex.join(words).replace("%", "\\%")
    return " ".join(filter(None, (expression, caller.user, command)))


def _agree(one: tzinfo, other: tzinfo, now: datetime) -> bool:
    """Whether two clocks show the same, for two years."""
    moments = (now + timedelta(days=day) for day in range(_DAYS_AHEAD))
    return all(
        each.astimezone(one).utcoffset() == each.astimezone(other).utcoffset() for each in moments
    )


def _numbers(numbers: Sequence[int] | range) -> str:
    return ",".join(map(str, numbers))


def _remarks(config: Config) -> Iterator[str]:
    for name, repository in config.repositories.items():
        if repository.password_credential is not None:
            yield f"repository {name}: cron hands out no credentials; use password-file"
