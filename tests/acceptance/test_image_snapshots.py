"""Images in the repository, by layer: stored once, restored whole, into any kind of store."""

import json
import os
import sys
import tarfile
from datetime import UTC, datetime
from typing import Any

import pytest
import zstandard

from tests.acceptance.cli import Voltar
from tests.acceptance.conftest import on
from tests.testbed import command, images
from tests.testbed.engine import Engine
from tests.testbed.layered import Made, archive, gzipped, layer, oci, sha256
from tests.testbed.scratch import Scratch

LARGE, SMALL = 2_000_000, 100_000
CONFIG = {"Cmd": ["/x"], "Env": ["A=1"], "Labels": {"l": "m"}}


def versions(scratch: Scratch) -> list[Made]:
    """Two versions of an image that share two large layers; the upper one is theirs."""
    base = [layer(f"{scratch.prefix}-{name}", LARGE) for name in ("os", "libraries")]
    return [
        Made([f"{scratch.prefix}/app:{number}"], [*base, layer(f"v{number}", SMALL)], CONFIG)
        for number in (1, 2)
    ]


def put(engine: Engine, scratch: Scratch, *wanted: Made) -> None:
    scratch.claim(images=[tag for one in wanted for tag in one.tags])
    engine.docker("load", stdin=archive(wanted))


def layers(engine: Engine, name: str) -> list[str]:
    found: list[str] = json.loads(
        engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name)
    )
    return found


def saved(voltar: Voltar, *words: str) -> list[dict[str, Any]]:
    events = voltar("--json", "backup", *words).events
    return [event for event in events if event["type"] == "snapshot"]


def test_versions_share_layers_and_come_back(every_engine, voltar, scratch):
    one, two = versions(scratch)
    put(every_engine, scratch, one, two)
    first, second = one.tags[0], two.tags[0]

    (of_first,) = saved(voltar, f"image:{first}")
    (of_second,) = saved(voltar, f"image:{second}")

    assert of_first["bytes_added"] > 2 * LARGE
    assert of_second["bytes_added"] < SMALL + 30_000
    assert of_second["bytes_read"] > 2 * LARGE  # all of it was seen
    assert saved(voltar, f"image:{first}")[0]["bytes_read"] == 0

    every_engine.docker("rmi", first, second)
    voltar("restore", f"image:{first}")
    partial = voltar("--json", "restore", f"image:{second}").summary

    assert layers(every_engine, first) == one.diff_ids
    assert layers(every_engine, second) == two.diff_ids
    assert partial["layers_already_there"] == 2
    assert partial["bytes_loaded"] < SMALL + 30_000
    config = json.loads(every_engine.docker("inspect", second))[0]["Config"]
    assert {key: config[key] for key in CONFIG} == CONFIG
    assert "voltar-partial" not in every_engine.docker("images")
    voltar("check", "--read-data")


def test_an_unchanged_image_is_not_read_again(bed, voltar, scratch):
    one, two = versions(scratch)
    put(bed, scratch, one)
    target = f"image:{one.tags[0]}"
    (before,) = saved(voltar, target)

    (again,) = saved(voltar, target)
    (full,) = saved(voltar, target, "--full")

    assert (again["bytes_read"], again["parent"]) == (0, before["id"])
    assert again["unchanged"] == again["entries"] == full["entries"]
    assert full["bytes_read"] > LARGE
    assert full["bytes_added"] == 0  # the manifest is the same, byte for byte, too
    bed.docker("rmi", one.tags[0])
    put(bed, scratch, Made(one.tags, two.layers, CONFIG))
    (changed,) = saved(voltar, target)
    assert changed["bytes_read"] > LARGE
    assert saved(voltar, target)[0]["bytes_read"] == 0


def test_snapshots_of_an_image_within_a_second_have_an_order(bed, voltar, scratch):
    (made,) = versions(scratch)[:1]
    put(bed, scratch, made)
    began = datetime.now(UTC)

    ids = [saved(voltar, f"image:{made.tags[0]}")[0]["id"] for _ in range(4)]

    kept = json.loads(voltar("--json", "snapshots").out)
    times = {one["id"]: datetime.fromisoformat(one["time"]) for one in kept}
    assert sorted(ids, key=lambda each: times[each]) == ids
    assert began <= times[ids[0]] <= times[ids[-1]] <= datetime.now(UTC)


