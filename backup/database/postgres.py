"""PostgreSQL: what a server holds, and how a dump of all of it is made to fit.

pg_dumpall writes CREATE ROLE for every role and CREATE DATABASE for every database but those that
each server has. A server that was just made has a superuser of the same name as a rule, and often
the one empty database that its container was told to make; with ON_ERROR_STOP both would end the
restore. So what a dump says of roles that are there waits for the end, and a database that is
there, and empty, is put aside.

No transaction holds databases together, so a restore begins with a mark, an empty database whose
comment says what was there. What is there is put aside by renaming or copying, until what was
restored is proven; then one transaction sets the roles and says so in the mark. Until then
everything can be put back, by whoever finds the mark.
"""

# ruff: noqa: S608  names of ours, or quoted

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from backup.blocks import Block
from backup.database.server import MARK, Server

_ROLE: Final = re.compile(rb'^(?:CREATE|ALTER) ROLE ("(?:[^"]|"")+"|[^\s;]+)[ ;].*\n', re.MULTILINE)
_CREATION: Final = re.compile(rb'^CREATE ROLE ("(?:[^"]|"")+"|[^\s;]+);\n', re.MULTILINE)
_GLOBALS_END: Final = b"\n\\connect "
_GLOBALS_AT_MOST: Final = 64 << 20
_OWN: Final = """
select format('%s.%s', quote_ident(n.nspname), quote_ident(c.relname))
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_t%'
and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e')
union all
select format('%s.%s()', quote_ident(n.nspname), quote_ident(p.proname))
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_t%'
and not exists (select from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e')
union all
select format('large object %s', oid) from pg_catalog.pg_largeobject_metadata
order by 1 limit 100
"""
"""What an extension brings along is nobody's own, and neither are its indexes and types."""
_DATABASES: Final = (
    "select datname from pg_catalog.pg_database where datallowconn order by datname <> 'template1'"
)
_NAMES: Final = "select quote_ident(datname) from pg_catalog.pg_database"
_SPACES: Final = "select quote_ident(spcname) from pg_catalog.pg_tablespace"
_ROLES: Final = (
    "select quote_ident(rolname) from pg_catalog.pg_roles where rolname not like 'pg\\_%'"
)
_MARKED: Final = (
    "select coalesce(pg_catalog.shobj_description(oid, 'pg_database'), '') "
    f"from pg_catalog.pg_database where datname = '{MARK}' and not datallowconn"
)
_COPIED: Final = ("postgres", "template1")
"""Databases into which a dump writes without making them."""


@dataclass(slots=True, kw_only=True)
class State:
    """What was there before a restore, as the server quotes names. `aside` are the names under
    which databases wait, `wanted` those of the dump; `late` is what that says of roles that were
    there."""

    databases: list[str]
    roles: list[str]
    spaces: list[str]
    aside: dict[str, str]
    wanted: list[str]
    finished: bool = False
    late: list[bytes] = field(default_factory=list)

    @property
    def text(self) -> str:
        names = ("databases", "roles", "spaces", "aside", "wanted", "finished")
        return json.dumps({name: getattr(self, name) for name in names})


def objects(server: Server) -> list[str]:
    """Return tables and functions that somebody made, as "database: schema.name"."""
    found = []
    for name in _lines(server, "template1", _DATABASES):
        found += [f"{name}: {each}" for each in _lines(server, name, _OWN)]
    return found


def marked(server: Server) -> State | None:
    """Return what was there before a restore of which the server bears the mark."""
    found = _lines(server, "template1", _MARKED)
    if not found:
        return None
    if not found[0]:  # it was killed before it did anything
        return State(
            databases=_names(server), roles=[], spaces=[], aside={}, wanted=[], finished=True
        )
    return State(**json.loads(found[0]))


def proven(state: State) -> bool:
    """Whether what was restored is what is there in the end."""
    return state.finished and bool(state.aside)


def begin(server: Server, wanted: Iterable[str]) -> State:
    """Note what is there, and mark the server. Raises EngineError if it is marked."""
    there = _names(server)
    names = [name for name in there if name != "template0"]
    state = State(
        databases=there,
        roles=_lines(server, "template1", _ROLES),
        spaces=_lines(server, "template1", _SPACES),
        aside={name: f"voltar_before_{number}" for number, name in enumerate(names)},
        wanted=[*wanted],
    )
    closed = "with template template0 allow_connections false"
    _lines(server, "template1", f"create database {MARK} {closed}")
    return state


def put_aside(server: Server, state: State) -> None:
    """Note what is there in the mark, and put aside what a restore would change."""
    server.feed([_remark(state).encode()])
    for name, aside in state.aside.items():
        _leave(server, name)
        if name not in _COPIED:
            _lines(server, "template1", f"alter database {name} rename to {aside}")
            _lines(server, "template1", f"alter database {aside} allow_connections false")
        else:
            copied = f"create database {aside} with template {name} allow_connections false"
            _lines(server, _beside(name), copied)


def fill(server: Server, state: State, read: Callable[[], Iterator[Block]]) -> None:
    """Feed a dump, but for what it says of roles that are there."""
    server.feed(fitted(read(), state.roles, state.late))


