"""The published HPKE vectors, through the suite we use and its neighbours in the library.

The library is single shot, so sequence 0 of each vector is opened, by its test-only function that
takes an AAD. A seal draws fresh randomness: the vectors' ciphertexts are opened, not reproduced.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519

from icrstore.wire.hpke import SUITE, DoesNotOpen, PrivateKey, open_
from tests.shared_data import topic

Vector = dict[str, Any]

OUR_KEM = 0x647A
KDFS = {
    1: hpke.KDF.HKDF_SHA256,
    2: hpke.KDF.HKDF_SHA384,
    3: hpke.KDF.HKDF_SHA512,
    0x10: hpke.KDF.SHAKE128,
    0x11: hpke.KDF.SHAKE256,
}
AEADS = {1: hpke.AEAD.AES_128_GCM, 2: hpke.AEAD.AES_256_GCM, 3: hpke.AEAD.CHACHA20_POLY1305}


def _expand_hybrid(seed: bytes) -> PrivateKey:
    """X-Wing's decapsulation key is a 32-byte seed; ours is what it expands to."""
    return PrivateKey(hashlib.shake_256(seed).digest(96))


def _mlkem1024_p384(seed: bytes) -> hpke.MLKEM1024P384PrivateKey:
    expanded = hashlib.shake_256(seed).digest(64 + 48)
    return hpke.MLKEM1024P384PrivateKey(
        mlkem.MLKEM1024PrivateKey.from_seed_bytes(expanded[:64]),
        _scalar(ec.SECP384R1())(expanded[64:]),
    )


def _scalar(curve: ec.EllipticCurve) -> Callable[[bytes], ec.EllipticCurvePrivateKey]:
    return lambda raw: ec.derive_private_key(int.from_bytes(raw, "big"), curve)


KEMS: dict[int, tuple[hpke.KEM, Callable[[bytes], Any]]] = {
    0x10: (hpke.KEM.P256, _scalar(ec.SECP256R1())),
    0x11: (hpke.KEM.P384, _scalar(ec.SECP384R1())),
    0x20: (hpke.KEM.X25519, x25519.X25519PrivateKey.from_private_bytes),
    0x41: (hpke.KEM.MLKEM768, mlkem.MLKEM768PrivateKey.from_seed_bytes),
    0x42: (hpke.KEM.MLKEM1024, mlkem.MLKEM1024PrivateKey.from_seed_bytes),
    0x51: (hpke.KEM.MLKEM1024_P384, _mlkem1024_p384),
    OUR_KEM: (hpke.KEM.MLKEM768_X25519, lambda seed: _expand_hybrid(seed)._hybrid),
}

# Suites that the library does not have, each with its reason. Anything else must open.
SKIPPED = {
    "kem 0x40": "the library has no ML-KEM-512",
    "kem 0x50": "the library has no ML-KEM-768 with P-256",
    "kem 0x21": "the library's HPKE has no X448",
    "kdf 0x12": "the library has no TurboSHAKE128",
    "kdf 0x13": "the library has no TurboSHAKE256",
    "aead 0xffff": "an export-only vector encrypts nothing",
}


def _load(path: Path) -> list[Vector]:
    vectors: list[Vector] = json.loads(path.read_text())
    return vectors


@functools.cache
def _classical() -> list[Vector]:
    return _load(topic("hpke") / "rfc9180-base-x25519-p256.json")


@functools.cache
def _post_quantum() -> list[Vector]:
    folder = Path(cryptography_vectors.__file__).parent
    return _load(folder / "HPKE" / "hpke-pq-test-vectors.json")


def _why_skipped(vector: Vector) -> str | None:
    names = (f"{part} {vector[part + '_id']:#x}" for part in ("kem", "kdf", "aead"))
    return next((SKIPPED[name] for name in names if name in SKIPPED), None)


def _open(vector: Vector, sealed: bytes) -> bytes:
    kem, load_key = KEMS[vector["kem_id"]]
    suite = hpke.Suite(kem, KDFS[vector["kdf_id"]], AEADS[vector["aead_id"]])
    key = load_key(bytes.fromhex(vector["skRm"]))
    info, aad = (bytes.fromhex(text) for text in (vector["info"], vector["encryptions"][0]["aad"]))
    return openssl.hpke._decrypt_with_aad(suite, sealed, key, info, aad)


def _sealed(vector: Vector) -> bytes:
    return bytes.fromhex(vector["enc"] + vector["encryptions"][0]["ct"])


def _check(vectors: list[Vector]) -> int:
    """Open each vector whose suite the library has, and fail to with any one byte changed."""
    opened = 0
    for vector in vectors:
        if _why_skipped(vector):
            continue
        sealed = _sealed(vector)
        assert _open(vector, sealed) == bytes.fromhex(vector["encryptions"][0]["pt"])
        opened += 1
        # Every byte of what is short, and a spread of what is long, keeps this under seconds.
        for position in range(0, len(sealed), max(1, len(sealed) // 150)):
            broken = bytearray(sealed)
            broken[position] ^= 0x01
            with pytest.raises(InvalidTag):
                _open(vector, bytes(broken))
    return opened


def test_every_rfc_9180_vector_opens_and_none_with_a_byte_changed() -> None:
    assert _check(_classical()) == 12


def test_every_post_quantum_vector_opens_and_none_with_a_byte_changed() -> None:
    assert _check(_post_quantum()) == 7


def test_the_vectors_left_out_are_exactly_those_with_a_reason() -> None:
    reasons = [_why_skipped(vector) for vector in _post_quantum()]
    assert len(reasons) - reasons.count(None) == 6
    reasons = [_why_skipped(vector) for vector in _classical()]
    assert set(reasons) == {None, SKIPPED["aead 0xffff"]}


def test_our_key_is_the_expansion_of_x_wings_seed() -> None:
    ours = [vector for vector in _post_quantum() if vector["kem_id"] == OUR_KEM]
    assert len(ours) == 2
    for vector in ours:
        key = _expand_hybrid(bytes.fromhex(vector["skRm"]))
        assert key.public_bytes().hex() == vector["pkRm"]


def test_the_vectors_kem_output_does_not_open_as_ours() -> None:
    # The vectors' AEAD is not ours and they carry an AAD: the whole suite is bound, not the KEM.
    vector = next(vector for vector in _post_quantum() if vector["kem_id"] == OUR_KEM)
    key = _expand_hybrid(bytes.fromhex(vector["skRm"]))
    with pytest.raises(DoesNotOpen):
        open_(key, bytes.fromhex(vector["info"]), _sealed(vector))


def test_our_suite_opens_what_was_sealed_with_an_empty_aad_only() -> None:
    key = PrivateKey.generate()
    public = key._hybrid.public_key()
    sealed = openssl.hpke._encrypt_with_aad(SUITE, b"atom", public, b"info", b"")
    assert open_(key, b"info", sealed) == b"atom"
    bound = openssl.hpke._encrypt_with_aad(SUITE, b"atom", public, b"info", b"more")
    with pytest.raises(DoesNotOpen):
        open_(key, b"info", bound)
