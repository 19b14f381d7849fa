"""Quarantine: a keeper that is shown a checkpoint which it signed and does not know stops itself.

It was put back from a copy, or somebody else has its key; it cannot tell which. From then on, also
after a restart, it signs and lends nothing - no leaf, no checkpoint, no cosignature of the other
keeper's log, since what it remembers of that may be old as well - until `recover`. Its log can
still be read.
"""

from typing import Any

from icrstore.keeper import queries, salvage
from icrstore.keeper.errors import Refused
from icrstore.keeper.evidence import EvidenceError, check_cosigned
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.ledger import Ledger
from icrstore.keeper.names import is_log_of, pseudonym_of
from icrstore.keeper.store import Connection
from icrstore.tlog import merkle
from icrstore.tlog.checkpoint import Checkpoint, parse_checkpoint
from icrstore.tlog.errors import LogError
from icrstore.tlog.note import ED25519, VerifierKey, parse_note, verify
from icrstore.warrant.dsse import raw_public


def take_own(keeper: Keeper, body: bytes) -> dict[str, Any]:
    """A checkpoint of a log of ours, from anyone. Whether we are in quarantine, now or before.

    1. Our own log key signed it: nothing else costs us more than that check.
    2. Our log holds it: then it tells us nothing.
    3. A log that was recovered once may have signed heads that nobody took. Of such a log only what
       the peer cosigned counts; and nothing of one that was given up (`recover`).
    4. From here we are in quarantine, whatever the clock says; the note is kept.

    Raises Refused(malformed, unknown-origin, not-signed).
    """
    # 1.
    checkpoint = _signed_by_us(keeper, body)
    with keeper.store.read() as tx:
        # 2. and 3.
        is_known = _is_held(keeper, tx, checkpoint) or not _counts(keeper, tx, checkpoint, body)
        if is_known:
            return {"is_quarantined": salvage.is_quarantined(tx)}
    # 4.
    shown_at = int(keeper.clock().timestamp())
    with keeper.store.write() as tx:
        salvage.quarantine(tx, salvage.Evidence(checkpoint.origin, body, shown_at))
    return {"is_quarantined": True}


def _signed_by_us(keeper: Keeper, body: bytes) -> Checkpoint:
    try:
        note = parse_note(body)
        checkpoint = parse_checkpoint(note.body)
    except LogError:
        raise Refused("malformed", 400) from None
    if not is_log_of(keeper.identity.name, checkpoint.origin):
        raise Refused("unknown-origin", 404)
    own = VerifierKey(checkpoint.origin, ED25519, raw_public(keeper.identity.log))
    try:
        verify(note, [own])
    except LogError:
        raise Refused("not-signed") from None
    return checkpoint


def _is_held(keeper: Keeper, tx: Connection, shown: Checkpoint) -> bool:
    try:
        tenant = queries.tenant_of_log(tx, pseudonym_of(shown.origin))
    except Refused:
        return False
    ledger = Ledger(tx, keeper.identity, tenant)
    return shown.size <= ledger.size and merkle.root(ledger.node, shown.size) == shown.root


def _counts(keeper: Keeper, tx: Connection, shown: Checkpoint, body: bytes) -> bool:
    tenants = {tenant.pseudonym: tenant.name for tenant in queries.tenants(tx)}
    name = tenants.get(pseudonym_of(shown.origin))
    if name is None:
        # We signed for a log that we do not have: it is younger than the copy.
        return not salvage.is_given_up(tx, shown.origin)
    if not salvage.recovered(tx, name):
        return True
    try:
        check_cosigned(body, keeper.own_log_keys(queries.peer(tx, keeper.peer_role)))
    except EvidenceError:
        return False
    return True
