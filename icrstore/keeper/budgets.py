"""Budgets: how many questions a warrant is good for, and how many an officer and an authority may
put in a UTC day.

An officer is an investigator by the holder's name in the authority's grants, so that a second key
is no second budget. What ended unreleased is given back (`expiry`). The store has one writer, so no
two questions see the same count.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from icrstore.keeper import queries, salvage
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.ledger import Draft
from icrstore.keeper.queries import Asker
from icrstore.seal.encode import enc, text
from icrstore.warrant.statements import Grant, Warrant

# Questions a day, of each officer and each authority, until a keeper's owner pins another number.
A_DAY = {"officer": 200, "authority": 2_000}


def askers(day: str, warrant: Warrant, signed_by: Iterable[Grant]) -> list[Asker]:
    """In whose budgets a question of a day counts: every officer's who signed, the authority's."""
    authority = text(warrant.authority)
    officers = dict.fromkeys(enc(authority, text(grant.holder)) for grant in signed_by)
    return [*(Asker("officer", name, day) for name in officers), Asker("authority", authority, day)]


def check_budgets(
    call: Call, tenant: str, warrant_sha256: bytes, warrant: Warrant, by: Sequence[Asker]
) -> None:
    """Raises Refused(budget-spent, officer-budget-spent, authority-budget-spent)."""
    if queries.requests_under(call.tx, tenant, warrant_sha256) >= warrant.max_requests:
        raise Refused("budget-spent")
    allowed = {**A_DAY, **queries.budgets(call.tx, tenant)}
    for asker in by:
        # After a recovery: whose these were nobody knows, so they count as everyone's.
        unknown = salvage.lost_commits(call.tx, tenant, asker.day)
        if unknown + queries.requests_by(call.tx, tenant, asker) >= allowed[asker.kind]:
            raise Refused(f"{asker.kind}-budget-spent")


def pin_budget(keeper: Keeper, kind: str, tenant: str, most: int, replace: bool) -> None:
    """Pin how many questions a day each of a kind may put. Raises Refused(already-pinned)."""
    with keeper.write() as call:
        queries.tenant(call.tx, tenant)
        before = queries.budgets(call.tx, tenant).get(kind)
        if before == most:
            return
        if before is not None and not replace:
            raise Refused("already-pinned")
        queries.set_budget(call.tx, tenant, kind, most)
        call.ledger(tenant).append(Draft("pin", told_of_budget(kind, most)), call.now)


def told_of_budget(kind: str, most: int) -> dict[str, Any]:
    return {"pin": "budget", "kind": kind, "a_day": most}
