"""Intake keys: the hourly key pairs to which collectors seal batches until a sealer opens them.

One chain runs forward by the hour, ``k[t+1] = P(k[t], "intake")``. Whoever holds a link can make
every later key pair and no earlier one, so removing old links shreds what was sealed to them.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from icrstore.seal.encode import enc, prf, text, u8
from icrstore.seal.epoch import hour_start
from icrstore.wire import hpke

_START = datetime(1970, 1, 1, tzinfo=UTC)


class IntakeKeyGone(Exception):
    """The link of that hour has been removed: fetch the current intake key and seal again."""


@dataclass(frozen=True)
class IntakeChain:
    """The oldest link still held: ``number`` counts UTC hours since 1970."""

    number: int
    link: bytes

    def advance(self, number: int) -> "IntakeChain":
        """The chain from hour ``number`` on. Raises `IntakeKeyGone` for an hour before it."""
        if number < self.number:
            raise IntakeKeyGone("the intake key of that hour is gone")
        link = self.link
        for _ in range(number - self.number):
            link = prf(link, "intake")
        return IntakeChain(number, link)

    def key_pair(self, number: int) -> hpke.PrivateKey:
        """The HPKE key pair of hour ``number``: ML-KEM seed (64 bytes), then X25519 (32)."""
        link = self.advance(number).link
        stream = b"".join(
            hmac.digest(link, enc(b"icr/v1/intake-pair", u8(part)), "sha512") for part in (0, 1)
        )
        return hpke.PrivateKey(stream[:96])


def hour_number(moment: datetime) -> int:
    return int((hour_start(moment) - _START) / timedelta(hours=1))


def hour_of(number: int) -> datetime:
    return _START + timedelta(hours=number)


def batch_info(tenant: str, collector: str, batch_id: bytes) -> bytes:
    """The HPKE info of a sealed batch: it opens only as this collector's batch."""
    return enc(b"icr/v1/batch", text(tenant), text(collector), batch_id)


def batch_id(collector_secret: bytes, arrow_sha256: bytes) -> bytes:
    """``P(collector secret, "batch", SHA-256(Arrow bytes))[:16]``: same file, same batches."""
    return prf(collector_secret, "batch", arrow_sha256)[:16]
