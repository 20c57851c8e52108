import os

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from backup.errors import IntegrityError, UnsupportedFormat
from backup.repository.crypto import ENVELOPE_SIZE, SEAL_OVERHEAD, Keys, digest

MASTER = bytes(range(32))
SEALED = Keys(MASTER, sealed=True)
PLAIN = Keys(MASTER, sealed=False)


def derived(purpose, salt=None):
    """What docs/format.md says that a key is."""
    return HKDF(SHA256(), 32, salt, b"voltar 1 " + purpose).derive(MASTER)


@given(st.binary(max_size=300), st.integers(0, 2**96 - 1))
def test_what_was_sealed_can_be_opened(data, nonce):
    seal = SEALED.new_seal("packs")

    sealed = seal.seal(data, nonce=nonce)

    assert len(sealed) == len(data) + SEAL_OVERHEAD
    assert SEALED.seal_of("packs", seal.envelope + b"more").open(sealed, nonce=nonce) == data


@given(st.binary(max_size=60), st.data())
def test_every_changed_bit_is_noticed(data, draw):
    seal = SEALED.new_seal("packs")
    sealed = bytearray(seal.seal(data, nonce=7))
    at = draw.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= draw.draw(st.integers(1, 255))

    with pytest.raises(IntegrityError):
        seal.open(bytes(sealed), nonce=7)


@pytest.mark.parametrize("length", [0, 1, 15, 16])
def test_too_little_to_be_sealed_is_refused(length):
    with pytest.raises(IntegrityError):
        SEALED.new_seal("packs").open(bytes(length), nonce=0)


def test_a_seal_fits_its_own_place_kind_salt_and_key_only():
    seal = SEALED.new_seal("packs")
    sealed = seal.seal(b"secret", nonce=1)

    with pytest.raises(IntegrityError):
        seal.open(sealed, nonce=2)
    with pytest.raises(IntegrityError):
        SEALED.seal_of("index", seal.envelope).open(sealed, nonce=1)
    with pytest.raises(IntegrityError):
        SEALED.new_seal("packs").open(sealed, nonce=1)
    with pytest.raises(IntegrityError):
        Keys(os.urandom(32), sealed=True).seal_of("packs", seal.envelope).open(sealed, nonce=1)


def test_seals_are_what_the_format_says():
    seal = SEALED.new_seal("index")
    salt = seal.envelope[-32:]

    assert seal.envelope[:14] == bytes.fromhex("562a4d18 26000000") + b"VLTR\x01\x01"
    assert len(seal.envelope) == ENVELOPE_SIZE
    cipher = AESGCM(derived(b"object index", salt))
    expected = cipher.encrypt((5).to_bytes(12, "big"), b"content", seal.envelope)
    assert seal.seal(b"content", nonce=5) == expected


@pytest.mark.parametrize("keys", [SEALED, PLAIN], ids=["sealed", "plain"])
def test_derived_keys_are_what_the_format_says(keys):
    assert keys.descriptor_key == derived(b"descriptor")
    assert keys.chunk_id(b"x") == blake3(b"x", key=derived(b"chunk id")).digest()
    assert keys.chunker_seed == int.from_bytes(derived(b"chunker seed")[:8], "big") >> 1


def test_salts_never_repeat():
    assert len({SEALED.new_seal("packs").envelope for _ in range(1000)}) == 1000


def test_without_encryption_a_seal_changes_nothing():
    seal = PLAIN.new_seal("packs")

    assert seal.envelope[12:14] == b"\x01\x00"
    assert seal.seal(memoryview(b"content"), nonce=1) == b"content"
    assert PLAIN.seal_of("packs", seal.envelope).open(b"content", nonce=99) == b"content"


@pytest.mark.parametrize(
    ("keys", "others"), [(SEALED, PLAIN), (PLAIN, SEALED)], ids=["plain slipped in", "sealed"]
)
def test_objects_of_the_other_scheme_are_refused(keys, others):
    with pytest.raises(IntegrityError, match="not encrypted as this repository's objects are"):
        keys.seal_of("packs", others.new_seal("packs").envelope)


@pytest.mark.parametrize("keys", [SEALED, PLAIN], ids=["sealed", "plain"])
@pytest.mark.parametrize("at", range(ENVELOPE_SIZE - 32))
def test_no_byte_of_an_envelope_before_its_salt_may_differ(keys, at):
    envelope = bytearray(keys.new_seal("packs").envelope)
    envelope[at] ^= 0x11

    with pytest.raises((IntegrityError, UnsupportedFormat)):
        keys.seal_of("packs", bytes(envelope) + bytes(64))


@pytest.mark.parametrize("length", [0, 7, 8, 45])
def test_cut_off_envelopes_are_refused(length):
    with pytest.raises(IntegrityError):
        SEALED.seal_of("packs", SEALED.new_seal("packs").envelope[:length])


def test_a_later_version_is_said_to_be_one():
    envelope = bytearray(SEALED.new_seal("packs").envelope)
    envelope[12] = 2

    with pytest.raises(UnsupportedFormat, match="format version 2"):
        SEALED.seal_of("packs", bytes(envelope))


def test_secrets_do_not_show_in_what_is_printed():
    seal = SEALED.new_seal("packs")

    assert repr(SEALED) == "Keys(sealed=True)"
    assert "AESGCM" not in repr(seal)
    assert MASTER.hex() not in repr(vars(seal) if hasattr(seal, "__dict__") else seal)


def test_ids_are_digests_that_anybody_can_compute():
    assert digest(memoryview(b"abc")) == blake3(b"abc").hexdigest()
