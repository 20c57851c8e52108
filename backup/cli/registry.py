"""voltar image push, voltar image pull"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from backup.cli import FAILED, INCOMPLETE, exit_code
from backup.cli.console import counted, listening, size_text
from backup.cli.context import Context
from backup.engine import Engine
from backup.engine.credentials import credential
from backup.engine.reference import Reference, names_registry, registry_and_prefix
from backup.engine.registry import Moved, Parcel, parcel
from backup.engine.registry import pull as pull_image
from backup.engine.registry import push as push_image
from backup.engine.trust import demand_trust
from backup.errors import BackupError, EngineUnavailable, UsageError
from backup.report import OnEvent

_Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE", help="NAME[:TAG], or HOST[:PORT]/NAME[:TAG]."),
]
_PlainHttp = Annotated[
    list[str] | None,
    typer.Option(
        "--plain-http",
        metavar="HOST[:PORT]",
        help="Allow this registry to be talked to without TLS, or without a valid certificate.",
    ),
]


def push(
    ctx: typer.Context,
    images: _Images,
    *,
    registry: Annotated[
        str | None,
        typer.Option(metavar="HOST[:PORT][/PREFIX]", help="Where images go that do not say it."),
    ] = None,
    plain_http: _PlainHttp = None,
) -> None:
    """Push images to a registry, and ask it whether they are there.

    Examples: voltar image push app:1.2 web:7 --registry registry.example/team
    · voltar image push registry.example:5000/app:1.2

    Who we are is looked up in docker's configuration and its credential helpers. The name that a
    push needs is taken away again, unless it was there.
    """
    context: Context = ctx.obj
    named = [(each, _target(each, registry)) for each in images]
    with context.engine() as engine:
        _demand_trust(engine, [target for _, target in named], plain_http or ())
        known = {target.registry: credential(target.registry, os.environ) for _, target in named}
        parcels = [parcel(engine, str(Reference.parse(each)), to) for each, to in named]

        def one(what: Parcel, on_event: OnEvent) -> Moved:
            return push_image(engine, what, known[what.target.registry], on_event=on_event)

        work = [(each.target, partial(one, each)) for each in parcels]
        _move(context, "pushed", work)


def pull(
    ctx: typer.Context,
    images: _Images,
    *,
    registry: Annotated[
        str | None,
        typer.Option(metavar="HOST[:PORT][/PREFIX]", help="Where images are that do not say it."),
    ] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="OS/ARCH", help="Not the engine's own: linux/arm64.")
    ] = None,
    plain_http: _PlainHttp = None,
) -> None:
    """Pull images from a registry, and look whether all of them is there.

    Examples: voltar image pull registry.example/team/app:1.2
    · voltar image pull app:1.2 --registry localhost:5000 --plain-http localhost:5000
    """
    context: Context = ctx.obj
    references = [_target(each, registry) for each in images]
    with context.engine() as engine:
        _demand_trust(engine, references, plain_http or ())
        known = {each.registry: credential(each.registry, os.environ) for each in references}

        def one(what: Reference, on_event: OnEvent) -> Moved:
            who = known[what.registry]
            return pull_image(engine, what, who, platform=platform, on_event=on_event)

        _move(context, "pulled", [(each, partial(one, each)) for each in references])


def _target(image: str, registry: str | None) -> Reference:
    """The name of an image in the registry that it, or the option, says."""
    if registry is not None:
        return Reference.parse(image).within(*registry_and_prefix(registry))
    if not names_registry(image):
        raise UsageError(
            f"{image!r} says no registry",
            hint=f"say --registry HOST, or write HOST/{image}; docker.io/… is Docker's own",
        )
    return Reference.parse(image)


def _demand_trust(engine: Engine, targets: Sequence[Reference], allowed: Sequence[str]) -> None:
    hosts = {target.registry for target in targets}
    for each in allowed:
        if each.lower() not in {host.lower() for host in hosts}:
            raise UsageError(f"--plain-http names {each}, and no image goes to or comes from there")
    for host in sorted(hosts):
        demand_trust(engine.info, host, allowed)


def _move(
    context: Context, done: str, work: Sequence[tuple[Reference, Callable[[OnEvent], Moved]]]
) -> None:
    """Do one after the other; one that fails does not keep the others, unless it is alone."""
    voice, failed = context.voice, 0
    with listening(voice) as listener:
        for reference, one in work:
            try:
                moved = one(listener)
            except EngineUnavailable:
                raise
            except BackupError as error:
                if len(work) == 1:
                    raise
                failed += 1
                voice.warn(f"{reference.familiar} was not {done}: {error}")
                if voice.as_json:
                    voice.error(error, exit_code(error))
                continue
            _tell(context, done, moved)
    code = 0 if not failed else FAILED if failed == len(work) else INCOMPLETE
    if voice.as_json:
        voice.event({"type": "summary", done: len(work) - failed, "failed": failed, "code": code})
    if code:
        raise typer.Exit(code)


def _tell(context: Context, done: str, moved: Moved) -> None:
    if context.voice.as_json:
        context.voice.event(_as_json(done, moved))
        return
    there = f", {moved.already_there} of them there already" if moved.already_there else ""
    size = f", {size_text(moved.size)}" if moved.size else ""
    layers = f": {counted(moved.layers, 'layer')}{there}{size}" if moved.layers else ""
    context.voice.answer(f"{done} {moved.reference.familiar}{layers}; {moved.digest}")


def _as_json(done: str, moved: Moved) -> dict[str, Any]:
    return {
        "type": done,
        "image": moved.reference.familiar,
        "digest": moved.digest,
        "layers": moved.layers,
        "layers_already_there": moved.already_there,
        "bytes": moved.size,
    }
