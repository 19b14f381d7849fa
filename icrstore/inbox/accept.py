"""Accepting a batch: its sealed body into PostgreSQL, and only then a signed receipt."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import IntegrityError, connection

from accounts.claims import FREE
from accounts.exchange import Statement, exchange
from accounts.models import Collector
from accounts.tenancy import of_tenant
from icrstore.inbox import limits
from icrstore.inbox.models import MOST_TRIES, Batch
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from icrstore.wire import hpke

MAX_BODY_BYTES = 64 << 20
MAX_SCOPE = timedelta(hours=49)
# How much of a body shows whether it was sealed, and how zstd and gzip begin.
_SAMPLE_BYTES = 4096
_COMPRESSED = (b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08")
# Bodies are sealed to the key of the hour in which they were pushed; a push may straddle hours.
INTAKE_LIFE = timedelta(hours=2)

_ID = re.compile(r'"([0-9a-f]{32})"', re.ASCII)
_SEQUENCE = re.compile(r'stream="([A-Za-z0-9._-]{1,64})", n=(0|[1-9][0-9]{0,14})', re.ASCII)
# Far from the ends of the calendar: hours are added to it.
_TIME = r'"(2\d{3}-\d\d-\d\dT\d\d:00:00Z)"'
_SCOPE = re.compile(rf"shard=(0|[1-9][0-9]{{0,4}}), first={_TIME}, last={_TIME}", re.ASCII)
_INTAKE = re.compile(rf"hour={_TIME}", re.ASCII)

_KNOWN = """
SELECT EXISTS (SELECT 1 FROM inbox_batch WHERE tenant_id = %(tenant)s
               AND collector_id = %(collector)s AND batch_id = %(batch)s),
       EXISTS (SELECT 1 FROM inbox_intakekey WHERE hour = %(hour)s)
