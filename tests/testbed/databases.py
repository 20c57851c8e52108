"""Images of real database servers, of Debian's packages, as the usual images are made.

    postgres(engine)   by POSTGRES_USER, POSTGRES_PASSWORD(_FILE), POSTGRES_DB
    mariadb(engine)    root's password by MARIADB_ROOT_PASSWORD; a database by MARIADB_DATABASE
    small(engine)      redis-server and sqlite3

The packages are unpacked once for all runs; an engine gets an image once. What only makes the
images large (documentation, translations, a compiler) is left out.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.testbed import debian, workspace
from tests.testbed.command import run
from tests.testbed.engine import Engine

SUITE = "bookworm"
BASE = (
    *("dash", "coreutils", "util-linux", "findutils", "sed", "grep", "base-files", "libc-bin"),
    *("login", "procps"),
)
LEFT_OUT = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl*", "usr/share/info"),
    *("usr/share/i18n", "usr/share/mysql/mysql-test", "usr/lib/x86_64-linux-gnu/perl*"),
    *("libLLVM*", "llvmjit*", "libz3*", "libperl*", "*/bitcode", "usr/bin/mariabackup"),
)
ACCOUNTS = "root:x:0:0::/root:/bin/sh\npostgres:x:70:70::/:/bin/sh\nmysql:x:71:71::/:/bin/sh\n"
GROUPS = "root:x:0:\npostgres:x:70:\nmysql:x:71:\n"
AS = "setpriv --reuid={0} --regid={0} --clear-groups"
POSTGRES = f"""#!/bin/sh
set -e
data=$PGDATA
user=${{POSTGRES_USER:-postgres}}
word=${{POSTGRES_PASSWORD:-$(cat "${{POSTGRES_PASSWORD_FILE:-/dev/null}}")}}
mkdir -p "$data" /var/run/postgresql
chown postgres:postgres "$data" /var/run/postgresql
chmod 700 "$data"
if [ ! -s "$data/PG_VERSION" ]; then
  printf %s "$word" >/var/run/postgresql/word
  {AS.format("postgres")} initdb -D "$data" -U "$user" --pwfile=/var/run/postgresql/word -E UTF8 \
    --locale=C.UTF-8 --auth-local="${{LOCAL_AUTH:-trust}}" --auth-host=scram-sha-256 --no-sync
  rm /var/run/postgresql/word
  if [ -n "$POSTGRES_DB" ]; then
    echo "create database $POSTGRES_DB" | {AS.format("postgres")} postgres --single \
      -D "$data" template1
  fi
fi
exec {AS.format("postgres")} postgres -D "$data" -c jit=off "$@"
"""
MARIADB = f"""#!/bin/sh
set -e
mkdir -p /var/lib/mysql /run/mysqld
chown mysql:mysql /var/lib/mysql /run/mysqld
if [ ! -d /var/lib/mysql/mysql ]; then
  mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db \
    --auth-root-authentication-method="${{ROOT_AUTH:-normal}}"
  if [ -n "$MARIADB_ROOT_PASSWORD" ]; then
    echo "alter user root@localhost identified by '$MARIADB_ROOT_PASSWORD';" >/run/mysqld/first
  fi
  [ -z "$MARIADB_DATABASE" ] || echo "create database $MARIADB_DATABASE;" >>/run/mysqld/first
  first=--init-file=/run/mysqld/first
  touch /run/mysqld/first
fi
exec {AS.format("mysql")} mariadbd --user=mysql --datadir=/var/lib/mysql --skip-networking $first \
  --innodb-buffer-pool-size=16M "$@"
"""


OWN = ("./etc/passwd", "./etc/group", "./entrypoint")
CLIENT = "/usr/lib/postgresql/15/bin"


def postgres(engine: Engine) -> str:
    """PostgreSQL 15."""
    changes = (
        f"ENV PATH={CLIENT}:/usr/sbin:/usr/bin:/sbin:/bin",
        "ENV PGDATA=/var/lib/postgresql/data",
        "VOLUME /var/lib/postgresql/data",
        'ENTRYPOINT ["/entrypoint"]',
    )
    return image(engine, "voltar-test-postgres", ("postgresql-15",), POSTGRES, changes)


def mariadb(engine: Engine) -> str:
    """MariaDB 10.11."""
    changes = (
        "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "VOLUME /var/lib/mysql",
        'ENTRYPOINT ["/entrypoint"]',
    )
    packages = ("mariadb-server-core", "mariadb-client")
    return image(engine, "voltar-test-mariadb", packages, MARIADB, changes)


def small(engine: Engine) -> str:
    """Redis and SQLite."""
    changes = ("ENV PATH=/usr/bin:/bin", "WORKDIR /data", "VOLUME /data")
    return image(engine, "voltar-test-small", ("redis-server", "sqlite3"), "", changes)


def image(
    engine: Engine, name: str, packages: Sequence[str], entrypoint: str, changes: Sequence[str]
) -> str:
    """Put an image on the engine, if it is not there; returns name:tag."""
    recipe = repr((packages, BASE, LEFT_OUT, ACCOUNTS, GROUPS, entrypoint))
    archive = workspace.base() / "roots" / f"{name}-{_digest(recipe)}.tar"
    reference = f"{name}:{_digest(recipe + repr(changes))}"
    if engine.attempt("image", "inspect", reference).returncode:
        with workspace.locked(archive.with_suffix(".lock")):
            if not archive.exists():
                pack(archive, debian.unpack(SUITE, [*packages, *BASE]), entrypoint)
        words = [word for change in changes for word in ("--change", change)]
        engine.docker("import", *words, archive, reference)
    return reference


def pack(archive: Path, root: Path, entrypoint: str) -> None:
    """Make a tar of a root and of what makes it an image."""
    part = archive.with_suffix(".part")
    excludes = [f"--exclude={each}" for each in LEFT_OUT]
    with tempfile.TemporaryDirectory() as temporary:
        own = Path(temporary)
        (own / "etc").mkdir()
        (own / "etc/passwd").write_text(ACCOUNTS)
        (own / "etc/group").write_text(GROUPS)
        (own / "entrypoint").write_text(entrypoint)
        (own / "entrypoint").chmod(0o755)
        run(["tar", "-cf", part, *excludes, "-C", root, ".", "-C", own, *OWN])
    part.rename(archive)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
