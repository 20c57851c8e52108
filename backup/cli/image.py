"""voltar image: save, load, send, fetch"""

import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from backup.archive import Existing
from backup.cli.console import counted, listening, size_text
from backup.cli.context import Context
from backup.cli.output import Format, write_out
from backup.compression import ArchiveError, Form
from backup.engine import Engine
from backup.errors import UsageError
from backup.image.files import Saving, load_archive
from backup.image.saved import Platform, SavedImage
from backup.image.transfer import Options, Sent, plan
from backup.image.transfer import send as send_images
from backup.quantity import parse_size
from backup.targets import IMAGE

app = typer.Typer(
    help="Images: in files, to and from other engines and registries.", no_args_is_help=True
)

_BLOCK = 1 << 20


def _plain(images: list[str]) -> list[str]:
    """Names of images, some written as targets of a backup are; "image:1" is one by itself."""
    plain = [one.removeprefix(IMAGE) for one in images]
    return [short if ":" in short else one for one, short in zip(images, plain, strict=True)]


_Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE", help="A name, or an id.", callback=_plain),
]
_Platform = Annotated[
    str | None,
    typer.Option("--platform", metavar="OS/ARCH", help="Not the engine's own: linux/arm64."),
]
_AllTags = Annotated[
    bool, typer.Option("--all-tags", help="Give the image all the tags that it has here.")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")]
_Portion = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="What is larger arrives in portions of this size, if need be by way of TMPDIR.",
    ),
]


class Compress(Enum):
    """How what is sent is compressed."""

    AUTO = "auto"
    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


_FORMS = {Compress.NONE: Form.TAR, Compress.GZIP: Form.GZIP, Compress.ZSTD: Form.ZSTD}
_Compress = Annotated[
    Compress,
    typer.Option(help="auto: not at all to a socket of this machine, zstd or gzip elsewhere."),
]