"""

# In the order in which a claim locks, so that neither waits for the other.
_HURRY = f"""
WITH waiting AS (
    SELECT id FROM inbox_batch
    WHERE tenant_id = %(tenant)s AND state = 'accepted' AND NOT urgent AND tries < {MOST_TRIES}
      AND {FREE}
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE inbox_batch SET urgent = true FROM waiting WHERE inbox_batch.id = waiting.id
"""  # noqa: S608 - constants of ours

_FIELDS = [field for field in Batch._meta.concrete_fields if not field.primary_key]
_INSERT = f"""
INSERT INTO inbox_batch ({", ".join(f'"{field.attname}"' for field in _FIELDS)})
VALUES ({", ".join(f"%({field.attname})s" for field in _FIELDS)}) RETURNING id
"""  # noqa: S608 - names of ours


class BatchError(Exception):
    """A batch that cannot be taken. ``code`` is stable, ``place`` names the header or part."""

    def __init__(self, code: str, place: str, mend: str) -> None:
        super().__init__(f"{code}: {place}: {mend}")
        self.code, self.place, self.mend = code, place, mend


class IntakeKeyGone(BatchError):
    """The batch is sealed to an intake key that is no longer, or not yet, in use."""


class SequenceUsed(BatchError):
    """Another batch of this collector's stream has this sequence number."""


@dataclass(frozen=True)
class Label:
    """What a collector signs on the outside of a batch."""

    batch_id: bytes
    stream: str
    sequence: int
    shard: int
    first_hour: datetime
    last_hour: datetime
    intake_hour: datetime

    @classmethod
    def parse(cls, headers: Mapping[str, str], sealed_in: datetime | None = None) -> "Label":
        """From the signed headers, by lower-case name. Raises `BatchError` naming the header.

        ``sealed_in`` is the hour to whose intake key web sealed; else the collector says it.
        """
        (batch_id,) = _match(_ID, headers, "Idempotency-Key", '"32 hex digits"')
        stream, sequence = _match(_SEQUENCE, headers, "Batch-Sequence", 'stream="name", n=1')
        shard, first, last = _match(
            _SCOPE, headers, "Batch-Scope", 'shard=0, first="2026-01-31T00:00:00Z", last="..."'
        )
        made = cls(
            batch_id=bytes.fromhex(batch_id),
            stream=stream,
            sequence=int(sequence),
            shard=int(shard),
            first_hour=_hour(first, "Batch-Scope"),
            last_hour=_hour(last, "Batch-Scope"),
            intake_hour=sealed_in or _intake_hour(headers),
        )
        if not timedelta(0) <= made.last_hour - made.first_hour <= MAX_SCOPE:
            raise BatchError("bad-scope", "Batch-Scope", "at most 50 hours, first to last")
        return made

    @classmethod
    def of(cls, batch: Batch) -> "Label":
        """As its row has it."""
        return cls(
            batch_id=bytes(batch.batch_id),
            stream=batch.stream,
            sequence=batch.sequence,
            shard=batch.shard,
            first_hour=batch.first_hour,
            last_hour=batch.last_hour,
            intake_hour=batch.intake_hour,
        )

    def columns(self) -> dict[str, Any]:
        """What a batch's row and its receipts say of it alike."""
        return {
            "stream": self.stream,
            "sequence": self.sequence,
            "shard": self.shard,
            "first_hour": self.first_hour,
            "last_hour": self.last_hour,
        }


def accept(
    collector: Collector,
    label: Label,
    body: bytes | bytearray,
    body_sha256: bytes,
    signed: bytes,
    receipt_key: Ed25519PrivateKey,
    now: datetime,
) -> tuple[Batch, bool]:
    """The batch as held, and whether it is new. The caller has checked signature and digest;
    ``signed`` is what it checked (`inbox.authorship.SignedCall`), kept for the sealer to check. The
    digest is of the body as the collector sent it.

    Whoever sends an id again gets the first receipt, whatever the body. Returns only after the
    commit: from then on nothing can be lost. Raises `BatchError`, `TooMuch`.
    """
    try:
        with of_tenant(collector.tenant_id):
            _, ((is_held, has_key),), (waiting,), (handed_in,) = exchange(
                # The same batch may come by two calls at once: the second waits here.
                limits.lock(collector.tenant_id),
                _known(collector, label),
                *limits.count(collector, now),
            )
            if is_held:
                return _held(collector, label), False
            _check(collector, label, body, has_key, now)
            limits.check(collector, len(body), waiting, handed_in, now)
            batch = _batch(collector, label, body, body_sha256, signed, receipt_key, now)
            [[(batch.pk,)]] = exchange(_insert(batch))
    except IntegrityError as error:
        if "batch_sequence_once" not in str(error):
            raise
        raise SequenceUsed(
            "sequence-used", "Batch-Sequence", "give this batch the stream's next number"
        ) from error
    # From here the batch is durable: if we stop now the collector asks again and is told so.
    return batch, True


def _batch(
    collector: Collector,
    label: Label,
    body: bytes | bytearray,
    body_sha256: bytes,
    signed: bytes,
    receipt_key: Ed25519PrivateKey,
    now: datetime,
) -> Batch:
    """Its row, with the receipt that says so."""
    receipt = Receipt(
        state="accepted",
        tenant=collector.tenant_id,
        collector=collector.name,
        batch_id=label.batch_id,
        at=now,
        body_sha256=body_sha256,
        **label.columns(),
    )
    return Batch(
        tenant_id=collector.tenant_id,
        collector=collector,
        batch_id=label.batch_id,
        **label.columns(),
        intake_hour=label.intake_hour,
        body=body,
        signed=signed,
        body_bytes=len(body),
        body_sha256=body_sha256,
        accepted_at=now,
        receipt=Envelope.sign("receipt", receipt.to_fields(), receipt_key).encode(),
    )


def hurry(tenant: str) -> None:
    """Let what waits be sealed at once, not at its hour's end. What a sealer is at work on is being
    sealed already; one that only claims is awaited, since it locks more than it takes."""
    with of_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(_HURRY, {"tenant": tenant})


def _insert(batch: Batch) -> Statement:
    """Its row; the ORM's statement would be planned each time, with the whole body in the plan."""
    values = {
        field.attname: field.get_db_prep_save(getattr(batch, field.attname), connection)
        for field in _FIELDS
    }
    return _INSERT, values


def _known(collector: Collector, label: Label) -> Statement:
    """Whether the batch is here, and whether the key to which it is sealed is."""
    return _KNOWN, {
        "tenant": collector.tenant_id, "collector": collector.id, "batch": label.batch_id,
        "hour": label.intake_hour,
    }  # fmt: skip


def _held(collector: Collector, label: Label) -> Batch:
    return Batch.objects.defer("body").get(
        tenant=collector.tenant_id, collector=collector, batch_id=label.batch_id
    )


def _check(
    collector: Collector, label: Label, body: bytes | bytearray, has_key: bool, now: datetime
) -> None:
    if label.shard >= collector.tenant.shards:
        raise BatchError(
            "bad-scope", "Batch-Scope", f"shards are 0 to {collector.tenant.shards - 1}"
        )
    if label.first_hour > hour_start(now) + HOUR:
        raise BatchError("bad-scope", "Batch-Scope", "the hours lie in the future: set the clock")
    current = now - INTAKE_LIFE < label.intake_hour + HOUR and label.intake_hour <= now + HOUR
    if not current or not has_key:
        raise IntakeKeyGone(
            "intake-key-gone", "Intake-Key", "fetch /v1/intake-key, seal again, push again"
        )
    if len(body) <= hpke.OVERHEAD_BYTES:
        raise BatchError("bad-body", "body", "seal it to the intake key: it is too short")
    if _lies_open(body):
        raise BatchError("not-sealed", "body", "seal it to the intake key: it lies open")


def _lies_open(body: bytes | bytearray) -> bool:
    """Whether a collector forgot to seal: ciphertext begins like no file and does not compress.

    What is refused has touched no disk. A body that means to look sealed cannot be told.
    """
    start = body[:_SAMPLE_BYTES]
    return start.startswith(_COMPRESSED) or len(zlib.compress(start, 1)) < 0.9 * len(start)


def _intake_hour(headers: Mapping[str, str]) -> datetime:
    (hour,) = _match(_INTAKE, headers, "Intake-Key", 'hour="2026-01-31T00:00:00Z"')
    return _hour(hour, "Intake-Key")


def _match(pattern: re.Pattern[str], headers: Mapping[str, str], name: str,
           example: str) -> tuple[str, ...]:  # fmt: skip
    found = pattern.fullmatch(headers.get(name.lower(), ""))
    if found is None:
        raise BatchError("bad-header", name, f"write it as: {example}")
    return found.groups()


def _hour(text: str, header: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise BatchError("bad-header", header, "no such hour") from error
