"""The audit of batches: every row against the receipts that web and a sealer host signed of it.

An answer believes those receipts alone, and looks for them by what the rows say of their numbers,
hours and times. So a row that says something else is how a batch, or a gap, would be hidden.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from accounts.tenancy import of_tenant
from icrstore.inbox.models import Batch
from icrstore.vault.audit import Audit, Span
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from icrstore.warrant.strict import StatementError
from icrstore.warrant.trust import Trust


class _Row(NamedTuple):
    """A batch as the database tells it; what its receipts say alike begins with the collector."""

    tenant: str
    collector: str
    batch_id: bytes
    stream: str
    sequence: int
    shard: int
    first_hour: datetime
    last_hour: datetime
    accepted_at: datetime
    gaps: list[dict[str, Any]]
    receipt: bytes
    sealed_receipt: bytes | None


_COLUMNS = (
    "tenant", "collector__name", "batch_id", "stream", "sequence", "shard", "first_hour",
    "last_hour", "accepted_at", "gaps", "receipt", "sealed_receipt",
)  # fmt: skip
_ALIKE = len(("tenant", "collector", "batch_id", "stream", "sequence", "shard", "first", "last"))


def audit_batches(audit: Audit, tenant: str, span: Span, trust: Trust) -> None:
    """Every batch of a tenant that came within these hours, by its row."""
    came = Batch.objects.filter(
        tenant=tenant, accepted_at__gte=span.first, accepted_at__lt=span.end
    )
    with of_tenant(tenant):
        for values in came.order_by("id").values_list(*_COLUMNS).iterator():
            row = _Row(*values)
            audit.batches += 1
            for what in _of_batch(row._replace(batch_id=bytes(row.batch_id)), trust):
                audit.fault(f"{tenant} batch {row.sequence} of {row.collector}", what)


def _of_batch(row: _Row, trust: Trust) -> Iterator[str]:
    """What is wrong with a batch's row.

    1. Web signed that it accepted it, then, with this number and these hours.
    2. A receipt that it was sealed is a sealer host's, of the same.
    3. The gaps are those of that receipt.
    """
    # 1.
    accepted = _signed(bytes(row.receipt), [trust.receipt_key])
    if accepted is None:
        yield "no receipt of the inbox's key"
    elif _said(accepted) != row[:_ALIKE] or accepted.at != row.accepted_at:
        yield "its row says something else than its receipt"
    # 2.
    if row.sealed_receipt is None:
        return
    sealed = _signed(bytes(row.sealed_receipt), list(trust.sealers.values()))
    if sealed is None or _said(sealed) != row[:_ALIKE]:
        yield "its sealed receipt is no sealer host's, or of another batch"
        return
    # 3.
    if [gap.to_fields() for gap in sealed.gaps] != row.gaps:
        yield "its row tells of other gaps than its sealed receipt"


def _said(receipt: Receipt) -> tuple[Any, ...]:
    return (
        receipt.tenant, receipt.collector, receipt.batch_id, receipt.stream, receipt.sequence,
        receipt.shard, receipt.first_hour, receipt.last_hour,
    )  # fmt: skip


def _signed(encoded: bytes, keys: Sequence[bytes]) -> Receipt | None:
    with suppress(StatementError):
        envelope = Envelope.parse(encoded, "receipt")
        for key in keys:
            with suppress(StatementError):
                envelope.verify(key)
                return Receipt.parse(envelope)
    return None
