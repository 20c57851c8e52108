"""The configuration: what `voltar.toml` says, checked.

    config = load(path)
    config.jobs["nightly"].schedule

Where it is looked for is the command line's affair; secrets are named here and read elsewhere.
Raises ConfigError, which names the file, the key, and what was expected.
"""

from backup.config.load import Examined, examine, examine_text, load
from backup.config.mistake import Mistake
from backup.config.model import (
    LOCAL,
    Config,
    Drill,
    Hook,
    Host,
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

__all__ = [
    "LOCAL",
    "Config",
    "Drill",
    "Examined",
    "Hook",
    "Host",
    "Job",
    "Keep",
    "Metrics",
    "Mistake",
    "Notify",
    "Occasion",
    "OnError",
    "Quiesce",
    "Repository",
    "Table",
    "When",
    "examine",
    "examine_text",
    "load",
]
