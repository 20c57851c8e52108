"""Whether a store takes objects, gives them back and lets them go: tried with a small one."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from transports.errors import ObjectExists, Refused
from transports.store import Store


@dataclass(frozen=True, slots=True)
class Probed:
    """What a store did. `whole`: what was read is what was put."""

    whole: bool
    deletes: bool


def probe(store: Store, owner: str) -> Probed:
    """Put an object of 4 KiB, read and delete it. Raises TransportError.

    The object is the owner's own: where it may not be deleted, it is the only one that ever stays.
    """
    identity = hashlib.sha256(owner.encode(errors="surrogateescape"))
    name, data = f"probe/{identity.hexdigest()[:32]}", identity.digest() * 128
    with suppress(ObjectExists):
        store.put(name, data)
        store.put(name, data)  # some stores show only then whether they refuse to replace
    try:
        whole = store.get(name) == data and store.get(name, 100, 10) == data[100:110]
    finally:
        deletes = _deletes(store, name)
    return Probed(whole, deletes)


def _deletes(store: Store, name: str) -> bool:
    try:
        store.delete(name)
    except Refused:
        return False
    return True
