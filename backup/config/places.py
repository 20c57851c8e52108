"""Paths of a configuration: relative to the directory of its file, "~" the home."""

from pathlib import Path
from typing import Final

from msgspec.structs import replace

from backup.config.mistake import Key, Mistake
from backup.config.model import Config, Hook, Job, Metrics, Notify, Repository
from backup.config.value import parted

_SPELLED: Final = ("./", "../", "~/")
"""How a program is written that is a file; others are looked for in PATH."""


def settled(config: Config, base: Path) -> tuple[Config, list[Mistake]]:
    """Return a configuration with absolute paths, and whose home is not known."""
    settler = _Settler(base)
    settled = replace(
        config,
        repositories={
            name: settler.repository(("repositories", name), one)
            for name, one in config.repositories.items()
        },
        jobs={name: settler.job(("jobs", name), one) for name, one in config.jobs.items()},
        notify=config.notify and settler.notify(config.notify),
        metrics=config.metrics and settler.metrics(config.metrics),
    )
    return settled, settler.mistakes


class _Settler:
    def __init__(self, base: Path) -> None:
        self._base = base
        self.mistakes: list[Mistake] = []

    def repository(self, key: Key, one: Repository) -> Repository:
        return replace(
            one,
            location=self._location((*key, "location"), one.location),
            password_file=self._path((*key, "password-file"), one.password_file),
            password_command=self._command((*key, "password-command"), one.password_command),
        )

    def job(self, key: Key, job: Job) -> Job:
        hooks = [self._hook((*key, "hooks", number), hook) for number, hook in enumerate(job.hooks)]
        return replace(job, hooks=hooks)

    def notify(self, notify: Notify) -> Notify:
        return replace(notify, urls_file=self._path(("notify", "urls-file"), notify.urls_file))

    def metrics(self, metrics: Metrics) -> Metrics:
        return replace(metrics, textfile=self._path(("metrics", "textfile"), metrics.textfile))

    def _hook(self, key: Key, hook: Hook) -> Hook:
        if hook.container is not None:
            return hook
        return replace(
            hook,
            command=self._command((*key, "command"), hook.command) or hook.command,
            directory=self._path((*key, "directory"), hook.directory),
        )

    def _location(self, key: Key, location: str) -> str:
        scheme, path = parted(location)
        if scheme is None:
            return self._path(key, location) or location
        if scheme == "file" and not path.startswith("/"):
            return f"file:{self._path(key, path)}"
        return location

    def _command(self, key: Key, command: list[str] | None) -> list[str] | None:
        if command is None or not command[0].startswith(_SPELLED):
            return command
        return [self._path((*key, 0), command[0]) or command[0], *command[1:]]

    def _path(self, key: Key, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            return str(self._base / Path(text).expanduser())
        except RuntimeError:
            self.mistakes.append(Mistake(key, f"cannot tell whose home is meant by {text!r}"))
            return text
