"""Which batches came around some hours, stream by stream, as the database and their receipts tell.

Nothing here grows with what is kept: a stream's ends around the hours are found by index, and what
lies between them is as much as came then. That is read page by page: a year of a busy stream is
half a million batches with two receipts each, which is more than an engine may hold.

All is to be read within a transaction that sees the tenant's rows (`of_tenant`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from icrstore.warrant.statements import HourRange
from icrstore.warrant.strict import StatementError

# So many batches after a silence tell of a gap of 16 days, in pieces of 50 hours, even if the first
# holds records already. The next one shows whether they are there.
AFTER_SILENCE = 9
_MOST_SEQUENCE = (1 << 63) - 1

_ROW = """b.sequence, b.batch_id, b.first_hour, b.last_hour, b.accepted_at, b.receipt,
       b.sealed_receipt"""
# Of each stream the numbers of the batches that came while records of these hours may have been
# pushed, and of those that came last before and first after, so that a gap at either end shows. One
# that came after others with higher numbers is looked at with the one of the number before it. What
# came after and has older records may have come again: only one without any is an end.
# Each stream is found by the one before it, and its ends by their times, one probe each: nothing
# here grows with what is kept. Two indexes serve it: batch_sequence_once and batch_came.
_NEAR = """
WITH RECURSIVE streams AS (
    (SELECT collector_id, stream FROM inbox_batch WHERE tenant_id = %(tenant)s
     ORDER BY collector_id, stream LIMIT 1)
    UNION ALL
    SELECT next.* FROM streams AS s CROSS JOIN LATERAL (
        SELECT collector_id, stream FROM inbox_batch
        WHERE tenant_id = %(tenant)s AND (collector_id, stream) > (s.collector_id, s.stream)
        ORDER BY collector_id, stream LIMIT 1) AS next
)
SELECT s.collector_id, c.name, s.stream,
       CASE WHEN e.before IS NULL THEN 0
            WHEN least(e.lowest, e.after) < e.before THEN coalesce((
                SELECT max(sequence) FROM inbox_batch
                WHERE tenant_id = %(tenant)s AND collector_id = s.collector_id
                  AND stream = s.stream AND sequence < least(e.lowest, e.after)), 0)
            ELSE e.before END,
       CASE WHEN e.after IS NULL THEN %(most)s
            ELSE greatest(e.after + %(after_silence)s, e.highest, e.before) END
FROM streams AS s JOIN accounts_collector AS c ON c.id = s.collector_id
CROSS JOIN LATERAL (
    SELECT (SELECT sequence FROM inbox_batch
            WHERE tenant_id = %(tenant)s AND collector_id = s.collector_id
              AND stream = s.stream AND accepted_at < %(first)s
            ORDER BY accepted_at DESC, sequence DESC LIMIT 1) AS before,
           (SELECT sequence FROM inbox_batch
            WHERE tenant_id = %(tenant)s AND collector_id = s.collector_id
              AND stream = s.stream AND accepted_at > %(last)s AND first_hour > %(last)s
            ORDER BY accepted_at, sequence LIMIT 1) AS after,
           min(sequence) AS lowest, max(sequence) AS highest
    FROM inbox_batch
    WHERE tenant_id = %(tenant)s AND collector_id = s.collector_id AND stream = s.stream
      AND accepted_at BETWEEN %(first)s AND %(last)s) AS e
WHERE %(collector)s::text IS NULL OR c.name = %(collector)s
ORDER BY c.name, s.stream
"""
# A page of the batches of one stream with these numbers. Asked apart: joined to the above,
# PostgreSQL looks at every batch of the collector.
_PAGE = 500
_NUMBERED = f"""
SELECT %(name)s, b.stream, {_ROW} FROM inbox_batch AS b
WHERE b.tenant_id = %(tenant)s AND b.collector_id = %(collector)s AND b.stream = %(stream)s
  AND b.sequence BETWEEN %(lowest)s AND %(highest)s ORDER BY b.sequence LIMIT %(page)s
