"""From what the operator writes to a store."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from transports.errors import Refused
from transports.store.file import FileStore
from transports.store.protocol import Store


def open_store(location: str) -> Store:
    """Return the store at a path or URL ("file:/srv/backup", "/srv/backup"); nothing is contacted.

    Raises Refused for a kind of store that this version does not know.
    """
    scheme = urlsplit(location).scheme
    if not scheme or "/" in location.split(":", 1)[0]:
        return FileStore(Path(location).expanduser())
    if scheme == "file":
        parts = urlsplit(location)
        if parts.netloc not in ("", "localhost"):
            raise Refused(
                f"{location!r} names the host {parts.netloc!r}, and file: is this machine",
                hint=f"write file:/{parts.netloc}{parts.path} for an absolute path",
            )
        return FileStore(Path(unquote(parts.path)).expanduser())
    raise Refused(
        f"no store of the kind {scheme!r} in this version",
        hint="use a directory: a path, or file:/path",
    )
