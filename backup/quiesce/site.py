"""What a journal says is begun, brought to its end: by the run itself, or by a later one."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from backup.config import Hook, OnError, Quiesce, When
from backup.engine import Engine
from backup.errors import BackupError, EngineUnavailable
from backup.quiesce import acts, hook
from backup.quiesce.journal import Journal, Line, Touched
from backup.report import Noted, OnEvent
from transports.errors import TransportError

_PATIENCE_S: Final = 60.0
"""So long an engine that went away may take to come back before it is left to `recover`."""
_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What acts need to know: `directory` has the journals, `connect` opens a fresh connection
    where one broke, `environ` is what hooks on this machine see."""

    run: str
    job: str
    directory: Path
    connect: Callable[[], AbstractContextManager[Engine]]
    environ: Mapping[str, str]
    on_event: OnEvent


@dataclass(slots=True, kw_only=True)
class Site:
    """A journal at work. `warnings` are what is worse than asked; `failures` what is left undone,
    or a hook that may not fail. What is `undone` is for the journal to tell a later run. `stack`
    closes what was opened since."""

    engine: Engine
    journal: Journal
    setting: Setting
    warnings: list[str] = field(default_factory=list)
    failures: list[BackupError] = field(default_factory=list)
    undone: bool = False
    stack: ExitStack = field(default_factory=ExitStack)
    waits_until: float | None = None
    resumed_at: dict[str, float] = field(default_factory=dict)
    up: list[Touched] = field(default_factory=list)

    def write(self, unit: int, what: str, **more: int | str) -> None:
        """Write down what is about to happen. Raises BackupError."""
        self.journal.write(Line(unit=unit, is_=what, at=self.engine.now(), **more))  # type: ignore[arg-type]

    def note(self, unit: int, what: str, **more: int | str) -> None:
        """Write down what has happened; that it cannot be must not keep the rest from happening."""
        try:
            self.write(unit, what, **more)
        except BackupError as error:
            self.undone = True
            self.warn("", str(error))

    def warn(self, subject: str, text: str) -> None:
        self.warnings.append(f"{subject} {text}".strip())
        self.setting.on_event(Noted(subject, b"", text))

    def say(self, subject: str, text: str) -> None:
        self.setting.on_event(Noted(subject, b"", text, harmless=True))

    def resume(self, unit: int) -> None:
        """Let all run again that is quiet, in the opposite order; whoever cannot keeps no other."""
        begun = self.journal.record.units[unit]
        touched = self.journal.record.header.units[unit].containers
        waiting = [at for at in reversed(list(begun.quieting)) if at not in begun.running]
        resumed = [at for at in waiting if self._resumed(unit, at, touched[at])]
        self.up += [touched[at] for at in resumed if self._is_up(touched[at], acts.end_of)]

    def look_again(self) -> None:
        """See who has failed since it was started: many a server needs a moment for that."""
        for one in self.up:
            self._is_up(one, acts.failed_end_of)

    def _resumed(self, unit: int, at: int, one: Touched) -> bool:
        begun = self.journal.record.units[unit]
        since, settled = begun.quieting[at], at in begun.quiet
        try:
            said = self._persistently(lambda on: acts.resume(on, one, since, settled=settled))
        except (BackupError, TransportError) as error:
            self._leave(one, error)
            return False
        if said:
            self.warn(one.name, said)
        self.resumed_at[one.name] = time.monotonic()
        self.note(unit, "running", container=at)
        return True

    def _is_up(self, one: Touched, end: Callable[[Engine, Touched], str | None]) -> bool:
        """See that one that was started is still there; if not, that is a failure."""
        try:
            failure = end(self.engine, one)
        except (BackupError, TransportError) as error:
            failure = str(error)
        if failure:
            self.failures.append(BackupError(f"container {one.name!r} {failure}"))
            self.warn(one.name, failure)
        return not failure

    def _leave(self, one: Touched, error: BackupError | TransportError) -> None:
        self.undone = True
        did = "stopped" if one.how is Quiesce.STOP else "paused"
        failure = BackupError(
            f"container {one.name!r} was {did} by this run, and does not run again: {error}",
            hint="`voltar recover` tries again",
        )
        self.failures.append(failure)
        self.warn(one.name, f"was {did} and does not run again: {error}")

    def _persistently(self, act: Callable[[Engine], str | None]) -> str | None:
        """Do something with the engine, by new connections where one breaks, for a while."""
        while True:
            try:
                return act(self.engine)
            except (EngineUnavailable, TransportError):
                if time.monotonic() > self._deadline():
                    raise
            time.sleep(_AGAIN_S)
            with suppress(EngineUnavailable, TransportError):
                self.engine = self.stack.enter_context(self.setting.connect())

    def _deadline(self) -> float:
        """When waiting ends, for all containers together."""
        if self.waits_until is None:
            self.waits_until = time.monotonic() + _PATIENCE_S
        return self.waits_until

    def close(self, unit: int) -> None:
        """Let all run again, and run what comes after; then the unit is over."""
        self.resume(unit)
        self.run_hooks(unit, When.AFTER)
        begun = self.journal.record.units[unit]
        if set(begun.quieting) <= begun.running:
            self.note(unit, "over")

    def run_hooks(self, unit: int, when: When) -> str | None:
        """Run the hooks before or after the reading. Returns why the sources are left out, if so.

        One that may not fail raises BackupError before the reading, and is a failure after it.
        """
        state = self.journal.record.units[unit]
        for at, one in enumerate(self.journal.record.header.units[unit].hooks):
            if one.when is not when or at in state.done:
                continue
            error = self._ran(unit, at, one)
            if error is None:
                continue
            self.warn("", str(error))
            if when is When.BEFORE and one.on_error is OnError.SKIP:
                return str(error)
            if one.on_error is OnError.FAIL:
                if when is When.BEFORE:
                    raise error
                self.failures.append(error)
        return None

    def _ran(self, unit: int, at: int, one: Hook) -> BackupError | None:
        try:
            said = hook.perform(
                self.engine,
                one,
                run=self.setting.run,
                environ=self.setting.environ,
                on_begun=lambda identity: self.write(unit, "hook", hook=at, exec=identity),
            )
        except BackupError as error:
            self.note(unit, "done", hook=at)
            return error
        self.note(unit, "done", hook=at)
        if said:
            self.say(hook.told(one).rstrip(","), f"said: {said}")
        return None
