"""voltar restore dump:CONTAINER/KIND"""

import time

from backup.archive import write_stdout
from backup.cli.console import counted, listening, seconds_text, size_text
from backup.cli.context import Context
from backup.compression import Form
from backup.database.feed import Into, body, feed
from backup.engine import Engine
from backup.lookup import Found
from backup.repository import SHORT_ID, Repository
from backup.targets import CONTAINER

STDOUT = "-"


def restore_dump(
    context: Context, engine: Engine, repository: Repository, found: Found, into: Into
) -> None:
    """Write a dump to standard output, or feed it to the server of a container."""
    snapshot_id, snapshot = found
    name = into.container
    if name == STDOUT:
        write_stdout(body(repository, snapshot), Form.TAR)
        return
    started = time.monotonic()
    with listening(context.voice) as listener:
        fed = feed(engine, repository, snapshot, into, listener)
    if fed.doubt:
        context.voice.warn(fed.doubt)
    seconds = round(time.monotonic() - started, 3)
    if context.voice.as_json:
        told = {"type": "summary", "snapshot": snapshot_id, "source": snapshot.source}
        told |= {"target": f"{CONTAINER}{name}", "verified": "dump"}
        counts = {"tables": fed.tables, "bytes": fed.size, "seconds": seconds}
        context.voice.event({**told, **counts})
        return
    context.voice.answer(
        f"restored {snapshot.source} ({snapshot_id[:SHORT_ID]}) to the server of "
        f"{CONTAINER}{name}: {counted(fed.tables, 'table')}, {size_text(fed.size)}, "
        f"{seconds_text(seconds)}; dumped again and compared"
    )
