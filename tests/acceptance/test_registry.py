"""Images to and from real registries, by real engines; credentials by docker's own means."""

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar
from tests.acceptance.conftest import on
from tests.tars import archive
from tests.testbed import images
from tests.testbed.certificates import certificate
from tests.testbed.engine import Engine
from tests.testbed.registry import Registry

pytestmark = pytest.mark.private

SECRET = "hunter2 in a barn"
USER = "deployer"
ELSEWHERE = "192.0.2.1"
"""An address that engines want TLS from, unless they are told otherwise."""


@pytest.fixture
def serve(bed: Engine, tmp_path: Path) -> Iterator[Callable[..., Registry]]:
    """Start registries on the loopback of the test's engine."""
    with ExitStack() as stack:
        count = iter(range(9))

        def serve(**options: Any) -> Registry:
            registry = Registry(bed, tmp_path / f"registry-{next(count)}", **options)
            return stack.enter_context(registry)

        yield serve


@pytest.fixture
def app(bed: Engine, scratch) -> str:
    """An image with two layers, the upper one its own."""
    return derived(bed, scratch, "first")


def derived(engine: Engine, scratch, content: str) -> str:
    base = images.tools(engine)
    container = scratch.container(base, "sh", "-c", f"echo {content} >/content")
    engine.docker("start", "--attach", container)
    name = f"{scratch.prefix}/app:{content}"
    scratch.claim(images=[name])
    engine.docker("commit", container, name)
    return name


def login(voltar: Voltar, registry: Registry, secret: str = SECRET) -> None:
    packed = base64.b64encode(f"{USER}:{secret}".encode()).decode()
    configure(voltar, {"auths": {registry.address: {"auth": packed}}})


def configure(voltar: Voltar, config: Mapping[str, object]) -> None:
    (voltar.home / ".docker").mkdir(exist_ok=True)
    (voltar.home / ".docker/config.json").write_text(json.dumps(config))


def helper(voltar: Voltar, name: str, script: str) -> Voltar:
    directory = voltar.home / "bin"
    directory.mkdir(exist_ok=True)
    program = directory / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return voltar.changed(more={"PATH": f"{directory}:{voltar.environment['PATH']}"})


def at(registry: Registry, prefix: str = "") -> list[str]:
    """The options that send images there."""
    return ["--registry", registry.address + prefix, "--plain-http", registry.address]


def layers(engine: Engine, name: str) -> str:
    return engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name)


def names(engine: Engine, registry: Registry) -> list[str]:
    listed = engine.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    return [name for name in listed if name.startswith(registry.address)]


def test_an_image_goes_to_a_registry_and_comes_back(every_engine, voltar, serve, app, scratch):
    registry = serve(users={USER: SECRET})
    login(voltar, registry)
    before = layers(every_engine, app)

    pushed = voltar("--json", "image", "push", app, *at(registry, "/team"))

    event = pushed.events[-2]
    there = registry.tagged(f"team/{scratch.prefix}/app", "first")
    assert (event["type"], event["digest"], event["layers"]) == ("pushed", there, 2)
    assert names(every_engine, registry) == []
    assert layers(every_engine, app) == before
    assert SECRET not in pushed.said

    name = f"{registry.address}/team/{app}"
    scratch.claim(images=[name])
    every_engine.docker("rmi", "--force", app)
    pulled = voltar("--json", "image", "pull", name, "--plain-http", registry.address)

    assert pulled.events[-2]["digest"] == there
    assert layers(every_engine, name) == before
    content = every_engine.docker("run", "--rm", name, "cat", "/content")
    assert content == "first"
    assert SECRET not in pulled.said


def test_what_a_registry_has_is_not_sent_again(voltar, bed, serve, app, scratch):
    registry = serve()
    second = derived(bed, scratch, "second")
    voltar("image", "push", app, *at(registry))

    pushed = voltar("--json", "image", "push", app, second, *at(registry))

    said = {event["image"]: event for event in pushed.events if event["type"] == "pushed"}
    assert said[f"{registry.address}/{app}"]["layers_already_there"] == 2
    assert said[f"{registry.address}/{second}"]["layers_already_there"] == 1
    assert pushed.summary["pushed"] == 2


