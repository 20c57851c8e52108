"""Maps of sparse members, as GNU tar writes them and at their edges."""

import pytest

from backup.tar.regions import regions
from backup.tar.split import split
from tests.sparse import DENSE, WAYS, sparse_file, tar_of
from tests.strategies import reused
from tests.tars import END, extended, header, noise, old_sparse, padded

SIZE = 1 << 20
DATA = [(n * 16_384, noise(5000, b"%d" % n)) for n in range(50)]


def rebuilt(tar, step=700):
    """Put each file of a tar together from its regions."""
    files = []
    blocks = [tar[at : at + step] for at in range(0, len(tar), step)]
    for entry in split(reused(blocks)):
        if entry.kind == "f":
            content = bytearray(entry.size)
            end = 0
            for offset, block in regions(entry):
                assert offset >= end
                end = offset + len(block)
                content[offset:end] = block
            assert len(content) == entry.size
            files.append(bytes(content))
    return files


@pytest.mark.parametrize("step", [512, 700, 1 << 20])
@pytest.mark.parametrize("way", [*WAYS, "dense"])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 25, 26, 50])
def test_pieces_lie_where_the_file_has_them(tmp_path, way, count, step):
    sparse_file(tmp_path / "sparse", DATA[:count], SIZE)
    (tmp_path / "next").write_bytes(b"next")

    tar = tar_of(tmp_path, WAYS.get(way, DENSE), "sparse", "next")

    assert rebuilt(tar, step) == [(tmp_path / "sparse").read_bytes(), b"next"]


@pytest.mark.parametrize("way", WAYS)
def test_a_long_name_and_a_link_target_do_not_hide_the_map(tmp_path, way):
    name = "n" * 200
    sparse_file(tmp_path / name, DATA[:3], SIZE)

    assert rebuilt(tar_of(tmp_path, WAYS[way], name)) == [(tmp_path / name).read_bytes()]


@pytest.mark.parametrize("way", WAYS)
def test_only_data_is_given(tmp_path, way):
    sparse_file(tmp_path / "sparse", [(0, b"a" * 4096), (1 << 38, b"b")], (1 << 38) + 1)
    tar = tar_of(tmp_path, WAYS[way], "sparse")

    found = [(at, len(block)) for entry in [next(split([tar]))] for at, block in regions(entry)]

    assert sum(size for _, size in found) <= 4 * 4096
    assert found[0][0] == 0
    assert found[-1][0] + found[-1][1] == (1 << 38) + 1


def test_a_region_of_no_bytes_marks_the_end_only():
    tar = old_sparse(b"f", 512, 5000, [(0, 3), (5000, 0)]) + padded(b"abc") + END

    assert rebuilt(tar) == [b"abc".ljust(5000, b"\0")]


def test_other_extended_headers_give_no_map():
    tar = (
        extended((b"comment", b"GNU.sparse.map=0,1")) + header(b"f", size=3) + padded(b"abc") + END
    )

    assert rebuilt(tar) == [b"abc"]
