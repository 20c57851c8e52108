"""JSON records of the repository: written compact, read strictly."""

import threading
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec

from backup.errors import IntegrityError

_T = TypeVar("_T")

AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its offset from UTC; a record with another one is damaged."""

NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError)
"""What msgspec raises for bytes that are not the JSON of the wanted type."""


_making: Final = threading.Lock()
_decoders: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}


def parse(data: bytes, as_type: type[_T]) -> _T:
    """Return what JSON says. Raises IntegrityError where it is not JSON of that type."""
    try:
        return _decoder(as_type).decode(data)
    except NOT_JSON as error:
        raise IntegrityError(f"not the record that should be there: {error}") from error


def _decoder(as_type: type[_T]) -> msgspec.json.Decoder[_T]:
    """Return the decoder of a type; they are made one at a time.

    msgspec (0.22) lets other threads see what it knows of a type before that is complete, and a
    thread that decodes by it brings the process down.
    """
    found = _decoders.get(as_type)
    if found is None:
        with _making:
            found = _decoders.setdefault(as_type, msgspec.json.Decoder(as_type))
    return found
