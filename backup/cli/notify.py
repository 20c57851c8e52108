"""voltar notify: who is told of failures."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import typer

from backup import config
from backup.cli import FAILED, INCOMPLETE
from backup.cli.bell import pings, targets
from backup.cli.configured import doors
from backup.cli.context import Context
from backup.cli.places import config_path
from backup.config import Config, Notify
from backup.errors import ConfigError
from backup.history import History
from backup.job.runner import history_path
from backup.notify import Ping, ping, send
from backup.report import ignore

_TITLE = "voltar on {}: a test"
_BODY = "This is what `voltar notify test` sends. Nothing is wrong."

app = typer.Typer(
    help="Who is told when backups fail, recover or are overdue.", no_args_is_help=True
)


@app.callback()
def _notify() -> None:
    """Who is told when backups fail, recover or are overdue."""


@app.command("test")
def test(ctx: typer.Context) -> None:
    """Send a test to everybody who would be told.

    Example: voltar notify test

    It says who got it. Pings are of the kind that changes nothing (/log). Exit code 1 if nobody was
    reached, 3 if some were not.
    """
    context: Context = ctx.obj
    found = config.load(config_path(context.config))
    results = [*_tried_targets(found), *_tried_pings(found)]
    if not results:
        raise ConfigError(
            "the configuration names nobody to be told",
            hint='[notify] with urls = ["…"] or ping = "https://…"',
        )
    failed = [why for _, why in results if why is not None]
    if context.voice.as_json:
        context.voice.document([{"target": place, "error": why} for place, why in results])
    else:
        for place, why in results:
            context.voice.answer(f"ok      {place}" if why is None else f"failed  {place}: {why}")
    if failed:
        raise typer.Exit(FAILED if len(failed) == len(results) else INCOMPLETE)


@app.command("overdue")
def overdue(ctx: typer.Context) -> None:
    """Tell of what is overdue or was killed.

    Example: voltar notify overdue

    The timers and lines of `voltar systemd install` and `voltar cron` do so each hour. What was
    told is not told again. `voltar status` has exit codes for what it sees; this has none.
    """
    # only what asks for it loads SQLite
    from backup.status import chores, gather, judge, judge_chore  # noqa: PLC0415
    from backup.watch import history_observation, observations  # noqa: PLC0415

    context: Context = ctx.obj
    opened = doors(context, ignore)
    history = History(history_path(opened.state), context.voice.warn)
    now = datetime.now(UTC)
    facts = gather(opened.config, history, {}, zone=opened.zone, now=now)
    beside = chores(opened.config, history, zone=opened.zone, now=now)
    jobs = (judge(each, now) for each in facts)
    seen = [
        *observations(jobs, (judge_chore(each, now) for each in beside)),
        history_observation(history.aside()),
    ]
    opened.bell.observed(seen)
    wrong = [each for each in seen if each.wrong is not None]
    if context.voice.as_json:
        context.voice.document([{"subject": each.subject, "text": each.text} for each in wrong])
    else:
        for line in (line for each in wrong for line in each.text.splitlines()):
            context.voice.say(line)


def _tried_targets(found: Config) -> Iterator[tuple[str, str | None]]:
    for target in targets(found.notify or Notify()):
        try:
            send(target, _TITLE.format(os.uname().nodename), _BODY)
        except (ConfigError, OSError) as error:
            hint = getattr(error, "hint", None)
            yield target.place, f"{error}{f' ({hint})' if hint else ''}"
        else:
            yield target.place, None


def _tried_pings(found: Config) -> Iterator[tuple[str, str | None]]:
    common = None if found.notify is None else found.notify.ping
    wanted = {f"the ping of {each}": url for each, url in pings(found).items() if url != common}
    if common is not None:
        wanted["notify.ping"] = common
    for place, url in wanted.items():
        try:
            ping(url, Ping.LOG, _BODY)
        except OSError as error:
            yield place, str(error)
        else:
            yield place, None
