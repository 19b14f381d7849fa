"""Disclosure: what an answer names is logged, one leaf for each account, before it is sealed."""

from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.canaries import check_canaries
from icrstore.keeper.cases import Case, find_case, read_body
from icrstore.keeper.debts import owe_disclosure
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.queries import RequestRow
from icrstore.keeper.release import tenant_of_request
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Disclosure
from icrstore.warrant.scope import most_named
from icrstore.warrant.statements import AccountSelector


def disclose(keeper: Keeper, caller: bytes, body: bytes) -> dict[str, Any]:
    """Leaves, proofs and checkpoint. Raises Refused, which is in the log then.

    A repeat with the same answer gives the same leaves; another answer is refused.
    """
    fields = read_body(body)
    envelope = Envelope.read(fields.take("disclosure"), "disclosure", "disclosure")
    fields.finish()
    named = Disclosure.parse(envelope)
    tenant = tenant_of_request(keeper, named.request_sha256, caller)
    with keeper.refusals_logged(caller, tenant, named.request_sha256), keeper.write() as call:
        row, case = find_case(call, named.request_sha256, caller)
        envelope.verify(row.engine_identity)
        if row.state == "released":
            row = _first(call, row, case, named)
        return _answer(call, row, named)


def _first(call: Call, row: RequestRow, case: Case, named: Disclosure) -> RequestRow:
    """From here the disclosure is in the log: if all stops now it is logged but unread."""
    _check_named(case, named)
    # A resolved address may name who was not asked for by name.
    check_canaries(call, row.tenant, row.sha256, named.accounts)
    ledger = call.ledger(row.tenant)
    first_leaf = ledger.size
    drafts = case.drafts_of_accounts(
        "disclosure",
        dict(zip(named.accounts, named.records, strict=True)),
        answer_sha256=named.answer_sha256.hex(),
        opened_accounts=named.opened_accounts,
    )
    for draft in drafts:
        ledger.append(draft, call.now)
    queries.mark_disclosed(call.tx, row.sha256, named.answer_sha256, len(drafts), first_leaf)
    owe_disclosure(call, row, case, named.accounts, first_leaf)
    made = queries.request(call.tx, row.sha256)
    assert made is not None
    return made


def _check_named(case: Case, named: Disclosure) -> None:
    """An engine that was taken over may not put a name into the log that nobody asked about.

    Purposes 2 and 3 name accounts of the request alone; purpose 1 at most ``max_candidates`` for
    each selector, and one always. Raises Refused(account-not-asked, too-many-names).
    """
    warrant, request = case.warrant_said, case.request_said
    if warrant.purpose == "resolve":
        if len(named.accounts) > most_named(request, warrant):
            raise Refused("too-many-names")
        return
    asked = {each.account for each in request.selectors if isinstance(each, AccountSelector)}
    if not asked.issuperset(named.accounts):
        raise Refused("account-not-asked")


def _answer(call: Call, row: RequestRow, named: Disclosure) -> dict[str, Any]:
    if row.disclosure_leaf is None or row.disclosed is None:
        raise Refused("not-released")
    if row.answer_sha256 != named.answer_sha256:
        raise Refused("answer-differs", 409)
    ledger = call.ledger(row.tenant)
    return ledger.answer(ledger.leaves(row.disclosure_leaf, row.disclosed))
