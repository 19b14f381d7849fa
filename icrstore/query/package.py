"""The package: an answer with everything that proves its access, sealed to its recipients."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from icrstore.seal.encode import enc
from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.strict import StatementError, dump, encode_base64
from icrstore.wire import hpke


def package(
    answer: bytes,
    warrant: Envelope,
    request: Envelope,
    grants: Sequence[Envelope],
    disclosure: Envelope,
    keepers: Mapping[str, Any],
) -> bytes:
    """The package's exact bytes; ``keepers`` holds each role's name and three evidences."""
    return dump(
        {
            "v": 1,
            "answer": encode_base64(answer),
            "warrant": warrant.to_object(),
            "request": request.to_object(),
            "grants": [grant.to_object() for grant in grants],
            "disclosure": disclosure.to_object(),
            "keepers": dict(keepers),
        }
    )


def check_recipients(keys: Sequence[bytes]) -> None:
    """Raise `StatementError` for a key that nothing can be sealed to.

    Found out only when the answer is ready, the access would be logged for nothing.
    """
    for key in keys:
        try:
            hpke.seal(key, b"", b"")
        except ValueError:
            raise StatementError("not-a-key", "recipient_keys") from None


def seal_to(recipients: Sequence[bytes], request_sha256: bytes, content: bytes) -> bytes:
    """One ciphertext for each recipient key (HPKE, 1,216 bytes)."""
    info = enc(b"icr/v1/answer", request_sha256)
    return dump(
        {
            "sealed": [
                {"keyid": key_id(key), "sealed": encode_base64(hpke.seal(key, info, content))}
                for key in recipients
            ]
        }
    )


def sha256(answer: bytes) -> bytes:
    return hashlib.sha256(answer).digest()
