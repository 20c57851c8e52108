"""The files that a configuration asks for."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from importlib.resources import files
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from backup.config import Config, Job
from backup.errors import ConfigError
from backup.systemd.calendar import on_calendar
from backup.timing.sentence import parse_sentence
from backup.timing.span import parse_span
from backup.timing.timetable import Task, Work, tasks
from transports.store import directory_of

DAEMON: Final = "voltar.service"
RECOVER: Final = "voltar-recover.service"
"""A machine that dies while containers are stopped has them stopped until somebody starts them."""
CREDENTIALS: Final = "/etc/credstore"
_DROP_IN: Final = "50-voltar.conf"
_COMMAND: Final = "/usr/bin/voltar"
"""What stands in the services for the command."""
_TEMPLATES: Final = {
    Work.RUN: "voltar-job@",
    Work.DRILL: "voltar-drill@",
    Work.CHECK: "voltar-check@",
    Work.PRUNE: "voltar-prune@",
    Work.OVERDUE: "voltar-overdue",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The machine: the command and the configuration on it, and its clock."""

    command: Path
    config: Path
    clock: tzinfo
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Files by their paths in the directory of units, those of them that are to be enabled, and
    what whoever installs them should know."""

    files: dict[str, str]
    enabled: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def wanted(config: Config, place: Place) -> Wanted:
    """Return services, and timers for all that has a schedule. Raises ConfigError for a schedule
    that systemd cannot keep."""
    found = _recovery(config, place)
    timers = []
    for task in tasks(config):
        template = _TEMPLATES[task.work]
        unit = f"{template}{task.subject}"
        found[f"{template}.service"] = _service(template, place)
        found[f"{unit}.service.d/{_DROP_IN}"] = _drop_in(config, task.repositories, place)
        if task.schedule is not None:
            timers.append(f"{unit}.timer")
            found[timers[-1]] = _timer(task, task.schedule, place)
    return Wanted(
        files={name: sealed(text) for name, text in found.items()},
        enabled=(*timers, RECOVER),
        remarks=tuple(_remarks(config)),
    )


def wanted_daemon(config: Config, place: Place) -> Wanted:
    """Return the one service that keeps all schedules by itself."""
    found = _recovery(config, place) | {
        DAEMON: _service("voltar", place),
        f"{DAEMON}.d/{_DROP_IN}": _drop_in(config, config.repositories, place),
    }
    return Wanted(
        files={name: sealed(text) for name, text in found.items()},
        enabled=(DAEMON, RECOVER),
        remarks=tuple(_remarks(config)),
    )


def sealed(text: str) -> str:
    """Return a file's text with the line before it that says whose it is."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return (
        f"# Written by `voltar systemd install`, sha256:{digest}\n"
        "# It is written again when the configuration changes. `systemctl edit` adds to it.\n\n"
        f"{text}"
    )


def is_sealed(text: str) -> bool:
    """Whether a file is as `sealed` made it."""
    body = text.split("\n\n", 1)[-1]
    return text == sealed(body)


def _service(name: str, place: Place) -> str:
    text = (files("backup.systemd") / f"services/{name}.service").read_text(encoding="utf-8")
    return text.replace(_COMMAND, _quoted(str(place.command)).replace("$", "$$"))


def _recovery(config: Config, place: Place) -> dict[str, str]:
    return {
        RECOVER: _service("voltar-recover", place),
        f"{RECOVER}.d/{_DROP_IN}": _drop_in(config, (), place),
    }


def _timer(task: Task, schedule: str, place: Place) -> str:
    whose = f"{task.work.value} {task.subject}".strip()
    clock = place.clock if task.zone is None else ZoneInfo(task.zone)
    try:
        lines = on_calendar(parse_sentence(schedule), clock, zone=task.zone, since=place.now)
    except ConfigError as error:
        raise ConfigError(f"{whose}: {error}", hint=error.hint) from error
    delay = f"RandomizedDelaySec={parse_span(task.jitter, 'jitter'):.0f}\n" if task.jitter else ""
    return (
        f"[Unit]\nDescription=voltar: {whose}, {schedule}\n\n[Timer]\n"
        + "".join(f"OnCalendar={line}\n" for line in lines)
        + f"AccuracySec=1s\n{delay}Persistent=true\n\n[Install]\nWantedBy=timers.target\n"
    )


def _drop_in(config: Config, repositories: Iterable[str], place: Place) -> str:
    """What an instance is let out of its cage for, and what it is handed in."""
    mounts: list[str] = []
    lines = [f"Environment={_quoted(f'VOLTAR_CONFIG={place.config}')}"]
    for name in repositories:
        repository = config.repositories[name]
        directory = directory_of(repository.location)
        if directory is not None:
            mounts.append(f"RequiresMountsFor={_quoted(str(directory.absolute()))}")
            # "-": that it is not there is for voltar to tell
            lines.append(f"ReadWritePaths={_quoted(f'-{directory.absolute()}')}")
        elif repository.location.startswith("rclone:"):
            lines.append("ReadWritePaths=-%h/.config/rclone")  # it renews its tokens there
        credential = repository.password_credential
        if credential is not None:
            lines.append(f"LoadCredential={credential}:{CREDENTIALS}/{credential}")
    if config.metrics is not None and config.metrics.textfile is not None:
        textfile = Path(config.metrics.textfile).absolute()
        lines.append(f"ReadWritePaths={_quoted(f'-{textfile.parent}')}")
    unit = ["[Unit]", *dict.fromkeys(mounts), ""] if mounts else []
    return "\n".join([*unit, "[Service]", *dict.fromkeys(lines), ""])


def _quoted(text: str) -> str:
    """A word as unit files have it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(c in escaped for c in " \t'\"\\;#") else escaped


def _remarks(config: Config) -> Iterator[str]:
    for name, job in config.jobs.items():
        if _has_own_hooks(job):
            yield (
                f"job {name} has hooks on this machine: they run in the unit's sandbox, as do "
                f"commands for passwords; `systemctl edit` opens it where they need more, and that "
                f"of {RECOVER}, which runs those of a killed run"
            )
    for name, repository in config.repositories.items():
        if repository.password_credential is not None:
            yield (
                f"the password of repository {name} is expected in "
                f"{CREDENTIALS}/{repository.password_credential}, for root alone (mode 0600)"
            )


def _has_own_hooks(job: Job) -> bool:
    return any(hook.container is None for hook in job.hooks)
