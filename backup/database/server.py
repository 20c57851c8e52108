"""A database's server in a container that runs, and what it answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from backup.blocks import Block, Blocks
from backup.database.dialect import DIALECTS, HISTORY, Dialect
from backup.database.kind import DUMPED, Kind
from backup.engine import Container, Engine, Finished, container_secrets
from backup.engine.execution import Output, Where, reading, writing
from backup.errors import ConfigError, EngineError

_SMALL = 16 << 20
MARK: Final = "voltar_restore_in_progress"
"""A database that a server has while a dump is restored into it, and when that was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that has answered: `version` is its own word for it, `where` who may ask it,
    `directory` where it has its data. `history` is "none" where no table keeps former rows,
    else whether a dump can have them: "whole" or "lacking"."""

    engine: Engine
    dialect: Dialect
    where: Where
    version: str
    directory: PurePosixPath
    history: str

    def ask(self, words: tuple[str, ...]) -> str:
        """Run a program that is logged in; return what it says, which is little."""
        said, done = _asked(self.engine, self.where, self.dialect.argv(words))
        if done.status:
            raise failed(words[0], self.where.name, done)
        return said

    def lines(self, words: tuple[str, ...]) -> list[str]:
        """The same by lines, which only a newline ends: Python knows others, which names have."""
        return self.ask(words).split("\n")[:-1]

    @contextmanager
    def dumping(self, *, history: bool) -> Iterator[Output]:
        """The server's dump as it comes; whether it is whole is for whoever reads it to say."""
        words = (*self.dialect.dump, *([HISTORY] if history else []))
        argv, end = self.dialect.argv(words), self.dialect.end_dump
        with reading(self.engine, self.where, argv, end=end) as output:
            yield output

    def feed(self, blocks: Blocks) -> None:
        """Have statements executed, up to the first that fails. Raises EngineError."""
        argv = self.dialect.argv(self.dialect.client)
        done = writing(self.engine, self.where, argv, _ended(blocks, self.dialect.quit))
        if done.status:
            raise failed(self.dialect.client[0], self.where.name, done)


def _ended(blocks: Blocks, end: bytes) -> Iterator[Block]:
    yield from blocks
    yield end


def dialect(name: str) -> Dialect:
    """Return how the database that a configuration names is spoken to. Raises ConfigError."""
    known = {kind.value: DIALECTS[kind] for kind in DUMPED}
    if name in known:
        return known[name]
    hint = f"known are {', '.join(known)}"
    if name in (Kind.REDIS.value, Kind.SQLITE.value):
        hint = 'use quiesce = "pause" or "stop" for it; a dump is not there yet'
    raise ConfigError(f"there is no dump of {name!r}", hint=hint)


def reached(engine: Engine, found: Container, speech: Dialect) -> Server:
    """Find out who may ask a container's server. Raises EngineError where nobody may, or it is
    down."""
    title = speech.kind.title
    if not found.running or found.paused:
        state = "is paused" if found.paused else "does not run"
        raise EngineError(
            f"container {found.name!r} {state}, so its {title} cannot be asked",
            hint=f"docker {'unpause' if found.paused else 'start'} {found.name}",
        )
    secrets = container_secrets(engine, found.id)
    reasons: list[str] = []
    for user in speech.users:
        where = Where(found.id, found.name, user, secrets)
        try:
            said, done = _asked(engine, where, speech.argv(speech.greet))
        except EngineError as error:  # no such account, or no shell
            reasons.append(str(error))
            continue
        if done.status == 0 and said.strip():
            version, _, more = said.strip().partition("|")
            directory, _, history = more.rpartition("|")
            return Server(
                engine=engine,
                dialect=speech,
                where=where,
                version=version,
                directory=PurePosixPath(directory),
                history=history,
            )
        reasons.append(_last(done) or "it is not a superuser")
    raise EngineError(
        f"the {title} in container {found.name!r} cannot be asked: {reasons[0]}",
        hint="voltar logs in with what the container's own environment says",
    )


def failed(program: str, container: str, done: Finished) -> EngineError:
    """The error of a program that did not end well."""
    said = _last(done)
    return EngineError(
        f"{program} in container {container!r} failed with status {done.status}"
        f"{': ' if said else ''}{said}"
    )


def _asked(engine: Engine, where: Where, argv: list[str]) -> tuple[str, Finished]:
    with reading(engine, where, argv) as output:
        said = b""
        for block in output:
            said += block
            if len(said) > _SMALL:
                raise EngineError(f"a program in container {where.name!r} says too much")
        assert output.finished is not None  # noqa: S101  it was read to its end
    return said.decode(errors="replace"), output.finished


def _last(done: Finished) -> str:
    """The line of a program's complaints that says most: the first error, or the last line."""
    lines = [each for each in done.stderr.splitlines() if each.strip()]
    errors = [each for each in lines if "error" in each.lower() or "fatal" in each.lower()]
    return (errors or lines[-1:] or [""])[0].strip()
