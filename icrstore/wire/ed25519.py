"""Ed25519 signatures (RFC 8032), of which each that holds is worked out once.

That it holds is a fact of key, signature and message: no pin, revocation, clock or quarantine is in
it, and each of those is asked anew by whoever calls. The same grants and warrant come with every
question, and to check one signature takes as long as to read all of them.
"""

import hashlib
import threading

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PUBLIC_BYTES, SIGNATURE_BYTES = 32, 64
MOST_KNOWN = 4096

# Digests alone, so that nothing that was signed stays in memory; the oldest first.
_known: dict[bytes, None] = {}
_lock = threading.Lock()


def verify(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Raise InvalidSignature unless this key signed. Safe from many threads."""
    # With other lengths two different triples could have one digest.
    if (len(public_key), len(signature)) != (PUBLIC_BYTES, SIGNATURE_BYTES):
        raise InvalidSignature
    triple = hashlib.sha256(public_key + signature + message).digest()
    if triple in _known:
        return
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except ValueError as error:
        raise InvalidSignature from error
    with _lock:
        _known[triple] = None
        if len(_known) > MOST_KNOWN:
            del _known[next(iter(_known))]
