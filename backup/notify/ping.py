"""Pings in the manner of healthchecks.io: the URL itself for success, /start and /fail, /log for
something that changes nothing. The body is kept there with the ping."""

import threading
from base64 import b64encode
from enum import Enum
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

_EACH_S: Final = 5.0
_WITHIN_S: Final = 15.0
_TRIES: Final = 3
_PAUSE_S: Final = 1.0
_BODY: Final = 10_000
"""What such services keep of a body."""


class Ping(Enum):
    """What is told to a check; the value is what is added to its URL."""

    SUCCESS = ""
    START = "/start"
    FAIL = "/fail"
    LOG = "/log"


def ping(url: str, what: Ping, body: str, *, within_s: float = _WITHIN_S) -> None:
    """Tell a check, in some seconds. Raises OSError that says why not, and names no URL."""
    result: list[str | None] = []
    # a server that sends a byte now and then would hold a run up for ever: no timeout is for that
    thread = threading.Thread(
        target=lambda: result.append(_attempts(_address(url, what), body)), daemon=True
    )
    thread.start()
    thread.join(within_s)
    why = result[0] if result else f"no answer within {within_s:.0f} s"
    if why is not None:
        raise OSError(why)


def _attempts(address: str, body: str) -> str | None:
    """Return why it did not get there, None if it did."""
    why = None
    for number in range(_TRIES):
        if number:
            threading.Event().wait(_PAUSE_S)
        why, again = _post(address, body)
        if not again:
            break
    return why


def _post(address: str, body: str) -> tuple[str | None, bool]:
    """Return why it did not get there, and whether it is worth another try."""
    # most runs ping nobody, and these take 60 ms
    from http.client import HTTPException  # noqa: PLC0415
    from urllib.error import HTTPError, URLError  # noqa: PLC0415
    from urllib.request import Request, urlopen  # noqa: PLC0415

    address, user = _without_user(address)
    try:
        request = Request(  # noqa: S310  the configuration demands http or https
            address,
            data=body.encode(errors="replace")[:_BODY],
            headers={"User-Agent": "voltar", "Content-Type": "text/plain; charset=utf-8"},
        )
        if user:  # not for whom it redirects to
            request.add_unredirected_header("Authorization", user)
        with urlopen(request, timeout=_EACH_S):  # noqa: S310
            return None, False
    except HTTPError as error:
        error.close()
        return f"it answered {error.code}", error.code >= 500
    except URLError as error:
        return _reason(error.reason), True
    except (OSError, HTTPException, ValueError) as error:
        return _reason(error), True


def _address(url: str, what: Ping) -> str:
    """A check's URL may have a query, which stays behind what is added."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + what.value))


def _without_user(url: str) -> tuple[str, str]:
    """A URL without its user and password, and the header that says them."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, ""
    return urlunsplit(parts._replace(netloc=host)), (
        f"Basic {b64encode(unquote(user).encode()).decode()}"
    )


def _reason(failure: object) -> str:
    """What is wrong, without the message of a library, which may quote the URL."""
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    return "no answer" if isinstance(failure, TimeoutError) else type(failure).__name__
