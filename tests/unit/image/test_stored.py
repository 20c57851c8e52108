"""An image in a repository, as something to be sent to an engine."""

import pytest
import zstandard

from backup.compression import Form
from backup.engine.reference import Reference
from backup.errors import DamagedImage, IntegrityError
from backup.image.known import Known
from backup.image.stored import stored
from backup.report import ignore
from tests.memory_store import MemoryStore
from tests.saved import plain, save
from tests.testbed.layered import Made, gzipped, layer, oci, sha256

NAME = Reference.parse("restored:1")
LAYERS = [layer("a", 700_000), layer("b", 5_000), layer("c", 900)]
MADE = Made(["app:1"], LAYERS, {"Env": ["A=1"]}, architecture="arm64")


def kept(data: bytes) -> Known:
    """The image of an archive that was stored as it is."""
    repository = plain(MemoryStore())
    found = repository.snapshot(save(repository, (data,)))
    return stored(repository, found, NAME)


def taken(image: Known, *wanted: bytes) -> dict[str, bytes]:
    needed = {f"sha256:{sha256(each)}" for each in wanted}
    return {of: b"".join(map(bytes, file.raw())) for of, file in image.take(needed, ignore)}


def test_an_image_is_known_by_its_documents():
    image = kept(oci([MADE]))

    assert image.facts.diff_ids == tuple(MADE.diff_ids)
    assert image.facts.settings == {"Env": ["A=1"]}
    assert image.facts.platform == "linux/arm64"
    assert image.facts.tags == (image.reference,) == ("restored:1",)
    assert image.sizes == tuple(map(len, LAYERS))
    assert image.look(ignore) is image.image


def test_only_what_is_needed_is_read():
    got = taken(kept(oci([MADE])), LAYERS[2], LAYERS[0])

    assert got == {f"sha256:{sha256(each)}": each for each in (LAYERS[0], LAYERS[2])}


@pytest.mark.parametrize(
    ("pack", "suffix", "form"),
    [(gzipped, "+gzip", Form.GZIP), (zstandard.compress, "+zstd", Form.ZSTD)],
)
def test_compressed_layers_stay_so(pack, suffix, form):
    image = kept(oci([MADE], pack=pack, suffix=suffix))

    layers = [image.layer(diff_id) for diff_id in MADE.diff_ids]
    assert [each and each.form for each in layers] == [form] * 3
    assert [each and each.digest for each in layers] == [
        f"sha256:{sha256(pack(each))}" for each in LAYERS
    ]
    if form is Form.ZSTD:  # an engine may not read it, and then it is sent as a tar
        assert [each and each.tar_size for each in layers] == list(map(len, LAYERS))
    assert list(taken(image, LAYERS[1]).values()) == [pack(LAYERS[1])]


def test_a_layer_of_other_bytes_is_noticed_before_the_next():
    data = oci([MADE]).replace(LAYERS[0][1000:2000], bytes(1000))
    image = kept(data)
    came = image.take(set(MADE.diff_ids), ignore)
    next(came)

    with pytest.raises(IntegrityError, match=f"{sha256(LAYERS[0])} has other bytes"):
        next(came)


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(DamagedImage, match=f"lacks 1 layer: sha256:{sha256(LAYERS[1])}"):
        kept(oci([MADE], without=[sha256(LAYERS[1])]))
