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
        "eb6baa7622933f7304c21c3e7358e1d569dfbc6af120b71ee4e02af917852b13",
        "743952ff00d283318fe71f15b7443fe23619e5a6746befd017cb1fb9dc73129f",
        "d0c59551f5c46f4bf2601c6bf766a89e3344bd13d05332b6bacc4cb922124180",
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