def compared(blocks: Iterable[Block], state: State) -> Iterator[Block]:
    """What is compared of a dump: all but roles that were there, which are set at the end."""
    yield from fitted(blocks, state.roles, [])


def finish(server: Server, state: State) -> None:
    """Set roles that were there, and forget what was put aside: by one program, which stays logged
    in when its password changes."""
    state.finished = True
    ends = [each for name in state.aside for each in _end(name, state)]
    changes = [each for each in state.late if not _CREATION.match(each)]
    script = [b"begin;\n", *changes, f"{_remark(state)}commit;\n".encode()]
    server.feed([*script, "\n".join([*ends, f"drop database {MARK};"]).encode()])


def _end(name: str, state: State) -> Iterator[str]:
    """What becomes of a database that was there; one that is not in the dump is there again."""
    aside = state.aside[name]
    if name in state.wanted or name in _COPIED:
        yield _dropping(aside)
    else:
        yield f"alter database {aside} allow_connections true;"
        yield f"alter database {aside} rename to {name};"


def fitted(blocks: Iterable[Block], roles: Iterable[str], late: list[bytes]) -> Iterator[Block]:
    """Take what is said of some roles out of a dump's beginning, and put it into `late`. Pure."""
    passing, known = iter(blocks), {each.encode() for each in roles}
    start = b""
    for block in passing:
        start += bytes(block)
        if _GLOBALS_END in start or len(start) > _GLOBALS_AT_MOST:
            break

    def kept(found: re.Match[bytes]) -> bytes:
        if found[1] not in known:
            return found[0]
        late.append(found[0])
        return b""

    said, mark, rest = start.partition(_GLOBALS_END)
    yield _ROLE.sub(kept, said)
    yield mark + rest
    yield from passing


def take_back(server: Server, state: State) -> None:
    """Put back what was there, and drop what was not; of a restore that was finished, only what it
    had put aside. What was done of that is not done again."""
    now = _names(server)
    waiting = {name: aside for name, aside in state.aside.items() if aside in now}
    if state.finished:
        server.feed(f"{each}\n".encode() for name in waiting for each in _end(name, state))
    else:
        _drop(server, (waiting.keys() & now) - {*_COPIED})
        _drop_new(server, state)
        for name in sorted(waiting, key=lambda name: name == "template1"):
            _put_back(server, name, waiting[name], there=name in now and name in _COPIED)
            _drop_new(server, state)
        _drop_others(server, state)
    _lines(server, "template1", f"drop database {MARK}")


def _drop_new(server: Server, state: State) -> None:
    """Drop databases that were not there, as soon as that can be: where the disk is full nobody can
    enter one that was copied."""
    _drop(server, {*_names(server)} - {*state.databases, *state.aside.values(), MARK})


def _drop(server: Server, databases: Iterable[str]) -> None:
    for name in databases:
        _leave(server, name)
        server.feed([_dropping(name).encode()])


def _dropping(name: str) -> str:
    """What drops a database, a template too; one of which that was cut off cannot be altered."""
    quoted = name.replace("'", "''")
    return (
        f"select 'alter database {quoted} is_template false' from pg_catalog.pg_database "
        f"where quote_ident(datname) = '{quoted}' and datistemplate \\gexec\n"
        f"drop database {name};\n"
    )


def _drop_others(server: Server, state: State) -> None:
    for name in {*_lines(server, "template1", _SPACES)} - {*state.spaces}:
        _lines(server, "template1", f"drop tablespace {name}")
    if new := {*_lines(server, "template1", _ROLES)} - {*state.roles}:
        roles = ", ".join(new)  # together: what one has granted may keep another one from going
        server.feed([f"drop owned by {roles};\ndrop role {roles};\n".encode()])


def _put_back(server: Server, name: str, aside: str, *, there: bool) -> None:
    """Let the former database take the place of another one, at once: who is killed in between
    could not log in again without a template1."""
    changes = [f"alter database {aside} rename to {name}"]
    changes += [f"alter database {name} allow_connections true"]
    if name == "template1":
        changes.append("alter database template1 is_template true")
    if there:
        _leave(server, name)
        other = f"voltar_half_{aside}"
        changes.insert(0, f"alter database {name} rename to {other}")
        changes.append(f"alter database {other} is_template false")
    _lines(server, _beside(name), "; ".join(changes))


def _leave(server: Server, name: str) -> None:
    """Have everybody else leave a database."""
    quoted = name.replace("'", "''")
    statement = (
        "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity "
        f"where quote_ident(datname) = '{quoted}' and pid <> pg_catalog.pg_backend_pid()"
    )
    _lines(server, _beside(name), statement)


def _beside(name: str) -> str:
    """A database to be in while something is done to another."""
    return "postgres" if name == "template1" else "template1"


def _remark(state: State) -> str:
    quoted = state.text.replace("'", "''")
    return f"comment on database {MARK} is '{quoted}';\n"


def _names(server: Server) -> list[str]:
    return _lines(server, "template1", _NAMES)


def _lines(server: Server, database: str, statement: str) -> list[str]:
    quoted = database.replace("\\", "\\\\").replace("'", "\\'")
    words = ("psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", f"dbname='{quoted}'")
    return server.lines((*words, "-c", statement))
