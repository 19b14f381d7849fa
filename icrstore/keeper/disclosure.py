"""Disclosure: what an answer names is logged, one leaf for each account, before it is sealed."""

from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.cases import Case, find_request, read_body
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.queries import RequestRow
from icrstore.keeper.release import tenant_of_request
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import Disclosure


def disclose(keeper: Keeper, caller: bytes, body: bytes) -> dict[str, Any]:
    """Leaves, proofs and checkpoint. Raises Refused, which is in the log then.

    A repeat with the same answer gives the same leaves; another answer is refused.
    """
    fields = read_body(body)
    envelope = Envelope.read(fields.take("disclosure"), "disclosure", "disclosure")
    fields.finish()
    named = Disclosure.parse(envelope)
    tenant = tenant_of_request(keeper, named.request_sha256)
    with keeper.refusals_logged(caller, tenant, named.request_sha256), keeper.write() as call:
        row = find_request(call, named.request_sha256, caller)
        envelope.verify(row.engine_identity)
        if row.state == "released":
            row = _first(call, row, named)
        return _answer(call, row, named)


def _first(call: Call, row: RequestRow, named: Disclosure) -> RequestRow:
    """From here the disclosure is in the log: if all stops now it is logged but unread."""
    ledger = call.ledger(row.tenant)
    first_leaf = ledger.size
    drafts = Case.of(call, row).drafts_of_accounts(
        "disclosure",
        named.accounts,
        answer_sha256=named.answer_sha256.hex(),
        opened_accounts=named.opened_accounts,
    )
    for draft in drafts:
        ledger.append(draft, call.now)
    queries.mark_disclosed(call.tx, row.sha256, named.answer_sha256, len(drafts), first_leaf)
    made = queries.request(call.tx, row.sha256)
    assert made is not None
    return made


def _answer(call: Call, row: RequestRow, named: Disclosure) -> dict[str, Any]:
    if row.disclosure_leaf is None or row.disclosed is None:
        raise Refused("not-released")
    if row.answer_sha256 != named.answer_sha256:
        raise Refused("answer-differs", 409)
    ledger = call.ledger(row.tenant)
    return ledger.answer(ledger.leaves(row.disclosure_leaf, row.disclosed))
