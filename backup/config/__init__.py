"""The configuration: what `voltar.toml` says, checked.

    config = load(path)
    config.jobs["nightly"].schedule

Where it is looked for is the command line's affair; secrets are named here and read elsewhere.

model, text   what there is to say           shape     whether a file has that form
value         what texts must be like        meaning   whether it makes sense as a whole
reading       from a file to a configuration or its mistakes, which have lines by `lines`
places        paths                          schema, shown   for editors, for people
"""

from pathlib import Path
from typing import TYPE_CHECKING

from backup.config.model import (
    LOCAL,
    Config,
    Drill,
    Hook,
    Host,
    HotCopy,
    Job,
    Keep,
    Metrics,
    Notify,
    Occasion,
    OnError,
    Quiesce,
    Repository,
    Table,
    When,
)

if TYPE_CHECKING:
    from backup.config.reading import Examined

__all__ = [
    "LOCAL",
    "Config",
    "Drill",
    "Hook",
    "Host",
    "HotCopy",
    "Job",
    "Keep",
    "Metrics",
    "Notify",
    "Occasion",
    "OnError",
    "Quiesce",
    "Repository",
    "Table",
    "When",
    "examine",
    "load",
]


def load(path: Path) -> Config:
    """Read a configuration. Raises ConfigError, which names file, line and key of each mistake."""
    return examine(path).demand()


def examine(path: Path) -> "Examined":
    """Return what a file comes to, right or wrong. Raises ConfigError for one that cannot be read.

    What that takes is loaded only now: most commands never read a configuration.
    """
    from backup.config.reading import examine  # noqa: PLC0415

    return examine(path)
