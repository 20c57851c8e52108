"""voltar image save, load, send, fetch: files and other engines, and what goes wrong."""

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar, until
from tests.integration.test_engine_connection import relay
from tests.testbed import layered, leaks
from tests.testbed.engine import Engine, Pool
from tests.testbed.layered import Made
from tests.testbed.proxy import Proxy
from tests.testbed.scratch import Scratch
from tests.testbed.sshd import Sshd

CLASSIC, CONTAINERD = "28.5-classic", "28.5-containerd"
SIZE = 200_000
PLAIN = {
    "x.tar": lambda data: data,
    "x.tar.gz": gzip.decompress,
    "x.tar.zst": lambda data: (
        subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
    ),
}

Make = Callable[..., Made]


@pytest.fixture
def make(scratch: Scratch) -> Make:
    """Load an image of layers of these names, which nothing else has."""

    def make(name: str, *layers: str, size: int = SIZE, **config: Any) -> Made:
        tag = f"{scratch.prefix}/{name}"
        content = [layered.layer(f"{scratch.prefix}-{each}", size) for each in layers]
        image = Made([tag], content, config or {"Env": [f"OF={scratch.prefix}"]})
        scratch.claim(images=[tag])
        scratch.engine.docker("load", stdin=layered.archive([image]))
        return image

    return make


@pytest.fixture
def other(pool: Pool, scratch: Scratch) -> Iterator[Engine]:
    """Another engine; images of the test are removed from it."""
    engine = pool.engine(CONTAINERD)
    yield engine
    tags = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    ours = [tag for tag in tags if scratch.prefix in tag]
    if ours:
        engine.docker("rmi", "--force", *ours)


def has(engine: Engine, image: Made) -> bool:
    """Whether an engine has the image, with all its layers."""
    shown = engine.attempt("image", "inspect", image.tags[0])
    if shown.returncode:
        return False
    layers: list[str] = json.loads(shown.stdout)[0]["RootFS"].get("Layers", [])
    return layers == image.diff_ids


def under_way(engine: Engine) -> list[str]:
    return engine.docker("images", "-q", "voltar-partial").split()


# --- files


def test_what_was_saved_can_be_loaded_again(
    every_engine: Engine, voltar: Voltar, make: Make, tmp_path: Path
) -> None:
    one, two = make("app:1", "a", "b"), make("app:2", "a", "c", Cmd=["x"])
    tags = [*one.tags, *two.tags]

    saved = voltar("image", "save", *tags, "-o", tmp_path / "x.tar.zst")
    assert saved.text.count("2 layers, all proven") == 2
    every_engine.docker("rmi", *tags)
    loaded = voltar("image", "load", "-i", tmp_path / "x.tar.zst")

    assert loaded.text.count("2 layers, all proven") == 2
    assert has(every_engine, one)
    assert has(every_engine, two)
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["x.tar.zst"]


@pytest.mark.parametrize("name", PLAIN)
def test_a_file_is_what_its_name_says(
    engine: Engine, voltar: Voltar, make: Make, tmp_path: Path, name: str
) -> None:
    app = make("app:1", "a")

    voltar("image", "save", *app.tags, "-o", tmp_path / name)

    archive = PLAIN[name]((tmp_path / name).read_bytes())
    engine.docker("rmi", *app.tags)
    engine.docker("load", stdin=archive)
    assert has(engine, app)


def test_the_form_of_a_file_is_seen_from_its_bytes(
    engine: Engine, voltar: Voltar, make: Make, tmp_path: Path
) -> None:
    app = make("app:1", "a")
    voltar("image", "save", *app.tags, "-o", tmp_path / "x.tar.zst")
    (tmp_path / "x.tar.zst").rename(tmp_path / "x.tar")
    engine.docker("rmi", *app.tags)

    summary = voltar.summary("image", "load", "-i", tmp_path / "x.tar")

    assert summary["images"][0]["tags"] == list(app.tags)
    assert has(engine, app)


