"""What has to be sent, and in which portions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.image.plan import (
    available_prefix,
    beginning,
    digest,
    directories,
    manifest_of,
    own_config,
    own_manifest,
    portions,
    shared_prefix,
)
from backup.image.reading import Reading
from backup.image.saved import Layer, Platform
from tests.testbed import layered
from tests.testbed.layered import Made


def layer(name, size):
    return Layer(diff_id=name, digest=name, size=size, name=name)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], 0),
        ([["x"]], 0),
        ([["a"], ["a", "b", "x"], ["b", "c"]], 2),
        ([["a", "b", "c", "d"]], 3),
    ],
)
def test_the_longest_common_beginning_need_not_be_sent(others, expected):
    assert shared_prefix(["a", "b", "c"], others) == expected


LAYERS = [layer("a", 10), layer("b", 20), layer("a", 10), layer("c", 30)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (5, 0),
        (25, 1),  # a is there, in both its places
        (45, 3),
        (75, 4),
        (35, None),  # c without what is below it
        (26, None),
    ],
)
def test_the_size_of_what_is_there_tells_which_layers_are(content, expected):
    assert available_prefix(5, LAYERS, content) == expected


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30), st.integers(1, 150), st.data())
def test_portions_are_all_of_it_in_order_and_no_larger_than_they_must(sizes, limit, data):
    start = data.draw(st.integers(0, len(sizes)))

    parts = portions(sizes, start, limit)

    assert [number for part in parts for number in part] == list(range(start, len(sizes)))
    for part in parts:
        assert sum(sizes[part.start : part.stop]) <= limit or len(part) == 1
    assert parts[-1].stop == len(sizes)


def image(made):
    reading = Reading([layered.archive([made])], "x")
    assert list(reading.files())
    return reading.images()[0]


MADE = Made(["app:1"], [layered.layer(str(n), 100) for n in range(3)], {"Cmd": ["x"]})


def test_a_made_manifest_names_the_blobs_and_is_always_the_same():
    saved = image(MADE)

    made = own_manifest(saved)

    assert made == own_manifest(image(MADE))
    document = json.loads(made.data)
    assert document["config"]["digest"] == f"sha256:{layered.sha256(MADE.document)}"
    assert [each["digest"] for each in document["layers"]] == MADE.diff_ids
    assert [each["size"] for each in document["layers"]] == [len(each) for each in MADE.layers]


def test_a_manifest_that_came_along_is_kept():
    reading = Reading([layered.oci([MADE])], "x")
    list(reading.files())
    saved = reading.images()[0]

    assert own_manifest(saved).data == saved.manifest
    assert own_manifest(saved).digest == saved.manifest_digest


def test_a_beginning_has_the_lowest_layers_and_nothing_to_run():
    saved = image(MADE)

    made = json.loads(beginning(saved, 2).data)

    assert made["rootfs"]["diff_ids"] == MADE.diff_ids[:2]
    assert made["config"] == {}
    assert (made["os"], made["architecture"]) == ("linux", "amd64")
    assert manifest_of(beginning(saved, 2), saved.layers[:2]) != own_manifest(saved)
    assert own_config(saved).data == MADE.document


def test_directories_of_old_archives_are_computed():
    """As Docker 20.10.24 named them; the uppermost has a name of its own."""
    layers = [
        "sha256:be66781e100142f41abeb11921d36d23c650e319165bfba53374dcd0f1cba7a8",
        "sha256:be392841aeb897722479b7b6650f279545da2c24fd60a402fd625c128cd89981",
        "sha256:be66781e100142f41abeb11921d36d23c650e319165bfba53374dcd0f1cba7a8",
        "sha256:dc277d77f6d993fe95e622d3df5acec2c1dadf1595adfd47b0634367f0715c56",
    ]

    assert directories(layers) == {
        "fc2c0ea0e94b5da61354fd1f2ee685bb14fae11a28405e99068cd9f22e017354/layer.tar": layers[0],
        "46725b3d0c48c7485d2f38a66c4aa9c30f1e6463a64d8e2835e2da82e19fbd4a/layer.tar": layers[1],
        "ea8f9bbf087d13b7bb90275971c856c13788f3ebc957e6891346ebb6de0ad65a/layer.tar": layers[2],
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [("linux/amd64", "linux/amd64"), ("Linux/ARM64/v8", "linux/arm64/v8")],
)
def test_platforms_are_read(text, shown):
    assert str(Platform.parsed(text)) == shown


@pytest.mark.parametrize("text", ["", "amd64", "linux/", "a/b/c/d", "linux//v8"])
def test_what_is_no_platform_is_refused(text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        Platform.parsed(text)


def test_digests_are_written_as_docker_does():
    assert digest(b"") == (
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
