"""Expiry: a question that nobody released within 15 minutes of its commit ends, and stays ended.

Each keeper ends it by itself, at its minute's upkeep or as soon as somebody asks for more, and
logs as many `expired` leaves as its commit has. Nothing was lent for it, so from there on it counts
in no budget. After a recovery the log may say already how a question ended, in leaves without text:
then nothing more is said of it, and it counts.
"""

from datetime import timedelta

from icrstore.keeper import queries, salvage
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.ledger import Draft
from icrstore.keeper.queries import RequestRow

FIRST_RELEASE_LIFE = timedelta(minutes=15)


def expire(keeper: Keeper, tenant: str) -> int:
    """End a tenant's questions that are too late; how many. Each ends once."""
    with keeper.write() as call:
        late = [
            row
            for row in queries.committed_before(call.tx, tenant, _first_in_time(call))
            if not salvage.may_have_ended(call.tx, tenant, row.commit_leaf)
        ]
        for row in late:
            _end(call, row)
        return len(late)


def has_ended(call: Call, row: RequestRow) -> bool:
    """Whether this question has ended; it does now if it is too late.

    A refusal that is raised inside the transaction would take the end back: raise it after.
    """
    if row.state == "committed" and row.committed_at < _first_in_time(call):
        if not salvage.may_have_ended(call.tx, row.tenant, row.commit_leaf):
            _end(call, row)
        return True
    return row.state == "expired"


def _first_in_time(call: Call) -> int:
    return call.unix_seconds - int(FIRST_RELEASE_LIFE.total_seconds())


def _end(call: Call, row: RequestRow) -> None:
    """From here it is released no more: the leaves and the state are one transaction.

    One leaf for each of the commit's, so that whoever sees only public lines can count them.
    """
    told = {"request_sha256": row.sha256.hex(), "warrant_sha256": row.warrant_sha256.hex()}
    ledger = call.ledger(row.tenant)
    for _ in range(row.selectors):
        ledger.append(Draft("expired", told), call.now)
    queries.mark_expired(call.tx, row.sha256)
