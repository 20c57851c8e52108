"""Which containers of a job are dumped. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from backup.database.kind import Kind, recognised
from backup.engine import Container
from backup.errors import ConfigError
from backup.targets import Dump

_LABEL: Final = "voltar.dump"
_ALIKE: Final = {Kind.MARIADB, Kind.MYSQL}


class Treated(Protocol):
    """What a selection says of a container."""

    @property
    def dump(self) -> str | None: ...


def dumps(treatments: Mapping[str, Treated], containers: Iterable[Container]) -> tuple[Dump, ...]:
    """Return what is dumped: of containers with a label, what that says; of the others that a job
    with `dump` chooses, those that are recognised as such a server, or all if none is.

    """
    chosen = [(each, treatments[each.name].dump) for each in containers if each.name in treatments]
    wanted = [(each, kind) for each, kind in chosen if kind is not None]
    labelled = [item for item in wanted if _LABEL in item[0].labels]
    others = [item for item in wanted if _LABEL not in item[0].labels]
    known = [item for item in others if _is_like(recognised(item[0].definition), item[1])]
    found = sorted([*labelled, *(known or others)], key=lambda item: item[0].name)
    return tuple(Dump(each.name, kind) for each, kind in found)


def _is_like(found: Kind | None, wanted: str) -> bool:
    if found in _ALIKE:
        return wanted in {kind.value for kind in _ALIKE}
    return found is not None and found.value == wanted


def undumped(kind: str | None) -> ConfigError:
    """The error of a job that is to dump and chooses no container for it."""
    return ConfigError(
        f"the job says dump = {kind!r}, and chooses no container that could be dumped",
        hint="name the server's container in `containers`",
    )
