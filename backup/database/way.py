"""Which module knows how a kind of server is restored into, and servers with a part of a dump."""

from types import ModuleType

from backup.database import mariadb, postgres
from backup.database.kind import Kind
from backup.database.server import Server
from backup.errors import InUse


def way_of(server: Server) -> ModuleType:
    """Return the module: both have the same functions."""
    return postgres if server.dialect.kind is Kind.POSTGRES else mariadb


def demand_unmarked(server: Server) -> None:
    """Raise InUse for a server that holds a part of a dump."""
    if way_of(server).marked(server) is not None:
        raise InUse(
            f"the {server.dialect.kind.title} in container {server.where.name!r} holds a part of "
            "a dump: a restore into it goes on, or was killed",
            hint=f"voltar restore … --to container:{server.where.name} --start-over",
        )
