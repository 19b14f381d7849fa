"""Canaries: accounts that nobody has, which no honest question and no honest answer names.

The owners of both keepers pin the same ones. The store keeps a MAC of each under the tenant's tag
key, which its file alone does not hold. Who names one gets no share and reads `refused`, as for
every reason that is withheld; the leaf's private text says `canary`, and so does a line on stderr.
"""

from collections.abc import Iterable

from icrstore.keeper import queries
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.ledger import Draft, tag_key_place
from icrstore.keeper.locked import unlock
from icrstore.seal.encode import prf, text


def check_canaries(call: Call, tenant: str, request_sha256: bytes, accounts: Iterable[str]) -> None:
    """Raises Refused(canary), also once the request has named one and now does not."""
    macs = _macs(call, tenant, accounts)
    # All are looked up, so that the time says nothing about which, or how many.
    named = sum(queries.is_canary(call.tx, tenant, mac) for mac in macs)
    if named or queries.was_refused(call.tx, tenant, request_sha256, "canary"):
        raise Refused("canary")


def pin_canaries(keeper: Keeper, tenant: str, accounts: Iterable[str]) -> int:
    """Pin accounts as canaries, each a leaf that does not name it; how many were new."""
    with keeper.write() as call:
        new = [queries.add_canary(call.tx, tenant, mac) for mac in _macs(call, tenant, accounts)]
        for _ in range(sum(new)):
            call.ledger(tenant).append(Draft("pin", {"pin": "canary"}), call.now)
        return sum(new)


def _macs(call: Call, tenant_name: str, accounts: Iterable[str]) -> list[bytes]:
    tenant = queries.tenant(call.tx, tenant_name)
    key = unlock(call.keeper.identity.storage, tag_key_place(tenant), tenant.tag_key)
    return [prf(key, "canary", text(tenant_name), text(account)) for account in accounts]
