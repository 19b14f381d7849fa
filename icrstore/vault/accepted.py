"""What was accepted and is not proven sealed, so that no answer takes it for included, and what
collectors told is missing.

Nobody is believed for what the rows say: a batch is accepted, with its number, hours and time, by
web's signed receipt, and sealed by a sealer host's. Numbers of a stream that no receipt has are
batches that came and are gone: they may hold records of every hour between their neighbours.

A gap stands in the sealed receipt of the batch that told of it. Most are told within two days.
Those told later are looked for by what the rows say of their hours, and right after a silence of a
stream by their numbers: a collector that comes back tells then what it missed.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from django.db import connection

from accounts.policies import policies_of, read_backfill
from accounts.tenancy import of_tenant
from icrstore.flow.validate import NEWEST, OLDEST
from icrstore.inbox.gaps import SET_ASIDE
from icrstore.seal.epoch import HOUR, first_living, hour_start
from icrstore.warrant.backfill import LONGEST
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.gaps import Gap
from icrstore.warrant.machines import Receipt
from icrstore.warrant.statements import HourRange
from icrstore.warrant.strict import StatementError, time_text
from icrstore.warrant.trust import Trust

_EVER, _NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
# From signing a push until its body is here, at most.
_PUSHED_LATE = timedelta(hours=4)
# So many batches after a silence tell of a gap of 16 days, in pieces of 50 hours. The next one
# shows whether they are there.
_AFTER_SILENCE = 8
_MOST_SEQUENCE = (1 << 63) - 1

_ROW = """b.sequence, b.batch_id, b.first_hour, b.last_hour, b.accepted_at, b.receipt,
       b.sealed_receipt"""
# Of each stream the numbers of the batches that came while records of these hours may have been
# pushed, and of those that came last before and first after, so that a gap at either end shows. One
# that came after others with higher numbers is looked at with the one of the number before it.
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
              AND stream = s.stream AND accepted_at > %(last)s
            ORDER BY accepted_at, sequence LIMIT 1) AS after,
           min(sequence) AS lowest, max(sequence) AS highest
    FROM inbox_batch
    WHERE tenant_id = %(tenant)s AND collector_id = s.collector_id AND stream = s.stream
      AND accepted_at BETWEEN %(first)s AND %(last)s) AS e
WHERE %(collector)s::text IS NULL OR c.name = %(collector)s
ORDER BY c.name, s.stream
"""
# The batches of one stream with these numbers. Asked apart: joined to the above, PostgreSQL looks
# at every batch of the collector.
_NUMBERED = f"""
SELECT %(name)s, b.stream, {_ROW} FROM inbox_batch AS b
WHERE b.tenant_id = %(tenant)s AND b.collector_id = %(collector)s AND b.stream = %(stream)s
  AND b.sequence BETWEEN %(lowest)s AND %(highest)s ORDER BY b.sequence
"""  # noqa: S608 - the columns are constants of ours
# What came later than that and, as its row has it, reaches these hours with a gap or unsealed. Two
# partial indexes serve it: batch_tells_of_gaps and batch_unacknowledged.
_LATE = f"""
SELECT c.name, b.stream, {_ROW}
FROM inbox_batch AS b JOIN accounts_collector AS c ON c.id = b.collector_id
WHERE b.tenant_id = %(tenant)s AND b.accepted_at > %(until)s
  AND b.first_hour <= %(last)s AND b.last_hour >= %(first)s
  AND (NOT b.gaps = '[]' OR b.sealed_receipt IS NULL)
"""  # noqa: S608 - the columns are constants of ours


@dataclass(frozen=True, order=True)
class Unsealed:
    """Records of these hours (first and last) that may be in no epoch: since when, and which.

    ``is_gap``: a collector told, then, that they are missing; nothing waits that could mend it.
    """

    since: datetime
    first: datetime
    last: datetime
    what: str
    is_gap: bool = False

    @property
    def why(self) -> str:
        return f"{self.what}, {'told' if self.is_gap else 'since'} {time_text(self.since)}"


