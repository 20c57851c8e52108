"""MariaDB and MySQL: what a server holds, and how a dump of all of it is restored.

No transaction holds tables and rights together. So a restore begins with a mark, a database that
says what was there; then come the server's own database, with rights and accounts, and the others
of the dump. The account that restores keeps its password until all is proven. Until then everything
can be put back, by whoever finds the mark.
"""

# ruff: noqa: S608  names of ours, or quoted

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from backup.blocks import Block
from backup.database.server import MARK, Server

_OWN: Final = """
select concat(table_schema, '.', table_name) from information_schema.tables
where table_schema not in ('mysql', 'information_schema', 'performance_schema', 'sys')
union all
select concat(routine_schema, '.', routine_name, '()') from information_schema.routines
where routine_schema not in ('mysql', 'information_schema', 'performance_schema', 'sys')
limit 100
"""
_DATABASES: Final = """
select concat('`', replace(schema_name, '`', '``'), '`'),
  concat('character set ', default_character_set_name, ' collate ', default_collation_name)
from information_schema.schemata
where schema_name not in ('mysql', 'information_schema', 'performance_schema', 'sys')
"""
_SECTION: Final = re.compile(
    rb"\n(?:--\n-- Current Database: (`(?:[^`]|``)+`)\n--|"
    rb"/\*!40103 SET TIME_ZONE=@OLD_TIME_ZONE \*/;)\n"
)
_SECTION_AT_MOST: Final = 1024
_RIGHTS: Final = b"`mysql`"
_FLUSH: Final = b"\n/*! FLUSH PRIVILEGES */;\n"
_KEPT: Final = 256 << 10
_ACCOUNTS: Final = (
    "select if(table_type = 'VIEW', 'global_priv', 'user'), current_user(), @@event_scheduler "
    "from information_schema.tables where table_schema = 'mysql' and table_name = 'user'"
)
_LONG: Final = (
    *("help_category", "help_keyword", "help_relation", "help_topic", "time_zone"),
    *("time_zone_leap_second", "time_zone_name", "time_zone_transition"),
    *("time_zone_transition_type", "innodb_index_stats", "innodb_table_stats"),
)
_OWN_DUMP: Final = (
    *("mariadb-dump", "--databases", "mysql", "--single-transaction", "--quick", "--hex-blob"),
    *("--default-character-set=utf8mb4", *(f"--ignore-table=mysql.{name}" for name in _LONG)),
)
"""All of the server's own database but what any server of that version has as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was there before a restore: databases, as the server quotes them, with what they are
    made with; `wanted` are those of the dump, `accounts` is the table of accounts; `me` is
    whoever restores, as USER@HOST; `scheduler` is "ON" where events are executed."""

    databases: dict[str, str]
    accounts: str
    me: str
    wanted: list[str] = field(default_factory=list)
    scheduler: str = ""

    @property
    def mine(self) -> str:
        """What is true of my row among the accounts."""
        user, _, host = self.me.rpartition("@")
        return f"User = {_quoted(user)} and Host = {_quoted(host)}"


def objects(server: Server) -> list[str]:
    """Return tables and routines that somebody made."""
    return _lines(server, _OWN)


def marked(server: Server) -> State | None:
    """Return what was there before a restore of which the server bears the mark."""
    if f"`{MARK}`" not in _databases(server):
        return None
    there = f"select count(*) from information_schema.tables where table_schema = '{MARK}'"
    if _lines(server, f"{there} and table_name = 'state'") == ["0"]:
        return _state(server)  # it was killed before it did anything
    found = _lines(server, f"select body from {MARK}.state where what = 'before'")
    return State(**json.loads(found[0])) if found else _state(server)


def proven(_state: State) -> bool:
    """Whether what was restored is what is there in the end: never, while there is a mark."""
    return False


def begin(server: Server, wanted: Iterable[str]) -> State:
    """Note what is there, and mark the server. Raises EngineError if it is marked."""
    state = replace(_state(server), wanted=[*wanted])
    _lines(server, f"create database {MARK} character set utf8mb4")
    return state


def put_aside(server: Server, state: State) -> None:
    """Note what is there in the mark: databases, all rights, and my own account."""
    rights = server.ask(_OWN_DUMP).encode()
    parts = [rights[at : at + _KEPT].hex() for at in range(0, len(rights), _KEPT)]
    server.feed(
        f"{line};\n".encode()
        for line in (
            f"create table {MARK}.state (what varchar(9), part int, body longblob)",
            f"create table {MARK}.mine as select * from mysql.{state.accounts} where {state.mine}",
            *(f"insert into {MARK}.state values ('rights', {at}, 0x{part})"
              for at, part in enumerate(parts)),
            f"insert into {MARK}.state values ('before', 0, {_quoted(json.dumps(asdict(state)))})",
        )
    )  # fmt: skip


