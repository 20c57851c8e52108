"""What the steps of one migration work with."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

from backup.engine import Engine
from backup.errors import EngineUnavailable
from backup.migrate.journal import Journal
from backup.report import OnEvent
from transports.errors import TransportError

Connect = Callable[[str], Engine]


class Engines:
    """Both engines, each connected when it is first asked for: one may be gone while the other has
    to be put right. A context manager."""

    def __init__(self, source: str, target: str, connect: Connect) -> None:
        self._urls = {"source": source, "target": target}
        self._connect = connect
        self._known: dict[str, Engine] = {}
        self._gone: dict[str, EngineUnavailable] = {}
        self._stack = ExitStack()

    @property
    def source(self) -> Engine:
        """Raises EngineUnavailable."""
        return self._engine("source")

    @property
    def target(self) -> Engine:
        """Raises EngineUnavailable."""
        return self._engine("target")

    def reachable(self) -> list[Engine]:
        """Those of the two that answer."""
        found = []
        for side in self._urls:
            with suppress(EngineUnavailable):
                found.append(self._engine(side))
        return found

    def revive(self) -> None:
        """Have new connections from now on if one of those so far is lost. Who was cut off says so
        in many ways, and one that is interrupted may have lost what carried it as well."""
        if not all(map(_answers, self._known.values())):
            self._stack.close()
            self._known.clear()
            self._gone.clear()

    def _engine(self, side: str) -> Engine:
        if side in self._gone:
            raise self._gone[side]
        if side not in self._known:
            try:
                self._known[side] = self._stack.enter_context(self._connect(self._urls[side]))
            except EngineUnavailable as error:
                self._gone[side] = error  # each try waits for its own end
                raise
        return self._known[side]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def _answers(engine: Engine) -> bool:
    try:
        engine.get("/version")
    except (EngineUnavailable, TransportError):
        return False
    return True


class Work:
    """One migration at work."""

    def __init__(self, engines: Engines, journal: Journal, on_event: OnEvent) -> None:
        self.engines = engines
        self.journal = journal
        self.record = journal.record
        self.on_event = on_event

    @property
    def id(self) -> str:
        """The migration's id: it is on all that it makes."""
        return self.journal.id

    @property
    def passing_name(self) -> str:
        """What the container is called on the target until it is whole."""
        return f"voltar-migration-{self.id}"
