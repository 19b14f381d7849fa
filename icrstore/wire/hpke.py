"""Seal bytes to a public key so that neither a classical nor a quantum thief reads them later.

Hybrid post-quantum HPKE (RFC 9180, base mode, single shot): KEM ML-KEM-768 with X25519 (X-Wing,
0x647a), HKDF-SHA256, AES-256-GCM. A ciphertext is KEM output (1,120 bytes) || AES-GCM ciphertext.
All context goes into `info`, since the library has no public AAD.
"""

import os
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

_SEED_BYTES = 64
_ML_KEM_PUBLIC_BYTES = 1184
PRIVATE_BYTES = _SEED_BYTES + 32
PUBLIC_BYTES = _ML_KEM_PUBLIC_BYTES + 32
OVERHEAD_BYTES = 1088 + 32 + 16


class DoesNotOpen(Exception):
    """The sealed bytes do not open: wrong key, wrong context or changed bytes; no finer reason."""


class PrivateKey:
    """A hybrid private key, kept as 96 raw bytes: ML-KEM seed (64) || X25519 private key (32).

    The library's hybrid objects have no serialiser, so the raw halves are the format.
    """

    def __init__(self, raw: bytes) -> None:
        """Raises ValueError unless `raw` is 96 bytes; every such value is a key."""
        if len(raw) != PRIVATE_BYTES:
            raise ValueError(f"an HPKE private key is {PRIVATE_BYTES} bytes")
        self._ml_kem = MLKEM768PrivateKey.from_seed_bytes(raw[:_SEED_BYTES])
        self._x25519 = X25519PrivateKey.from_private_bytes(raw[_SEED_BYTES:])
        self._hybrid = hpke.MLKEM768X25519PrivateKey(self._ml_kem, self._x25519)

    @classmethod
    def generate(cls) -> Self:
        """A fresh key from the system's random source."""
        return cls(os.urandom(PRIVATE_BYTES))

    def private_bytes(self) -> bytes:
        """The 96 raw bytes that make this key again."""
        return self._ml_kem.private_bytes_raw() + self._x25519.private_bytes_raw()

    def public_bytes(self) -> bytes:
        """The public half, 1,216 bytes: ML-KEM (1,184) || X25519 (32)."""
        ml_kem = self._ml_kem.public_key().public_bytes_raw()
        return ml_kem + self._x25519.public_key().public_bytes_raw()


def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal to a public key of 1,216 bytes; the result is 1,136 bytes longer than the plaintext.

    Raises ValueError if `public` is no key: wrong length, an ML-KEM coefficient out of range
    (FIPS 203 section 7.2), or an X25519 point of small order (RFC 7748 section 6.1).
    """
    key = hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:_ML_KEM_PUBLIC_BYTES]),
        X25519PublicKey.from_public_bytes(public[_ML_KEM_PUBLIC_BYTES:]),
    )
    return SUITE.encrypt(plaintext, key, info)


def open_(private: PrivateKey, info: bytes, ciphertext: bytes) -> bytes:
    """The plaintext sealed to this key under the same `info`; raises DoesNotOpen otherwise."""
    try:
        return SUITE.decrypt(ciphertext, private._hybrid, info)
    except InvalidTag:
        raise DoesNotOpen from None