@dataclass(frozen=True)
class _Window:
    """When batches came that may hold records of the hours asked. By a ``backfill`` they may hold
    its hours, and only its ``collector``'s are looked at; else those of the time they came."""

    first: datetime
    last: datetime
    collector: str | None = None
    backfill: HourRange | None = None


class _Row(NamedTuple):
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


def unsealed(
    tenant: str, first: datetime, last: datetime, trust: Trust, now: datetime
) -> list[Unsealed]:
    """What may hold records of the hours from ``first`` to ``last`` and is not proven sealed.

    The oldest first. Batches of days that have expired are forgotten: none of what came so long ago
    is missed.
    """
    until = last + OLDEST + _PUSHED_LATE
    windows = [_Window(first - HOUR, until), *_backfills(tenant, first, last)]
    kept_since = first_living(now) + OLDEST + _PUSHED_LATE
    found = {one for window in windows for one in _of_window(tenant, window, trust, kept_since)}
    for row in _rows(_LATE, tenant=tenant, first=first, last=last, until=until):
        found.update(_of_row(tenant, row, trust)[1])
    return sorted(one for one in found if one.first <= last and first <= one.last)


def _backfills(tenant: str, first: datetime, last: datetime) -> Iterator[_Window]:
    """What may have come by each backfill of any of these hours, from its being loaded to its end.

    No signature is checked: one that somebody made up has more looked at, and lets nothing in.
    """
    for row in policies_of(tenant, "backfill"):
        made = read_backfill(row)
        if made and made.hours.first <= last and first < made.hours.end:
            yield _Window(made.valid_to - LONGEST, made.valid_to, made.collector, made.hours)


def _of_window(
    tenant: str, window: _Window, trust: Trust, kept_since: datetime
) -> Iterator[Unsealed]:
    for rows in _near(tenant, window):
        yield from _of_stream(tenant, rows, trust, window, kept_since)
        yield from _misdated(tenant, rows, trust, window)


def _near(tenant: str, window: _Window) -> Iterator[list[_Row]]:
    """Stream by stream."""
    with of_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(_NEAR, {
            "tenant": tenant, "collector": window.collector, "first": window.first,
            "last": window.last, "after_silence": _AFTER_SILENCE, "most": _MOST_SEQUENCE,
        })  # fmt: skip
        streams = cursor.fetchall()
    for collector, name, stream, lowest, highest in streams:
        yield _rows(
            _NUMBERED,
            tenant=tenant,
            collector=collector,
            name=name,
            stream=stream,
            lowest=lowest,
            highest=highest,
        )


def _rows(query: str, tenant: str, **values: Any) -> list[_Row]:
    with of_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(query, {"tenant": tenant, **values})
        return [_row(found) for found in cursor.fetchall()]


def _row(values: Sequence[Any]) -> _Row:
    row = _Row(*values)
    return row._replace(batch_id=bytes(row.batch_id))


def _of_stream(
    tenant: str, rows: Sequence[_Row], trust: Trust, window: _Window, kept_since: datetime
) -> Iterator[Unsealed]:
    known: list[_Row] = []
    for row in rows:
        is_known, found = _of_row(tenant, row, trust)
        if is_known:
            known.append(row)
        yield from found
    yield from _gaps(tenant, known, trust, window, kept_since)


def _of_row(tenant: str, row: _Row, trust: Trust) -> tuple[bool, list[Unsealed]]:
    """Whether a receipt vouches for the batch, and what by its receipts is in no epoch."""
    sealed = row.said(tenant, row.sealed_receipt, trust.sealers.values())
    rejected = (sealed.rejected if sealed else None) or {}
    set_aside = [why for why in rejected if why in SET_ASIDE]
    if sealed and not set_aside:
        return True, _told(row, sealed)
    accepted = row.said(tenant, row.receipt, [trust.receipt_key])
    if accepted:
        hours = (accepted.first_hour, accepted.last_hour)
        return True, [Unsealed(accepted.at, *hours, f"{row.name}: {_state(set_aside)}")]
    if sealed:
        # What the sealer set aside was none.
        return False, []
    # It may be a true one that somebody altered.
    hours = (row.first_hour, row.last_hour)
    return False, [Unsealed(row.accepted_at, *hours, f"{row.name}: nobody vouches for it")]


