"""Pins: the roots that a keeper trusts, changed by its own command line and each change a leaf."""

import os
from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.days import top_up
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.ledger import Draft, tag_key_place
from icrstore.keeper.locked import lock
from icrstore.keeper.names import PSEUDONYM_DIGITS
from icrstore.keeper.queries import NotifierRow, Peer, Tenant
from icrstore.warrant.strict import encode_base64


def pin_tenant(keeper: Keeper, name: str, key: bytes, replace: bool) -> None:
    """Pin a tenant's root; the first time this makes its log, its tag key and its day keys.

    Raises Refused(already-pinned) for another key, unless it is to replace the one before.
    """
    with keeper.write() as call:
        before = {tenant.name: tenant.root_key for tenant in queries.tenants(call.tx)}
        if not _is_new(before.get(name), key, replace):
            return
        if name in before:
            queries.set_tenant_root(call.tx, name, key)
        else:
            _add_tenant(call, name, key)
        _log(call, name, told_of_pin("tenant", name, key))
        if name not in before:
            for peer in queries.peers(call.tx):
                _log(call, name, told_of_peer(peer))


def pin(keeper: Keeper, kind: str, tenant: str, name: str, key: bytes, replace: bool) -> None:
    """Pin a tenant's authority or engine. Raises Refused(unknown-tenant, already-pinned)."""
    with keeper.write() as call:
        queries.tenant(call.tx, tenant)
        if _is_new(queries.pinned(call.tx, kind, tenant, name), key, replace):
            queries.set_pin(call.tx, kind, tenant, name, key)
            _log(call, tenant, told_of_pin(kind, name, key))


def pin_notifier(keeper: Keeper, made: NotifierRow, replace: bool) -> None:
    """Pin who tells a tenant's subscribers. Raises Refused(unknown-tenant, already-pinned)."""
    with keeper.write() as call:
        queries.tenant(call.tx, made.tenant)
        known = {(each.tenant, each.name): each for each in queries.notifiers(call.tx)}
        if _is_new(known.get((made.tenant, made.name)), made, replace):
            queries.set_notifier(call.tx, made)
            _log(call, made.tenant, told_of_notifier(made))


def pin_peer(keeper: Keeper, peer: Peer, replace: bool) -> None:
    """Pin the keeper of the other role, a leaf in every log. Raises Refused(already-pinned,
    own-role)."""
    if peer.role == keeper.identity.role:
        raise Refused("own-role")
    with keeper.write() as call:
        before = next((each for each in queries.peers(call.tx) if each.role == peer.role), None)
        if _is_new(before, peer, replace):
            queries.set_peer(call.tx, peer)
            for tenant in queries.tenants(call.tx):
                _log(call, tenant.name, told_of_peer(peer))


def _is_new(before: object | None, now: object, replace: bool) -> bool:
    """Whether there is something to pin. Raises Refused(already-pinned)."""
    if before == now:
        return False
    if before is not None and not replace:
        raise Refused("already-pinned")
    return True


def _add_tenant(call: Call, name: str, key: bytes) -> None:
    pseudonym = os.urandom(PSEUDONYM_DIGITS // 2).hex()
    bare = Tenant(name, key, pseudonym, b"", 0)
    tag_key = lock(call.keeper.identity.storage, tag_key_place(bare), os.urandom(32))
    queries.add_tenant(call.tx, Tenant(name, key, pseudonym, tag_key, 0))
    top_up(call.tx, name, call.keeper.chain(), call.now.date())


def told_of_pin(kind: str, name: str, key: bytes) -> dict[str, Any]:
    return {"pin": kind, "name": name, "key": encode_base64(key)}


def told_of_notifier(made: NotifierRow) -> dict[str, Any]:
    return {
        "pin": "notifier",
        "name": made.name,
        "key": encode_base64(made.key),
        "sealing_key": encode_base64(made.sealing_key),
    }


def told_of_peer(peer: Peer) -> dict[str, Any]:
    return {
        "pin": "peer",
        "role": peer.role,
        "name": peer.name,
        "log_key": encode_base64(peer.log_key),
        "witness_key": encode_base64(peer.witness_key),
    }


def _log(call: Call, tenant: str, told: dict[str, Any]) -> None:
    call.ledger(tenant).append(Draft("pin", told), call.now)
