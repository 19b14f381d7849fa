"""A locked box: bytes at rest under a symmetric key, bound to their place.

Nonce (12 random bytes) || AES-256-GCM-SIV (RFC 8452), which forgives a nonce that would repeat.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from icrstore.keeper.errors import KeeperError

_NONCE_BYTES = 12


class BoxError(KeeperError):
    """The box does not open: another key, another place or changed bytes."""


def lock(key: bytes, place: bytes, content: bytes) -> bytes:
    """``content`` under a 32-byte key; it opens only at the same ``place``."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCMSIV(key).encrypt(nonce, content, place)


def unlock(key: bytes, place: bytes, box: bytes) -> bytes:
    """The content. Raises `BoxError`."""
    try:
        return AESGCMSIV(key).decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], place)
    except (InvalidTag, ValueError) as error:
        raise BoxError("the box does not open") from error
