"""How a collector stands: what its spool holds, and since when the oldest of it waits."""

from datetime import datetime
from typing import Any

from icrstore.collector.journal import Journal
from icrstore.collector.spool import Spool

_STATES = ("waiting", "accepted", "too-old", "refused")


def spool_status(spool: Spool, most_bytes: int, journal: Journal, now: datetime) -> dict[str, Any]:
    """Counts and times, and the stable codes of what the store refused; nothing of a record."""
    rows = spool.run(
        "SELECT CASE WHEN refused IS NULL THEN state ELSE 'refused' END, count(*), sum(records),"
        " min(spooled_at) FILTER (WHERE state <> 'too-old') FROM batch"
        " WHERE state NOT IN ('sealed', 'split') GROUP BY 1"
    )
    states = {state: {"batches": 0, "records": 0} for state in _STATES}
    states |= {state: {"batches": n, "records": records} for state, n, records, _ in rows}
    oldest = min((at for *_, at in rows if at), default=None)
    waits = (now - datetime.fromisoformat(oldest)).total_seconds() if oldest else 0
    return {
        "bytes": spool.used_bytes(),
        "most_bytes": most_bytes,
        "held_records": journal.held_records(),
        "states": states,
        "oldest_waiting_seconds": round(max(0.0, waits)),
        "refused": dict(
            spool.run("SELECT refused, count(*) FROM batch WHERE refused IS NOT NULL GROUP BY 1")
        ),
        "too_old": _span(spool),
    }


def _span(spool: Spool) -> dict[str, str] | None:
    """From which hour to which one records wait for a backfill."""
    ((first, last),) = spool.run(
        "SELECT min(first_hour), max(last_hour) FROM batch WHERE state = 'too-old'"
    )
    return {"first_hour": first, "last_hour": last} if first else None
