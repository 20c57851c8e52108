"""JSON records of the repository: written compact, read strictly."""

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from backup.errors import IntegrityError

_T = TypeVar("_T")

AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its offset from UTC; a record with another one is damaged."""

NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError)
"""What msgspec raises for bytes that are not the JSON of the wanted type."""


def parse(data: bytes, as_type: type[_T]) -> _T:
    """Return what JSON says. Raises IntegrityError where it is not JSON of that type."""
    try:
        return msgspec.json.decode(data, type=as_type)
    except NOT_JSON as error:
        raise IntegrityError(f"not the record that should be there: {error}") from error
