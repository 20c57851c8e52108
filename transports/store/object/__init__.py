"""Stores in buckets: Amazon S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.

obstore, the only door to which is this package, is a client in Rust that speaks all three. It tries
nothing again here: that is `transports.store.retrying`.
"""

from transports.store.object.bucket import open_az, open_gs, open_s3
from transports.store.object.store import ObjectStore

__all__ = ["ObjectStore", "open_az", "open_gs", "open_s3"]
