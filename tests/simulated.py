"""A machine on which the scheduler runs, with a clock that goes as fast as one likes.

Runs take their time and end well or not; the daemon is killed in the middle of whatever it does,
its disk is full for a while, the machine is off for days. What the scheduler is told and asked by
this is all that it knows of a real one, too (`backup.scheduler.Doors`).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from backup.scheduler import Doors, Loop, State, Task, Told

BUSY = 5


class Killed(BaseException):
    """kill -9: whatever the daemon was doing, it goes no further."""


@dataclass(slots=True, kw_only=True, eq=False)
class SimulatedRun:
    """A run; it is `noted` once the scheduler has it on disk that it ended."""

    world: "World"
    task: Task
    start: datetime
    end: datetime
    code: int
    noted: bool = False

    def poll(self) -> int | None:
        return self.code if self.world.now >= self.end else None

    def terminate(self) -> None:
        self._end_by(130)

    def kill(self) -> None:
        self._end_by(-9)

    def _end_by(self, code: int) -> None:
        if self.poll() is None:
            self.end, self.code = self.world.now, code

    @property
    def is_whole(self) -> bool:
        return self.code not in (BUSY, 130, -9)


@dataclass(slots=True, kw_only=True)
class World:
    """The machine. `faults` is how likely it is that something goes wrong where it can; `codes` and
    `takes` are what the next runs come to and how many seconds they take.
    """

    now: datetime
    dice: random.Random
    faults: float = 0.0
    longest_s: float = 1800.0
    codes: list[int] = field(default_factory=list)
    takes: list[float] = field(default_factory=list)
    runs: list[SimulatedRun] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    disk: bytes = b""
    is_full: bool = False
    saved_at: datetime | None = None
    kills: int = 0
    offs: list[tuple[datetime, datetime]] = field(default_factory=list)
    forgotten: list[SimulatedRun] = field(default_factory=list)
    """Runs that had ended before the last save, and were not in it."""
    _unnoted: list[SimulatedRun] = field(default_factory=list)

    def doors(self, failing: Sequence[OSError] = ()) -> Doors:
        """What the scheduler sees; the first starts fail."""
        left = list(failing)

        def start(task: Task) -> SimulatedRun:
            if left:
                raise left.pop(0)
            return self.start(task)

        return Doors(now=lambda: self.now, start=start, save=self.save, tell=self.told.append)

    def known(self) -> State:
        """What a daemon that starts finds on the disk."""
        return msgspec.json.decode(self.disk, type=State) if self.disk else State()

    def start(self, task: Task) -> SimulatedRun:
        self._maybe_kill()
        if self._luck(2):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        takes = self.takes.pop(0) if self.takes else self.dice.uniform(1, self.longest_s)
        code = self.codes.pop(0) if self.codes else 0
        if any(run.task.key == task.key and run.end > self.now for run in self.runs[-50:]):
            takes, code = 0.5, BUSY
        elif self._luck(10):
            code = self.dice.choice([1, 3, 4, 70, BUSY])
        end = self.now + timedelta(seconds=takes)
        run = SimulatedRun(world=self, task=task, start=self.now, end=end, code=code)
        self.runs.append(run)
        self._unnoted.append(run)
        self._maybe_kill()
        return run

    def save(self, state: State) -> None:
        self._maybe_kill()
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.disk = msgspec.json.encode(state)
        self.saved_at = self.now
        self._unnoted = [run for run in self._unnoted if not self._is_noted(run, state)]
        self._maybe_kill()

    def _is_noted(self, run: SimulatedRun, state: State) -> bool:
        mark = state.marks.get(run.task.key)
        ended = run.is_whole and run.end <= self.now
        run.noted = ended and mark is not None and mark.served >= run.start
        return run.noted

    def up(self, since: datetime, until: datetime) -> timedelta:
        """Return for how long a daemon ran in a span of time."""
        off = (max(timedelta(0), min(b, until) - max(a, since)) for a, b in self.offs)
        return until - since - sum(off, timedelta(0))

    def live(self) -> list[SimulatedRun]:
        return [run for run in self.runs[-50:] if run.end > self.now and run.code != BUSY]

    def sleep(self, loop: Loop, until: datetime) -> None:
        """Let time pass until the loop has something to do."""
        coming = loop.next()
        moments = [run.end for run in self.runs[-50:] if run.end > self.now]
        moments += [until] if coming is None else [until, coming[0]]
        self.now = max(self.now, min(moments)) + timedelta(milliseconds=1)

    def die(self) -> None:
        """The daemon was killed; what it started ends soon after, and not well."""
        self.kills += 1
        self.forgotten += [run for run in self._unnoted if run.is_whole and self._was_saved(run)]
        self._unnoted.clear()  # nobody knows of them
        for run in self.live():
            run.end = self.now + timedelta(seconds=self.dice.uniform(0, 30))
            run.code = -9

    def _was_saved(self, run: SimulatedRun) -> bool:
        return self.saved_at is not None and run.end < self.saved_at

    def _luck(self, times: float) -> bool:
        return self.dice.random() < self.faults * times

    def _maybe_kill(self) -> None:
        if self._luck(1):
            raise Killed


def live_through(world: World, tasks: Mapping[str, Task], parallel: int, end: datetime) -> None:
    """Let daemons run one after the other until the end, with all that can go wrong."""
    while world.now < end:
        try:
            loop = Loop(tasks, parallel, world.known(), world.doors())
            _go_on(world, loop, tasks, end)
        except Killed:
            world.die()
            world.is_full = False
            back = world.now + timedelta(hours=world.dice.choice([0, 0, 0.001, 1, 10, 100]))
            world.offs.append((world.now, back))
            world.now = back


def _go_on(world: World, loop: Loop, tasks: Mapping[str, Task], end: datetime) -> None:
    while world.now < end:
        loop.step()
        if world.faults and world.dice.random() < world.faults:
            loop.reload(tasks, world.dice.randint(1, 3))
        if world.faults and world.dice.random() < world.faults:
            world.is_full = not world.is_full
        world.sleep(loop, end)
