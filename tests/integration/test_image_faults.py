"""What goes wrong while images are sent, and what is there afterwards."""

from collections.abc import Callable
from pathlib import Path

import pytest

from backup.compression import Form
from backup.engine import connect, find_image, held
from backup.errors import DamagedImage, EngineError, EngineUnavailable
from backup.image.origin import Origin
from backup.image.transfer import Options, send
from backup.report import Event, Finished, Noted, Started, ignore
from tests.integration.engine_side import reached_by_ssh
from tests.integration.image_scene import (
    CLASSIC,
    CONTAINERD,
    DOCUMENTS_AT_MOST,
    PARTIAL,
    SIZE,
    MakeScene,
)
from tests.testbed import engine as testbed
from tests.testbed import layered
from tests.testbed.command import run
from tests.testbed.engine import KINDS, OWN
from tests.testbed.layered import Made
from tests.testbed.sshd import Sshd

pytestmark = pytest.mark.private


def stripped(image: Made, layers: list[bytes]) -> bytes:
    """An archive of which layers are missing: an engine with the containerd store takes it."""
    return layered.oci([image], without=[layered.sha256(each) for each in layers])


def test_an_image_of_which_layers_are_missing_is_not_sent(scene: MakeScene) -> None:
    """What interrupted pulls and removals leave in the containerd store."""
    here = scene(CONTAINERD, OWN)
    base = here.made("base:1", [here.layer("a"), here.layer("b")])
    app = Made([here.tag("app:1")], [*base.layers, here.layer("c")])
    here.beds[0].docker("load", stdin=stripped(app, [app.layers[2]]))
    before = here.ids()

    with pytest.raises(DamagedImage, match=r"lacks 1 layer|is not complete"):
        list(here.send(app))

    assert here.ids() == before
    here.assert_not_there(app)


def blob_file(bed: testbed.Engine, data: bytes) -> Path:
    name = layered.sha256(data)
    (found,) = bed.data_root.glob(f"**/io.containerd.content.v1.content/blobs/sha256/{name}")
    return found


def test_a_damaged_layer_is_not_sent(scene: MakeScene) -> None:
    here = scene(CONTAINERD, OWN)
    app = here.made("app:1", [here.layer("a"), here.layer("b")])
    file = blob_file(here.beds[0], app.layers[1])
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    before = here.ids()

    with pytest.raises(DamagedImage, match=f"is damaged: a file should be {app.diff_ids[1]}"):
        here.send(app)

    assert here.ids() == before
    here.assert_not_there(app)


def test_in_doubt_everything_is_sent(scene: MakeScene) -> None:
    """Of layers of one size, the first and the third are there: that looks like the first two."""
    here = scene(OWN, CONTAINERD)
    one, two, three, other = (here.layer(name) for name in "abcd")
    known = here.made("known:1", [one, other, three])
    app = here.made("app:1", [one, two, three])
    here.send(known)
    told: list[Event] = []

    (sent,) = send(here.source, here.target, app.tags, Options(), told.append)

    assert "unpack" in sent.again
    assert sent.there == 0
    assert any(isinstance(each, Noted) and "everything is sent" in each.text for each in told)
    here.assert_there(app)


@pytest.mark.parametrize("other", [CLASSIC, CONTAINERD])
def test_what_arrived_and_goes_away_meanwhile_is_sent_again(scene: MakeScene, other: str) -> None:
    """As by `docker image prune`, or where another run is done with layers of the same base."""
    here = scene(OWN, other)
    app = here.made("app:1", [here.layer(name) for name in "abc"])
    gone: list[str] = []

    def prune(event: Event) -> None:
        if isinstance(event, Started) and "layer 2" in event.subject and not gone:
            gone.extend(here.under_way())
            here.beds[1].docker("rmi", "--force", *gone)

    options = Options(portion=len(app.layers[0]))
    (sent,) = send(here.source, here.target, app.tags, options, prune)

    assert gone
    assert sent.again
    here.assert_there(app)


def test_a_base_whose_blobs_are_compressed_is_sent_again(scene: MakeScene) -> None:
    """Its layers are there, unpacked: without its blobs the store would not complain, nor save."""
    here = scene(CLASSIC, CONTAINERD)
    base = Made([here.tag("base:1")], [here.layer("a"), here.layer("b")])
    packed = layered.oci([base], pack=layered.gzipped, suffix="+gzip")
    here.beds[1].docker("load", stdin=packed)
    app = here.made("app:1", [*base.layers, here.layer("c")])

    (sent,) = here.send(app)

    assert (sent.there, sent.again) == (0, "")
    here.assert_there(app)


