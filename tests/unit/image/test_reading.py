"""Archives of images are read in one pass, and what is wrong with them is seen."""

import io
import json
import tarfile

import pytest
import zstandard

from backup.compression import Form
from backup.errors import DamagedImage
from backup.image.reading import DOCUMENT_AT_MOST, File, Reading
from backup.image.saved import Platform
from tests.testbed import layered
from tests.testbed.layered import Made

LAYERS = [layered.layer(f"file-{number}", 20_000) for number in range(4)]
APP = Made(["me/app:1", "me/app:latest"], LAYERS[:3], {"Env": ["A=1"]})
OTHER = Made(["me/app:2"], [*LAYERS[:2], LAYERS[3]])


def zstd(data):
    return zstandard.ZstdCompressor().compress(data)


FORMS = {
    "docker 24": layered.archive,
    "docker 25": layered.oci,
    "gzip layers": lambda images: layered.oci(images, pack=layered.gzipped, suffix="+gzip"),
    "zstd layers": lambda images: layered.oci(images, pack=zstd, suffix="+zstd"),
    "without manifest.json": lambda images: layered.oci(images, listed=False),
}


def read(data, *, step=4096):
    reading = Reading((data[at : at + step] for at in range(0, len(data), step)), "the archive")
    files = list(reading.files())
    return files, reading.images()


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("form", FORMS)
def test_images_are_found_with_layers_in_order(form):
    _, images = read(FORMS[form]([APP, OTHER]))

    tags = {tag: image for image in images for tag in image.tags}
    assert tags["me/app:1"].diff_ids == tuple(APP.diff_ids)
    assert tags["me/app:latest"].diff_ids == tuple(APP.diff_ids)
    assert tags["me/app:2"].diff_ids == tuple(OTHER.diff_ids)
    assert tags["me/app:1"].config == APP.document
    assert tags["me/app:1"].settings["config"] == {"Env": ["A=1"]}
    assert tags["me/app:1"].platform == Platform(os="linux", architecture="amd64")


@pytest.mark.parametrize("step", [1, 511, 1 << 20])
def test_the_sizes_of_blocks_do_not_matter(step):
    data = layered.oci([APP], pack=layered.gzipped)

    assert read(data, step=step)[1] == read(data)[1]


def test_a_file_gives_its_bytes_or_the_tar_within():
    data = layered.oci([APP], pack=layered.gzipped, suffix="+gzip")
    reading = Reading([data], "the archive")
    plain = {file.name: b"".join(map(bytes, file.plain())) for file in reading.files()}
    layers = reading.images()[0].layers
    raw = Reading([data], "the archive")
    packed = {file.name: b"".join(map(bytes, file.raw())) for file in raw.files()}

    assert [plain[layer.name] for layer in layers] == LAYERS[:3]
    assert [packed[layer.name] for layer in layers] == list(map(layered.gzipped, LAYERS[:3]))
    assert [layer.form for layer in layers] == [Form.GZIP] * 3
    assert layers[0].media_type.endswith("+gzip")
    assert raw.images() == reading.images()


def test_links_between_layers_are_followed():
    """Docker 20.10 writes a layer that an image has twice once; the link may come first."""
    twice = Made(["app:1"], [LAYERS[0], LAYERS[0]])
    config = f"{layered.sha256(twice.document)}.json"
    listed = [{"Config": config, "RepoTags": ["app:1"], "Layers": ["z/layer.tar", "a/layer.tar"]}]
    link = tarfile.TarInfo("a/layer.tar")
    link.type, link.linkname = tarfile.SYMTYPE, "../z/layer.tar"
    files = {
        config: twice.document,
        "z/layer.tar": LAYERS[0],
        "manifest.json": json.dumps(listed).encode(),
    }

    _, images = read(link.tobuf() + layered.tar(files))

    assert images[0].diff_ids == tuple(twice.diff_ids)
    assert {layer.name for layer in images[0].layers} == {"z/layer.tar"}


@pytest.mark.parametrize("form", FORMS)
def test_a_layer_that_is_missing_is_named(form):
    first = layered.sha256(LAYERS[1])
    packers = {"gzip layers": layered.gzipped, "zstd layers": zstd}
    blob = layered.sha256(packers.get(form, layered.plain)(LAYERS[1]))
    whole = FORMS[form]([APP])

    shortened = without(whole, blob)

    with pytest.raises(DamagedImage, match="me/app:1 lacks 1 layer: sha256:") as refused:
        read(shortened)
    assert any(digest in str(refused.value) for digest in (first, blob))
    assert "pull or build it there again" in str(refused.value.hint)


