"""Images go from one engine to another: every pair of kinds, and over SSH."""

from collections.abc import Callable
from pathlib import Path

import pytest

from backup.engine import connect, find_image
from backup.errors import UsageError
from backup.image.transfer import Options, plan, send
from backup.report import Event, Finished
from tests.integration.engine_side import reached_by_ssh
from tests.integration.image_scene import CLASSIC, CONTAINERD, DOCUMENTS_AT_MOST, MakeScene
from tests.testbed import layered
from tests.testbed.engine import KINDS, OWN, Engine
from tests.testbed.layered import Made
from tests.testbed.sshd import Sshd

PAIRS = [(one, other) for one in KINDS for other in KINDS if one != other]

pytestmark = pytest.mark.private


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=map("-to-".join, PAIRS))
def test_only_what_is_missing_is_sent(scene: MakeScene, one: str, other: str) -> None:
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
    scene: MakeScene, one: str, other: str, tmp_path: Path
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
    scene: MakeScene,
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
def test_one_platform_of_several_is_sent(scene: MakeScene, other: str) -> None:
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


def test_tags_are_those_asked_for_or_all(scene: MakeScene) -> None:
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


def test_digests_stay_between_two_containerd_stores(
    scene: MakeScene, start_engine: Callable[..., Engine]
) -> None:
    here = scene(CONTAINERD, CLASSIC)
    bed = start_engine(CONTAINERD)
    app = here.made("app:1", [here.layer("a"), here.layer("b")])
    name, shown = app.tags[0], ("image", "inspect", "-f", "{{index .RepoDigests 0}} {{.Id}}")
    before = here.beds[0].docker(*shown, name)

    with connect(bed.url, environ={}) as target:
        (kept,) = send(here.source, target, [name], Options())
    (lost,) = send(here.source, here.target, [name], Options())

    assert bed.docker(*shown, name) == before
    assert kept.lost == ()
    assert lost.lost == (before.partition(" ")[0],)


@pytest.mark.parametrize("other", [OWN, CONTAINERD])
def test_an_image_without_a_name_stays_without(scene: MakeScene, other: str) -> None:
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


def test_a_plan_changes_nothing(scene: MakeScene) -> None:
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


# --- over SSH


FAR = [(OWN, CLASSIC), (CLASSIC, CONTAINERD), (CONTAINERD, OWN)]


@pytest.mark.parametrize(("far", "near"), FAR, ids=map("-to-".join, FAR))
def test_what_a_far_engine_has_stays_there_where_it_is_here(
    scene: MakeScene,
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
    scene: MakeScene,
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
