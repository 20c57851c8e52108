"""PostgreSQL: what a server holds, and how a dump of all of it is made to fit.

pg_dumpall writes CREATE ROLE for every role and CREATE DATABASE for every database but those that
each server has. A server that was just made has a superuser of the same name as a rule, and often
the one empty database that its container was told to make; with ON_ERROR_STOP both would end the
restore. So such a line is left out for a role that is there, which the next line sets right, and
such a database is dropped first, if it is empty.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from backup.blocks import Block
from backup.database.server import Before, Server

_ROLE: Final = re.compile(rb'CREATE ROLE ("(?:[^"]|"")+"|[^\s;]+);\n')
_GLOBALS_END: Final = b"\n\\connect "
_GLOBALS_AT_MOST: Final = 64 << 20
_OWN: Final = """
select format('%s.%s', quote_ident(n.nspname), quote_ident(c.relname))
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_t%'
and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e')
union all
select format('%s.%s()', quote_ident(n.nspname), quote_ident(p.proname))
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_t%'
and not exists (select from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e')
order by 1 limit 100
"""
_DATABASES: Final = (
    "select datname from pg_catalog.pg_database where datallowconn order by datname <> 'template1'"
)
_OWNERS: Final = (
    "select quote_ident(datname), quote_ident(pg_catalog.pg_get_userbyid(datdba)) "
    "from pg_catalog.pg_database where not datistemplate and datname <> 'postgres'"
)
_ROLES: Final = (
    "select quote_ident(rolname) from pg_catalog.pg_roles where rolname not like 'pg\\_%'"
)


def objects(server: Server) -> list[str]:
    """Return tables and functions that somebody made, as "database: schema.name"."""
    found = []
    for name in _lines(server, "template1", _DATABASES):
        found += [f"{name}: {each}" for each in _lines(server, name, _OWN)]
    return found


def before(server: Server) -> Before:
    """Note what is there."""
    owners = (line.partition("|") for line in _lines(server, "template1", _OWNERS))
    roles = frozenset(_lines(server, "template1", _ROLES))
    return Before({name: owner for name, _, owner in owners}, roles)


def prepare(server: Server, known: Before, wanted: Iterable[bytes]) -> None:
    """Drop databases, which are known to be empty, that a dump creates."""
    for name in (each.decode() for each in wanted):
        if name in known.databases:
            _lines(server, "template1", f"drop database {name}")


def fitted(blocks: Iterable[Block], known: Before) -> Iterator[Block]:
    """Leave out of a dump's beginning that roles are created which are there."""
    passing = iter(blocks)
    start = b""
    for block in passing:
        start += bytes(block)
        if _GLOBALS_END in start or len(start) > _GLOBALS_AT_MOST:
            break
    roles, mark, rest = start.partition(_GLOBALS_END)
    yield _ROLE.sub(lambda found: b"" if found[1].decode() in known.roles else found[0], roles)
    yield mark + rest
    yield from passing


def take_back(server: Server, known: Before) -> None:
    """Drop what was not there before, and make anew what is not there any more."""
    now = before(server)
    for name in now.databases.keys() - known.databases.keys():
        _lines(server, "template1", f"drop database {name}")
    for name, owner in known.databases.items():
        if name in now.databases:
            _lines(server, "template1", f"drop database {name}")
        _lines(server, "template1", f"create database {name} owner {owner}")
    for name in now.roles - known.roles:
        _lines(server, "template1", f"drop role {name}")


def _lines(server: Server, database: str, statement: str) -> list[str]:
    quoted = database.replace("\\", "\\\\").replace("'", "\\'")
    words = ("psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", f"dbname='{quoted}'")
    return server.ask((*words, "-c", statement)).splitlines()
