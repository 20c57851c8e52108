"""What an error of rclone's means. Its words are all there is to judge by."""

from typing import Final

from transports.errors import (
    ConnectionLost,
    ObjectNotFound,
    OutOfSpace,
    Refused,
    TransportError,
)
from transports.store.rclone.daemon import Reply

# what rclone and its remotes say where trying again is of no use
_REFUSALS: Final = (
    "didn't find section in config file",
    "permission denied",
    "accessdenied",
    "access denied",
    "forbidden",
    "unauthorized",
    "invalidaccesskeyid",
    "signaturedoesnotmatch",
    "unable to authenticate",
    "couldn't decrypt configuration",
    "unknown backend",
    "invalid_grant",
    "not a directory",
    "read-only file system",
)
_FULL: Final = ("no space left", "quota", "insufficient storage", "storage full")


def failure(reply: Reply, act: str) -> TransportError:
    """Return our error for what rclone says; what it says is all there is to judge by."""
    said = f"cannot {act}: rclone says: {reply.error[:300]}"
    words = reply.error.lower()
    if any(word in words for word in _FULL):
        return OutOfSpace(said, hint="`voltar prune` frees what nobody needs")
    if reply.status == 404:
        return ObjectNotFound(said)
    if "didn't find section" in words:
        return Refused(said, hint="`rclone listremotes` shows those that there are")
    if any(word in words for word in _REFUSALS) or reply.status in (400, 403):
        return Refused(said, hint="does `rclone lsd` on the same remote work?")
    return ConnectionLost(said)
