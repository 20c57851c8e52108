"""The command tree, the global options, and the one place where errors become exit codes."""

import contextlib
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, NoReturn

import typer

from backup import __version__
from backup.cli import (
    BUG,
    FAILED,
    INTERRUPTED,
    USAGE,
    archive,
    backup,
    capture,
    check,
    config,
    container,
    copy,
    coverage,
    cron,
    daemon,
    diff,
    doctor,
    drill,
    exit_code,
    find,
    forget,
    help_text,
    host,
    image,
    key,
    log,
    metrics,
    migrate,
    notify,
    plan,
    prune,
    recover,
    registry,
    restore,
    retention,
    stats,
    status,
    systemd,
    tag,
)
from backup.cli import init as init_command
from backup.cli import run as run_command
from backup.cli import snapshots as snapshots_commands
from backup.cli.console import Voice
from backup.cli.context import Context
from backup.cli.named import name_lines
from backup.cli.ssh_wishes import SSH_BINARY, SshWishes
from backup.discretion import hidden, learn, secrets_of
from backup.errors import BackupError, UsageError
from backup.quantity import parse_rate
from transports.errors import TransportError

_WELCOME: Final = """\
voltar backs up Docker volumes, brings them back, and moves them to other hosts.

  1. export VOLTAR_REPOSITORY=/srv/backup   where snapshots are kept
  2. voltar init                            make the repository, choose its password
  3. voltar backup NAME                     a volume, or a container with all it mounts
  4. voltar snapshots                       what there is
  5. voltar restore NAME --to COPY          into a new volume, read back and compared

Every night: `voltar config init` writes what to back up, and when, into a file.
`voltar doctor` says what works on this machine, `voltar COMMAND --help` shows examples."""

_VALUED: Final = (
    *("--host", "-r", "--repository", "--password-file", "--helper-image", "--config"),
    *("--limit-upload", "--limit-download", "--host-key", "--ssh-passphrase-file"),
)
_JOINED: Final = (*_VALUED, "--ssh-binary")
_WITHOUT_REPOSITORY: Final = (
    *("image", "container", "migrate", "host", "recover"),
    *("systemd", "cron", "notify"),
)
_FLAGS: Final = ("--json", "-q", "--quiet", "-v", "--verbose")

# what the parser raises has no public name in typer: it is the grandparent of BadParameter
_Complaint: Final = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="voltar",
    cls=help_text.Sections,
    help="Back up, restore, check and move Docker volumes, containers and images.",
    no_args_is_help=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    rich_markup_mode=None,
)
app.command("init")(init_command.init)
app.command("backup")(backup.backup)
app.command("snapshots")(snapshots_commands.snapshots)
app.command("ls")(snapshots_commands.ls)
app.command("diff")(diff.diff)
app.command("find")(find.find)
app.command("stats")(stats.stats)
app.command("restore")(restore.restore)
app.command("export")(archive.export)
app.command("import")(archive.import_)
app.command("copy")(copy.copy_command)
app.command("capture")(capture.capture)
app.command("prune")(prune.prune)
app.command("check")(check.check)
app.command("forget")(forget.forget)
app.command("unforget")(forget.unforget)
app.command("tag")(tag.tag)
app.command("pin")(tag.pin)
app.command("unpin")(tag.unpin)
app.command("run")(run_command.run)
app.command("plan")(plan.plan)
app.command("coverage")(coverage.coverage)
app.command("daemon")(daemon.daemon)
app.command("drill")(drill.drill)
app.command("status")(status.status)
app.command("log")(log.log)
app.command("cron")(cron.cron)
app.command("metrics")(metrics.metrics)
app.command("doctor")(doctor.doctor)
image.app.command("push")(registry.push)
image.app.command("pull")(registry.pull)
app.add_typer(image.app, name="image")
app.add_typer(container.app, name="container")
app.add_typer(retention.app, name="retention")
app.add_typer(check.repair, name="repair")
app.add_typer(config.app, name="config")
app.add_typer(host.app, name="host")
app.add_typer(key.app, name="key")
app.add_typer(migrate.app, name="migrate")
app.add_typer(notify.app, name="notify")
app.add_typer(systemd.app, name="systemd")
app.command("recover")(recover.recover)
_GROUPS: Final = (
    *(image.app, container.app, retention.app, check.repair, config.app),
    *(host.app, key.app, migrate.app, notify.app, systemd.app),
)
for each in _GROUPS:
    each.info.cls = each.info.cls or help_text.Group
for each in (app, *_GROUPS):
    help_text.lay_out(each.registered_commands)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"voltar {__version__}")
        raise typer.Exit


