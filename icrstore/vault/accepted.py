"""What was accepted and is not proven sealed, so that no answer takes it for included, and what
collectors told is missing.

Nobody is believed for what the rows say: a batch is accepted, with its number, hours and time, by
web's signed receipt, and sealed by a sealer host's. Numbers of a stream that no receipt has are
batches that came and are gone: they may hold records of every hour between their neighbours.

A gap stands in the sealed receipt of the batch that told of it. Most are told within two days.
Those told later are looked for by what the rows say of their hours, and right after a silence of a
stream by their numbers: a collector that comes back tells then what it missed.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from accounts.policies import policies_of, read_backfill
from accounts.tenancy import of_tenant
from icrstore.flow.validate import NEWEST, OLDEST
from icrstore.inbox.gaps import SET_ASIDE
from icrstore.seal.epoch import HOUR, first_living, hour_start
from icrstore.vault.streams import AFTER_SILENCE, Row, Window, late, near
from icrstore.warrant.backfill import LONGEST
from icrstore.warrant.gaps import Gap
from icrstore.warrant.machines import Receipt
from icrstore.warrant.statements import HourRange
from icrstore.warrant.strict import time_text
from icrstore.warrant.trust import Trust

_EVER, _NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
# From signing a push until its body is here, at most.
_PUSHED_LATE = timedelta(hours=4)


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


def unsealed(
    tenant: str, first: datetime, last: datetime, trust: Trust, now: datetime
) -> list[Unsealed]:
    """What may hold records of the hours from ``first`` to ``last`` and is not proven sealed.

    The oldest first. Batches of days that have expired are forgotten: none of what came so long ago
    is missed.
    """
    until = last + OLDEST + _PUSHED_LATE
    windows = [Window(first - HOUR, until), *_backfills(tenant, first, last)]
    kept_since = first_living(now) + OLDEST + _PUSHED_LATE
    with of_tenant(tenant):
        found = {one for window in windows for one in _of_window(tenant, window, trust, kept_since)}
        for row in late(tenant, first, last, until):
            found.update(_of_row(tenant, row, trust)[1])
    return sorted(one for one in found if one.first <= last and first <= one.last)


def _backfills(tenant: str, first: datetime, last: datetime) -> Iterator[Window]:
    """What may have come by each backfill of any of these hours, from its being loaded to its end.

    No signature is checked: one that somebody made up has more looked at, and lets nothing in.
    """
    for row in policies_of(tenant, "backfill"):
        made = read_backfill(row)
        if made and made.hours.first <= last and first < made.hours.end:
            yield Window(made.valid_to - LONGEST, made.valid_to, made.collector, made.hours)


def _of_window(
    tenant: str, window: Window, trust: Trust, kept_since: datetime
) -> Iterator[Unsealed]:
    for rows in near(tenant, window):
        yield from _of_stream(tenant, rows, trust, window, kept_since)


def _of_stream(
    tenant: str, rows: Iterable[Row], trust: Trust, window: Window, kept_since: datetime
) -> Iterator[Unsealed]:
    # The last that a receipt vouches for: no more of what was read is kept.
    known: deque[Row] = deque(maxlen=2 * AFTER_SILENCE - 1)
    for row in rows:
        is_known, found = _of_row(tenant, row, trust)
        yield from found
        yield from _misdated(tenant, row, trust, window)
        if is_known:
            yield from _gap(tenant, known, row, trust, window, kept_since)
            known.append(row)


def _of_row(tenant: str, row: Row, trust: Trust) -> tuple[bool, list[Unsealed]]:
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


def _told(row: Row, sealed: Receipt) -> list[Unsealed]:
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


def _gap(
    tenant: str, known: Sequence[Row], after: Row, trust: Trust, window: Window,
    kept_since: datetime,
) -> Iterator[Unsealed]:  # fmt: skip
    """Numbers that nobody has between the last known batch and this, or before a stream's first.

    What is missing came between its neighbours, with records from `OLDEST` before to `NEWEST`
    after, or a backfill's. One that was lost and pushed again came later than those after it, and
    maybe its neighbours too: it was made after what the records before it tell. One of the first
    after a silence may have told of all of it.
    """
    number = known[-1].sequence if known else 0
    if after.sequence <= number + 1:
        return
    until = _came(after, tenant, trust) or _NEVER
    if until > max(kept_since, window.first):
        since = (_came(known[-1], tenant, trust) if known else None) or _EVER
        earlier = list(known)[: max(1, len(known) + 1 - AFTER_SILENCE)]
        began = _began(earlier, tenant, trust)
        hours = window.backfill or _hours_of(min(began, since, until), until)
        yield Unsealed(since, hours.first, hours.end - HOUR, _missing(after, number + 1))


def _began(rows: Sequence[Row], tenant: str, trust: Trust) -> datetime:
    """When at the earliest what follows these batches was first pushed, by their receipts."""
    receipts = [made for row in rows if (made := _accepted(row, tenant, trust))]
    if not receipts:
        return _EVER
    # Web takes no batch of an hour that is more than one ahead, however often it is pushed again.
    return min(receipts[-1].at, max(each.first_hour for each in receipts) - HOUR)


def _hours_of(since: datetime, until: datetime) -> HourRange:
    """Of which hours a batch may be that came in that time."""
    first = hour_start(max(since, _EVER + OLDEST) - OLDEST)
    return HourRange(first, hour_start(until + NEWEST) + HOUR)


def _missing(after: Row, first: int) -> str:
    last = after.sequence - 1
    numbers = f"batch {first}" if first == last else f"batches {first} to {last}"
    return f"{numbers} of collector {after.collector} (stream {after.stream}): missing"


def _misdated(tenant: str, row: Row, trust: Trust, window: Window) -> Iterator[Unsealed]:
    """A row that came long before or after says that nothing beyond it matters: it must be true
    that it came then, and of which hours it is."""
    if window.first <= row.accepted_at <= window.last:
        return
    made = _accepted(row, tenant, trust)
    if not made or (made.at, made.first_hour) != (row.accepted_at, row.first_hour):
        what = f"{row.name}: no receipt says when it came"
        yield Unsealed(row.accepted_at, _EVER, _NEVER, what)


def _came(row: Row, tenant: str, trust: Trust) -> datetime | None:
    """When web accepted it, by its receipt."""
    receipt = _accepted(row, tenant, trust)
    return receipt.at if receipt else None


def _accepted(row: Row, tenant: str, trust: Trust) -> Receipt | None:
    return row.said(tenant, row.receipt, [trust.receipt_key])