def test_a_broken_image_under_the_same_name_is_made_whole(scene: MakeScene) -> None:
    here = scene(CONTAINERD, CONTAINERD)
    here.beds = (here.beds[0], here.beds[0])
    app = Made([here.tag("app:1")], [here.layer("a"), here.layer("b")], {"Cmd": ["x"]})
    here.beds[1].docker("load", stdin=stripped(app, [app.layers[1]]))
    source = scene(CLASSIC, CONTAINERD)
    source.beds[0].docker("load", stdin=layered.archive([app]))
    for bed in (*here.beds, *source.beds):
        assert bed

    (sent,) = send(source.source, here.target, app.tags, Options())

    assert not any(not each.available for each in held(here.target, app.tags[0]))
    assert sent.image_id == find_image(here.target, app.tags[0]).id
    source.beds[0].docker("rmi", *app.tags)


@pytest.mark.parametrize("other", list(KINDS))
def test_a_cut_link_costs_a_portion(scene: MakeScene, other: str) -> None:
    here = scene(OWN if other != OWN else CLASSIC, other)
    app = here.made("app:1", [here.layer(str(number)) for number in range(6)])
    size = len(app.layers[0])
    portions = {"portion": 2 * size, "wire": Form.TAR}
    proxy = here.proxied()
    told: list[Event] = []

    def cutting(event: Event) -> None:
        told.append(event)
        if isinstance(event, Finished) and event.subject.startswith("layer 5 of"):
            proxy.cut_now()

    with pytest.raises(EngineUnavailable) as lost:
        list(send(here.source, here.target, app.tags, Options(**portions), cutting))  # type: ignore[arg-type]
    assert any("goes on from there" in note for note in lost.value.__notes__)
    assert here.beds[1].attempt("image", "inspect", *app.tags).returncode
    (again,) = here.send(app, **portions)

    assert 4 <= again.there < again.layers == 6  # the containerd store may keep single blobs
    assert again.sent < 2 * size + DOCUMENTS_AT_MOST
    here.assert_there(app)


@pytest.mark.parametrize("other", list(KINDS))
def test_what_goes_over_a_network_is_compressed(scene: MakeScene, other: str) -> None:
    here = scene(OWN if other != OWN else CLASSIC, other)
    app = here.made("app:1", [here.layer(str(number)) for number in range(2)])
    here.proxied()

    (sent,) = here.send(app)

    noise = len(app.layers) * SIZE // 2  # the other half is zeros
    assert noise < sent.sent < noise * 1.05 + DOCUMENTS_AT_MOST
    here.assert_there(app)


def test_what_nobody_goes_on_with_is_kept_for_a_day(scene: MakeScene) -> None:
    here = scene(OWN, CLASSIC)
    app = here.made("app:1", [here.layer("a")])
    other = Made([f"{PARTIAL}:0123456789abcdef"], [here.layer("other")])
    here.beds[1].docker("load", stdin=layered.archive([other]))

    here.send(app)

    assert len(here.under_way()) == 1
    here.beds[1].docker("rmi", other.tags[0])


def test_a_target_that_is_full_is_told_before_anything_is_sent(
    scene: MakeScene, start_engine: Callable[..., testbed.Engine]
) -> None:
    here = scene(OWN, CLASSIC)
    app = here.made("app:1", [here.layer("large", 70 << 20)])
    small = start_engine(OWN)
    small.daemon.kill()
    run(["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", small.data_root])
    try:
        small.daemon.start()
        with connect(small.url, environ={}) as target:
            with pytest.raises(EngineError, match=r"MiB free, and the image .* needs about 140"):
                list(send(here.source, target, app.tags, Options()))
            assert small.docker("images", "-q", app.tags[0]) == ""
            larger = here.made("app:2", [here.layer(str(n), 30 << 20) for n in range(2)])
            with pytest.raises(EngineError, match="no space left"):
                list(send(here.source, target, larger.tags, Options()))
            assert small.docker("images", "-q", larger.tags[0]) == ""
    finally:
        small.daemon.kill()
        run(["umount", "--lazy", small.data_root])


def test_an_image_that_goes_away_on_a_far_host_is_told(
    scene: MakeScene, ssh_hosts: dict[str, Sshd], run_directory: Path, tmp_path: Path
) -> None:
    here = scene(OWN, CLASSIC)
    app = here.made("app:1", [here.layer("a")])
    if OWN not in ssh_hosts:
        ssh_hosts[OWN] = Sshd(run_directory, here.beds[0])
    with reached_by_ssh(ssh_hosts[OWN], tmp_path) as source:
        origin = Origin(source, app.tags[0], "")
        here.beds[0].docker("rmi", app.tags[0])

        with pytest.raises(EngineError, match=r"docker save on ssh://.* failed: Error response"):
            list(origin.take(app.diff_ids, ignore))
