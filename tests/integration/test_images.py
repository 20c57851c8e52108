"""Images go from one engine to another: every pair of kinds, and what goes wrong on the way."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backup.compression import Form
from backup.engine import connect, find_image, held, saved
from backup.errors import DamagedImage, EngineError, EngineUnavailable, UsageError
from backup.image.origin import Origin
from backup.image.reading import Reading
from backup.image.transfer import Options, Sent, plan, send
from backup.report import Event, Finished, Noted, ignore
from tests.integration.engine_side import reached_by_ssh
from tests.integration.test_engine_connection import relay
from tests.testbed import engine as testbed
from tests.testbed import layered
from tests.testbed.command import run
from tests.testbed.engine import KINDS, OWN, Pool
from tests.testbed.layered import Made
from tests.testbed.proxy import Proxy
from tests.testbed.scratch import Scratch
from tests.testbed.sshd import Sshd

CLASSIC, CONTAINERD = "28.5-classic", "28.5-containerd"
PAIRS = [(one, other) for one in KINDS for other in KINDS if one != other]
SIZE = 200_000
DOCUMENTS_AT_MOST = 16 << 10
PARTIAL = "voltar-partial"


class Scene:
    """Two engines, and images whose layers nothing else has."""

    def __init__(self, source: testbed.Engine, target: testbed.Engine, stack: ExitStack) -> None:
        self.beds = (source, target)
        self.source, self.target = (
            stack.enter_context(connect(b.url, environ={})) for b in self.beds
        )
        self._scratches = [stack.enter_context(Scratch(bed)) for bed in self.beds]
        self.prefix = self._scratches[0].prefix
        self._stack = stack

    def layer(self, name: str, size: int = SIZE) -> bytes:
        return layered.layer(f"{self.prefix}-{name}", size)

    def tag(self, name: str) -> str:
        tag = f"{self.prefix}/{name}"
        for scratch in self._scratches:
            scratch.claim(images=[tag])
        return tag

    def made(self, name: str, layers: list[bytes], **config: object) -> Made:
        """An image on the source."""
        image = Made([self.tag(name)], layers, config or {"Env": [f"OF={self.prefix}"]})
        self.beds[0].docker("load", stdin=layered.archive([image]))
        return image

    def send(self, *images: Made, **options: object) -> list[Sent]:
        how = Options(**options)  # type: ignore[arg-type]
        names = [tag for image in images for tag in image.tags]
        return list(send(self.source, self.target, names, how))

    def proxied(self) -> Proxy:
        """A proxy before the target, through which `target` goes from now on."""
        socket = Path(self.beds[1].url.removeprefix("unix://"))
        url = self._stack.enter_context(relay(socket))
        proxy = self._stack.enter_context(Proxy(int(url.rpartition(":")[2])))
        self.target = self._stack.enter_context(
            connect(f"tcp://127.0.0.1:{proxy.port}", environ={})
        )
        return proxy

    def assert_there(self, image: Made) -> None:
        """The target has the image, and gives all of it away again."""
        for tag in image.tags:
            with saved(self.target, [tag]) as blocks:
                reading = Reading(blocks, tag)
                assert list(reading.files())
            (found,) = reading.images()
            assert found.diff_ids == tuple(image.diff_ids)
            assert found.config == image.document
            assert found.tags == (tag,)
        self.assert_nothing_under_way()

    def assert_not_there(self, image: Made) -> None:
        for tag in image.tags:
            assert self.beds[1].attempt("image", "inspect", tag).returncode
        self.assert_nothing_under_way()

    def assert_nothing_under_way(self) -> None:
        assert self.under_way() == []

    def under_way(self) -> list[str]:
        return self.beds[1].docker("images", "-q", PARTIAL).split()

    def ids(self) -> set[str]:
        """All images of the target, named or not."""
        return set(self.beds[1].docker("images", "--all", "-q", "--no-trunc").split())


@pytest.fixture
def scene(pool: Pool) -> Iterator[Callable[..., Scene]]:
    """Make a scene of two kinds of engine."""
    with ExitStack() as stack:
        yield lambda one, other: Scene(pool.engine(one), pool.engine(other), stack)


pytestmark = pytest.mark.private


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=map("-to-".join, PAIRS))
def test_only_what_is_missing_is_sent(scene: Callable[..., Scene], one: str, other: str) -> None:
    here = scene(one, other)
    shared = [here.layer(str(number)) for number in range(3)]
    base = here.made("base:1", shared)
    # a layer that is there twice, as in images that copy the same file again
    app = here.made("app:1", [*shared, shared[0], here.layer("app")], Cmd=["a"], Labels={"a": "b"})
    newer = here.made("app:2", [*shared, shared[0], here.layer("newer")], Env=["B=2"])

    (first,) = here.send(base)
    second, third = here.send(app, newer)
    (again,) = here.send(app)

    missing = len(app.layers[-1])
    assert (first.layers, first.there, first.image_id != "") == (3, 0, True)
    assert second.there >= 3  # who knows blobs by their digests has the fourth layer too
    assert (third.layers, third.there) == (5, 4)
    assert missing <= third.sent <= missing + DOCUMENTS_AT_MOST
    assert (again.there, again.sent) == (5, 0)
    for image in (base, app, newer):
        here.assert_there(image)
    assert [each.again for each in (first, second, third, again)] == [""] * 4


@pytest.mark.parametrize(("one", "other"), [(OWN, CONTAINERD), (CONTAINERD, OWN), (OWN, CLASSIC)])
def test_what_is_large_arrives_in_portions(
    scene: Callable[..., Scene], one: str, other: str, tmp_path: Path
) -> None:
    here = scene(one, other)
    app = here.made("app:1", [here.layer(str(number)) for number in range(5)])
    told: list[Event] = []

    (sent,) = send(
        here.source, here.target, app.tags, Options(portion=2 * len(app.layers[0])), told.append
    )

    done = [each.subject for each in told if isinstance(each, Finished) and each.work == "send"]
    assert done == [f"layer {number} of 5 of {app.tags[0]}" for number in range(1, 6)]
    assert (sent.there, sent.again) == (0, "")
    here.assert_there(app)


def test_layers_that_are_compressed_stay_so_or_not_as_the_target_reads_them(
    scene: Callable[..., Scene],
) -> None:
    """A commit in the containerd store makes a gzip layer; by hand, others are zstd."""
    import zstandard  # noqa: PLC0415  one test of many needs it

    here = scene(CONTAINERD, OWN)
    app = Made([here.tag("app:1")], [here.layer("a"), here.layer("b")], {"Cmd": ["a"]})
    pack = zstandard.ZstdCompressor().compress
    here.beds[0].docker("load", stdin=layered.oci([app], pack=pack, suffix="+zstd"))
    container = here.beds[0].docker("create", app.tags[0], "x")
    here.beds[0].docker("cp", __file__, f"{container}:/new")
    committed = here.tag("commit:1")
    here.beds[0].docker("commit", container, committed)
    here.beds[0].docker("rm", container)

    (sent,) = here.send(app)
    (more,) = send(here.source, here.target, [committed], Options())

    assert (sent.there, more.there, more.layers) == (0, 2, 3)
    here.assert_there(app)
    facts = [find_image(engine, committed) for engine in (here.source, here.target)]
    assert facts[0].is_like(facts[1].diff_ids, facts[1].settings)


@pytest.mark.parametrize("other", [CLASSIC, CONTAINERD])
def test_one_platform_of_several_is_sent(scene: Callable[..., Scene], other: str) -> None:
    here = scene(CONTAINERD, other if other == CLASSIC else CLASSIC)
    tag = here.tag("app:1")
    images = [
        Made([tag], [here.layer(name)], {"Env": [f"ON={name}"]}, architecture=name)
        for name in ("amd64", "arm64")
    ]
    here.beds[0].docker("load", stdin=layered.oci(images))

    (own,) = send(here.source, here.target, [tag], Options())
    assert (own.platform, own.layers) == ("linux/amd64", 1)
    here.assert_there(images[0])

    (sent,) = send(here.source, here.target, [tag], Options(platform="linux/arm64"))
    assert (sent.platform, sent.layers) == ("linux/arm64", 1)
    here.assert_there(images[1])

    with pytest.raises(UsageError, match="is not there for linux/riscv64"):
        list(send(here.source, here.target, [tag], Options(platform="linux/riscv64")))


def test_tags_are_those_asked_for_or_all(scene: Callable[..., Scene]) -> None:
    here = scene(OWN, CLASSIC)
    app = here.made("app:1", [here.layer("a")])
    other = here.tag("app:2")
    here.beds[0].docker("tag", app.tags[0], other)
    image_id = here.beds[0].docker("image", "inspect", "-f", "{{.Id}}", other)

    (one,) = here.send(app)
    assert one.tags == (app.tags[0],)
    assert here.beds[1].attempt("image", "inspect", other).returncode

    (by_id,) = send(here.source, here.target, [image_id], Options())
    assert (set(by_id.tags), by_id.sent) == ({app.tags[0], other}, 0)

    here.beds[1].docker("rmi", other)
    (every,) = here.send(app, all_tags=True)
    assert set(every.tags) == {app.tags[0], other}


@pytest.mark.parametrize("other", [OWN, CONTAINERD])
def test_an_image_without_a_name_stays_without(scene: Callable[..., Scene], other: str) -> None:
    here = scene(CLASSIC, other)
    app = here.made("app:1", [here.layer("a")])
    image_id = here.beds[0].docker("image", "inspect", "-f", "{{.Id}}", app.tags[0])
    data = layered.archive([Made([], app.layers, {"Env": ["C=3"]})])
    said = here.beds[0].docker("load", stdin=data)
    nameless = said.rpartition(": ")[2]

    (sent,) = send(here.source, here.target, [nameless], Options())

    assert (sent.tags, nameless != image_id) == ((), True)
    here.assert_nothing_under_way()
    found = find_image(here.target, sent.image_id)
    assert (found.tags, found.diff_ids) == ((), tuple(app.diff_ids))
    for bed, name in zip(here.beds, (nameless, sent.image_id), strict=True):
        bed.docker("rmi", name)


def test_a_plan_changes_nothing(scene: Callable[..., Scene]) -> None:
    here = scene(OWN, CONTAINERD)
    base = here.made("base:1", [here.layer("a"), here.layer("b")])
    app = here.made("app:1", [*base.layers, here.layer("c")])
    here.send(base)
    before = here.ids()

    (planned,) = plan(here.source, here.target, app.tags, Options())

    assert (planned.there, planned.layers, planned.sent) == (2, 3, 0)
    assert planned.missing == len(app.layers[2])
    assert here.ids() == before
    here.assert_not_there(app)


# --- what goes wrong


def stripped(image: Made, layers: list[bytes]) -> bytes:
    """An archive of which layers are missing: an engine with the containerd store takes it."""
    return layered.oci([image], without=[layered.sha256(each) for each in layers])


def test_an_image_of_which_layers_are_missing_is_not_sent(scene: Callable[..., Scene]) -> None:
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


def test_a_damaged_layer_is_not_sent(scene: Callable[..., Scene]) -> None:
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


def test_in_doubt_everything_is_sent(scene: Callable[..., Scene]) -> None:
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


def test_a_broken_image_under_the_same_name_is_made_whole(scene: Callable[..., Scene]) -> None:
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
def test_a_cut_link_costs_a_portion(scene: Callable[..., Scene], other: str) -> None:
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
def test_what_goes_over_a_network_is_compressed(scene: Callable[..., Scene], other: str) -> None:
    here = scene(OWN if other != OWN else CLASSIC, other)
    app = here.made("app:1", [here.layer(str(number)) for number in range(2)])
    here.proxied()

    (sent,) = here.send(app)

    noise = len(app.layers) * SIZE // 2  # the other half is zeros
    assert noise < sent.sent < noise * 1.05 + DOCUMENTS_AT_MOST
    here.assert_there(app)


def test_what_nobody_goes_on_with_is_kept_for_a_day(scene: Callable[..., Scene]) -> None:
    here = scene(OWN, CLASSIC)
    app = here.made("app:1", [here.layer("a")])
    other = Made([f"{PARTIAL}:0123456789abcdef"], [here.layer("other")])
    here.beds[1].docker("load", stdin=layered.archive([other]))

    here.send(app)

    assert len(here.under_way()) == 1
    here.beds[1].docker("rmi", other.tags[0])


def test_a_target_that_is_full_is_told_before_anything_is_sent(
    scene: Callable[..., Scene], start_engine: Callable[..., testbed.Engine]
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


# --- over SSH


FAR = [(OWN, CLASSIC), (CLASSIC, CONTAINERD), (CONTAINERD, OWN)]


@pytest.mark.parametrize(("far", "near"), FAR, ids=map("-to-".join, FAR))
def test_what_a_far_engine_has_stays_there_where_it_is_here(
    scene: Callable[..., Scene],
    ssh_hosts: dict[str, Sshd],
    run_directory: Path,
    tmp_path: Path,
    far: str,
    near: str,
) -> None:
    here = scene(far, near)
    shared = [here.layer(str(number), 1 << 20) for number in range(3)]
    base = here.made("base:1", shared)
    app = here.made("app:1", [*shared, here.layer("app", 1 << 20)])
    if far not in ssh_hosts:
        ssh_hosts[far] = Sshd(run_directory, here.beds[0])
    with reached_by_ssh(ssh_hosts[far], tmp_path) as source:
        (first,) = send(source, here.target, base.tags, Options())
        (second,) = send(source, here.target, app.tags, Options())

    noise = (1 << 20) // 2
    assert (first.there, second.there, second.layers) == (0, 3, 4)
    assert second.sent < noise * 1.05 + DOCUMENTS_AT_MOST
    assert second.again == ""
    for image in (base, app):
        here.assert_there(image)


@pytest.mark.parametrize("far", [OWN, CONTAINERD])
def test_what_goes_to_a_far_engine_is_compressed(
    scene: Callable[..., Scene],
    ssh_hosts: dict[str, Sshd],
    run_directory: Path,
    tmp_path: Path,
    far: str,
) -> None:
    here = scene(CLASSIC, far)
    base = here.made("base:1", [here.layer("a")])
    app = here.made("app:1", [*base.layers, here.layer("b", 1 << 20)])
    if far not in ssh_hosts:
        ssh_hosts[far] = Sshd(run_directory, here.beds[1])
    with reached_by_ssh(ssh_hosts[far], tmp_path) as target:
        (first,) = send(here.source, target, base.tags, Options())
        (second,) = send(here.source, target, app.tags, Options())

    assert (first.there, second.there) == (0, 1)
    assert second.sent < (1 << 20) // 2 * 1.05 + DOCUMENTS_AT_MOST
    here.assert_there(app)


def test_an_image_that_goes_away_on_a_far_host_is_told(
    scene: Callable[..., Scene], ssh_hosts: dict[str, Sshd], run_directory: Path, tmp_path: Path
) -> None:
    here = scene(OWN, CLASSIC)
    app = here.made("app:1", [here.layer("a")])
    if OWN not in ssh_hosts:
        ssh_hosts[OWN] = Sshd(run_directory, here.beds[0])
    with reached_by_ssh(ssh_hosts[OWN], tmp_path) as source:
        origin = Origin(source, app.tags[0], "")
        here.beds[0].docker("rmi", app.tags[0])

        with pytest.raises(
            EngineError, match=r"docker save on ssh://.* failed: Error response from daemon"
        ):
            list(origin.take(app.diff_ids, ignore))