"""  # noqa: S608 - the columns are constants of ours
# What came later than that and, as its row has it, reaches these hours with a gap or unsealed. Two
# partial indexes serve it, batch_tells_of_gaps and batch_unacknowledged: with an OR, PostgreSQL
# would look at whatever came since.
_LATE = f"""
SELECT c.name, b.stream, {_ROW}
FROM inbox_batch AS b JOIN accounts_collector AS c ON c.id = b.collector_id
WHERE b.tenant_id = %(tenant)s AND b.id IN (
    SELECT id FROM inbox_batch
    WHERE tenant_id = %(tenant)s AND accepted_at > %(until)s
      AND first_hour <= %(last)s AND last_hour >= %(first)s AND NOT gaps = '[]'
    UNION ALL
    SELECT id FROM inbox_batch
    WHERE tenant_id = %(tenant)s AND accepted_at > %(until)s
      AND first_hour <= %(last)s AND last_hour >= %(first)s AND sealed_receipt IS NULL)
"""  # noqa: S608 - the columns are constants of ours


@dataclass(frozen=True)
class Window:
    """When batches came that may hold records of the hours asked. By a ``backfill`` they may hold
    its hours, and only its ``collector``'s are looked at; else those of the time they came."""

    first: datetime
    last: datetime
    collector: str | None = None
    backfill: HourRange | None = None


class Row(NamedTuple):
    """A batch as the database tells it."""

    collector: str
    stream: str
    sequence: int
    batch_id: bytes
    first_hour: datetime
    last_hour: datetime
    accepted_at: datetime
    receipt: bytes
    sealed_receipt: bytes | None

    @property
    def name(self) -> str:
        return f"batch {self.sequence} of collector {self.collector} (stream {self.stream})"

    def said(self, tenant: str, encoded: bytes | None, keys: Iterable[bytes]) -> Receipt | None:
        """What a receipt of this very batch says that one of the keys signed."""
        try:
            envelope = Envelope.parse(bytes(encoded or b""), "receipt")
            receipt = Receipt.parse(envelope)
        except StatementError:
            return None
        about = (receipt.tenant, receipt.collector, receipt.batch_id)
        number = (receipt.stream, receipt.sequence)
        if about != (tenant, self.collector, self.batch_id):
            return None
        if number != (self.stream, self.sequence) or not _is_signed(envelope, keys):
            return None
        return receipt


def near(tenant: str, window: Window) -> Iterator[Iterator[Row]]:
    """Stream by stream, each in the order of its numbers."""
    with connection.cursor() as cursor:
        cursor.execute(_NEAR, {
            "tenant": tenant, "collector": window.collector, "first": window.first,
            "last": window.last, "after_silence": AFTER_SILENCE, "most": _MOST_SEQUENCE,
        })  # fmt: skip
        streams = cursor.fetchall()
    for collector, name, stream, lowest, highest in streams:
        asked = {"tenant": tenant, "collector": collector, "name": name, "stream": stream}
        yield _numbered(asked, lowest, highest)


def _numbered(stream: Mapping[str, Any], lowest: int, highest: int) -> Iterator[Row]:
    count = _PAGE
    while count == _PAGE:
        count = 0
        for row in _rows(_NUMBERED, **stream, lowest=lowest, highest=highest, page=_PAGE):
            count, lowest = count + 1, row.sequence + 1
            yield row


def late(tenant: str, first: datetime, last: datetime, until: datetime) -> list[Row]:
    """What came after ``until`` and, as its row has it, reaches these hours."""
    return _rows(_LATE, tenant=tenant, first=first, last=last, until=until)


def _rows(query: str, **values: Any) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return [_row(found) for found in cursor.fetchall()]


def _row(values: Sequence[Any]) -> Row:
    row = Row(*values)
    return row._replace(batch_id=bytes(row.batch_id))


def _is_signed(envelope: Envelope, keys: Iterable[bytes]) -> bool:
    for key in keys:
        with suppress(StatementError):
            envelope.verify(key)
            return True
    return False