@app.command("save")
def save(
    ctx: typer.Context,
    images: _Images,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="- for standard output.")
    ],
    as_format: Annotated[
        Format | None,
        typer.Option("--format", help="Where the file's name does not say it; tar by default."),
    ] = None,
    platform: _Platform = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Save images to a file that `docker load` takes, every layer proven to be in it.

    Examples: voltar image save app:1 app:2 -o apps.tar.zst · voltar image save app -o - | …

    An engine may have an image of which layers are missing, and save it without saying so: that is
    an error here, and there is no file.
    """
    context: Context = ctx.obj
    existing = Existing.REPLACE if force else Existing.KEEP
    with context.engine() as engine, listening(context.voice) as listener:
        saving = Saving(engine, images, _platform(platform), listener)
        file = write_out(saving, output, as_format, existing)
    if file is None:
        return
    size = output.stat().st_size
    _tell_images(context, "saved", saving.images, {"file": str(output), "bytes": size})
    if not context.voice.as_json:
        context.voice.answer(f"{output}: {size_text(size)}")


@app.command("load")
def load(
    ctx: typer.Context,
    *,
    file: Annotated[
        Path,
        typer.Option(
            "--input", "-i", metavar="FILE", help="Plain, gzip or zstd; - for standard input."
        ),
    ],
) -> None:
    """Load the images of a file, and look whether the engine has all of them then.

    Examples: voltar image load -i apps.tar.zst · zcat apps.tar.gz | voltar image load -i -

    A damaged file loads nothing.
    """
    context: Context = ctx.obj
    name = "standard input" if str(file) == "-" else str(file)
    with _opened(file) as source, context.engine() as engine, listening(context.voice) as listener:
        images = load_archive(engine, _blocks(source, name), name, listener)
    _tell_images(context, "loaded", images, {"file": name})


@app.command("send")
def send(  # noqa: PLR0913  one parameter an option
    ctx: typer.Context,
    images: _Images,
    *,
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The engine that gets them.")],
    platform: _Platform = None,
    all_tags: _AllTags = False,
    compress: _Compress = Compress.AUTO,
    portion: _Portion = "256M",
    dry_run: _DryRun = False,
) -> None:
    """Send images to another engine, without the layers that it has.

    Examples: voltar image send app:1.3 --to ssh://root@other
    · voltar image send app:1 app:2 --to tcp://10.0.0.7:2376

    A link that is cut loses a portion at most: the same command goes on from there.
    """
    context: Context = ctx.obj
    options = _options(platform, all_tags, compress, portion)
    with context.engine() as source, context.engine_at(to) as target:
        _move(context, (source, target), images, options, dry_run=dry_run)


@app.command("fetch")
def fetch(  # noqa: PLR0913  one parameter an option
    ctx: typer.Context,
    images: _Images,
    *,
    from_: Annotated[str, typer.Option("--from", metavar="URL", help="The engine that has them.")],
    platform: _Platform = None,
    all_tags: _AllTags = False,
    compress: _Compress = Compress.AUTO,
    portion: _Portion = "256M",
    dry_run: _DryRun = False,
) -> None:
    """Fetch images from another engine, without the layers that are here.

    Example: voltar image fetch app:1.3 --from ssh://root@other
    """
    context: Context = ctx.obj
    options = _options(platform, all_tags, compress, portion)
    with context.engine_at(from_) as source, context.engine() as target:
        _move(context, (source, target), images, options, dry_run=dry_run)


def _options(platform: str | None, all_tags: bool, compress: Compress, portion: str) -> Options:
    return Options(
        platform=_platform(platform),
        all_tags=all_tags,
        wire=_FORMS.get(compress),
        portion=parse_size(portion, "--portion", least="1K"),
    )


def _platform(text: str | None) -> str:
    if text is None:
        return ""
    try:
        return str(Platform.parsed(text))
    except ValueError as error:
        raise UsageError(f"{text!r} is no platform", hint="write linux/arm64") from error


def _move(
    context: Context,
    way: tuple[Engine, Engine],
    images: Sequence[str],
    options: Options,
    *,
    dry_run: bool,
) -> None:
    source, target = way
    told = []
    with listening(context.voice) as listener:
        does = plan if dry_run else send_images
        for sent in does(source, target, images, options, listener):
            told.append(sent)
            _tell(context, sent, dry_run=dry_run)
    if context.voice.as_json:
        context.voice.event(
            {
                "type": "summary",
                "images": [_as_json(each) for each in told],
                "bytes_sent": sum(each.sent for each in told),
                "dry_run": dry_run,
            }
        )


def _tell(context: Context, sent: Sent, *, dry_run: bool) -> None:
    voice = context.voice
    if sent.again:
        voice.warn(f"{sent.reference}: {sent.again}; so everything was sent")
    for each in sent.lost:
        voice.say(f"note: {sent.reference} is not known there as {each}")
    if voice.as_json:
        return
    there = f"{sent.there} of {counted(sent.layers, 'layer')} already there"
    if dry_run:
        amount = f"would send about {size_text(sent.missing)} of {size_text(sent.size)}"
    else:
        amount = f"sent {size_text(sent.sent)} of {size_text(sent.size)}"
    name = ", ".join(sent.tags) or sent.reference
    voice.answer(f"{name}: {amount}, {there}")


def _as_json(sent: Sent) -> dict[str, Any]:
    return {
        "image": sent.reference,
        "tags": list(sent.tags),
        "platform": sent.platform,
        "id": sent.image_id,
        "layers": sent.layers,
        "layers_already_there": sent.there,
        "bytes": sent.size,
        "bytes_missing": sent.missing,
        "bytes_sent": sent.sent,
        "sent_again_because": sent.again,
        "digests_lost": list(sent.lost),
    }


def _tell_images(
    context: Context, done: str, images: Sequence[SavedImage], more: dict[str, Any]
) -> None:
    if context.voice.as_json:
        listed = [
            {
                "tags": list(image.tags),
                "config": image.config_digest,
                "platform": str(image.platform),
                "layers": len(image.layers),
            }
            for image in images
        ]
        context.voice.event({"type": "summary", "images": listed} | more)
        return
    for image in images:
        name = ", ".join(image.tags) or image.config_digest[:19]
        context.voice.answer(
            f"{done} {name} ({image.platform}): {counted(len(image.layers), 'layer')}, all proven"
        )


def _opened(file: Path) -> IO[bytes]:
    if str(file) == "-":
        return open(sys.stdin.fileno(), "rb", closefd=False)
    try:
        return file.open("rb")
    except OSError as error:
        raise ArchiveError(f"cannot read {file}: {error.strerror}") from error


def _blocks(source: IO[bytes], name: str) -> Iterator[bytes]:
    try:
        while block := source.read(_BLOCK):
            yield block
    except OSError as error:
        raise ArchiveError(f"cannot read {name}: {error.strerror}") from error
