"""What the configuration leads to: engines and repositories with their secrets."""

import os
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Final

from msgspec.structs import replace

from backup.cli import FAILED, INCOMPLETE, INTERRUPTED, exit_code
from backup.cli.backup import keep_out
from backup.cli.bell import bell
from backup.cli.clock import machine_zone
from backup.cli.context import Context, hook_environment, state_directory
from backup.cli.places import Place, config_path
from backup.config import LOCAL, Config, examine
from backup.config import Repository as Configured
from backup.engine import Engine
from backup.errors import ConfigError, UsageError
from backup.history import Result
from backup.job.runner import Doors
from backup.report import OnEvent
from backup.repository import Repository

_CODES: Final = {Result.OK: 0, Result.INCOMPLETE: INCOMPLETE, Result.FAILED: FAILED}
_NAMED_OUTSIDE: Final = "default"
"""The name of the repository of -r or VOLTAR_REPOSITORY, where the configuration has none."""


@dataclass(slots=True)
class _Opener:
    """Opens what a configuration names; repositories stay open for as long as the command runs."""

    context: Context
    config: Config
    _repositories: dict[str, Repository] = field(default_factory=dict)

    def engine(self, name: str) -> Engine:
        if name == LOCAL and LOCAL not in self.config.hosts:
            return self.context.engine()
        host = self.config.hosts[name]
        return self.context.engine_at(host.url, host.helper_image)

    def repository(self, name: str) -> Repository:
        if name not in self._repositories:
            found = self.config.repositories[name]
            place = Place(found.location, name, found)
            self._repositories[name] = self.context.open_configured(place)
        return self._repositories[name]


def doors(context: Context, on_event: OnEvent) -> Doors:
    """Read the configuration, and return what it leads to. Raises ConfigError."""
    found = examine(config_path(context.config))
    for doubt in found.exposed:
        context.voice.warn(found.advice(doubt))
    config = _with_repository(context, found.demand())
    opener = _Opener(context, config)
    return Doors(
        config=config,
        state=state_directory(),
        engine=opener.engine,
        repository=opener.repository,
        keep_out=keep_out,
        tidy=context.leftovers,
        on_event=on_event,
        environ=hook_environment(),
        zone=zone_of_told(),
        bell=bell(context, config),
        code=code_of,
    )


def code_of(result: Result, failure: BaseException | None) -> int:
    """Return the exit code of a run that came to a result, or was ended by a failure."""
    if failure is None:
        return _CODES[result]
    return exit_code(failure) if isinstance(failure, Exception) else INTERRUPTED


def zone_of_told() -> tzinfo:
    """Return the zone of this machine for what is told of a run, which never keeps one from
    beginning."""
    try:
        return machine_zone()
    except ConfigError:
        return UTC


def _with_repository(context: Context, config: Config) -> Config:
    """Return the configuration with the repository that is named elsewhere, if it has none."""
    if config.repositories:
        if context.repository is not None:
            raise UsageError(
                "-r is not for jobs: the configuration says where each is stored",
                hint="change `repository` of the job, or `location` of the repository",
            )
        return config
    location = context.repository or os.environ.get("VOLTAR_REPOSITORY")
    if not location:
        return config
    return replace(config, repositories={_NAMED_OUTSIDE: Configured(location=location)})
