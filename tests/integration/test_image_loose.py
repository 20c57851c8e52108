"""Images whose files are read where the engine keeps them; see backup.image.loose."""

import hashlib
from pathlib import Path

import pytest

from backup.errors import EngineError
from backup.image.transfer import Options, plan, send
from backup.report import Event, Noted
from tests.integration.image_scene import CLASSIC, CONTAINERD, DOCUMENTS_AT_MOST, MakeScene, Scene
from tests.integration.test_image_faults import blob_file
from tests.testbed import layered
from tests.testbed.engine import KINDS, OWN
from tests.testbed.layered import Made

PAIRS = [(one, other) for one in KINDS for other in KINDS if one != other]

pytestmark = pytest.mark.private


def chain(image: Made, count: int) -> str:
    """The identity of the lowest `count` layers together, in hex."""
    found = image.diff_ids[0]
    for diff_id in image.diff_ids[1:count]:
        found = f"sha256:{hashlib.sha256(f'{found} {diff_id}'.encode()).hexdigest()}"
    return found.removeprefix("sha256:")


def record(here: Scene, image: Made, number: int) -> Path:
    """Where the source says which directory has a layer's files. It reads that when it starts."""
    layers = here.beds[0].data_root / "image/overlay2/layerdb/sha256"
    return layers / chain(image, number) / "cache-id"


def layer_file(here: Scene, image: Made, number: int) -> Path:
    """The one file of a layer on the source."""
    if here.beds[0].kind == CONTAINERD:
        return blob_file(here.beds[0], image.layers[number - 1])
    directory = here.beds[0].data_root / "overlay2" / record(here, image, number).read_text()
    (file,) = (directory / "diff").iterdir()
    return file


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=map("-to-".join, PAIRS))
def test_a_layer_that_is_there_is_not_even_read(scene: MakeScene, one: str, other: str) -> None:
    """Here the source could not save the image: it would find that layer damaged."""
    here = scene(one, other)
    base = here.made("base:1", [here.layer("a"), here.layer("b")])
    here.send(base)
    app = here.made("app:1", [*base.layers, here.layer("c")])
    damage(layer_file(here, app, 1))
    told: list[Event] = []

    (planned,) = plan(here.source, here.target, app.tags, Options())
    (sent,) = send(here.source, here.target, app.tags, Options(), told.append)

    assert (planned.there, planned.missing) == (2, len(app.layers[2]))
    assert (sent.there, sent.again) == (2, "")
    assert sent.sent <= len(app.layers[2]) + DOCUMENTS_AT_MOST
    assert not any(isinstance(each, Noted) for each in told)
    here.assert_there(app)


@pytest.mark.parametrize(("one", "other"), [(OWN, CONTAINERD), (CLASSIC, OWN)])
def test_files_that_are_not_those_of_the_layer_are_not_believed(
    scene: MakeScene, one: str, other: str
) -> None:
    """The directory of another layer has a file of that name and size: only the digest tells."""
    here = scene(one, other)
    layers = [layered.tar({"file": dice}) for dice in (here.layer("a"), here.layer("b"))]
    app = here.made("app:1", layers)
    note = record(here, app, 2)
    note.write_text(record(here, app, 1).read_text())
    told: list[Event] = []

    (sent,) = send(here.source, here.target, app.tags, Options(), told.append)

    (noted,) = (each for each in told if isinstance(each, Noted))
    assert f"{app.diff_ids[1]} has other bytes; the engine is asked to save it" in noted.text
    assert (sent.there, sent.again) == (0, "")
    here.assert_there(app)


@pytest.mark.parametrize("wrong", ["0" * 64, "../../../outside"], ids=["missing", "elsewhere"])
def test_where_files_are_not_found_the_engine_saves(scene: MakeScene, wrong: str) -> None:
    here = scene(OWN, CLASSIC)
    app = here.made("app:1", [here.layer("a"), here.layer("b")])
    record(here, app, 2).write_text(wrong)

    (sent,) = here.send(app)

    assert (sent.there, sent.again) == (0, "")
    here.assert_there(app)


def test_a_layer_that_is_damaged_is_not_sent_by_its_files_either(scene: MakeScene) -> None:
    here = scene(CLASSIC, OWN)
    app = here.made("app:1", [here.layer("a"), here.layer("b")])
    damage(layer_file(here, app, 2))
    before = here.ids()

    with pytest.raises(EngineError, match="integrity checksum failed"):
        here.send(app)

    assert here.ids() == before
    here.assert_not_there(app)


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=map("-to-".join, PAIRS))
def test_an_engine_whose_files_are_elsewhere_saves(scene: MakeScene, one: str, other: str) -> None:
    here = scene(one, other)
    here.source.shares_paths = False
    shared = [here.layer(str(number)) for number in range(3)]
    base = here.made("base:1", shared)
    app = here.made("app:1", [*shared, shared[0], here.layer("app")], Cmd=["a"])

    (first,) = here.send(base)
    (second,) = here.send(app)

    assert (first.layers, first.there) == (3, 0)
    assert second.there >= 3  # who knows blobs by their digests has the fourth layer too
    assert second.sent <= 2 * len(app.layers[-1]) + DOCUMENTS_AT_MOST
    for image in (base, app):
        here.assert_there(image)
    assert [each.again for each in (first, second)] == [""] * 2
