"""MariaDB and MySQL: what a server holds, and how what was made of it is taken back."""

from collections.abc import Iterable, Iterator
from typing import Final

from backup.blocks import Block
from backup.database.server import Before, Server

_OWN: Final = """
select concat(table_schema, '.', table_name) from information_schema.tables
where table_schema not in ('mysql', 'information_schema', 'performance_schema', 'sys')
union all
select concat(routine_schema, '.', routine_name, '()') from information_schema.routines
where routine_schema not in ('mysql', 'information_schema', 'performance_schema', 'sys')
limit 100
"""
_DATABASES: Final = """
select concat('`', replace(schema_name, '`', '``'), '`') from information_schema.schemata
where schema_name not in ('mysql', 'information_schema', 'performance_schema', 'sys')
"""


def objects(server: Server) -> list[str]:
    """Return tables and routines that somebody made."""
    return _lines(server, _OWN)


def before(server: Server) -> Before:
    """Note what is there."""
    return Before(dict.fromkeys(_lines(server, _DATABASES), ""), frozenset())


def prepare(server: Server, known: Before, wanted: Iterable[bytes]) -> None:
    """Drop databases, which are known to be empty, that a dump creates: with its settings."""
    for name in (each.decode() for each in wanted):
        if name in known.databases:
            _lines(server, f"drop database {name}")


def fitted(blocks: Iterable[Block], known: Before) -> Iterator[Block]:
    """A dump fits as it is."""
    del known
    yield from blocks


def take_back(server: Server, known: Before) -> None:
    """Drop what was not there before, and make anew what is not there any more."""
    for name in _lines(server, _DATABASES):
        _lines(server, f"drop database {name}")
    for name in known.databases:
        _lines(server, f"create database {name}")


def _lines(server: Server, statement: str) -> list[str]:
    words = ("mariadb", "--batch", "--skip-column-names", "--raw", "-e", statement)
    return server.ask(words).splitlines()
