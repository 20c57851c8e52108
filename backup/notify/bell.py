"""What the runs of a configuration ring."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from backup.config import Occasion
from backup.discretion import hidden
from backup.errors import BackupError
from backup.notify.alarm import Alarm, Observation, alarms, told
from backup.notify.memory import Memory, remembered
from backup.notify.ping import Ping, ping
from backup.notify.target import Target, send


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a run came to, in lines; the first says it all. `subject` is "job NAME", or what else
    is done with its name: "drill NAME", "check NAME"."""

    subject: str
    run: str
    wrong: bool
    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join([*self.lines, f"run {self.run}, exit code {self.code}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bell:
    """Whom the configuration wants to be told, and of what; `machine` is how this one is called.

    `pings` are URLs by subject. `state` is where it is remembered.
    """

    machine: str
    targets: tuple[Target, ...]
    on: Collection[Occasion]
    pings: Mapping[str, str]
    state: Path
    complain: Callable[[str], None]

    def started(self, subject: str) -> None:
        """Ping that a run has begun."""
        self._ping(subject, Ping.START, f"{subject} starts")

    def ended(self, ended: Ended) -> None:
        """Tell of a run's end: by a ping in any case, everybody else if that is news."""
        self._ping(ended.subject, Ping.FAIL if ended.wrong else Ping.SUCCESS, ended.text)
        wrong = Occasion.FAILURE if ended.wrong else None
        self.observed([Observation(subject=ended.subject, wrong=wrong, text=ended.text)])

    def observed(self, seen: Iterable[Observation]) -> None:
        """Tell everybody what is news to them."""
        if not self.targets:
            return
        seen = list(seen)
        try:
            with remembered(self.state) as memory:
                for target in self.targets:
                    self._tell(target, memory, seen)
        except BackupError as error:
            self.complain(str(error))

    def _tell(self, target: Target, memory: Memory, seen: list[Observation]) -> None:
        for alarm in alarms(memory.told(target.digest), seen):
            try:
                if alarm.occasion in self.on:
                    send(target, *worded(alarm, self.machine))
                memory.keep(target.digest, told(memory.told(target.digest), alarm))
            except (BackupError, OSError) as error:
                hint = f" ({error.hint})" if isinstance(error, BackupError) and error.hint else ""
                self.complain(f"{target.place} was not told of {alarm.subject}: {error}{hint}")

    def _ping(self, subject: str, what: Ping, body: str) -> None:
        url = self.pings.get(subject)
        if url is None:
            return
        try:
            ping(url, what, hidden(f"{self.machine}: {body}"))
        except OSError as error:
            self.complain(f"the {what.name.lower()} ping of {subject} did not arrive: {error}")


def worded(alarm: Alarm, machine: str) -> tuple[str, str]:
    """Return the title and the body of a message."""
    became = {
        Occasion.FAILURE: "failed",
        Occasion.OVERDUE: "is overdue",
        Occasion.RECOVERY: "is well again",
    }[alarm.occasion]
    return f"voltar on {machine}: {alarm.subject} {became}", hidden(alarm.text)
