"""Stores: flat namespaces of immutable, write-once objects.

A store is five verbs, the `Store` protocol. Names are like "packs/0a1b…": a kind and an id. What
all stores promise, and one conformance suite checks:

- `put` is atomic and write-once: a reader sees the whole object or none, and one that is there is
  never replaced. After a lost reply a retried `put` may find its own object: the same bytes are
  success, other bytes are `ObjectExists`.
- `put` returns only when the object would survive a power failure, as far as the store can tell.
- `delete` of what is not there is success: a retry after a lost reply finds nothing.
- Errors are those of `transports.errors`.
"""

from transports.store.file import publish, replace_file, sync_directory
from transports.store.location import directory_of, open_store
from transports.store.protocol import ObjectInfo, Store, WriteOnce, check_name
from transports.store.settings import Settings

__all__ = [
    "ObjectInfo",
    "Settings",
    "Store",
    "WriteOnce",
    "check_name",
    "directory_of",
    "open_store",
    "publish",
    "replace_file",
    "sync_directory",
]
