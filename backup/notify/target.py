"""The door to apprise: one message to one target."""

import hashlib
import logging
from dataclasses import dataclass, field
from typing import Final

from backup.discretion import scrubbed
from backup.errors import ConfigError

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


def send(target: Target, title: str, body: str) -> None:
    """Tell a target. Raises ConfigError for one that is none, and where apprise is missing, and
    OSError with what apprise says where it was not told."""
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
        if not service.notify(title=title, body=body):
            raise OSError(_reason(log.getvalue(), target.url))


def _reason(log: str, url: str) -> str:
    lines = [line.split(_WARNING)[-1].strip() for line in log.splitlines() if line.strip()]
    return scrubbed(lines[0] if lines else "it did not say why", url)
