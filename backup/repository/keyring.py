"""The passwords of a repository: each has a key object of its own that wraps the same master key.

A password that is removed opens nothing any more on the store as it is then. Whoever copied its key
object before, and knows it, still has the master key.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from backup.errors import (
    IntegrityError,
    NoSuchKey,
    Protected,
    RepositoryError,
    UnsupportedFormat,
    UsageError,
)
from backup.repository import keyfile
from backup.repository.crypto import digest
from backup.repository.names import KEYS, id_of, object_name
from backup.repository.repository import SHORT_ID, Repository, intact, open_repository
from transports.errors import ObjectNotFound, Refused


@dataclass(frozen=True, slots=True)
class Key:
    """A key object. `current` is the one that opened the repository; `damaged` says why it cannot
    be used, if so, and then `created` is unknown."""

    id: str
    created: datetime | None
    current: bool
    damaged: str | None = None


def keys(repository: Repository) -> list[Key]:
    """Return all key objects, the oldest first, damaged ones last."""
    found = list(_keys(repository))
    whole = [key for key in found if key.created is not None]
    return sorted(whole, key=lambda key: (key.created, key.id)) + [
        key for key in found if key.created is None
    ]


def add(repository: Repository, password: str, *, now: datetime) -> str:
    """Let another password open the repository; return the id of its key object.

    Raises UsageError where the repository is not encrypted.
    """
    _demand_encryption(repository)
    data = keyfile.wrap(
        repository.keys.master, password, repository=repository.descriptor.id, now=now
    )
    key_id = digest(data)
    repository.store.put(object_name(KEYS, key_id), data)
    return key_id


def remove(repository: Repository, prefix: str) -> str:
    """Remove the key object whose id begins with `prefix`; return its id.

    The key in use stays. If two remove each other's at the same time, whoever sees that none is
    left puts the other's back; only where that fails, by a kill or a lost connection, none may be
    left. Raises NoSuchKey, Protected.
    """
    found = [key for key in keys(repository) if prefix and key.id.startswith(prefix)]
    if len(found) != 1:
        raise NoSuchKey(
            f"{len(found) or 'no'} keys begin with {prefix!r}", hint="`voltar key list` shows them"
        )
    (key,) = found
    if key.current:
        raise Protected(
            f"key {key.id[:SHORT_ID]} is that of the password in use",
            hint="`voltar key passwd` replaces it; to remove it, come with another password",
        )
    _delete(repository, key.id)
    return key.id


def change(repository: Repository, password: str, *, now: datetime) -> str:
    """Replace the password that opened the repository by another; return the new key's id.

    The new key is there before the old one goes: whatever happens, one of the two opens it. A key
    that has the password already, from an attempt before, say, is taken.
    """
    old = repository.opened_by
    new = _key_of(repository, password) or add(repository, password, now=now)
    if old is not None and old != new:
        try:
            _delete(repository, old)
        except Refused as error:
            error.add_note("the new password opens the repository already; the old one still does")
            error.hint = (
                f"where deleting is allowed, and with the new password: "
                f"`voltar key remove {old[:SHORT_ID]}`"
            )
            raise
    repository.opened_by = new
    return new


def _key_of(repository: Repository, password: str) -> str | None:
    try:
        return open_repository(repository.store, password).opened_by
    except RepositoryError:
        return None


def _delete(repository: Repository, key_id: str) -> None:
    name = object_name(KEYS, key_id)
    try:
        data = repository.store.get(name)
    except ObjectNotFound:
        return
    repository.store.delete(name)
    if all(key.damaged for key in _keys(repository)) and digest(data) == key_id:
        repository.store.put(name, data)
        raise Protected(f"key {key_id[:SHORT_ID]} would have been the last one to go")


def _keys(repository: Repository) -> Iterator[Key]:
    for info in repository.store.list(KEYS):
        key_id = id_of(info.name)
        current = key_id == repository.opened_by
        try:
            made = keyfile.created(intact(repository.store, info.name))
        except ObjectNotFound:
            continue  # removed since it was listed
        except (IntegrityError, UnsupportedFormat) as error:
            yield Key(key_id, None, current, damaged=str(error))
        else:
            yield Key(key_id, made, current)


def _demand_encryption(repository: Repository) -> None:
    if not repository.descriptor.sealed:
        raise UsageError(
            f"the repository at {repository.store.url} is not encrypted: it has no keys"
        )
