"""Release: the second call. Only once both logs hold the question, each under a checkpoint that
the other keeper cosigned, does a keeper log that it lets the selectors be opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.cases import (
    REPEAT_LIFE,
    Case,
    find_case,
    read_body,
)
from icrstore.keeper.errors import Refused
from icrstore.keeper.evidence import Evidence, EvidenceError, check_evidence
from icrstore.keeper.expiry import has_ended
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.ledger import Ledger
from icrstore.keeper.queries import RequestRow
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.authority import SKEW


@dataclass(frozen=True)
class Release:
    request_sha256: bytes
    evidence: dict[Role, Evidence]

    @classmethod
    def parse(cls, body: bytes) -> "Release":
        """Raises `StatementError` and Refused(malformed); proves nothing."""
        fields = read_body(body)
        request_sha256 = fields.hexadecimal("request_sha256", 32)
        both = fields.nested("evidence")
        evidence = {role: Evidence.read(both.take(role), role) for role in ROLES}
        both.finish()
        fields.finish()
        return cls(request_sha256, evidence)


def release(keeper: Keeper, caller: bytes, body: bytes) -> dict[str, Any]:
    """Leaves, proofs and checkpoint. Raises Refused, which is in the log then.

    A repeat from the same engine gives the same leaves for 24 hours.
    """
    asked = Release.parse(body)
    tenant = tenant_of_request(keeper, asked.request_sha256, caller)
    with keeper.refusals_logged(caller, tenant, asked.request_sha256):
        with keeper.write() as call:
            row, case = find_case(call, asked.request_sha256, caller)
            answer = None if has_ended(call, row) else _released(call, row, case, asked)
        # From here an expired request is known to be, so refusing it cannot be taken back.
        if answer is None:
            raise Refused("request-expired")
        return answer


def tenant_of_request(keeper: Keeper, request_sha256: bytes, caller: bytes) -> str:
    """Whose request it is, to an engine of that tenant. Raises Refused(unknown-request)."""
    with keeper.store.read() as tx:
        row = queries.request(tx, request_sha256)
        if row is None or not queries.is_engine_of(tx, row.tenant, caller):
            raise Refused("unknown-request", 404)
    return row.tenant


def _released(call: Call, row: RequestRow, case: Case, asked: Release) -> dict[str, Any]:
    """The leaves of the release, written now or before. Raises Refused(release-over)."""
    if row.released_at is None:
        row = _first(call, row, case, asked)
    else:
        check_repeatable(call, row.released_at)
    return _answer(call, row)


def _first(call: Call, row: RequestRow, case: Case, asked: Release) -> RequestRow:
    """Check both logs' evidence and log the release.

    1. The warrant is in force still, by the roots that are pinned now.
    2. Our own leaves are those of our store, and the peer cosigned the log that holds them.
    3. The peer's log holds as many, which say the same, and we cosigned it.
    4. Both cosignatures are of now.
    5. From here it is released: the leaves and the state are one transaction.
    """
    # 1.
    granted, _ = case.granted(call, row.tenant)
    granted.signer(case.request, "investigator")
    # 2.
    ledger = call.ledger(row.tenant)
    own = asked.evidence[call.keeper.identity.role]
    told = case.told("commit")
    check_own_evidence(call, row, told, own, row.commit_leaf, row.committed_at)
    # 3. and 4.
    _check_peer_evidence(call, row, told, asked.evidence[call.keeper.peer_role])
    # 5.
    first_leaf = ledger.size
    for draft in case.drafts("release"):
        ledger.append(draft, call.now)
    queries.mark_released(call.tx, row.sha256, call.unix_seconds, first_leaf)
    made = queries.request(call.tx, row.sha256)
    assert made is not None
    return made


def check_own_evidence(
    call: Call,
    row: RequestRow,
    told: Mapping[str, Any],
    evidence: Evidence,
    first_leaf: int,
    logged_at: int,
) -> int:
    """Our own leaves of one step, which say what is ``told``, under a checkpoint of this log that
    the peer has cosigned; when it did (Unix seconds).

    Raises Refused(evidence-refused).
    """
    peer = queries.peer(call.tx, call.keeper.peer_role)
    ledger = call.ledger(row.tenant)
    try:
        checkpoint, cosigned_at = check_evidence(
            evidence, call.keeper.own_log_keys(peer), told, row.selectors
        )
    except EvidenceError as error:
        raise Refused("evidence-refused") from error
    if checkpoint.origin != ledger.origin or not _are_stored(ledger, evidence, first_leaf):
        raise Refused("evidence-refused")
    check_cosigned_now(call, cosigned_at, logged_at)
    return cosigned_at


def check_cosigned_now(call: Call, cosigned_at: int, logged_at: int) -> None:
    """A cosignature from after the leaf and from no later than now, within what clocks may differ.

    That the cosigned tree holds the leaf is proven; this shows that the two clocks agree.
    Raises Refused(cosignature-time).
    """
    skew = int(SKEW.total_seconds())
    if not logged_at - skew <= cosigned_at <= call.unix_seconds + skew:
        raise Refused("cosignature-time")


def _check_peer_evidence(
    call: Call, row: RequestRow, told: Mapping[str, Any], evidence: Evidence
) -> None:
    peer = queries.peer(call.tx, call.keeper.peer_role)
    try:
        _, cosigned_at = check_evidence(
            evidence, call.keeper.peer_log_keys(peer), told, row.selectors
        )
    except EvidenceError as error:
        raise Refused("evidence-refused") from error
    check_cosigned_now(call, cosigned_at, row.committed_at)


def _are_stored(ledger: Ledger, evidence: Evidence, first_leaf: int) -> bool:
    stored = ledger.leaves(first_leaf, len(evidence.leaves))
    return [(leaf.index, leaf.text, leaf.private) for leaf in stored] == [
        (leaf.index, leaf.text, leaf.private) for leaf in evidence.leaves
    ]


def check_repeatable(call: Call, released_at: int) -> None:
    """Raises Refused(release-over) 24 hours after the release."""
    if call.unix_seconds > released_at + int(REPEAT_LIFE.total_seconds()):
        raise Refused("release-over")


def _answer(call: Call, row: RequestRow) -> dict[str, Any]:
    assert row.release_leaf is not None
    ledger = call.ledger(row.tenant)
    return ledger.answer(ledger.leaves(row.release_leaf, row.selectors))
