"""Images whose files are read where the engine keeps them; see backup.image.loose."""

import hashlib
from pathlib import Path

import pytest

from backup.errors import EngineError
from backup.image.loose import loose
from backup.image.origin import Origin
from backup.image.transfer import Options, plan, send
from backup.report import Event, Noted
from tests.integration.image_scene import CLASSIC, CONTAINERD, DOCUMENTS_AT_MOST, MakeScene, Scene
from tests.integration.test_image_faults import blob_file
from tests.testbed import images, layered
from tests.testbed.engine import KINDS, OWN
from tests.testbed.layered import Made

PAIRS = [(OWN, CLASSIC), (OWN, CONTAINERD), (CLASSIC, CONTAINERD), (CONTAINERD, OWN)]
"""Each kind as the source, each as the target; test_images.py has all pairs."""

pytestmark = pytest.mark.private

CHANGES = (
    "mkdir -p /d/e/f; head -c 300000 /dev/urandom >/d/a; ln /d/a /d/b; ln -s /etc /d/link; "
    "touch /d/none; truncate -s 5M /d/hole; printf x >>/d/hole; mkfifo /d/pipe; "
    "printf odd >/d/$(printf '\\377'); printf 1 >/d/e/f/1; printf 2 >/d/e/2; chmod 4755 /d/e/2",
    "rm -r /d/e /d/link; mkdir -p /d/e /d/link; printf 3 >/d/e/3; printf in >/d/link/hosts; "
    "rm /d/b; printf more >>/d/a",
)
"""What is done in a container, for a layer each."""
SUMS = (
    "cd /d; find . -printf '%p %y %m %n %s\\n' | sort; "
    "find . -type f -print0 | sort -z | xargs -0 sha256sum"
)


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


@pytest.mark.parametrize("one", list(KINDS))
def test_layers_that_an_engine_made_are_put_together_as_it_would(
    scene: MakeScene, one: str
) -> None:
    """Of a container's changes: links, holes, names that are no UTF-8, white-outs, and more."""
    here = scene(one, CLASSIC if one == OWN else OWN)
    bed = here.beds[0]
    tags = [here.tag(f"made:{number}") for number in range(len(CHANGES))]
    below = images.tools(bed)
    for tag, change in zip(tags, CHANGES, strict=True):
        container = bed.docker("run", "-d", below, "sh", "-c", change)
        assert bed.docker("wait", container) == "0"
        bed.docker("commit", container, tag)
        bed.docker("rm", container)
        below = tag
    told: list[Event] = []

    (sent,) = send(here.source, here.target, tags[-1:], Options(), told.append)

    assert loose(Origin(here.source, tags[-1], ""))
    assert not any(isinstance(each, Noted) for each in told)
    assert (sent.layers, sent.again) == (1 + len(CHANGES), "")
    sums = [each.raw("run", "--rm", below, "sh", "-c", SUMS) for each in here.beds]
    assert sums[0] == sums[1]


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
