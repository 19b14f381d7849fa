"""Debts: whom this log obliges us to have told, sealed to who tells them, and what came of it.

A release falls due when its shares are lent, and with a disclosure at the latest: nobody lends but
against a release that the peer's witness cosigned, after both logs held the question. So a debt
means that somebody may know, and a release that never lent anything troubles nobody. A disclosure
falls due at once, for each account that it names.

The debts of a tenant are numbered 1, 2, .. and never renumbered or removed, but by a recovery that
takes their leaves back: whoever lost what it was told asks from its first gap. Which leaf is whose
stays with the keeper and the notifier.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.cases import Case, read_body
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.ledger import Draft, Ledger
from icrstore.keeper.locked import lock, unlock
from icrstore.keeper.names import notice_info
from icrstore.keeper.queries import DebtRow, NotifierRow, RequestRow
from icrstore.seal.encode import enc, text, u32
from icrstore.warrant.authority import SKEW
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Notice
from icrstore.warrant.statements import AccountSelector
from icrstore.warrant.strict import dump, encode_base64, time_text
from icrstore.wire import hpke

MOST_AT_ONCE = 100
# A subscriber who was not told by then is one that oversight hears of.
OVERDUE = timedelta(hours=24)


def owe_release(call: Call, row: RequestRow, case: Case) -> None:
    """Owe a notice of each release leaf that is of an account. Safe to repeat."""
    assert row.release_leaf is not None
    for leaf, selector in enumerate(case.request_said.selectors, row.release_leaf):
        if isinstance(selector, AccountSelector):
            _owe(call, row.tenant, leaf, selector.account)


def owe_disclosure(
    call: Call, row: RequestRow, case: Case, accounts: Iterable[str], first_leaf: int
) -> None:
    """Owe a notice to everyone an answer names, and of the release that it came from."""
    owe_release(call, row, case)
    for leaf, account in enumerate(accounts, first_leaf):
        _owe(call, row.tenant, leaf, account)


def due(keeper: Keeper, caller: bytes, tenant: str, after: int) -> dict[str, Any]:
    """Debts after a number, at most MOST_AT_ONCE, each sealed to the notifier that asks.

    ``proof`` shows the leaf under ``checkpoint``; ``notice`` is the leaf that says it was told.
    Raises Refused(unknown-notifier).
    """
    with keeper.store.read() as tx:
        # First, so that it learns of no other tenant whether it is there.
        notifier = queries.notifier_of(tx, tenant, caller)
        ledger = Ledger(tx, keeper.identity, queries.tenant(tx, tenant))
        debts = queries.debts_after(tx, tenant, after, MOST_AT_ONCE)
        return {
            "due": [_sealed(keeper, ledger, notifier, debt) for debt in debts],
            "checkpoint": ledger.checkpoint(),
        }


def take_notice(keeper: Keeper, caller: bytes, body: bytes) -> dict[str, Any]:
    """The `notice` leaf of a debt, with its proof. Raises Refused.

    There is one for each debt: a second notice, whatever it says, gives the first one's leaf.
    """
    fields = read_body(body)
    tenant = fields.text("tenant", 64)
    envelope = Envelope.read(fields.take("notice"), "notice", "notice")
    fields.finish()
    with keeper.write() as call:
        debt = _check(call, caller, tenant, envelope)
        ledger = call.ledger(tenant)
        if debt.notice is None:
            return ledger.answer([_log(call, ledger, tenant, debt, Notice.parse(envelope))])
        return ledger.answer(ledger.leaves(debt.notice, 1))


def _check(call: Call, caller: bytes, tenant: str, envelope: Envelope) -> DebtRow:
    """The debt that a notice speaks of.

    1. This tenant's notifier signed it, and it is of this tenant.
    2. It names a leaf that is owed, by that leaf's own bytes.
    3. The telling was neither before the debt nor later than now.
    """
    # 1.
    queries.notifier_of(call.tx, tenant, caller)
    envelope.verify(caller)
    said = Notice.parse(envelope)
    if said.tenant != tenant:
        raise Refused("wrong-tenant")
    # 2.
    debt = queries.debt_of_leaf(call.tx, tenant, said.leaf)
    if debt is None:
        raise Refused("not-owed", 404)
    leaf_text, _ = queries.leaf(call.tx, tenant, debt.leaf)
    if hashlib.sha256(leaf_text).digest() != said.leaf_sha256:
        raise Refused("another-leaf")
    # 3.
    owed_at = datetime.fromtimestamp(debt.owed_at, UTC)
    if not owed_at - SKEW <= said.delivered_at <= call.now + SKEW:
        raise Refused("notice-time")
    return debt


def _log(call: Call, ledger: Ledger, tenant: str, debt: DebtRow, said: Notice) -> Any:
    """From here it is told: the leaf and the mark are one transaction."""
    account = account_of(call, tenant, debt.leaf)
    told = {
        "told_leaf": said.leaf,
        "told_leaf_sha256": said.leaf_sha256.hex(),
        "channel": said.channel,
        "delivered_at": time_text(said.delivered_at),
    }
    leaf = ledger.append(Draft("notice", told, account, is_account=True), call.now)
    queries.mark_told(call.tx, tenant, debt.number, leaf.index)
    return leaf


def account_of(call: Call, tenant: str, leaf: int) -> bytes:
    """Whose debt a leaf is, or nobody's."""
    debt = queries.debt_of_leaf(call.tx, tenant, leaf)
    return debtor(call.keeper.identity.storage, tenant, debt) if debt else b""


def debtor(storage_key: bytes, tenant: str, debt: DebtRow) -> bytes:
    """The account that must be told. Raises `BoxError`."""
    return unlock(storage_key, _place(tenant, debt.leaf), debt.account)


def _sealed(keeper: Keeper, ledger: Ledger, to: NotifierRow, debt: DebtRow) -> dict[str, Any]:
    own = keeper.identity
    (leaf,) = ledger.leaves(debt.leaf, 1)
    account = debtor(own.storage, to.tenant, debt).decode()
    told = (
        [each.to_object() for each in ledger.leaves(debt.notice, 1)]
        if debt.notice is not None
        else []
    )
    owed_at = time_text(datetime.fromtimestamp(debt.owed_at, UTC))
    content = dump(
        {"v": 1, "account": account, "owed_at": owed_at, **leaf.to_object(), "notices": told}
    )
    info = notice_info(to.tenant, own.role, own.instance, leaf.index)
    return {
        "number": debt.number,
        "leaf": leaf.index,
        "notice": debt.notice,
        "proof": [each.hex() for each in ledger.inclusion(leaf.index)],
        "sealed": encode_base64(hpke.seal(to.sealing_key, info, content)),
    }


def _owe(call: Call, tenant: str, leaf: int, account: str) -> None:
    locked = lock(call.keeper.identity.storage, _place(tenant, leaf), text(account))
    queries.add_debt(call.tx, tenant, leaf, locked, call.unix_seconds)


def _place(tenant: str, leaf: int) -> bytes:
    return enc(b"icr/v1/debt", text(tenant), u32(leaf))
