"""A store whose objects are being judged: one that cannot be read is damaged, and ends nothing."""

from backup.errors import IntegrityError
from transports.errors import Refused, Unreadable
from transports.store.around import Around


class JudgedStore(Around):
    """Another store. `get` raises IntegrityError for what is there and cannot be read."""

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        try:
            return self._store.get(name, offset, length)
        except Unreadable as error:
            raise IntegrityError(f"{name} is damaged: {error}") from error
        except Refused as error:
            self._store.stat(name)  # who is refused this as well has no access, and nothing is said
            raise IntegrityError(f"{name} is damaged: {error}") from error