def fill(server: Server, state: State, read: Callable[[], Iterator[Block]]) -> None:
    """Feed the server's own, where I keep my password, then all else: a view of a view is only
    made where the definer is known, and may do what the view does."""
    if state.scheduler == "ON":  # no event may change what is yet to be compared
        _lines(server, "set global event_scheduler = off")
    for name in state.databases.keys() & state.wanted:
        _lines(server, f"drop database {name}")
    _lines(server, f"insert into {MARK}.state values ('touched', 0, '')")
    server.feed(_rights(read(), state))
    server.feed(piece for name, piece in sections(read()) if name != _RIGHTS)


def _rights(blocks: Iterable[Block], state: State) -> Iterator[Block]:
    """A dump of the server's own database, after which my account is as it was. Nobody's password
    changes before, for the server remembers what it has read."""
    own = [piece for name, piece in sections(blocks) if name in (b"", _RIGHTS)]
    yield b"".join(own).replace(_FLUSH, b"\n")
    for line in (
        f"create table {MARK}.theirs as select * from mysql.{state.accounts} where {state.mine}",
        f"replace into mysql.{state.accounts} select * from {MARK}.mine",
        "flush privileges",
    ):
        yield f"\n{line};\n".encode()


def compared(blocks: Iterable[Block], state: State) -> Iterator[Block]:
    """What is compared of a dump: all but the mark, and my account, which is set at the end."""
    user, _, host = state.me.rpartition("@")
    mine = re.compile(rf"^\('{re.escape(host)}','{re.escape(user)}',.*\n".encode(), re.MULTILINE)
    besides = {f"`{MARK}`", *state.databases} - {*state.wanted}
    own: list[bytes] = []
    for name, piece in sections(blocks):
        if own and name != _RIGHTS:
            yield mine.sub(b"", b"".join(own))
            own = []
        if name == _RIGHTS:
            own.append(piece)
        elif name.decode() not in besides:
            yield piece
    yield mine.sub(b"", b"".join(own))


def finish(server: Server, state: State) -> None:
    """Let my account be as in the dump, and forget what was there: by one program, which stays
    logged in when its password changes."""
    lines = (
        f"replace into mysql.{state.accounts} select * from {MARK}.theirs",
        f"delete from mysql.{state.accounts} where {state.mine} "
        f"and not exists (select 1 from {MARK}.theirs)",
        "flush privileges",
        *_scheduled(state),
        f"drop database {MARK}",
    )
    server.feed([";\n".join((*lines, "")).encode()])


def take_back(server: Server, state: State) -> None:
    """Put back what was there, and drop what was not. What was done of that is not done again."""
    there = f"select table_name from information_schema.tables where table_schema = '{MARK}'"
    noted = "state" in _lines(server, there)
    if noted and _lines(server, f"select 1 from {MARK}.state where what = 'before'"):
        kept = state.databases.keys() - {*state.wanted}
        for name in _databases(server).keys() - kept - {f"`{MARK}`"}:
            _lines(server, f"drop database {name}")
        for name, made in state.databases.items():
            _lines(server, f"create database if not exists {name} {made}")
        if _lines(server, f"select 1 from {MARK}.state where what = 'touched'"):
            parts = f"select hex(body) from {MARK}.state where what = 'rights' order by part"
            rights = [bytes.fromhex(part) for part in _lines(server, parts)]
            server.feed([*rights, b"\nflush privileges;\n"])
    for statement in (*_scheduled(state), f"drop database {MARK}"):
        _lines(server, statement)


def _scheduled(state: State) -> list[str]:
    return ["set global event_scheduler = on"] if state.scheduler == "ON" else []


def sections(blocks: Iterable[Block]) -> Iterator[tuple[bytes, bytes]]:
    """Divide a dump by the databases that are restored: pieces, with the name as it is quoted, b""
    for what comes before the first and after the last. Pure."""
    name, buffer = b"", b""
    for block in blocks:
        buffer += bytes(block)
        while found := _SECTION.search(buffer):
            yield name, buffer[: found.start()]
            name = found[1] or b""
            yield name, found[0]
            buffer = buffer[found.end() :]
        cut = max(0, len(buffer) - _SECTION_AT_MOST)
        yield name, buffer[:cut]
        buffer = buffer[cut:]
    yield name, buffer


def _state(server: Server) -> State:
    accounts, me, scheduler = _lines(server, _ACCOUNTS)[0].split("\t")
    databases = _databases(server)
    return State(databases=databases, accounts=accounts, me=me, scheduler=scheduler)


def _databases(server: Server) -> dict[str, str]:
    return dict(line.split("\t", 1) for line in _lines(server, _DATABASES))


def _quoted(text: str) -> str:
    """A text as it is meant whatever the server's sql_mode takes a backslash for."""
    return f"x'{text.encode().hex()}'"


def _lines(server: Server, statement: str) -> list[str]:
    words = ("--batch", "--skip-column-names", "--raw", "--default-character-set=utf8mb4")
    return server.lines(("mariadb", *words, "-e", statement))
