"""Collectors' clocks, measured at each batch: when its collector signed, and when web took it.

Both times are signed, the first by the collector with its call and the second in web's receipt, and
kept with the batch. Between them lies the time that the body took to come.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from accounts.models import Collector
from accounts.tenancy import of_tenant
from icrstore.inbox.authorship import SignedCall
from icrstore.inbox.models import Batch
from icrstore.warrant.strict import StatementError

# So many of the last batches are looked at.
LAST = 100

_CREATED = re.compile(r";created=(\d{1,10})\b", re.ASCII)


@dataclass(frozen=True)
class Clock:
    """How far a collector's clock was ahead of web's (behind: negative) at its last batch, and at
    that of the last `LAST` where it was off the most."""

    collector: str
    measured_at: datetime
    ahead: timedelta
    worst: timedelta


def clocks(tenant: str) -> list[Clock]:
    """Of every collector that has handed in a batch, by name."""
    with of_tenant(tenant):
        collectors = list(Collector.objects.filter(tenant_id=tenant).order_by("name"))
        return [clock for clock in map(_clock, collectors) if clock]


def _clock(collector: Collector) -> Clock | None:
    batches = Batch.objects.filter(tenant=collector.tenant_id, collector=collector)
    last = batches.order_by("-accepted_at").values_list("accepted_at", "signed")[:LAST]
    ahead = [(at, made - at) for at, signed in last if (made := _signed_at(signed))]
    if not ahead:
        return None
    worst = max((by for _, by in ahead), key=abs)
    return Clock(collector.name, *ahead[0], worst)


def _signed_at(signed: bytes | memoryview | None) -> datetime | None:
    try:
        written = SignedCall.parse(bytes(signed or b"")).headers["signature-input"]
    except (StatementError, KeyError):
        return None
    found = _CREATED.search(written)
    return datetime.fromtimestamp(int(found[1]), UTC) if found else None
