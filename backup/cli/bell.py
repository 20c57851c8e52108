"""Whom the configuration wants to be told, with the secrets that it takes."""

import os
from collections.abc import Iterator
from pathlib import Path

from backup.cli.context import Context, state_directory
from backup.cli.secret import read_secret
from backup.config import Config, Notify
from backup.discretion import learn_url
from backup.errors import ConfigError
from backup.notify import Bell, Target


def bell(context: Context, found: Config) -> Bell:
    """Return whom a configuration wants to be told. What is wrong with that fails no run."""
    wanted = found.notify or Notify()
    for url in pings(found).values():
        learn_url(url)
    try:
        found_targets = tuple(targets(wanted))
    except ConfigError as error:
        context.voice.warn(f"nobody is told of this run: {error}")
        found_targets = ()
    return Bell(
        machine=os.uname().nodename,
        targets=found_targets,
        on=wanted.on,
        pings=pings(found),
        state=state_directory(),
        complain=context.voice.warn,
    )


def targets(wanted: Notify) -> Iterator[Target]:
    """Return whom a configuration names. Raises ConfigError."""
    for number, url in enumerate(wanted.urls, 1):
        learn_url(url)
        yield Target(f"notify.urls, number {number}", url)
    if wanted.urls_file is not None:
        lines = read_secret(Path(wanted.urls_file), "notify.urls-file").splitlines()
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.lstrip().startswith("#"):
                learn_url(line.strip())
                yield Target(f"notify.urls-file, line {number}", line.strip())


def pings(found: Config) -> dict[str, str]:
    """Return the URLs that are pinged, by subject. That of all jobs is for no check and no prune:
    one that went well would hide there that no backup does."""
    common = None if found.notify is None else found.notify.ping
    wanted = {f"job {name}": job.ping or common for name, job in found.jobs.items()}
    for name, one in found.repositories.items():
        wanted |= {f"check {name}": one.check_ping, f"prune {name}": one.prune_ping}
    return {subject: url for subject, url in wanted.items() if url is not None}