def test_images_pass_through_pipes(engine: Engine, voltar: Voltar, make: Make) -> None:
    app = make("app:1", "a", "b")
    data = voltar("image", "save", *app.tags, "-o", "-", "--format", "tar.gz").out
    engine.docker("rmi", *app.tags)

    voltar("image", "load", "-i", "-", stdin=data)

    assert has(engine, app)


def test_a_file_that_exists_is_replaced_only_by_force(
    voltar: Voltar, make: Make, tmp_path: Path
) -> None:
    app = make("app:1", "a")
    file = tmp_path / "x.tar"
    file.write_bytes(b"mine")

    refused = voltar("image", "save", *app.tags, "-o", file, code=2)
    assert "exists" in refused.err
    assert "--force" in refused.err
    assert file.read_bytes() == b"mine"

    voltar("image", "save", *app.tags, "-o", file, "--force")
    assert file.stat().st_size > SIZE


def test_what_is_not_there_is_not_saved(voltar: Voltar, tmp_path: Path) -> None:
    missing = voltar("image", "save", "nobody/has-this:1", "-o", tmp_path / "x.tar", code=1)

    assert "no image 'nobody/has-this:1' on this engine" in missing.err
    assert list(tmp_path.glob("*x*")) == []


DAMAGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "a flipped byte": lambda data, layer: flipped(data, data.index(layer) + 5000),
    "a truncated file": lambda data, _: data[: len(data) // 2],
    "no end": lambda data, _: data.rstrip(b"\0"),
    "no archive": lambda _, layer: b"GIF89a" + layer,
}


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_what_the_engine_refuses_is_told_with_the_name_of_the_file(
    engine: Engine, voltar: Voltar, scratch: Scratch, tmp_path: Path
) -> None:
    """All digests are right, and yet the layer is no tar."""
    before = set(engine.docker("images", "-aq", "--no-trunc").split())
    file = tmp_path / "x.tar"
    file.write_bytes(layered.archive([Made([f"{scratch.prefix}/app:1"], [b"no tar" * 1000])]))

    refused = voltar("image", "load", "-i", file, code=1)

    assert f"{file} was not loaded: the engine refused" in refused.err
    assert set(engine.docker("images", "-aq", "--no-trunc").split()) == before


def test_an_image_without_layers_is_an_image_too(
    engine: Engine, other: Engine, voltar: Voltar, scratch: Scratch, tmp_path: Path
) -> None:
    tag = f"{scratch.prefix}/bare:1"
    bare = Made([tag], [], {"Labels": {"only": "settings"}})
    (tmp_path / "x.tar").write_bytes(layered.archive([bare]))
    scratch.claim(images=[tag])

    voltar("image", "load", "-i", tmp_path / "x.tar")
    refused = voltar("image", "send", tag, "--to", other.url, code=1)

    shown = json.loads(engine.docker("image", "inspect", tag))[0]
    assert shown["Config"]["Labels"] == {"only": "settings"}
    assert "has no layers" in refused.err
    assert under_way(other) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_loads_nothing(
    engine: Engine, voltar: Voltar, scratch: Scratch, tmp_path: Path, damage: str
) -> None:
    before = set(engine.docker("images", "-aq", "--no-trunc").split())
    tag = f"{scratch.prefix}/app:1"
    app = Made([tag], [layered.layer(f"{scratch.prefix}-{n}", 700_000) for n in range(3)])
    file = tmp_path / "x.tar"
    file.write_bytes(DAMAGES[damage](layered.archive([app]), app.layers[1]))

    refused = voltar("image", "load", "-i", file, code=4)

    assert "is damaged" in refused.err
    assert str(file) in refused.err
    assert set(engine.docker("images", "-aq", "--no-trunc").split()) == before


