"""A plain body: of a sender that cannot seal. Web seals it, as it came, before it touches a disk.

Web reads nothing of it. The sender's signature covers these very bytes, their media type and their
encoding; the sealer opens what web sealed and holds it against that signature, so whoever changes a
byte on the way, web included, is found out (`inbox.authorship`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import zstandard

from icrstore.inbox.models import IntakeKey
from icrstore.seal.epoch import hour_start
from icrstore.seal.intake import batch_info
from icrstore.warrant import machines
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.strict import StatementError
from icrstore.wire import hpke

# What a sender may write, by the reader's name (`flow.readers`).
FORMATS = {
    "application/x-ndjson": "ndjson",
    "text/csv": "csv",
    "application/vnd.apache.arrow.stream": "arrow",
}
ENCODINGS = ("gzip", "zstd")
# Bytes as they are sent, and once they are inflated.
MAX_PLAIN_BYTES, MAX_INFLATED_BYTES = 64 << 20, 512 << 20


class NoIntakeKey(Exception):
    """No sealer host that is trusted has published this hour's key."""


@dataclass(frozen=True)
class Plain:
    """How a plain body is written: a format of the readers, and an encoding or none."""

    format: str
    encoding: str | None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Plain | None":
        """By the signed headers, in lower case; None if the body is not plain."""
        media_type = headers.get("content-type", "").split(";")[0].strip().lower()
        if media_type not in FORMATS:
            return None
        return cls(FORMATS[media_type], headers.get("content-encoding"))


def seal_plain(
    content: bytes | bytearray, plain: Plain, tenant: str, collector: str, batch_id: bytes,
    key: bytes,
) -> bytes:  # fmt: skip
    """To an intake key, in one zstd frame where the sender compressed nothing."""
    held = content if plain.encoding else zstandard.ZstdCompressor(level=1).compress(content)
    return hpke.seal(key, batch_info(tenant, collector, batch_id), bytes(held))


def intake_key(sealer_key: bytes, now: datetime) -> tuple[datetime, bytes]:
    """This hour, and the key that a sealer host signed for it. Raises `NoIntakeKey`.

    The table is believed no more here than by a collector: who writes another key into it would
    read what web seals.
    """
    hour = hour_start(now)
    row = IntakeKey.objects.filter(hour=hour).first()
    if row is None:
        raise NoIntakeKey
    try:
        envelope = Envelope.parse(bytes(row.envelope), "intake-key")
        envelope.verify(sealer_key)
        made = machines.IntakeKey.parse(envelope)
    except StatementError as error:
        raise NoIntakeKey from error
    if made.hour != hour:
        raise NoIntakeKey
    return hour, made.key
