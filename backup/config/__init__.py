"""The configuration: what `voltar.toml` says, checked.

    config = load(path)
    config.jobs["nightly"].schedule

Where it is looked for is the command line's affair; secrets are named here and read elsewhere.
Raises ConfigError, which names the file, the key, and what was expected.
"""

from backup.config.load import load
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
    When,
)

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
    "When",
    "load",
]