@app.callback()
def options(  # noqa: PLR0913  one parameter a global option
    ctx: typer.Context,
    *,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The engine: unix:///path, tcp://host:port, ssh://user@host:port, or its name.",
        ),
    ] = None,
    ssh_binary: Annotated[
        str | None,
        typer.Option(
            metavar="[PATH]",
            help="Use OpenSSH's client instead of the built-in one [env: VOLTAR_SSH_BINARY].",
        ),
    ] = None,
    host_key: Annotated[
        list[str] | None,
        typer.Option(metavar="SHA256:…", help="Accept this key of an SSH host, and no other."),
    ] = None,
    ssh_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read the passphrase of SSH keys from a file [env: VOLTAR_SSH_PASSPHRASE_FILE].",
        ),
    ] = None,
    repository: Annotated[
        str | None,
        typer.Option(
            "--repository",
            "-r",
            metavar="URL",
            help="The repository, or its name [env: VOLTAR_REPOSITORY].",
        ),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read the repository's password from a file."),
    ] = None,
    helper_image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="An image with GNU tar and find to use for helpers [env: VOLTAR_HELPER_IMAGE].",
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The configuration of jobs [env: VOLTAR_CONFIG]."
        ),
    ] = None,
    limit_upload: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Send at most this much a second to the repository."),
    ] = None,
    limit_download: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Fetch at most this much a second from it."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Answer in JSON; long work tells an event a line.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only warnings, errors and answers; no report.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Back up Docker volumes, and bring them back: proven, deduplicated, encrypted."""
    del version
    level = 0 if quiet else 2 if verbose else 1
    given: threading.Event | None = ctx.obj
    ctx.obj = Context(
        host=host,
        repository=repository,
        password_file=password_file,
        helper_image=helper_image,
        upload_limit=parse_rate(limit_upload, "--limit-upload"),
        download_limit=parse_rate(limit_download, "--limit-download"),
        voice=Voice(as_json=as_json, level=level, command=ctx.invoked_subcommand),
        config=config_file,
        ssh=SshWishes(ssh_binary, host_key or (), ssh_passphrase_file),
        stop=given or threading.Event(),
    )
    ctx.call_on_close(ctx.obj.close)
    if ctx.invoked_subcommand in _WITHOUT_REPOSITORY and (limit_upload or limit_download):
        raise UsageError(
            f"{ctx.invoked_subcommand} uses no repository, and limits are for that alone",
            hint="leave out --limit-upload and --limit-download",
        )
    if ctx.invoked_subcommand is None:
        if any(ctx.params.values()):
            raise UsageError("no command is given", hint="`voltar --help` shows them")
        print(_WELCOME)
        raise typer.Exit


def hoisted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the global options, wherever they were written, and the rest.

    `voltar snapshots --json` means what `voltar --json snapshots` means. Nothing behind "--" moves.
    The parser knows no option whose value may be left out, so --read-data and --ssh-binary get one
    here.
    """
    front: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            rest += [word, *left]
            break
        if word in _VALUED:
            if not left:
                return [*front, word], []  # for the parser to complain of
            front += [word, left.pop(0)]
        elif word == "--ssh-binary":
            front.append(f"{word}={left.pop(0) if '/' in ''.join(left[:1]) else SSH_BINARY}")
        elif word == "--read-data":
            amount = left.pop(0) if left and left[0][:1].isdigit() else check.READ_ALL
            rest.append(f"{word}={amount}")
        elif word in _FLAGS or word.split("=", 1)[0] in _JOINED or word.startswith("-r"):
            front.append(word)
        else:
            rest.append(word)
    return front, rest


def without_flags(front: Sequence[str]) -> list[str]:
    """Return hoisted global options but for those that say how to talk."""
    return [word for word in front if word not in _FLAGS]


def run(arguments: Sequence[str], stop: threading.Event | None = None) -> int:
    """Run one command line; return its exit code. The only broad `except` of the program.

    What waits in other threads than this one ends soon once `stop` is set.
    """
    learn(*secrets_of(os.environ))
    front, rest = hoisted(arguments)
    as_json = "--json" in front
    try:
        code = _obeyed(front + rest, stop)
        sys.stdout.flush()  # here, where what comes of it is told
    except (BackupError, TransportError) as error:
        code = exit_code(error)
        Voice(as_json=as_json).error(error, code)
    except OSError as error:
        code = _unwritable(error, as_json=as_json)
    except Exception as error:  # noqa: BLE001  the boundary: what arrives here is a bug
        code = _usage(error, as_json=as_json)
        if code == BUG:
            print(hidden(traceback.format_exc()), end="", file=sys.stderr)
            print("voltar: this is a bug; please report what stands above", file=sys.stderr)
    if code == INTERRUPTED:  # the parser turns some interrupts into exits of its own
        with contextlib.suppress(KeyboardInterrupt):
            Voice(as_json=as_json).interrupted()
    return code


def _obeyed(arguments: list[str], stop: threading.Event | None) -> int:
    try:
        return int(app(arguments, standalone_mode=False, obj=stop) or 0)
    except typer.Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as leaving:  # what the parser makes of it
        raise BrokenPipeError from leaving


def _unwritable(error: OSError, *, as_json: bool) -> int:
    """Tell of an output that cannot be written; a reader that has seen enough is no error."""
    # what is still in the buffer cannot be written either, and Python would complain at exit
    with contextlib.suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    Voice(as_json=as_json).error(BackupError(f"the system refused: {error}"), FAILED)
    return FAILED


def main() -> None:
    """Run the command line of this process.

    To be asked to end, by a service manager or a closed terminal, is to be interrupted: what was
    begun is put back. kill -9 is for the next run to clear up.
    """
    name_lines()
    stop = threading.Event()
    interrupt = partial(_interrupt, stop)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    code = run(sys.argv[1:], stop)
    if code == INTERRUPTED:  # without waiting for threads that wait for a server
        _leave(code)
    gc.freeze()  # or Python looks once more at all that was ever loaded before it ends: 0.1 s
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End the process at once. All that was begun is put back."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _interrupt(stop: threading.Event, number: int, frame: FrameType | None) -> NoReturn:
    """End what is being done. What it was just making, half made, may complain when it goes: of a
    reply of the engine the library for HTTP does, with a traceback that tells nobody anything."""
    stop.set()
    sys.unraisablehook = lambda _: None
    signal.default_int_handler(number, frame)


def _usage(error: Exception, *, as_json: bool) -> int:
    """Show the command line's own complaints (an unknown option, say); anything else is a bug."""
    if not isinstance(error, _Complaint):
        return BUG
    if as_json:
        told = UsageError(error.format_message())  # type: ignore[attr-defined]
        Voice(as_json=True).error(told, USAGE)
    else:
        error.show()  # type: ignore[attr-defined]
    return USAGE
