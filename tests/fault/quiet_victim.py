"""A run that keeps containers quiet for a moment, and dies at a line of its journal.

    python -m tests.fault.quiet_victim URL DIRECTORY CONFIGURATION LINE before|after

`LINE` counts from 1, the header; `before` is when its act is done and the line is not yet written.
"""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import msgspec

from backup.config import Hook, Quiesce
from backup.engine import connect
from backup.job.run import new_run
from backup.quiesce.plan import Order
from backup.quiesce.site import Setting
from backup.quiesce.window import quiesced
from backup.report import ignore
from backup.selection.resolve import Treatment
from backup.targets import plan


def dying(line: int, *, after: bool) -> None:
    """Have this process killed when it writes that line."""
    real, written = os.fsync, 0
    write = os.write

    def is_journal(handle: int) -> bool:
        name = os.readlink(f"/proc/self/fd/{handle}")
        return Path(name).suffix in (".jsonl", ".tmp")

    def counted(handle: int, data: bytes) -> int:
        nonlocal written
        written += is_journal(handle)
        if written == line and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(handle, data)

    def synced(handle: int) -> None:
        real(handle)
        if written == line and after and is_journal(handle):
            os.kill(os.getpid(), signal.SIGKILL)

    vars(os).update(write=counted, fsync=synced)


def setting(url: str, directory: Path) -> Setting:
    """What a run, or its recovery, works with."""
    return Setting(
        run=new_run(),
        job="nightly",
        directory=directory,
        connect=partial(connect, url),
        environ={"PATH": os.environ["PATH"]},
        on_event=ignore,
    )


def main(url: str, directory: str, wanted: str, line: str, when: str) -> None:
    found = json.loads(wanted)
    treatments = {name: Treatment(quiesce=Quiesce(how)) for name, how in found["how"].items()}
    hooks = tuple(msgspec.convert(each, Hook) for each in found["hooks"])
    dying(int(line), after=when == "after")
    with connect(url) as engine:
        targets = plan(engine, [f"volume:{found['volume']}"], everything=False, keep_out=[])
        order = Order(treatments=treatments, hooks=hooks)
        with quiesced(engine, setting(url, Path(directory)), targets, order, tuple) as windows:
            for unit in windows.units:
                with windows.window(unit):
                    """Nothing is read."""


if __name__ == "__main__":
    main(*sys.argv[1:])