def test_no_engine_makes_an_image_of_what_breaks_off(
    every_engine: Engine, voltar: Voltar, scratch: Scratch, tmp_path: Path
) -> None:
    before = set(every_engine.docker("images", "-aq", "--no-trunc").split())
    tag = f"{scratch.prefix}/app:1"
    app = Made([tag], [layered.layer(f"{scratch.prefix}-{n}", 700_000) for n in range(3)])
    data = layered.oci([app])
    last = max(app.layers, key=layered.sha256)
    file = tmp_path / "x.tar"
    file.write_bytes(flipped(data, data.index(last) + 600_000))

    refused = voltar("image", "load", "-i", file, code=4)

    assert "is damaged" in refused.err
    assert set(every_engine.docker("images", "-aq", "--no-trunc").split()) == before


def test_a_file_without_a_layer_is_refused_by_its_name(
    every_engine: Engine, voltar: Voltar, scratch: Scratch, tmp_path: Path
) -> None:
    tag = f"{scratch.prefix}/app:1"
    app = Made([tag], [layered.layer(f"{scratch.prefix}-{n}", SIZE) for n in range(2)])
    file = tmp_path / "x.tar"
    file.write_bytes(layered.oci([app], without=[layered.sha256(app.layers[1])]))

    refused = voltar("image", "load", "-i", file, code=4)

    assert f"{tag} lacks 1 layer: {app.diff_ids[1]}" in refused.err
    assert not has(every_engine, app)
    assert every_engine.attempt("image", "inspect", tag).returncode


def test_an_engine_that_saves_an_image_without_layers_is_caught(
    other: Engine, voltar: Voltar, scratch: Scratch, tmp_path: Path
) -> None:
    """`docker save` ends with exit code 0 there."""
    tag = f"{scratch.prefix}/app:1"
    base = Made([f"{scratch.prefix}/base:1"], [layered.layer(f"{scratch.prefix}-a", SIZE)])
    app = Made([tag], [*base.layers, layered.layer(f"{scratch.prefix}-b", SIZE)])
    other.docker("load", stdin=layered.oci([app], without=[layered.sha256(app.layers[1])]))
    assert len(other.raw("save", tag)) < 2 * SIZE

    refused = voltar("--host", other.url, "image", "save", tag, "-o", tmp_path / "x.tar", code=4)

    assert f"{tag} lacks its configuration and 2 layers: {app.diff_ids[0]}, " in refused.err
    assert not (tmp_path / "x.tar").exists()


def test_one_platform_of_several_is_saved(
    other: Engine, voltar: Voltar, scratch: Scratch, tmp_path: Path
) -> None:
    tag = f"{scratch.prefix}/both:1"
    images = [
        Made([tag], [layered.layer(f"{scratch.prefix}-{name}", SIZE)], {}, architecture=name)
        for name in ("amd64", "arm64")
    ]
    other.docker("load", stdin=layered.oci(images))
    there = voltar.changed(url=other.url)

    for image, *words in ((images[0],), (images[1], "--platform", "linux/arm64")):
        output = tmp_path / f"{image.architecture}.tar"
        there("image", "save", tag, "-o", output, *words)
        with tarfile.open(output) as tar:
            listed = json.load(tar.extractfile("manifest.json") or io.BytesIO())
            config = json.load(tar.extractfile(listed[0]["Config"]) or io.BytesIO())
        assert config["architecture"] == image.architecture
        assert config["rootfs"]["diff_ids"] == image.diff_ids


# --- other engines


def test_images_are_sent_and_fetched_without_what_is_there(
    engine: Engine, other: Engine, voltar: Voltar, make: Make
) -> None:
    base, app = make("base:1", "a", "b", "c"), make("app:1", "a", "b", "c", "d")

    planned = voltar("image", "send", *app.tags, "--to", other.url, "--dry-run")
    assert "would send about" in planned.text
    assert "0 of 4 layers already there" in planned.text
    assert not has(other, app)

    voltar("image", "send", *base.tags, "--to", other.url)
    sent = voltar("image", "send", f"image:{app.tags[0]}", "--to", other.url)
    assert has(other, base)
    assert has(other, app)
    assert sent.text.startswith(f"{app.tags[0]}: sent 2")
    assert "3 of 4 layers already there" in sent.text

    engine.docker("rmi", *app.tags)
    fetched = voltar("image", "fetch", *app.tags, "--from", other.url)
    assert has(engine, app)
    assert "3 of 4 layers already there" in fetched.text
    assert under_way(engine) + under_way(other) == []


