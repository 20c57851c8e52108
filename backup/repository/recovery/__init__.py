"""What lies in every store for the day when there is no voltar: a program and its instructions.

recover.py restores any repository with Python and a few libraries; recover.txt says how, and has a
shell script for repositories that are not encrypted. Neither imports anything of voltar, and voltar
runs neither. Who can write to a store could change them: `notes` compares them with what versions
of voltar have put there.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Final

from backup.errors import IntegrityError, RepositoryExists
from backup.repository.crypto import digest
from transports.errors import ObjectExists, ObjectNotFound
from transports.store import Store

NAMES: Final = ("recover.py", "recover.txt")

KNOWN: Final = frozenset(
    {
        # 0.1.0
        "fff23a331c028f258f100047487b1b75d10fe8a08b43dfc51b1c2706d56b77ca",
        "74a3653880c3e4b5724e0e2787c286a3a3bc90657b63f2f284e16b9dbc6a710e",
    }
)
"""The digests of what any version puts into stores. A new one is added, an old one stays."""

_LARGEST: Final = 1 << 20


def put(store: Store) -> None:
    """Put both into a new store. Raises RepositoryExists where somebody else's are there."""
    for name in NAMES:
        try:
            store.put(name, files(__name__).joinpath(name).read_bytes())
        except ObjectExists as error:
            # a run of another version that was killed; anything else is not ours to remove
            if _digest(store, name) not in KNOWN:
                raise RepositoryExists(
                    f"{store.url} holds a {name} that no voltar has put there",
                    hint="choose an empty place, or move the file out of the way",
                ) from error


def notes(store: Store) -> Iterator[str]:
    """Yield what should be known of both, a sentence each; a store can do without them."""
    for name in NAMES:
        try:
            known = _digest(store, name) in KNOWN
        except IntegrityError:
            known = False  # a FIFO in its place, say
        except ObjectNotFound:
            yield (
                f"there is no {name}: the repository is older than it, or it was deleted; "
                "voltar's source distribution has it"
            )
            continue
        if not known:
            yield (
                f"{name} is none that this voltar knows: do not run it and do not do what it says, "
                "unless a newer voltar put it there"
            )


def _digest(store: Store, name: str) -> str:
    return digest(store.get(name, 0, _LARGEST))
