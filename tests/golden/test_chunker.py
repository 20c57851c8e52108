"""Cut points, pinned: an update of the chunker's library must not change them in silence.

If this fails, repositories would go on working, but every new backup would store everything anew.
"""

import hashlib

import pytest

from backup.repository.chunker import Cutter
from backup.repository.crypto import Keys
from backup.repository.descriptor import DATA_CHUNKS, MANIFEST_CHUNKS

SEED = 0x0123456789ABCDEF
NOISE = hashlib.shake_128(b"voltar golden").digest(12 << 20)
TEXT = b"".join(b"line %08x of a file\n" % n for n in range(200_000))
MASTER = bytes(range(32))

CUTS = {
    "noise, data": [
        1346438,
        1043486,
        462062,
        1186468,
        1377985,
        1438179,
        1112634,
        1269921,
        1183066,
        1626873,
        535800,
    ],
    "noise, manifest": [197973, 272341, 328065, 199829, 348230, 192332, 313359, 245023],
    "noise, seed 0": [
        1643720,
        1597127,
        947531,
        1324855,
        780396,
        613681,
        968743,
        1578456,
        1301851,
        1604315,
        222237,
    ],
    "noise, largest seed": [
        756882,
        692008,
        1144716,
        1510794,
        2049846,
        1832208,
        2291203,
        734610,
        1570645,
    ],
    "text": [1563306, 1759482, 838636, 638576],
    "zeros": [4194304, 4194304, 1048576],
    "short": [1000],
}
CHUNKER_SEED = 0x710601579F855B9
CHUNK_ID = "18cb41d1dbe4841186af60f62d7715655635c99de6910fd28fb97af0f6be9e88"


def sizes(content, parameters, seed):
    cutter = Cutter(parameters, seed)
    return [len(chunk) for chunk in (*cutter.feed(content), *cutter.end())]


CASES = {
    "noise, data": (NOISE, DATA_CHUNKS, SEED),
    "noise, manifest": (NOISE[: 2 << 20], MANIFEST_CHUNKS, SEED),
    "noise, seed 0": (NOISE, DATA_CHUNKS, 0),
    "noise, largest seed": (NOISE, DATA_CHUNKS, 2**63 - 1),
    "text": (TEXT, DATA_CHUNKS, SEED),
    "zeros": (bytes(9 << 20), DATA_CHUNKS, SEED),
    "short": (NOISE[:1000], DATA_CHUNKS, SEED),
}


@pytest.mark.parametrize("name", CASES)
def test_streams_are_cut_where_they_always_were(name):
    assert sizes(*CASES[name]) == CUTS[name]


def test_seeds_and_ids_are_derived_as_they_always_were():
    sealed = Keys(MASTER, sealed=True)

    assert sealed.chunker_seed == CHUNKER_SEED
    assert sealed.chunk_id(b"voltar").hex() == CHUNK_ID
