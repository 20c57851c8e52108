"""What a server asks of whoever logs in, answered in the thread that logs in.

paramiko asks in its own thread. No Ctrl-C comes there: the process would end in the middle of the
question, and leave a terminal that shows nothing that is typed.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final

Handler = Callable[[str, str, list[tuple[str, bool]]], list[str]]
_MOST: Final = 10
_SHOWN: Final = 200


def answered(
    act: Callable[[Handler], Sequence[str]], ask: Callable[[str], str | None]
) -> Sequence[str]:
    """Return what `act` does; what its handler is asked is asked of `ask`, here."""
    asked: SimpleQueue[list[str] | None] = SimpleQueue()
    given: SimpleQueue[list[str]] = SimpleQueue()
    done: Future[Sequence[str]] = Future()

    def handler(_title: str, _about: str, questions: list[tuple[str, bool]]) -> list[str]:
        asked.put([text for text, _ in questions[:_MOST]])
        return given.get()

    def perform() -> None:
        try:
            done.set_result(act(handler))
        except Exception as error:  # noqa: BLE001  raised again by whoever waits
            done.set_exception(error)
        finally:
            asked.put(None)

    threading.Thread(target=perform, daemon=True, name="voltar-ssh").start()
    try:
        while (questions := asked.get()) is not None:
            given.put([ask(_shown(text)) or "" for text in questions])
    finally:
        given.put([])  # lets a handler go, if we were interrupted
    return done.result()


def _shown(text: str) -> str:
    """Return a question without what would drive a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:_SHOWN]).strip()
