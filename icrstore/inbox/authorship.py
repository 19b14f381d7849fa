"""Whose batch it is: the call by which its collector handed it in is kept, and checked again.

Anybody can seal to the public intake key, and who administers the database can write any row. So
the row of a batch keeps the very signature (RFC 9421) that web checked, and the sealer checks it
before it opens the body; of a plain body, which web sealed, once it has opened it. The tenant's
root, by which the collector's key is known, is a file of the sealer's own.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from accounts.collector_grants import NotGranted, grant_of
from icrstore.inbox.accept import BatchError, Label
from icrstore.inbox.models import Batch
from icrstore.inbox.plain import Plain
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.warrant.dsse import key_id
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object
from icrstore.wire.errors import SignatureRefused
from icrstore.wire.signatures import Verified, verify_request

METHOD, PATH = "POST", "/v1/batches"
# What a collector signs of the batch beside its body, in lower case.
PLAIN_LABEL_HEADERS = ("idempotency-key", "batch-sequence", "batch-scope")
LABEL_HEADERS = (*PLAIN_LABEL_HEADERS, "intake-key")
_SIGNATURE = ("signature", "signature-input")
# Its time was checked when it came; from here it is only read.
_ANY_TIME_SECONDS = 1 << 40


class NotSigned(Exception):
    """The batch is not what its collector handed in."""


@dataclass(frozen=True)
class SignedCall:
    """All that a collector signed as it handed a batch in, and its signature: headers in lower
    case, and for whom they were meant."""

    authority: str
    headers: Mapping[str, str]

    @classmethod
    def of(
        cls, authority: str, covered: Mapping[str, str], signature: Mapping[str, str]
    ) -> "SignedCall":
        """From the components that the signature covers, and its own two headers."""
        headers = {name: covered[name] for name in covered if not name.startswith("@")}
        return cls(authority, {**headers, **{name: signature[name] for name in _SIGNATURE}})

    @classmethod
    def parse(cls, encoded: bytes) -> "SignedCall":
        """Raises `StatementError`."""
        fields = Fields(parse_object(encoded))
        made = cls(fields.text("authority"), fields.take("headers"))
        fields.finish()
        headers = made.headers
        if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
            raise StatementError("not-a-text", "headers")
        return made

    def encode(self) -> bytes:
        return dump({"authority": self.authority, "headers": dict(self.headers)})

    def verify(self, key: bytes) -> Verified:
        """What that key signed, its body still to be checked. Raises `SignatureRefused`."""
        return verify_request(
            METHOD,
            self.authority,
            PATH,
            self.headers,
            resolve_key=lambda keyid: (
                Ed25519PublicKey.from_public_bytes(key) if keyid == key_id(key) else None
            ),
            now_unix_seconds=0,
            required=PLAIN_LABEL_HEADERS if Plain.of(self.headers) else LABEL_HEADERS,
            max_clock_skew_seconds=_ANY_TIME_SECONDS,
        )


@dataclass(frozen=True)
class Author:
    """When a batch's collector signed it, and how its body is written if it is plain.

    What is in a plain body is not believed before `check_plain`.
    """

    signed_at: datetime
    plain: Plain | None
    _verified: Verified

    def check_plain(self, sent: bytes) -> None:
        """That these are the sender's bytes. Raises `NotSigned`."""
        try:
            self._verified.check_body(hashlib.sha256(sent).digest())
        except SignatureRefused as error:
            raise NotSigned from error


def check_author(batch: Batch, body_sha256: bytes, root: bytes) -> Author:
    """Who signed the batch: its collector. Raises `NotSigned`.

    1. The tenant's root granted a key to the collector of this name.
    2. That key signed the call, before the grant ended.
    3. The call is this batch's: its id, stream and number, scope, digest, and, if the body is not
       plain, intake hour and sealed body. A plain one was sealed as it came, to no other hour.
    """
    try:
        call = SignedCall.parse(bytes(batch.signed or b""))
        # 1.
        grant = grant_of(batch.collector, root)
        # 2.
        verified = call.verify(grant.key)
        signed_at = datetime.fromtimestamp(verified.created_unix_seconds, UTC)
        # 3.
        verified.check_body(bytes(batch.body_sha256))
        if (plain := Plain.of(verified.covered)) is None:
            verified.check_body(body_sha256)
        label = Label.parse(verified.covered, batch.intake_hour if plain else None)
    except (StatementError, NotGranted, SignatureRefused, BatchError, ValueError) as error:
        raise NotSigned from error
    if signed_at >= grant.not_after or label != Label.of(batch):
        raise NotSigned
    if plain and abs(batch.intake_hour - hour_start(signed_at)) > HOUR:
        raise NotSigned
    return Author(signed_at, plain, verified)
