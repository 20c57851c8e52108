"""voltar host"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup.cli.console import Voice
from backup.cli.context import Context
from transports.errors import HostKeyRefused
from transports.ssh import Options

if TYPE_CHECKING:
    from transports.ssh.trust import Introduction

app = typer.Typer(help="Hosts that are reached over SSH.", no_args_is_help=True)


@app.callback()
def _host() -> None:
    """Hosts that are reached over SSH."""


@app.command("trust")
def trust(
    ctx: typer.Context,
    host: Annotated[str, typer.Argument(metavar="HOST", help="ssh://[user@]host[:port].")],
    *,
    fingerprint: Annotated[
        str | None,
        typer.Option(metavar="SHA256:…", help="Keep the key of this fingerprint, unasked."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Keep the key of a host that is new, unasked.")
    ] = False,
    ssh_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read this instead of ~/.ssh/config.")
    ] = None,
) -> None:
    """Show the key of a host, and keep it among the known ones.

    Examples: voltar host trust ssh://root@db.example.com · voltar host trust db --fingerprint
    SHA256:vIu0HUrYr0hYBe+5d4jHwYFwBs2pP2ZvFqmhB1Rn8pk

    Compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on the host
    itself. A key that changed is replaced only if the new one's fingerprint is given.
    """
    from transports.ssh.trust import introduce, keep  # noqa: PLC0415 - paramiko takes 60 ms

    context: Context = ctx.obj
    url = host if "://" in host else f"ssh://{host}"
    met = introduce(url, Options(config=ssh_config), fingerprint)
    file = None
    if not met.is_known:
        _demand_consent(context.voice, met, given=fingerprint is not None, yes=yes)
        file = keep(met)
    _tell(context.voice, met, file)


def _demand_consent(voice: Voice, met: "Introduction", *, given: bool, yes: bool) -> None:
    """Return if the key may be kept. Raises HostKeyRefused."""
    shown = f"{met.key.fingerprint} ({met.key.kind})"
    if given:
        return
    if met.old is not None:
        raise HostKeyRefused(
            f"THE HOST KEY OF {met.url} HAS CHANGED: it shows {shown}, and was"
            f" {met.old.key.fingerprint} ({met.old.key.kind}) in {met.old.place}",
            hint=f"if whoever runs the host names that fingerprint, give it:"
            f" --fingerprint {met.key.fingerprint}",
        )
    if yes:
        return
    if not sys.stdin.isatty():
        raise HostKeyRefused(
            f"the host key of {met.url} is {shown}, and there is no terminal to ask at",
            hint=f"--fingerprint {met.key.fingerprint} keeps it, if that is what the host's own is",
        )
    voice.say(f"{met.url} shows the key {shown}")
    if not typer.confirm("is that its own, and shall it be kept?", err=True):
        raise HostKeyRefused(f"the host key of {met.url} was not kept")


def _tell(voice: Voice, met: "Introduction", file: Path | None) -> None:
    if voice.as_json:
        voice.event(
            {
                "type": "summary",
                "host": met.url,
                "fingerprint": met.key.fingerprint,
                "kind": met.key.kind,
                "kept": file is not None,
                "file": str(file) if file else None,
            }
        )
        return
    done = f"kept in {file}" if file else "was known already"
    voice.answer(f"{met.url} {met.key.fingerprint} ({met.key.kind}) {done}")