def test_an_image_without_a_history_is_an_image_too(
    engine: Engine, other: Engine, voltar: Voltar, scratch: Scratch
) -> None:
    app = Made([f"{scratch.prefix}/app:1"], [layered.layer("a", SIZE)], history=False)
    scratch.claim(images=app.tags)
    other.docker("load", stdin=layered.oci([app]))

    voltar("image", "fetch", *app.tags, "--from", other.url, "--dry-run")
    voltar("image", "fetch", *app.tags, "--from", other.url)

    assert has(engine, app)


def test_of_two_that_are_the_same_each_keeps_its_name(
    engine: Engine, other: Engine, voltar: Voltar, scratch: Scratch
) -> None:
    layers = [layered.layer(scratch.prefix, SIZE)]
    twins = [
        Made([f"{scratch.prefix}/app:{number}"], layers, history=bool(number)) for number in (0, 1)
    ]
    names = [tag for twin in twins for tag in twin.tags]
    scratch.claim(images=names)
    for each in (engine, other):
        each.docker("load", stdin=layered.archive(twins))
    identify = ("image", "inspect", "--format", "{{.Id}}", *names)
    before = other.docker(*identify)

    sent = voltar("image", "send", *names, "--to", other.url)

    assert len({*before.split()}) == 2
    assert (other.docker(*identify), "lost" in sent.err) == (before, False)


def test_whoever_loses_a_name_to_an_image_is_told(
    engine: Engine, other: Engine, voltar: Voltar, make: Make, tmp_path: Path
) -> None:
    """An image that has no name any more goes with the next `docker image prune`."""
    file = tmp_path / "x.tar"
    ids = []
    for layer in ("a", "b"):
        app = make("app:1", layer)
        ids.append(engine.docker("image", "inspect", "--format", "{{.Id}}", *app.tags))
        sent = voltar("image", "send", *app.tags, "--to", other.url)
        if not file.exists():
            voltar("image", "save", *app.tags, "-o", file)
            there = other.docker("image", "inspect", "--format", "{{.Id}}", *app.tags)
            assert "lost this name" not in sent.err

    assert f"warning: {app.tags[0]}: was the image {there} before, which has lost" in sent.err
    assert f"was the image {ids[1]} before" in voltar("image", "load", "-i", file).err
    assert "lost this name" not in voltar("image", "load", "-i", file).err


def test_a_script_is_told_all_of_it(other: Engine, voltar: Voltar, make: Make) -> None:
    app = make("app:1", "a", "b")

    events = voltar("--json", "image", "send", *app.tags, "--to", other.url).events

    subjects = [each["subject"] for each in events if each["type"] == "started"]
    assert [f"layer {n} of 2 of {app.tags[0]}" in subjects for n in (1, 2)] == [True, True]
    summary = events[-1]
    (image,) = summary["images"]
    assert (image["layers"], image["layers_already_there"]) == (2, 0)
    assert image["bytes_missing"] == sum(map(len, app.layers))
    assert summary["bytes_sent"] == image["bytes_sent"] >= image["bytes_missing"]
    assert (image["tags"], image["platform"]) == (list(app.tags), "linux/amd64")


def test_of_several_images_none_is_sent_when_one_is_not_there(
    other: Engine, voltar: Voltar, make: Make
) -> None:
    app = make("app:1", "a")

    failed = voltar("image", "send", *app.tags, "nobody/has:this", "--to", other.url, code=1)

    assert "no image 'nobody/has:this' on this engine" in failed.err
    assert not has(other, app)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--platform", "arm"], "'arm' is no platform"),
        (["--platform", "linux/arm64"], "is for linux/amd64, not for linux/arm64"),
        (["--portion", "many"], "--portion: expected a size"),
        (["--portion", "0"], "--portion: expected at least 1K, got '0'"),
        (["--to", ""], "the URL of an engine is empty"),
    ],
    ids=["no platform", "other platform", "no size", "too small", "no engine"],
)
def test_what_makes_no_sense_is_refused(
    other: Engine, voltar: Voltar, make: Make, words: list[str], said: str
) -> None:
    app = make("app:1", "a")

    refused = voltar("image", "send", *app.tags, "--to", other.url, *words, code=2)

    assert said in refused.err


