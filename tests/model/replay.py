"""The state of a generator, as a value.

A generator cannot be copied, so it is played again from the start to take another path: all that
it does depends on the answers that it is sent. Two generators that stopped at the same place with
the same values in the variables that are used from there on will do the same, whatever their
histories were: they are one state, and the scheduler visits it once.
"""

import dis
from collections.abc import Callable, Generator
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from functools import cache
from inspect import getgeneratorlocals
from types import CodeType, GeneratorType, NoneType
from typing import Any

from tests.model.store import Look, Pick, Step

Life = Generator[Step | Look | Pick, Any, Any]
"""All that an actor does, in steps."""


class Local:
    """Where one actor stands: the step that it takes next, or None if there is none.

    `program` makes the actor's generator. Equal states are the same object.
    """

    __slots__ = ("_known", "_next", "answers", "program", "step")

    def __init__(
        self,
        known: dict[Any, "Local"],
        program: Callable[[], Life],
        answers: tuple[Any, ...],
        step: Step | Look | Pick | None,
    ) -> None:
        self._known = known
        self._next: dict[Any, Local] = {}
        self.program = program
        self.answers = answers
        self.step = step

    def after(self, answer: Any) -> "Local":
        """Return the state that follows when the step has been answered."""
        found = self._next.get(answer)
        if found is None:
            found = self._next[answer] = reached(self._known, self.program, (*self.answers, answer))
        return found


def reached(
    known: dict[Any, Local], program: Callable[[], Life], answers: tuple[Any, ...]
) -> Local:
    """Play an actor with these answers; return the state that it is in, the known one if any."""
    life = program()
    step = None
    try:
        step = next(life)
        for answer in answers:
            step = life.send(answer)
    except StopIteration:
        step = None
    key = (program, step, frozen(life))
    found = known.get(key)
    if found is None:
        found = known[key] = Local(known, program, answers, step)
    return found


_PLAIN = (str, int, frozenset, datetime, timedelta, NoneType)


def frozen(value: Any) -> Any:
    """Return a value that is equal for equal states, and can be the key of a dict."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, GeneratorType):
        return tuple(_frames(value))
    if isinstance(value, dict):
        return frozenset((key, frozen(each)) for key, each in value.items())
    if isinstance(value, set):
        return frozenset(value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), *(frozen(getattr(value, each.name)) for each in fields(value))
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def _frames(generator: Any) -> Generator[Any, None, None]:
    """Yield where a generator, and each that it waits for, stopped, and with which values."""
    while generator is not None and generator.gi_frame is not None:
        at = generator.gi_frame.f_lasti
        values = getgeneratorlocals(generator)
        used = needed(generator.gi_code, at)
        yield generator.gi_code, at, *(frozen(values[each]) for each in used if each in values)
        generator = generator.gi_yieldfrom


@cache
def needed(code: CodeType, at: int) -> tuple[str, ...]:
    """Return the variables that are mentioned in what can run from an instruction on.

    What a for loop iterates over is no variable: its loop variable stands for it, so that one must
    differ from one turn to the next where the generator stops within the loop.
    """
    instructions = list(dis.get_instructions(code))
    first = at
    for each in reversed(instructions):
        if each.offset >= first and "BACKWARD" in each.opname and isinstance(each.argval, int):
            first = min(first, each.argval)
    names = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
    mentioned: set[str] = set()
    for each in instructions:
        if each.offset >= first:
            said = each.argval if isinstance(each.argval, tuple) else (each.argval,)
            mentioned.update(name for name in said if isinstance(name, str) and name in names)
    return tuple(sorted(mentioned))
