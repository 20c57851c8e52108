"""Archives of our own can be read by the usual programs, whole or in pieces."""

import gzip
import io
import json
import random
import tarfile

import pytest
import zstandard

from backup.compression import Form, decompressed
from backup.errors import DamagedImage
from backup.image.files import Checked
from backup.image.plan import MANIFEST_TYPE, Document
from backup.image.reading import Reading
from backup.image.writing import blob, documents, member, packed, partial
from backup.report import ignore
from tests.testbed import layered
from tests.testbed.layered import Made

LAYERS = [layered.layer(str(number), 3000) for number in range(2)]
APP = Made(["app:1"], LAYERS)
CONFIG = Document(data=APP.document, media_type="config")
MANIFEST = Document(data=b'{"config": {"digest": "x"}, "layers": []}', media_type=MANIFEST_TYPE)
UNPACK = {
    Form.TAR: lambda data: data,
    Form.GZIP: gzip.decompress,
    Form.ZSTD: lambda data: (
        zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
    ),
}


def archive(form, manifest=None, name="app:1"):
    pieces: list[bytes | memoryview] = []
    for digest, layer in zip(APP.diff_ids, LAYERS, strict=True):
        pieces += packed(member(blob(digest), len(layer), (layer,)), form)
    pieces += packed(documents(CONFIG, manifest, APP.diff_ids, name), form)
    return b"".join(map(bytes, pieces))


def contents(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [(each.name, tar.extractfile(each)) for each in tar]
        return {name: file.read() for name, file in members if file}


@pytest.mark.parametrize("form", Form)
def test_members_are_frames_that_read_as_one_archive(form):
    files = contents(UNPACK[form](archive(form)))

    assert [files[blob(each)] for each in APP.diff_ids] == LAYERS
    assert files[blob(CONFIG.digest)] == APP.document
    assert json.loads(files["manifest.json"])[0]["RepoTags"] == ["app:1"]
    assert list(files)[-1] == "manifest.json"


@pytest.mark.parametrize("form", Form)
def test_what_we_write_we_can_read(form):
    reading = Reading(decompressed([archive(form)], "x"), "x")

    assert len(list(reading.files())) == 2
    assert reading.images()[0].diff_ids == tuple(APP.diff_ids)


def test_with_a_manifest_an_archive_has_the_layout_of_the_containerd_store():
    files = contents(archive(Form.TAR, MANIFEST, "me/app:1"))

    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["digest"] == MANIFEST.digest
    assert entry["annotations"] == {"io.containerd.image.name": "docker.io/me/app:1"}
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}


def test_an_image_without_a_name_gets_none():
    files = contents(archive(Form.TAR, MANIFEST, None))

    assert json.loads(files["manifest.json"])[0]["RepoTags"] is None
    assert "annotations" not in json.loads(files["index.json"])["manifests"][0]


def test_what_is_on_its_way_has_a_name_of_its_digest():
    assert partial(CONFIG) == f"voltar-partial:{layered.sha256(APP.document)[:16]}"


def test_what_is_compressed_already_costs_little_more():
    noise = layered.layer("noise", 0, content=random.Random(1).randbytes(100_000))

    for form in (Form.GZIP, Form.ZSTD):
        assert len(b"".join(packed([noise], form, dense=True))) < len(noise) * 1.01


# --- passing through


BIG = Made(["app:1"], [layered.layer("big", 3 << 20)])


def test_an_archive_passes_through_unchanged_when_all_is_proven():
    data = layered.archive([BIG])
    checked = Checked([data[at : at + 10_000] for at in range(0, len(data), 10_000)], "x", ignore)

    assert b"".join(checked) == data
    assert [image.tags for image in checked.images] == [("app:1",)]


def test_the_end_of_a_damaged_archive_is_held_back():
    data = layered.archive([BIG])
    at = data.index(BIG.layers[0]) + 2_000_000
    broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    passed = []

    with pytest.raises(DamagedImage):
        for block in Checked(
            [broken[n : n + 10_000] for n in range(0, len(data), 10_000)], "x", ignore
        ):
            passed.append(block)

    assert len(b"".join(passed)) <= len(data) - (1 << 20)
