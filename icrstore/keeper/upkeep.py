"""What a keeper does by itself, at start and once a day: its chain moves on, new days get keys."""

from datetime import timedelta

from icrstore.keeper import queries
from icrstore.keeper.days import top_up
from icrstore.keeper.keeper import Call, Keeper

# A clock further than this from the last leaf may be wrong, and a link once gone is gone for good.
TRUSTED_AHEAD = timedelta(hours=26)


def keep_up(keeper: Keeper) -> None:
    """Move the chain to today and top up every tenant's days; safe to call at any time."""
    with keeper.write() as call:
        _advance_chain(call)
        for tenant in queries.tenants(call.tx):
            top_up(call.tx, tenant.name, keeper.chain(), call.now.date())


def _advance_chain(call: Call) -> None:
    trusted = queries.last_leaf_at(call.tx) + int(TRUSTED_AHEAD.total_seconds())
    ahead = timedelta(seconds=max(call.unix_seconds - trusted, 0))
    today, chain = (call.now - ahead).date(), call.keeper.chain()
    if today > chain.day:
        # From here days that expired before today cannot be opened by anyone.
        chain.advance(today).save(call.keeper.folder)
