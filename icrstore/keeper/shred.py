"""Shredding: an expired day's keys and atoms are destroyed, and a leaf certifies it.

The leaf is the *shredding certificate*. It is true when it is written, and stays so: before it the
chain has moved to where no key of the day can be computed (`keys.Chain`), whatever was copied of
this store. What was sealed to the day, here and in every backup of the database, is noise.
"""

from datetime import date, timedelta
from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.ledger import Draft, Ledger
from icrstore.seal.epoch import LIFE_DAYS

MOST_AT_ONCE = 100


def shred(keeper: Keeper, tenant: str) -> int:
    """Destroy a tenant's expired days; how many. Each is certified once, however often this runs.

    Keys, atoms and certificate are one transaction. A day counts as expired by the chain, and not
    by the clock: what is certified is what the chain cannot open any more.
    """
    with keeper.write() as call:
        if not call.is_clock_trusted:
            return 0
        first_living = keeper.chain().day - timedelta(days=LIFE_DAYS)
        expired = queries.days_before(call.tx, tenant, first_living.isoformat())
        ledger = call.ledger(tenant)
        for day in expired:
            _destroy(call, ledger, tenant, day)
        return len(expired)


def certificates(keeper: Keeper, tenant: str, after: str) -> dict[str, Any]:
    """The certificates of the days after this one, at most MOST_AT_ONCE, oldest first, with proofs.

    For whoever reaches this keeper, as its key schedule is. Raises Refused(unknown-tenant,
    malformed).
    """
    try:
        day = date.fromisoformat(after).isoformat()
    except ValueError:
        raise Refused("malformed", 400) from None
    with keeper.store.read() as tx:
        ledger = Ledger(tx, keeper.identity, queries.tenant(tx, tenant))
        numbers = queries.shreds_after(tx, tenant, day, MOST_AT_ONCE)
        return ledger.answer([leaf for number in numbers for leaf in ledger.leaves(number, 1)])


def _destroy(call: Call, ledger: Ledger, tenant: str, day: str) -> None:
    epochs = queries.destroy_day(call.tx, tenant, day)
    leaf = ledger.append(Draft("shred", {"day": day, "epochs": epochs}), call.now)
    queries.add_shred(call.tx, tenant, day, leaf.index)
