"""The primitives give the published answers, and refuse what they have to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.adapters.identity.masking_primitives import openssl
from septum.errors import SecAggError

REAL = openssl()
HEX = bytes.fromhex

# RFC 7748, section 6.1
ALICE = HEX("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
ALICE_PUBLIC = HEX("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = HEX("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = HEX("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SHARED = HEX("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


def stream(key: bytes, *sizes: int) -> bytes:
    fill, made = REAL.keystream(key), b""
    for size in sizes:
        buffer = bytearray(b"x" * size)
        fill(memoryview(buffer))
        made += bytes(buffer)
    return made


def test_x25519_agrees_as_in_rfc_7748():
    assert (REAL.public_of(ALICE), REAL.public_of(BOB)) == (ALICE_PUBLIC, BOB_PUBLIC)
    assert REAL.agree(ALICE, BOB_PUBLIC) == REAL.agree(BOB, ALICE_PUBLIC) == SHARED


@pytest.mark.parametrize(
    "point",
    [
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    ],
)
def test_points_of_low_order_are_refused(point):
    with pytest.raises(SecAggError, match="low order"):
        REAL.agree(ALICE, HEX(point))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keys_of_another_size_are_refused(size):
    with pytest.raises(SecAggError, match="no X25519 key"):
        REAL.agree(ALICE, bytes(size))


def test_hkdf_derives_as_in_rfc_5869():
    """Appendix A.1, of which the first 32 bytes."""
    derived = REAL.derive(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert derived == HEX("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf")


def test_a_message_is_sealed_with_chacha20_from_block_1_under_nonce_zero():
    """RFC 8439, appendix A.1, test vector 2: key and nonce zero, block 1. Then come 16 bytes of Poly1305."""
    block = HEX(
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
    )
    sealed = REAL.seal(bytes(32), bytes(64), b"data")
    assert sealed[:64] == block
    assert len(sealed) == 80
    assert REAL.open(bytes(32), sealed, b"data") == bytes(64)


def test_what_was_changed_or_sealed_otherwise_does_not_open():
    key, data = b"k" * 32, b"data"
    sealed = REAL.seal(key, b"message", data)
    for wrong_key, wrong, wrong_data in (
        (b"l" * 32, sealed, data),
        (key, sealed, b"date"),
        (key, sealed, b""),
        (key, sealed[:-1], data),
        (key, b"", data),
        *((key, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], data) for at in range(len(sealed))),
    ):
        with pytest.raises(SecAggError):
            REAL.open(wrong_key, wrong, wrong_data)


def test_the_keystream_is_aes_256_of_0_1_2():
    """Key zero; the blocks are those of test cases 13 and 14 of the GCM specification (H, E(Y0), E(Y0 + 1))."""
    blocks = (
        "dc95c078a2408989ad48a21492842087",
        "530f8afbc74536b9a963b4f1c4cb738b",
        "cea7403d4d606b6e074ec5d3baf39d18",
    )
    assert stream(bytes(32), 48) == HEX("".join(blocks))


@given(st.lists(st.integers(0, 100), max_size=6))
def test_the_keystream_goes_on_where_it_ended(sizes):
    assert stream(b"k" * 32, *sizes) == stream(b"k" * 32, sum(sizes))


@pytest.mark.parametrize("size", [2**18 - 1, 2**18, 2**18 + 1, 3 * 2**18 + 5])
def test_the_keystream_fills_buffers_of_any_size(size):
    assert stream(b"k" * 32, size) == stream(b"k" * 32, 7, size - 7)
    assert len(set(stream(b"k" * 32, size)[-64:])) > 20  # filled to its end


def test_ed25519_verifies_as_in_rfc_8032():
    """Section 7.1, test 1."""
    public = HEX("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = HEX(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert REAL.verify(public, b"", signature)
    for wrong in ((public, b"x", signature), (ALICE_PUBLIC, b"", signature), (public, b"", bytes(64)), (b"", b"", b"")):
        assert not REAL.verify(*wrong)


def test_random_bytes_are_never_the_same():
    drawn = [REAL.random(32) for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert {len(one) for one in drawn} == {32}
