"""The loop: what is due is started, what has ended is noted.

It reads no clock and starts no process of its own: both are handed in, and `step` is called again
and again, by whoever waits between. What it tells is one line a change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from backup.scheduler.agenda import Agenda
from backup.scheduler.mark import is_ahead, planned, served, start_of
from backup.scheduler.state import State
from backup.scheduler.task import Task
from backup.timing.timetable import Work

DONE: Final = 0
INCOMPLETE: Final = 3
BUSY: Final = 5
"""Exit codes of a run: all else is a failure. BUSY is one that did not begin, since somebody else
runs the same, or uses the same; it is tried again."""
_LONGEST_PAUSE_S: Final = 60.0
"""Clocks are put forward, machines sleep: so often the time is looked at anyway."""
_LATE: Final = timedelta(minutes=2)
_FIRST_RETRY: Final = timedelta(minutes=1)
_LAST_RETRY: Final = timedelta(hours=4)
_PATIENCE: Final = timedelta(hours=1)
"""Who is busy for longer is told of before it is due again."""


class Child(Protocol):
    """A run that goes on. `poll` returns its exit code once it has ended."""

    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A change: "started", "ended", "busy", "late", "clock", "state", …; `text` is for people.

    `task` is the key of the task that it is about, `code` how a run ended.
    """

    event: str
    text: str
    task: str | None = None
    code: int | None = None
    wrong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The world: the time (aware, UTC), how runs are started (raises OSError) and the state is
    saved (raises OSError), who is told."""

    now: Callable[[], datetime]
    start: Callable[[Task], Child]
    save: Callable[[State], None]
    tell: Callable[[Told], None]


@dataclass(slots=True, kw_only=True)
class _Run:
    task: Task
    started: datetime
    covers: datetime
    due_again: datetime
    child: Child
    told_late: bool = False


@dataclass(slots=True)
class _Busy:
    """A task that cannot begin, and how often that was tried."""

    since: datetime
    tries: int = 0
    is_told: bool = False


class Loop:
    """Tasks and their runs, for as long as the daemon lives."""

    def __init__(
        self, tasks: Mapping[str, Task], parallel: int, state: State, doors: Doors
    ) -> None:
        self._doors = doors
        self._state = state
        self._agenda = Agenda(doors.now)
        self._runs: dict[str, _Run] = {}
        self._waiting: list[str] = []
        self._busy: dict[str, _Busy] = {}
        self._unsaved = True
        self._save_failed = False
        self._stopping = False
        self._tasks: dict[str, Task] = {}
        self.reload(tasks, parallel)

    @property
    def running(self) -> list[str]:
        """The keys of the tasks that run."""
        return list(self._runs)

    def next(self) -> tuple[datetime, str] | None:
        """Return what begins next, and when, if nothing holds it up."""
        return self._agenda.next()

    def reload(self, tasks: Mapping[str, Task], parallel: int) -> None:
        """Go on with other tasks. What runs goes on, also if its task is not among them."""
        now = self._doors.now()
        for key in [*self._tasks, *self._state.marks]:
            if key not in tasks:
                self._agenda.drop(key)
                self._state.marks.pop(key, None)
                self._busy.pop(key, None)
        self._waiting = []
        self._tasks = dict(tasks)
        self._parallel = parallel
        for key, task in tasks.items():
            self._state.marks[key] = planned(task, self._state.marks.get(key), now)
            if key not in self._runs:
                self._expect(key)
        self._unsaved = True

    def step(self) -> float:
        """Do what is to be done now; return for how many seconds there is nothing else to do,
        unless a run ends."""
        now = self._doors.now()
        self._reap(now)
        self._mind_the_clock(now)
        if not self._stopping:
            self._waiting += self._agenda.take_due()
            self._start_waiting(now)
        self._save()
        coming = self._agenda.next()
        if coming is None or self._stopping:
            return _LONGEST_PAUSE_S
        return min(_LONGEST_PAUSE_S, max(0.0, (coming[0] - self._doors.now()).total_seconds()))

    def stop(self) -> None:
        """Start nothing any more, and ask what runs to end."""
        self._stopping = True
        for run in self._runs.values():
            run.child.terminate()

    def kill(self) -> None:
        """End what runs by force. What it leaves is for the next run to clear up."""
        for run in self._runs.values():
            run.child.kill()

    def _expect(self, key: str) -> None:
        at = start_of(self._tasks[key], self._state.marks[key].due, self._state.seed)
        self._agenda.put(key, at)

    def _start_waiting(self, now: datetime) -> None:
        """Start what waits, as far as there is room: what was due first, for else a job that is
        always due would let nothing else begin; of what was due at once, backups first."""
        for key in sorted(self._waiting, key=self._turn):
            lanes = {run.task.lane for run in self._runs.values()}
            if len(self._runs) < self._parallel and self._tasks[key].lane not in lanes:
                self._waiting.remove(key)
                self._start(self._tasks[key], now)

    def _turn(self, key: str) -> tuple[datetime, bool]:
        return self._state.marks[key].due, self._tasks[key].work is not Work.RUN

    def _start(self, task: Task, now: datetime) -> None:
        due = self._state.marks[task.key].due
        try:
            child = self._doors.start(task)
        except OSError as error:
            self._retry(task, now, f"cannot be started: {error.strerror}")
            return
        covers = max(now, due)  # a clock may have been put back since it was due
        self._runs[task.key] = _Run(
            task=task, started=now, covers=covers, due_again=task.next(covers), child=child
        )
        late = now - due > _LATE + timedelta(seconds=task.jitter_s)
        since = f", due since {_text(due)}" if late else ""
        self._tell("started", f"{task.key}: started{since}", task.key)

    def _reap(self, now: datetime) -> None:
        for key, run in list(self._runs.items()):
            code = run.child.poll()
            if code is not None:
                del self._runs[key]
                self._note_end(run, code, now)
            elif now >= run.due_again and not run.told_late:
                run.told_late = True
                self._tell(
                    "late", f"{key}: due again, and still running since {_text(run.started)}", key
                )

    def _note_end(self, run: _Run, code: int, now: datetime) -> None:
        key = run.task.key
        task = self._tasks.get(key)
        if code == BUSY and task is not None:
            self._retry(task, now, "runs already, or what it needs is in use")
            return
        if self._stopping and code not in (DONE, INCOMPLETE):
            self._tell("interrupted", f"{key}: interrupted; it is caught up after a start", key)
            return
        took = f"after {max(0.0, (now - run.started).total_seconds()):.0f} s"
        text = {DONE: f"done {took}", INCOMPLETE: f"done, but not all of it, {took}"}.get(
            code, f"failed {took}, {_ending(code)}"
        )
        self._tell("ended", f"{key}: {text}", key, code)
        if task is not None:
            self._busy.pop(key, None)
            self._state.marks[key] = served(task, run.covers)
            self._unsaved = True
            self._expect(key)

    def _retry(self, task: Task, now: datetime, why: str) -> None:
        """Try again: twice as much later each time, and when it is due again. Then what was due
        before has failed; what is due now is not lost by that."""
        busy = self._busy.setdefault(task.key, _Busy(max(now, self._state.marks[task.key].due)))
        busy.tries += 1
        since = f"{task.key}: {why}, since {_text(busy.since)}; tried {busy.tries} times"
        if now >= task.next(busy.since):
            self._tell("ended", f"{since}, and due again: failed", task.key, BUSY)
            self._state.marks[task.key] = served(task, busy.since)
            self._unsaved = True
            busy = self._busy[task.key] = _Busy(now, tries=1, is_told=True)
        elif busy.tries == 1:
            self._tell("busy", f"{task.key}: {why}; tried again until it is free", task.key)
        elif now - busy.since >= _PATIENCE and not busy.is_told:
            busy.is_told = True
            self._tell("busy", since, task.key, wrong=True)
        wait = min(_FIRST_RETRY * 2 ** min(busy.tries - 1, 10), _LAST_RETRY)
        self._agenda.put(task.key, min(now + wait, task.next(busy.since)))

    def _mind_the_clock(self, now: datetime) -> None:
        for key, task in self._tasks.items():
            mark = self._state.marks[key]
            if is_ahead(mark, now) and key not in self._runs:
                self._tell(
                    "clock",
                    f"{key}: the clock was put back, by {mark.served - now}",
                    key,
                    wrong=True,
                )
                self._state.marks[key] = planned(task, mark, now)
                self._unsaved = True
                self._busy.pop(key, None)
                if key in self._waiting:
                    self._waiting.remove(key)
                self._expect(key)

    def _save(self) -> None:
        if not self._unsaved:
            return
        try:
            self._doors.save(self._state)
        except OSError as error:
            if not self._save_failed:
                text = f"the state cannot be saved: {error.strerror}; runs go on, and are repeated"
                self._tell("state", f"{text} if the daemon is started again meanwhile", wrong=True)
            self._save_failed = True
            return
        if self._save_failed:
            self._tell("state", "the state is saved again")
        self._unsaved = self._save_failed = False

    def _tell(
        self,
        event: str,
        text: str,
        task: str | None = None,
        code: int | None = None,
        *,
        wrong: bool = False,
    ) -> None:
        bad = wrong or (code is not None and code != DONE)
        self._doors.tell(Told(event=event, text=text, task=task, code=code, wrong=bad))


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