def without(data, word):
    """The archive without the members that have a word in their name."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as old,
        tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in old:
            if word not in member.name:
                new.addfile(member, old.extractfile(member))
    return out.getvalue()


def test_an_archive_with_nothing_but_manifests_is_refused():
    """What the containerd store writes, with exit code 0, of an image that it has not."""
    blobs = [layered.sha256(each) for each in LAYERS[:3]]
    data = layered.oci([APP], without=blobs, listed=False)

    with pytest.raises(DamagedImage, match="lacks 3 layers: "):
        read(data)


def test_platforms_that_the_engine_has_not_may_be_missing():
    other = Made(APP.tags, [LAYERS[3]], architecture="arm64")
    data = without(
        layered.oci([APP, other], without=[layered.sha256(LAYERS[3])], listed=False), "unheard of"
    )

    _, images = read(data)

    assert {str(image.platform) for image in images} == {"linux/amd64"}


def test_several_platforms_are_several_images():
    other = Made(APP.tags, [LAYERS[3]], architecture="arm64")

    _, images = read(layered.oci([APP, other], listed=False))

    assert {str(image.platform) for image in images} == {"linux/amd64", "linux/arm64"}


@pytest.mark.parametrize("form", FORMS)
def test_a_flipped_byte_of_a_layer_is_seen(form):
    data = FORMS[form]([APP])
    packers = {"gzip layers": layered.gzipped, "zstd layers": zstd}
    blob = packers.get(form, layered.plain)(LAYERS[1])
    at = data.index(blob) + len(blob) // 4

    with pytest.raises(DamagedImage, match="is damaged"):
        read(flipped(data, at))


@pytest.mark.parametrize("form", FORMS)
def test_a_flipped_byte_of_a_configuration_is_seen(form):
    data = FORMS[form]([APP])
    at = data.index(APP.document) + APP.document.index(b"A=1")

    with pytest.raises(DamagedImage, match="the configuration of me/app:1 is damaged"):
        read(flipped(data, at))


def test_a_truncated_archive_is_refused():
    data = layered.archive([APP])

    with pytest.raises(
        DamagedImage, match="the archive is damaged: the tar archive ends too early"
    ):
        read(data[: len(data) // 2])


@pytest.mark.parametrize("read", [File.raw, File.plain])
def test_a_large_layer_that_breaks_off_while_it_is_read_is_damage(read):
    data = layered.archive([Made(["me/app:3"], [layered.layer("large", DOCUMENT_AT_MOST)])])
    blocks = (data[at : at + 65536] for at in range(0, DOCUMENT_AT_MOST, 65536))
    reading = Reading(blocks, "the archive")

    with pytest.raises(DamagedImage, match=r"the archive is damaged: .* ends too early"):
        for file in reading.files():
            b"".join(map(bytes, read(file)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the tar archive is empty"),
        (b"no tar" * 1000, "not a proper tar archive"),
        (layered.tar({"a": b"b"}), "holds no image"),
        (layered.tar({"manifest.json": b"{}"}), "holds no image"),
        (layered.tar({"manifest.json": b'[{"Layers": []}]'}), "not of the form"),
        (layered.tar({"manifest.json": b'["x"]'}), "not of the form that Docker writes$"),
        (
            layered.tar({"manifest.json": b'[{"Config":"x","RepoTags":["a:1",""]}]'}),
            "'' is no name",
        ),
        (
            layered.tar({"manifest.json": b'[{"Config":"x","RepoTags":["A:1"]}]'}),
            "'A:1' is no name",
        ),
        (
            layered.tar({"manifest.json": b'[{"Config":"x","RepoTags":["\\u001b:1"]}]'}),
            "is no name",
        ),
        (layered.tar({"manifest.json": b"[" * 99_999 + b"]" * 99_999}), "nested too deeply"),
        (layered.tar({"manifest.json": b'[{"Config": "x"}]'}), "x lacks its configuration"),
    ],
    ids=[
        *("empty", "no tar", "other tar", "no list", "no config", "no images", "no name"),
        *("capitals", "control characters", "deep", "lost config"),
    ],
)
def test_what_is_no_archive_of_images_is_refused(data, said):
    with pytest.raises(DamagedImage, match=said):
        read(data)


def test_what_is_skipped_is_not_checked_but_must_be_there():
    data = layered.oci([APP])
    at = data.index(LAYERS[1]) + 700
    reading = Reading([flipped(data, at)], "the archive")
    for file in reading.files():
        file.skip()

    assert reading.images()[0].diff_ids == tuple(APP.diff_ids)


def test_a_layer_whose_first_file_looks_like_json_is_a_layer():
    odd = layered.layer('{"a": 1}', 100)

    files, images = read(layered.archive([Made(["app:1"], [odd])]))

    assert [file.name for file in files] == [images[0].layers[0].name]


def test_what_the_engine_says_behind_an_archive_that_ends_well_is_told():
    """Docker 28 with the containerd store does that, with exit code 0, where a blob is damaged."""
    said = b'{"errorDetail":{},"error":"unexpected \\"digest\\""}\r\n'
    data = layered.tar({"blobs/sha256/x": b"y"}) + said

    with pytest.raises(DamagedImage, match='the engine broke off: unexpected "digest"'):
        read(data)
