"""voltar restore image:REF"""

import time

from backup.cli.console import counted, listening, seconds_text, size_text
from backup.cli.context import Context
from backup.engine import Engine
from backup.engine.reference import Reference
from backup.errors import UsageError
from backup.image.stored import demand_name, stored
from backup.image.transfer import Options, Sent, deliver
from backup.lookup import Found
from backup.repository import SHORT_ID, Repository

_UNBOUNDED = 1 << 62
"""A portion that holds everything: what comes from a repository can be had again."""


def restore_image(
    context: Context,
    engine: Engine,
    repository: Repository,
    found: Found,
    wanted: tuple[str | None, bool],
) -> None:
    """Load the image of a snapshot, without the layers that the engine has, and name it."""
    snapshot_id, snapshot = found
    name = _name(wanted[0] or snapshot.source)
    started = time.monotonic()
    image = stored(repository, snapshot, name)
    if not wanted[1]:
        demand_name(engine, image)
    with listening(context.voice) as listener:
        sent = deliver(image, engine, Options(portion=_UNBOUNDED), listener)
    seconds = round(time.monotonic() - started, 3)
    if context.voice.as_json:
        told = {"type": "summary", "snapshot": snapshot_id, "source": snapshot.source}
        context.voice.event(told | {"image": name.familiar, **_as_json(sent), "seconds": seconds})
        return
    there = f", {sent.there} of them there already" if sent.there else ""
    context.voice.answer(
        f"restored {snapshot.source} ({snapshot_id[:SHORT_ID]}) as {name.familiar}: "
        f"{counted(sent.layers, 'layer')}{there}, {size_text(sent.sent)} loaded, "
        f"{seconds_text(seconds)}; all digests compared"
    )


def _name(text: str) -> Reference:
    kind, colon, rest = text.partition(":")
    if colon and kind in ("volume", "container"):
        raise UsageError(f"an image cannot become {text}", hint="write --to NAME:TAG")
    name = Reference.parse(rest if kind == "image" else text)
    if name.tag is None or name.digest:
        raise UsageError(f"{text} has a digest, which no image is given", hint="say --to NAME:TAG")
    return name


def _as_json(sent: Sent) -> dict[str, object]:
    return {
        "id": sent.image_id,
        "platform": sent.platform,
        "layers": sent.layers,
        "layers_already_there": sent.there,
        "bytes": sent.size,
        "bytes_loaded": sent.sent,
    }