@pytest.mark.private
def test_of_several_platforms_the_own_one_is_kept(pool, made, tmp_path):
    engine = pool.engine("28.5-containerd")
    voltar = on(engine, made, tmp_path)
    with Scratch(engine) as scratch:
        name = f"{scratch.prefix}/app:1"
        scratch.claim(images=[name])
        amd, arm = (
            Made([name], [layer(kind, SMALL)], CONFIG, architecture=kind)
            for kind in ("amd64", "arm64")
        )
        engine.docker("load", stdin=oci([amd, arm]))

        told = voltar("backup", f"image:{name}")
        engine.docker("rmi", name)
        voltar("restore", f"image:{name}")

        assert "only linux/amd64 is saved; the engine has it for linux/arm64 as well" in told.err
        assert layers(engine, name) == amd.diff_ids
        assert engine.attempt("save", "--platform", "linux/arm64", name).returncode


@pytest.mark.parametrize(
    ("source", "target", "packing"),
    [
        ("20.10", "28.5-containerd", None),
        ("28.5-containerd", "28.5-classic", (gzipped, "+gzip")),
        ("28.5-containerd", "20.10", (zstandard.compress, "+zstd")),  # which cannot read that
    ],
)
@pytest.mark.private
def test_an_image_changes_stores(pool, made, tmp_path, source, target, packing):
    there, here = pool.engine(source), pool.engine(target)
    voltar = on(there, made, tmp_path)
    with Scratch(there) as scratch, Scratch(here) as other:
        one, _ = versions(scratch)
        name = one.tags[0]
        scratch.claim(images=[name])
        other.claim(images=[name])
        data = oci([one], pack=packing[0], suffix=packing[1]) if packing else archive([one])
        there.docker("load", stdin=data)

        voltar("backup", f"image:{name}")
        voltar.changed(url=here.url)("restore", f"image:{name}")

        assert layers(here, name) == one.diff_ids
        again = voltar.changed(url=here.url)("--json", "restore", f"image:{name}").summary
        assert (again["layers_already_there"], again["bytes_loaded"]) == (3, 0)
        identity = here.docker("create", "--name", other.prefix, name)
        other.claim(containers=[identity])


@pytest.mark.private
def test_compressed_layers_are_kept_as_they_are(pool, made, tmp_path):
    engine = pool.engine("28.5-containerd")
    voltar = on(engine, made, tmp_path)
    with Scratch(engine) as scratch:
        one, _ = versions(scratch)
        scratch.claim(images=one.tags)
        engine.docker("load", stdin=oci([one], pack=gzipped, suffix="+gzip"))
        identity = engine.docker("image", "inspect", "--format", "{{.Id}}", one.tags[0])

        voltar("backup", f"image:{one.tags[0]}")
        engine.docker("rmi", one.tags[0])
        voltar("restore", f"image:{one.tags[0]}")

        assert engine.docker("image", "inspect", "--format", "{{.Id}}", one.tags[0]) == identity


def test_an_export_is_what_docker_loads(every_engine, voltar, scratch, tmp_path):
    one, _ = versions(scratch)
    put(every_engine, scratch, one)
    name = one.tags[0]
    voltar("backup", f"image:{name}")
    every_engine.docker("rmi", name)
    file = tmp_path / "app.tar"

    voltar("export", f"image:{name}", "-o", file)

    assert f"Loaded image: {name}" in every_engine.docker("load", "--input", file)
    assert layers(every_engine, name) == one.diff_ids
    with tarfile.open(file) as tar:
        listed = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert listed[0]["RepoTags"] == [name]


@pytest.mark.private
@pytest.mark.parametrize("tag", ["", ":1"])
def test_an_export_of_an_image_named_by_its_digest_can_be_loaded(pool, made, tmp_path, tag):
    there, here = pool.engine("28.5-containerd"), pool.engine("20.10")
    voltar = on(there, made, tmp_path)
    with Scratch(there) as scratch, Scratch(here) as other:
        one, _ = versions(scratch)
        put(there, scratch, one)
        identity = there.docker("image", "inspect", "--format", "{{.Id}}", one.tags[0])
        target = f"image:{one.tags[0].removesuffix(':1')}{tag}@{identity}"
        voltar("backup", target)

        voltar("export", target, "-o", tmp_path / "app.tar")

        loaded = here.docker("load", "--input", tmp_path / "app.tar").removeprefix("Loaded image")
        name = loaded.removeprefix(" ID").removeprefix(": ")
        other.claim(images=[name])
        assert layers(here, name) == one.diff_ids
        assert not tag or name == one.tags[0]


def test_recover_brings_an_image_back_without_voltar(bed, voltar, scratch, tmp_path):
    one, _ = versions(scratch)
    put(bed, scratch, one)
    name = one.tags[0]
    voltar("backup", f"image:{name}")
    bed.docker("rmi", name)
    words = ("extract", f"image:{name}", tmp_path / "out")
    environ = {"PATH": os.environ["PATH"], "VOLTAR_PASSWORD": voltar.password}
    command.run([sys.executable, voltar.repository / "recover.py", *words], env=environ)

    run_tar = ["tar", "-C", tmp_path / "out", "-c", "."]
    assert name in bed.docker("load", stdin=command.run(run_tar))
    assert layers(bed, name) == one.diff_ids


