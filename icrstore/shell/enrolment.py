"""The token of one enrolment: a random half, and a digest of the keys that the newcomer will pin.

Whoever hands the token over hands over which server to believe: a man in the middle who answers
with other keys is found out, whatever he can do to the connection.
"""

import base64
import binascii
import hashlib
import hmac
import secrets

from icrstore.seal.encode import enc

_RANDOM_BYTES, _DIGEST_BYTES = 24, 16


def new_token(sealer_key: bytes, receipt_key: bytes) -> str:
    """64 lower-case letters and digits, good to be read out or pasted."""
    raw = secrets.token_bytes(_RANDOM_BYTES) + _digest(sealer_key, receipt_key)
    return base64.b32encode(raw).decode("ascii").lower()


def token_sha256(token: str) -> str:
    """All of a token that a server keeps: 64 hex digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_token(token: str) -> bool:
    """Whether it is whole: a letter lost in pasting shows before anything is sent."""
    return len(_raw(token)) == _RANDOM_BYTES + _DIGEST_BYTES


def vouches_for(token: str, sealer_key: bytes, receipt_key: bytes) -> bool:
    """Whether these are the keys that the token's maker meant."""
    said = _raw(token)[_RANDOM_BYTES:]
    return hmac.compare_digest(said, _digest(sealer_key, receipt_key))


def _raw(token: str) -> bytes:
    try:
        return base64.b32decode(token.encode("ascii"), casefold=True)
    except (UnicodeEncodeError, binascii.Error):
        return b""


def _digest(sealer_key: bytes, receipt_key: bytes) -> bytes:
    return hashlib.sha256(enc(b"icr/v1/enrolment", sealer_key, receipt_key)).digest()[
        :_DIGEST_BYTES
    ]
