"""From what the operator writes to a store."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from transports.errors import Refused
from transports.store.file import FileStore
from transports.store.protocol import Store

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+):(.*)", re.DOTALL)


def open_store(location: str) -> Store:
    """Return the store at a path or URL ("file:/srv/backup", "/srv/backup"); nothing is contacted.

    Raises Refused for a kind of store that this version does not know.
    """
    found = _SCHEME.fullmatch(location)
    if found is None:
        return FileStore(_directory(location))
    scheme, rest = found.groups()
    if scheme != "file":
        raise Refused(
            f"no store of the kind {scheme!r} in this version",
            hint="use a directory: a path, or file:/path",
        )
    return FileStore(_directory(unquote(_path(rest, location))))


def _path(rest: str, location: str) -> str:
    """Return the path of a file URL: file:/path, file:///path, file://localhost/path."""
    if not rest.startswith("//"):
        return rest
    host, slash, path = rest[2:].partition("/")
    if host not in ("", "localhost"):
        raise Refused(
            f"{location!r} names the host {host!r}, and file: is this machine",
            hint=f"write file:/{host}/{path} for an absolute path",
        )
    return slash + path


def _directory(path: str) -> Path:
    if not path:
        raise Refused("the repository's location is empty", hint="name a directory")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise Refused(f"cannot tell where {path!r} is: {error}") from error
