"""Lend: the third call. Against its own release, cosigned by the peer, a keeper hands out its
shares: of each epoch that the commit fixed, for each selector, sealed to the engine's key."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.cases import Case, find_case, read_body
from icrstore.keeper.days import OpenDays
from icrstore.keeper.debts import owe_release
from icrstore.keeper.errors import Refused
from icrstore.keeper.evidence import Evidence
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.names import lend_info
from icrstore.keeper.policies import pools_of_tenant
from icrstore.keeper.queries import RequestRow
from icrstore.keeper.release import check_own_evidence, check_repeatable, tenant_of_request
from icrstore.seal.epoch import day_of, share
from icrstore.seal.pools import in_force
from icrstore.warrant.strict import encode_base64
from icrstore.wire import hpke


@dataclass(frozen=True)
class Lend:
    request_sha256: bytes
    evidence: Evidence

    @classmethod
    def parse(cls, body: bytes) -> "Lend":
        """Raises `StatementError` and Refused(malformed); proves nothing."""
        fields = read_body(body)
        request_sha256 = fields.hexadecimal("request_sha256", 32)
        made = cls(request_sha256, Evidence.read(fields.take("evidence"), "evidence"))
        fields.finish()
        return made


def lend(keeper: Keeper, caller: bytes, body: bytes) -> dict[str, Any]:
    """The sealed shares. Raises Refused, which is in the log then. Repeats seal them anew."""
    asked = Lend.parse(body)
    tenant = tenant_of_request(keeper, asked.request_sha256, caller)
    with keeper.refusals_logged(caller, tenant, asked.request_sha256), keeper.write() as call:
        row, case = find_case(call, asked.request_sha256, caller)
        _check(call, row, case, asked.evidence)
        shares = _shares(call, row, case)
        # Durable before the shares leave: the store then knows that they did, or might have.
        queries.mark_lent(call.tx, row.sha256, call.unix_seconds)
        # Who was asked for may be known from here on, and so must be told of it.
        owe_release(call, row, case)
    identity = keeper.identity
    info = lend_info(row.sha256, identity.role, identity.instance)
    return {"sealed": encode_base64(hpke.seal(row.engine_key, info, shares))}


def _check(call: Call, row: RequestRow, case: Case, evidence: Evidence) -> None:
    """What must hold before any share leaves.

    1. It was released, and less than 24 hours ago.
    2. The engine's key is in force still.
    3. The peer cosigned a log that holds our release.
    4. The clock is trusted, or agrees with the peer's as it cosigned.
    """
    if row.released_at is None or row.release_leaf is None:
        raise Refused("not-released")
    check_repeatable(call, row.released_at)
    if call.unix_seconds >= row.engine_key_ends_at:
        raise Refused("engine-key-expired")
    cosigned_at = check_own_evidence(
        call, row, case.told("release"), evidence, row.release_leaf, row.released_at
    )
    if not call.agree(cosigned_at):
        raise Refused("clock-doubtful", 503)


def _shares(call: Call, row: RequestRow, case: Case) -> bytes:
    """For each epoch: its eid (16 bytes), then a share (32) for each selector's sealed names, by
    the pools that were in force in its hour."""
    role, policies = call.keeper.identity.role, pools_of_tenant(call.tx, row.tenant)
    days = OpenDays(call.tx, row.tenant, call.keeper.chain())
    request = case.request_said
    made = []
    for epoch in queries.epochs_of_request(call.tx, row.sha256):
        hour = datetime.fromtimestamp(epoch.hour, UTC)
        atom = days.open(day_of(hour)).unlock_atom(epoch, role)
        pools = in_force(policies, hour)
        wanted = [(s.kind, name) for s in request.selectors for name in s.sealed_names(pools)]
        made.append(epoch.eid + b"".join(share(atom, kind, name) for kind, name in wanted))
    return b"".join(made)
