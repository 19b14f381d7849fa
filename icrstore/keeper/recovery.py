"""What brings a keeper's clock back into trust: a person's word, or the peer's cosignature."""

from datetime import UTC, datetime
from typing import Any

from icrstore.keeper import clock, queries
from icrstore.keeper.errors import Refused
from icrstore.keeper.evidence import EvidenceError, check_cosigned
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.ledger import Draft
from icrstore.keeper.quarantine import take_own
from icrstore.warrant.strict import time_text


def clock_state(keeper: Keeper) -> dict[str, Any]:
    """The time by this clock, the last leaf's, and what is wrong: ``-`` or a code."""
    now, boot = keeper.clock(), keeper.boot()
    with keeper.store.read() as tx:
        held = queries.clock(tx)
    try:
        clock.check(held, now, boot)
        code = "-" if clock.is_trusted(held, now, boot) else "clock-doubtful"
    except Refused as refused:
        code = refused.code
    last = time_text(datetime.fromtimestamp(held.last_leaf_at, UTC)) if held else "-"
    return {"now": time_text(now.replace(microsecond=0)), "last_leaf_at": last, "refuses": code}


def confirm(keeper: Keeper) -> bool:
    """Somebody looked at another clock: a `recovery` leaf in every log; false if none was needed.

    The clock is doubtful from now on: nothing is destroyed or lent until the peer's agrees. Raises
    Refused(clock-behind), since no log goes back in time.
    """
    before = clock_state(keeper)
    if before["refuses"] not in ("clock-ahead", "clock-stepped", "clock-behind"):
        return False
    with keeper.write_confirmed() as call:
        told = {"recovery": "clock", "last_leaf_at": before["last_leaf_at"],
                "why": before["refuses"], "confirmed_at": before["now"]}  # fmt: skip
        for tenant in queries.tenants(call.tx):
            call.ledger(tenant.name).append(Draft("recovery", told), call.now)
        clock.doubt(call.tx)
    return True


def take_cosigned(keeper: Keeper, body: bytes) -> dict[str, Any]:
    """A checkpoint of a log of ours that the peer cosigned: if it did so now, the clocks agree.

    Anyone may bring it, as nothing in it is theirs. One from before or from a clock that differs
    changes nothing; one of a head that we do not know stops us (`quarantine`). Raises
    Refused(no-peer, evidence-refused, quarantined, clocks-differ).
    """
    with keeper.store.read() as tx:
        keys = keeper.own_log_keys(queries.peer(tx, keeper.peer_role))
    try:
        _, cosigned_at = check_cosigned(body, keys)
    except EvidenceError as error:
        raise Refused("evidence-refused") from error
    take_own(keeper, body)
    with keeper.write() as call:
        if not call.agree(cosigned_at):
            raise Refused("clocks-differ", 409)
    return {"is_clock_trusted": True}