def test_an_older_version_is_found_by_its_time_and_gets_another_name(bed, voltar, scratch):
    one, two = versions(scratch)
    name, other = one.tags[0], f"{scratch.prefix}/before"
    scratch.claim(images=[other])
    put(bed, scratch, one)
    (first,) = saved(voltar, f"image:{name}")
    bed.docker("rmi", name)
    put(bed, scratch, Made([name], two.layers, CONFIG))
    voltar("backup", f"image:docker.io/{name}")

    refused = voltar("restore", f"image:{name}@{first['time']}", code=5)
    voltar("restore", f"image:{name}@{first['time']}", "--to", other)

    assert "--force-tag" in refused.err
    assert layers(bed, other) == one.diff_ids
    assert layers(bed, name) == two.diff_ids
    voltar("restore", first["id"], "--force-tag")
    assert layers(bed, name) == one.diff_ids


def test_a_damaged_pack_loads_nothing(every_engine, voltar, scratch):
    one, _ = versions(scratch)
    put(every_engine, scratch, one)
    name = one.tags[0]
    voltar("backup", f"image:{name}")
    every_engine.docker("rmi", name)
    before = set(every_engine.docker("images", "--all", "--quiet").split())
    largest = max((voltar.repository / "packs").rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)

    voltar("restore", f"image:{name}", code=4)

    assert set(every_engine.docker("images", "--all", "--quiet").split()) == before
    voltar("check", "--read-data", code=4)


@pytest.mark.private
def test_an_image_without_its_layers_is_not_saved(pool, made, tmp_path):
    engine = pool.engine("28.5-containerd")
    voltar = on(engine, made, tmp_path)
    with Scratch(engine) as scratch:
        one, _ = versions(scratch)
        whole = Made([f"{scratch.prefix}/whole:1"], one.layers, CONFIG)
        scratch.claim(images=[*one.tags, *whole.tags])
        engine.docker("load", stdin=oci([whole]))
        blob = gzipped(one.layers[0])
        lacking = oci([one], pack=gzipped, suffix="+gzip", without=[sha256(blob)])
        engine.attempt("load", stdin=lacking)

        failed = voltar("backup", f"image:{one.tags[0]}", code=1)

        assert "layers" in failed.err
        assert voltar.ask("snapshots") == []


def test_a_container_is_saved_with_its_image(bed, voltar, scratch):
    small = images.build(bed, "voltar-test-small", ["sh", "cat", "stat"])
    volume = scratch.volume()
    container = scratch.container(small, "/bin/true", options=["--volume", f"{volume}:/data"])

    sources = {each["source"] for each in saved(voltar, f"container:{container}", "--with-image")}

    assert sources == {f"volume:{volume}", f"image:{small}"}


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["backup", "image:no-such-image"], 1, "no image 'no-such-image:latest'"),
        (["backup", "image:App"], 2, "names no image"),
        (["backup", "image:a", "--parent", "abcd"], 2, "--parent is for volumes"),
        (["backup", "--all", "--with-image"], 2, "for containers that are named"),
        (["restore", "image:no-such-image"], 1, "no snapshot is called"),
    ],
)
def test_what_cannot_be_meant_is_told(voltar, words, code, why):
    assert why in voltar(*words, code=code).err


def test_what_makes_no_sense_for_an_image_is_told(bed, voltar, scratch, filled):
    one, _ = versions(scratch)
    put(bed, scratch, one)
    name = f"image:{one.tags[0]}"
    voltar("backup", name)
    volume = f"volume:{filled()}"
    voltar("backup", volume)

    for words, why in (
        ([name, "blobs"], "restored whole"),
        ([name, "--verify", "full"], "always compared as a whole"),
        ([name, "--to", "volume:x"], "cannot become volume:x"),
        ([volume], "--to TARGET"),
        ([volume, "--to", "x", "--force-tag"], "--force-tag is for images"),
    ):
        assert why in voltar("restore", *words, code=2).err


def test_layers_are_listed_and_found(bed, voltar, scratch):
    one, _ = versions(scratch)
    put(bed, scratch, one)
    voltar("backup", f"image:{one.tags[0]}")

    listed = {entry["path"] for entry in voltar.ask("ls", f"image:{one.tags[0]}")}

    assert {f"blobs/{each.replace(':', '/')}" for each in one.diff_ids} < listed
    assert {"manifest.json", "index.json", "oci-layout"} < listed