def test_a_name_that_was_there_stays(voltar, bed, serve, app, scratch):
    registry = serve()
    name = f"{registry.address}/{app}"
    scratch.claim(images=[name])
    bed.docker("tag", app, name)

    pushed = voltar("image", "push", name, "--plain-http", registry.address)

    assert names(bed, registry) == [name]
    assert name in pushed.text
    assert "2 layers" in pushed.text


def test_a_name_of_another_image_is_not_taken(voltar, bed, serve, app, scratch):
    registry = serve()
    name = f"{registry.address}/{app}"
    scratch.claim(images=[name])
    bed.docker("tag", images.tools(bed), name)

    refused = voltar("image", "push", app, *at(registry), code=5)

    assert "is another image on this engine" in refused.err
    assert registry.tagged(app.partition(":")[0], "first") is None


def test_a_wrong_password_leaves_nothing(every_engine, voltar, serve, app):
    registry = serve(users={USER: SECRET})
    login(voltar, registry, "no secret")

    failed = voltar("image", "push", app, *at(registry), code=1)

    assert "cannot push" in failed.err
    assert "config.json" in failed.err
    assert "no secret" not in failed.said
    assert names(every_engine, registry) == []


def test_a_helper_says_who_we_are(voltar, serve, app):
    registry = serve(users={USER: SECRET})
    answer = json.dumps({"Username": USER, "Secret": SECRET})
    helped = helper(voltar, "barn", f"read -r h; [ $h = {registry.address} ] && echo '{answer}'")
    configure(voltar, {"credHelpers": {registry.address: "barn"}})

    pushed = helped("image", "push", app, *at(registry))

    assert registry.tagged(app.partition(":")[0], "first") in pushed.text


def test_without_its_helper_nothing_is_sent(voltar, serve, app):
    registry = serve(users={USER: SECRET})
    configure(voltar, {"credsStore": "gone"})

    failed = voltar("image", "push", app, *at(registry), code=2)

    assert f"docker-credential-gone for {registry.address}" in failed.err
    assert "manifests" not in registry.log()


@pytest.mark.parametrize("verb", ["push", "pull"])
@pytest.mark.parametrize("also", [[], ["--plain-http", "127.0.0.1"]], ids=["none", "another"])
def test_plain_http_must_be_allowed_for_that_registry(voltar, serve, app, verb, also):
    registry = serve()

    refused = voltar("image", verb, app, "--registry", registry.address, *also, code=2)

    if not also:
        assert f"say --plain-http {registry.address}" in refused.err
    assert registry.log().count("GET /v2/") == 0


def test_what_the_engine_does_not_allow_is_told_before(voltar, app):
    address = f"{ELSEWHERE}:5000"

    refused = voltar("image", "push", app, "--registry", address, "--plain-http", address, code=2)

    assert f'"insecure-registries": ["{address}"]' in refused.err


@pytest.fixture
def elsewhere(bed: Engine) -> None:
    """Give the engine's namespace an address that is not of its loopback's network."""
    bed.daemon.network("ip", "address", "replace", f"{ELSEWHERE}/32", "dev", "lo")


@pytest.mark.usefixtures("elsewhere")
def test_a_registry_without_tls_is_told_of_where_the_engine_wants_it(bed, voltar, serve, app):
    registry = serve(host=ELSEWHERE)

    failed = voltar("image", "push", app, "--registry", registry.address, code=1)

    assert "see --plain-http" in failed.err
    assert names(bed, registry) == []


@pytest.mark.usefixtures("elsewhere")
def test_tls_needs_no_word(every_engine, voltar, serve, app, tmp_path):
    pair = certificate(tmp_path, ELSEWHERE)
    registry = serve(host=ELSEWHERE, certificate=pair)
    every_engine.daemon.trust(registry.address, pair[0])

    voltar("image", "push", app, "--registry", registry.address)

    assert registry.tagged(app.partition(":")[0], "first")