def test_an_engine_that_is_not_there_is_a_clear_error(voltar: Voltar, make: Make) -> None:
    app = make("app:1", "a")

    failed = voltar("image", "send", *app.tags, "--to", "unix:///nowhere.sock", code=1)

    assert "cannot reach the Docker engine at unix:///nowhere.sock" in failed.err


@pytest.mark.parametrize("kind", [CLASSIC, CONTAINERD])
def test_a_run_that_is_killed_is_gone_on_with(
    pool: Pool, voltar: Voltar, make: Make, scratch: Scratch, kind: str
) -> None:
    target = pool.engine(kind)
    app = make("app:1", *"abcdef")
    size = len(app.layers[0])
    words = ["image", "send", *app.tags, "--portion", str(2 * size), "--compress", "none", "--to"]
    with ExitStack() as stack:
        url = stack.enter_context(relay(Path(target.url.removeprefix("unix://"))))
        proxy = stack.enter_context(Proxy(int(url.rpartition(":")[2])))
        proxy.slow(4 * size)
        with voltar.start(*words, f"tcp://127.0.0.1:{proxy.port}") as running:
            until(lambda: under_way(target), what="the first portion")
            running.kill()
        proxy.slow(None)
        assert not has(target, app)

        again = voltar.summary(*words, f"tcp://127.0.0.1:{proxy.port}")

    (image,) = again["images"]
    assert image["layers_already_there"] >= 2
    assert image["bytes_sent"] < 5 * size
    assert has(target, app)
    assert under_way(target) == []
    target.docker("rmi", "--force", *app.tags)


def test_a_link_over_ssh_that_is_cut_costs_a_portion(
    pool: Pool, voltar: Voltar, make: Make, start_sshd: Callable[..., Sshd]
) -> None:
    target = pool.engine(CLASSIC)
    host = start_sshd(target)
    app = make("app:1", *"abcdef")
    size = len(app.layers[0])
    with Proxy(host.port) as proxy:
        host.config_for(voltar.home, port=proxy.port)
        url = f"ssh://{host.user}@127.0.0.1:{proxy.port}"
        words = ["image", "send", *app.tags, "--portion", str(2 * size), "--compress", "none"]
        proxy.slow(4 * size)
        with voltar.start(*words, "--to", url) as running:
            until(lambda: under_way(target), what="the first portion")
            host.kill_sessions()
            failed = running.end(within_s=30)
        proxy.slow(None)

        again = voltar.summary(*words, "--to", url)

    assert failed.code == 1
    assert "the same command goes on from there" in failed.err
    (image,) = again["images"]
    assert image["layers_already_there"] >= 2
    assert image["bytes_sent"] < 5 * size
    assert has(target, app)
    assert under_way(target) == leaks.on_far_host(host) == []
    target.docker("rmi", "--force", *app.tags)


def test_a_cut_link_is_told_with_what_to_do(pool: Pool, voltar: Voltar, make: Make) -> None:
    target = pool.engine(CLASSIC)
    app = make("app:1", *"abcd")
    with ExitStack() as stack:
        url = stack.enter_context(relay(Path(target.url.removeprefix("unix://"))))
        proxy = stack.enter_context(Proxy(int(url.rpartition(":")[2])))
        proxy.cut(SIZE, towards="server", times=20)
        to = f"tcp://127.0.0.1:{proxy.port}"

        failed = voltar("image", "send", *app.tags, "--compress", "none", "--to", to, code=1)

    assert "cannot reach the Docker engine" in failed.err
    assert "the same command goes on from there" in failed.err
    assert not has(target, app)
    assert under_way(target) == []