def _told(row: _Row, sealed: Receipt) -> list[Unsealed]:
    """The gaps of which a batch told, those of the same hours and reason as one."""
    alike: dict[tuple[datetime, datetime, str], list[Gap]] = {}
    for gap in sealed.gaps:
        hours = hour_start(gap.first), hour_start(gap.last)
        alike.setdefault((*hours, gap.why), []).append(gap)
    return [
        Unsealed(sealed.at, first, last, _missing_at(row.collector, gaps), is_gap=True)
        for (first, last, _), gaps in alike.items()
    ]


def _missing_at(collector: str, gaps: Sequence[Gap]) -> str:
    first, last = min(gap.first for gap in gaps), max(gap.last for gap in gaps)
    span = f"from {time_text(first)} to {time_text(last)}"
    return f"records missing at collector {collector} {span} ({gaps[0].why})"


def _state(set_aside: Sequence[str]) -> str:
    return f"set aside ({set_aside[0]})" if set_aside else "not sealed"


def _gaps(
    tenant: str, known: Sequence[_Row], trust: Trust, window: _Window, kept_since: datetime
) -> Iterator[Unsealed]:
    """Numbers that nobody has between two that are known, or before a stream's first.

    What is missing came between its neighbours, with records from `OLDEST` before to `NEWEST`
    after, or a backfill's. One that was lost and pushed again came later than those after it, and
    one of the first after a silence may have told of all of it.
    """
    for place, (before, after) in enumerate(pairwise([None, *known])):
        number = before.sequence if before else 0
        if after is None or after.sequence <= number + 1:
            continue
        until = _came(after, tenant, trust) or _NEVER
        if until > max(kept_since, window.first):
            since = (_came(before, tenant, trust) if before else None) or _EVER
            earlier = known[max(0, place - _AFTER_SILENCE)] if before else None
            began = (_came(earlier, tenant, trust) if earlier else None) or _EVER
            hours = window.backfill or _hours_of(min(began, since, until), until)
            yield Unsealed(since, hours.first, hours.end - HOUR, _missing(after, number + 1))


def _hours_of(since: datetime, until: datetime) -> HourRange:
    """Of which hours a batch may be that came in that time."""
    first = hour_start(max(since, _EVER + OLDEST) - OLDEST)
    return HourRange(first, hour_start(until + NEWEST) + HOUR)


def _missing(after: _Row, first: int) -> str:
    last = after.sequence - 1
    numbers = f"batch {first}" if first == last else f"batches {first} to {last}"
    return f"{numbers} of collector {after.collector} (stream {after.stream}): missing"


def _misdated(
    tenant: str, rows: Sequence[_Row], trust: Trust, window: _Window
) -> Iterator[Unsealed]:
    """A row that came long before or after says that nothing beyond it matters: it must be true
    that it came then."""
    for row in rows:
        is_far = not window.first <= row.accepted_at <= window.last
        if is_far and _came(row, tenant, trust) != row.accepted_at:
            what = f"{row.name}: no receipt says when it came"
            yield Unsealed(row.accepted_at, _EVER, _NEVER, what)


def _came(row: _Row, tenant: str, trust: Trust) -> datetime | None:
    """When web accepted it, by its receipt."""
    receipt = row.said(tenant, row.receipt, [trust.receipt_key])
    return receipt.at if receipt else None


def _is_signed(envelope: Envelope, keys: Iterable[bytes]) -> bool:
    for key in keys:
        with suppress(StatementError):
            envelope.verify(key)
            return True
    return False
