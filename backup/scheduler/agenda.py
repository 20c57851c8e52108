"""What is to come: the door to the library `schedule`.

Its jobs are due by the clock of the machine, in naive local time, and repeat by rules of their own.
Ours are due once, at a moment that was worked out elsewhere, by a clock that is handed in.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import schedule


class _Entry(schedule.Job):
    """Something that is due once."""

    def __init__(
        self, at: datetime, clock: Callable[[], datetime], scheduler: schedule.Scheduler
    ) -> None:
        super().__init__(1, scheduler)
        self._at = at
        self._clock = clock

    @property
    def should_run(self) -> bool:
        return self._clock() >= self._at

    def run(self) -> type[schedule.CancelJob]:
        if self.job_func is not None:
            self.job_func()
        return schedule.CancelJob

    def _schedule_next_run(self) -> None:
        self.next_run = self._at


class Agenda:
    """At most one entry for each key."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._scheduler = schedule.Scheduler()
        self._due: list[str] = []

    def put(self, key: str, at: datetime) -> None:
        """Note when something is due, instead of what was noted before."""
        self.drop(key)
        _Entry(at, self._clock, self._scheduler).tag(key).do(partial(self._ring, key))

    def drop(self, key: str) -> None:
        """Forget about something."""
        self._scheduler.clear(key)

    def take_due(self) -> list[str]:
        """Return the keys of what is due, the earliest first; nothing is noted of them any more."""
        self._due = []
        self._scheduler.run_pending()
        return self._due

    def next(self) -> tuple[datetime, str] | None:
        """Return when the next is due, and its key."""
        entry = min(self._scheduler.jobs, default=None)
        if entry is None or entry.next_run is None:
            return None
        return entry.next_run, str(*entry.tags)

    def _ring(self, key: str) -> None:
        self._due.append(key)
