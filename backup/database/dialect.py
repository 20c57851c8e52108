"""How each kind of server is spoken to, by the programs that its own container has.

Whoever may read everything logs in with what the container itself knows: its environment, a file
that this names, or the right of an account of the system. A shell in the container puts the
password into the environment of the one program that needs it; so no password leaves the container,
and none is on a command line.
"""

from dataclasses import dataclass
from typing import Final

from backup.database.kind import Kind
from backup.engine.execution import END_ALONE, END_FAMILY


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A kind of server.

    `users` are accounts of the container's system to try, "" for the container's own. `login` is a
    script that runs what follows as whoever may read everything. `greet` prints the version, the
    data directory, and how `dump` can have former rows, with bars between. `end_dump` ends a dump
    that nobody wants any more. `client` reads statements until `quit`. A whole dump begins with
    `begins`, and `ends` is a line near its end.
    """

    kind: Kind
    users: tuple[str, ...]
    login: str
    greet: tuple[str, ...]
    dump: tuple[str, ...]
    end_dump: str
    client: tuple[str, ...]
    quit: bytes
    begins: bytes
    ends: bytes

    @property
    def file(self) -> str:
        """What a dump is called."""
        return f"{self.kind.value}.sql"

    def argv(self, words: tuple[str, ...]) -> list[str]:
        """The command that runs a program as one that is logged in."""
        return ["sh", "-c", self.login, "voltar", *words]


_POSTGRES_LOGIN: Final = """
if [ -z "${POSTGRES_USER:-}" ] && [ -n "${POSTGRES_USER_FILE:-}" ]; then
  POSTGRES_USER=$(cat "$POSTGRES_USER_FILE") || exit
fi
if [ -z "${POSTGRES_PASSWORD:-}" ] && [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
  POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE") || exit
fi
export PGUSER="${POSTGRES_USER:-postgres}"
[ -z "${POSTGRES_PASSWORD:-}" ] || export PGPASSWORD="$POSTGRES_PASSWORD"
case ${PGHOST:-/} in /*) ;; *) unset PGHOST ;; esac
unset PGHOSTADDR PGSERVICE PGDATABASE PGOPTIONS PGCLIENTENCODING
exec "$@"
"""
_MARIADB_LOGIN: Final = """
p=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}
f=${MARIADB_ROOT_PASSWORD_FILE:-${MYSQL_ROOT_PASSWORD_FILE:-}}
if [ -z "$p" ] && [ -n "$f" ]; then p=$(cat "$f") || exit; fi
[ -z "$p" ] || export MYSQL_PWD="$p"
unset MYSQL_HOST MYSQL_TCP_PORT
n=$1; shift
command -v "$n" >/dev/null 2>&1 || case $n in mariadb-dump) n=mysqldump ;; *) n=mysql ;; esac
exec "$n" --no-defaults --user=root "$@"
"""
_POSTGRES: Final = Dialect(
    kind=Kind.POSTGRES,
    users=("", "postgres"),
    login=_POSTGRES_LOGIN,
    greet=(
        *("psql", "-XAtqw", "-d", "template1", "-c"),
        "select current_setting('server_version'), current_setting('data_directory'), 'none' "
        "from pg_catalog.pg_roles where rolname = current_user and rolsuper",
    ),
    dump=("pg_dumpall", "--no-password"),
    end_dump=END_FAMILY,
    client=("psql", "-Xqw", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", "template1"),
    quit=b"\n\\q\n",
    begins=b"--\n-- PostgreSQL database cluster dump\n",
    ends=b"\n-- PostgreSQL database cluster dump complete\n",
)
_MARIADB_GREET: Final = """
select concat(version(), '|', @@datadir, '|', if(versioned = 0, 'none', if(
  exact = 0 and version() regexp '^(10[.]1[1-9]|1[1-9]|[2-9][0-9])[.]', 'whole', 'lacking')))
from (select count(*) as versioned from information_schema.tables
  where table_type = 'SYSTEM VERSIONED') as a,
(select count(*) as exact from information_schema.columns
  where data_type = 'bigint' and generation_expression = 'ROW START') as b
"""
_DUMP: Final = (
    *("mariadb-dump", "--all-databases", "--single-transaction", "--quick", "--routines"),
    *("--events", "--triggers", "--hex-blob", "--flush-privileges"),
    "--default-character-set=utf8mb4",
)


HISTORY: Final = "--dump-history"
"""Has rows of system-versioned tables that were changed; not of those that count transactions, then
the program fails; since 10.11."""


def _mariadb(kind: Kind) -> Dialect:
    return Dialect(
        kind=kind,
        users=("", "root", "mysql"),
        login=_MARIADB_LOGIN,
        greet=("mariadb", "--batch", "--skip-column-names", "-e", _MARIADB_GREET),
        dump=_DUMP,
        end_dump=END_ALONE,
        client=("mariadb", "--batch", "--default-character-set=utf8mb4"),
        quit=b"\n\\q\n",
        begins=b"",
        ends=b"\n-- Dump completed",
    )


DIALECTS: Final = {
    Kind.POSTGRES: _POSTGRES,
    Kind.MARIADB: _mariadb(Kind.MARIADB),
    Kind.MYSQL: _mariadb(Kind.MYSQL),
}
