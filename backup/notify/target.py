"""The door to apprise: one message to one target."""

import hashlib
import logging
import threading
from dataclasses import dataclass, field
from typing import Final

from backup.discretion import scrubbed
from backup.errors import ConfigError

_WITHIN_S: Final = 30.0
_WARNING: Final = " - WARNING - "


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody to be told. `place` is where the configuration names them; the URL is a secret."""

    place: str
    url: str = field(repr=False)

    @property
    def digest(self) -> str:
        """What it is remembered by, wherever it stands."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]


def send(target: Target, title: str, body: str, *, within_s: float = _WITHIN_S) -> None:
    """Tell a target, in some seconds. Raises ConfigError for one that is none, and where apprise is
    missing, and OSError with what apprise says where it was not told."""
    try:
        import apprise  # noqa: PLC0415  it takes a second, and most runs tell nothing
    except ImportError as error:
        raise ConfigError(
            "notifications need apprise, which is not installed",
            hint="pip install 'voltar[notify]'",
        ) from error
    with apprise.LogCapture(level=logging.WARNING) as log:  # type: ignore[no-untyped-call]
        service = apprise.Apprise.instantiate(target.url)
        if service is None:
            raise ConfigError("apprise does not understand its URL")
        told: list[bool] = []
        # a server that sends a byte now and then would hold up this run, and all that end after it
        thread = threading.Thread(
            target=lambda: told.append(bool(service.notify(title=title, body=body))), daemon=True
        )
        thread.start()
        thread.join(within_s)
        if thread.is_alive():
            raise OSError(f"no answer within {within_s:.0f} s")
        if told != [True]:
            raise OSError(_reason(log.getvalue(), target.url))


def _reason(log: str, url: str) -> str:
    lines = [line.split(_WARNING)[-1].strip() for line in log.splitlines() if line.strip()]
    return scrubbed(lines[0] if lines else "it did not say why", url)
