"""Which database a container runs, by what its definition says. Pure."""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, Final


class Kind(Enum):
    """A database that is recognised; the values are what a configuration calls it."""

    POSTGRES = "postgres"
    MARIADB = "mariadb"
    MYSQL = "mysql"
    REDIS = "redis"
    SQLITE = "sqlite"

    @property
    def title(self) -> str:
        return _TITLES[self]


_TITLES: Final = {
    Kind.POSTGRES: "PostgreSQL",
    Kind.MARIADB: "MariaDB",
    Kind.MYSQL: "MySQL",
    Kind.REDIS: "Redis",
    Kind.SQLITE: "SQLite",
}
DUMPED: Final = (Kind.POSTGRES, Kind.MARIADB, Kind.MYSQL)
"""Those that voltar can dump."""

_PROGRAMS: Final = {
    "postgres": Kind.POSTGRES,
    "mariadbd": Kind.MARIADB,
    "mysqld": Kind.MYSQL,
    "redis-server": Kind.REDIS,
    "valkey-server": Kind.REDIS,
}
_IMAGES: Final = (
    (re.compile(r"postgres|postgis|timescale|pgvector|spilo"), Kind.POSTGRES),
    (re.compile(r"mariadb"), Kind.MARIADB),
    (re.compile(r"mysql|percona"), Kind.MYSQL),
    (re.compile(r"redis|valkey"), Kind.REDIS),
)
_BESIDE: Final = re.compile(
    r"export|admin|backup|restor|client|proxy|router|bouncer|operator|insight|commander|postgrest|mongo"
)
"""Images that are named after a database and only talk to one."""
_VARIABLES: Final = (
    ("POSTGRES_PASSWORD", Kind.POSTGRES),
    ("POSTGRES_PASSWORD_FILE", Kind.POSTGRES),
    ("POSTGRES_HOST_AUTH_METHOD", Kind.POSTGRES),
    ("MARIADB_ROOT_PASSWORD", Kind.MARIADB),
    ("MARIADB_ROOT_PASSWORD_FILE", Kind.MARIADB),
    ("MYSQL_ROOT_PASSWORD", Kind.MYSQL),
    ("MYSQL_ROOT_PASSWORD_FILE", Kind.MYSQL),
)


def recognised(definition: Mapping[str, Any]) -> Kind | None:
    """Return the database that a container serves, if one is known by what it runs.

    What it starts says most, then the name of its image, then a server's password in what the image
    itself sets: applications are given such variables too, to find their server.
    """
    for word in _words(definition):
        if found := _PROGRAMS.get(PurePosixPath(word).name):
            return found
    image = definition["image"]
    names = [str(image.get("reference") or ""), *image["tags"]]
    for name in (each.rpartition("/")[2].partition(":")[0].lower() for each in names):
        for pattern, kind in _IMAGES:
            if pattern.search(name) and not _BESIDE.search(name):
                return kind
    own = {each.partition("=")[0] for each in (image.get("config") or {}).get("Env") or ()}
    return next((kind for name, kind in _VARIABLES if name in own), None)


def _words(definition: Mapping[str, Any]) -> Iterator[str]:
    config = definition["config"]
    for key in ("Entrypoint", "Cmd"):
        yield from config.get(key) or ()
