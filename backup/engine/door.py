"""The door to docker: errors of sockets, requests and docker-py become ours here, and only here."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from backup.engine.address import Address
from backup.errors import EngineError, EngineUnavailable

_KNOWN: tuple[tuple[type[BaseException], str, str | None], ...] = (
    (PermissionError, "permission denied", "add the user to the group docker, or use sudo"),
    (
        FileNotFoundError,
        "there is no such socket",
        "start the engine (systemctl start docker), or name another one with DOCKER_HOST or "
        "`docker context use`",
    ),
    (ConnectionRefusedError, "nothing listens there", "start the engine (systemctl start docker)"),
    (socket.gaierror, "the host's name cannot be resolved", None),
    (TimeoutError, "it does not answer", "is it overloaded, or a firewall in between?"),
)


class Declined(EngineError):
    """The engine answered a request with an error; `status` is that of HTTP."""

    def __init__(self, status: int, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"the engine refused: {message}", hint=hint)
        self.status = status
        self.reason = message


@contextmanager
def reaching(address: Address) -> Iterator[None]:
    """Translate whatever goes wrong on the way to the engine into EngineUnavailable."""
    try:
        yield
    except OSError as err:  # requests' exceptions are OSErrors too
        raise unavailable(address, err) from err


def unavailable(address: Address, err: BaseException) -> EngineUnavailable:
    """The sentence and the hint for an engine that cannot be reached."""
    why, hint = _explain(address, err)
    return EngineUnavailable(f"cannot reach the Docker engine at {address.told}: {why}", hint=hint)


def _explain(address: Address, err: BaseException) -> tuple[str, str | None]:
    """What happened, and what to do about it where that is known."""
    cause = _root(err)
    if isinstance(cause, ssl.SSLError):
        return _explain_tls(cause)
    if "HTTPS server" in str(cause):
        return "it speaks TLS", "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"
    if isinstance(cause, ConnectionResetError | BrokenPipeError):
        return "it closed the connection", _plain_hint(address)
    for kind, why, hint in _KNOWN:
        if isinstance(cause, kind):
            return why, hint
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__, None


def _plain_hint(address: Address) -> str | None:
    """A TLS engine drops those who speak plainly to it."""
    if address.scheme == "tcp" and address.tls is None:
        return "if the engine wants TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"
    return None


def _explain_tls(cause: ssl.SSLError) -> tuple[str, str]:
    """The TLS handshake's failures, in plain words."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted: {cause.verify_message}",
            "DOCKER_CERT_PATH must hold the ca.pem that signed it, and its name must fit",
        )
    text = cause.reason or str(cause)
    if isinstance(cause, ssl.SSLEOFError):
        return (
            "it broke off the TLS handshake",
            "DOCKER_CERT_PATH must hold cert.pem and key.pem that the engine trusts",
        )
    if "WRONG_VERSION" in text or "RECORD_LAYER" in text:
        return "it does not speak TLS", "unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
    if "ALERT" in text or "CERTIFICATE" in text:
        return (
            f"it does not accept our certificate ({text})",
            "DOCKER_CERT_PATH must hold cert.pem and key.pem that the engine trusts",
        )
    return f"TLS failed ({text})", "check the certificates in DOCKER_CERT_PATH"


def _root(err: BaseException) -> BaseException:
    """The innermost error with a meaning: libraries wrap the operating system's."""
    seen: list[BaseException] = []
    pending: list[BaseException] = [err]
    while pending:
        current = pending.pop(0)
        if any(current is other for other in seen):
            continue
        seen.append(current)
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None)]
        pending += [one for one in (*inner, *current.args) if isinstance(one, BaseException)]
    known = [one for one in seen if type(one).__module__ in ("builtins", "ssl", "socket")]
    return known[-1] if known else seen[-1]
