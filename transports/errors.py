"""Errors of everything that moves bytes to other places.

TransportError
├─ ObjectNotFound     the store has no object of that name
├─ ObjectExists       a write-once name is taken
├─ Unreadable         what has that name cannot be read; others may be
├─ Refused            authentication, permission: trying again is of no use
│  └─ HostKeyRefused  the host may be another one: its key is unknown, changed or revoked
├─ OutOfSpace         the store is full, or over its quota
└─ ConnectionLost     the link broke: trying again may help
"""


class TransportError(Exception):
    """An expected failure of a transport; `hint`, where there is one, says what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ObjectNotFound(TransportError):
    """The store has no object of that name."""


class ObjectExists(TransportError):
    """An object of that name is already there, with other bytes or written by somebody else."""


class Unreadable(TransportError):
    """What has that name cannot be read: the disk fails there, or it is no file at all."""


class Refused(TransportError):
    """The other side refuses, or we do: authentication, permission, what is asked for."""


class HostKeyRefused(Refused):
    """The host may be another one than it says: its key is unknown, changed or revoked."""


class OutOfSpace(TransportError):
    """The store is full, or over its quota."""


class ConnectionLost(TransportError):
    """The link to the store broke."""
