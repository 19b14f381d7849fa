"""What a keeper does by itself, at start and every few minutes: its chain moves on, days that have
expired are destroyed and certified, new days get keys, and questions that are too late end.

Safe to call at any time and to be killed in. While the clock is doubtful nothing is destroyed.
"""

from icrstore.keeper import queries
from icrstore.keeper.days import top_up
from icrstore.keeper.expiry import expire
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.shred import shred


def keep_up(keeper: Keeper) -> None:
    """Move the chain to today, top up every tenant's days, destroy those that have expired, and
    end the questions that nobody released in time."""
    with keeper.write() as call:
        if call.is_clock_trusted:
            _advance_chain(call)
        tenants = queries.tenants(call.tx)
        for tenant in tenants:
            top_up(call.tx, tenant.name, keeper.chain(), call.now.date())
    for tenant in tenants:
        shred(keeper, tenant.name)
        expire(keeper, tenant.name)


def _advance_chain(call: Call) -> None:
    today, chain = call.now.date(), call.keeper.chain()
    if today > chain.day:
        # From here days that expired before today cannot be opened by anyone.
        chain.advance(today).save(call.keeper.folder)