def test_what_is_not_there_is_told(voltar, serve, scratch):
    registry = serve()
    name = f"{registry.address}/{scratch.prefix}:1"

    pushed = voltar("image", "push", scratch.prefix, *at(registry), code=1)
    pulled = voltar("image", "pull", name, "--plain-http", registry.address, code=1)

    assert f"no image 'docker.io/library/{scratch.prefix}:latest'" in pushed.err
    assert f"cannot pull {name}" in pulled.err


def test_a_registry_that_is_down_is_told(voltar, serve, app):
    registry = serve()
    registry.stop()

    pulled = voltar("image", "pull", app, *at(registry), code=1)

    assert "connection refused" in pulled.err


def test_one_that_fails_does_not_keep_the_others(voltar, serve, app, scratch, bed):
    registry = serve()
    voltar("image", "push", app, *at(registry))
    name = f"{registry.address}/{app}"
    scratch.claim(images=[name])
    absent = f"{registry.address}/absent:1"

    pulled = voltar("image", "pull", absent, name, "--plain-http", registry.address, code=3)

    assert "absent:1 was not pulled" in pulled.err
    assert f"pulled {name}" in pulled.text
    voltar("image", "pull", absent, absent, "--plain-http", registry.address, code=1)


def test_a_layer_that_is_damaged_there_does_not_become_an_image(
    every_engine, voltar, serve, app, scratch
):
    registry = serve()
    name = f"{registry.address}/{app}"
    scratch.claim(images=[name])
    voltar("image", "push", app, *at(registry))
    manifest = json.loads(
        registry.blob(registry.tagged(app.partition(":")[0], "first") or "").read_bytes()
    )
    upper = registry.blob(manifest["layers"][-1]["digest"])
    data = bytearray(upper.read_bytes())
    data[len(data) // 2] ^= 1
    upper.write_bytes(data)
    every_engine.docker("rmi", "--force", app)

    failed = voltar("image", "pull", name, "--plain-http", registry.address, code=1)

    assert f"cannot pull {name}" in failed.err
    assert every_engine.attempt("image", "inspect", name).returncode


def test_an_image_that_the_engine_keeps_without_its_layers_is_told(start_engine, made, tmp_path):
    engine = start_engine("28.5-containerd")
    voltar = on(engine, made, tmp_path)
    image = images.build(engine, "small", ["cat"])
    with Registry(engine, tmp_path / "registry") as registry:
        name = f"{registry.address}/{image}"
        voltar("image", "push", image, *at(registry))
        layers_only = unpacked(engine.raw("save", image), "same-layers:1")
        engine.docker("rmi", image)
        engine.docker("load", stdin=layers_only)

        failed = voltar("image", "pull", name, "--plain-http", registry.address, code=1)

        assert "has not kept all of its layers" in failed.err
        engine.docker("rmi", "--force", name, "same-layers:1")
        voltar("image", "pull", name, "--plain-http", registry.address)
        assert engine.docker("run", "--rm", name, "cat", "/etc/group").startswith("root")


def unpacked(saved: bytes, name: str) -> bytes:
    """The same image with its layers not compressed: their digests are others then."""
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        held = {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]
    listed = json.loads(held["manifest.json"])[0]
    files = {f"{at}.tar": gzip.decompress(held[one]) for at, one in enumerate(listed["Layers"])}
    manifest = [{"Config": "c.json", "RepoTags": [name], "Layers": list(files)}]
    files |= {"c.json": held[listed["Config"]], "manifest.json": json.dumps(manifest).encode()}
    return archive(files)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["app"], "says no registry"),
        (["app", "--registry", "https://h:1"], "it has a scheme"),
        (["App", "--registry", "h:1"], "names no image"),
        (["0a" * 32, "--registry", "h:1"], "an id says where"),
    ],
)
def test_what_cannot_be_meant_is_refused(voltar, words, why):
    assert why in voltar("image", "push", *words, code=2).err
