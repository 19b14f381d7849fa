"""Commit: the first call of a question. A keeper checks all of it by itself and logs that it was
asked, one leaf for each selector; the epochs in scope are fixed here and hashed in the leaves."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from icrstore.keeper import queries, salvage
from icrstore.keeper.budgets import askers, check_budgets
from icrstore.keeper.canaries import check_canaries
from icrstore.keeper.cases import Case, check_retention, read_body
from icrstore.keeper.errors import Refused
from icrstore.keeper.expiry import has_ended
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.queries import EpochRow, RequestRow
from icrstore.seal.epoch import day_of
from icrstore.warrant.authority import check_engine_key, check_request
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import EngineKey
from icrstore.warrant.statements import AccountSelector, Request
from icrstore.warrant.strict import time_text


@dataclass(frozen=True)
class Commit:
    tenant: str
    case: Case
    engine_key: Envelope

    @classmethod
    def parse(cls, body: bytes) -> "Commit":
        """Raises `StatementError` and Refused(malformed); checks no signature."""
        fields = read_body(body)
        made = cls(
            fields.text("tenant", 64),
            Case.take(fields),
            Envelope.read(fields.take("engine_key"), "engine-key", "engine_key"),
        )
        fields.finish()
        return made


def commit(keeper: Keeper, caller: bytes, body: bytes) -> dict[str, Any]:
    """Leaves, proofs, checkpoint and epochs. Raises Refused, which is in the log then.

    The same bytes from the same engine give the same leaves, however often.
    """
    asked = Commit.parse(body)
    with keeper.refusals_logged(caller, asked.tenant, asked.case.request.sha256):
        with keeper.write() as call:
            # First, so that an engine learns of no other tenant what was asked there.
            queries.engine_named(call.tx, asked.tenant, caller)
            asked.case.check_unrevoked(call, asked.tenant)
            row = queries.request(call.tx, asked.case.request.sha256)
            if row is None or row.tenant != asked.tenant:
                row = _first(call, caller, asked)
            _check_same(call, row, caller, asked)
            answer = None if has_ended(call, row) else _answer(call, row)
        # From here an expired request is known to be, so refusing it cannot be taken back.
        if answer is None:
            raise Refused("request-expired")
        return answer


def _first(call: Call, caller: bytes, asked: Commit) -> RequestRow:
    """Check and log a request that was not seen before.

    1. An engine of this tenant asks, with a key of today. (The clock was checked before.)
    2. The warrant is of this tenant, in force, and signed by two who may sign.
    3. An investigator signed the request, and all of it is within the warrant.
    4. It reaches no expired day and no hour to come.
    5. The budgets of the warrant, the officer and the authority allow one more question.
    6. It names no account that nobody has: last, so that a canary is told from no other account.
    7. From here it is asked: the leaves, the epochs and the request are one transaction.
    """
    # 1.
    engine_key = _check_engine(call, caller, asked)
    # 2.
    granted, warrant = asked.case.granted(call, asked.tenant)
    salvage.check_warrant_known(call.tx, asked.tenant, warrant.valid_from)
    # 3.
    warrant_sha256 = asked.case.warrant.sha256
    request = check_request(asked.case.request, warrant, warrant_sha256, granted, call.now)
    # 4.
    check_retention(request, call)
    # 5.
    by = askers(day_of(call.now), warrant, granted.signers(asked.case.request, "investigator"))
    check_budgets(call, asked.tenant, warrant_sha256, warrant, by)
    # 6.
    named = [one.account for one in request.selectors if isinstance(one, AccountSelector)]
    check_canaries(call, asked.tenant, asked.case.request.sha256, named)
    # 7.
    row = _log(call, caller, asked, engine_key, request)
    queries.add_askers(call.tx, asked.tenant, row.sha256, by)
    return row


def _check_engine(call: Call, caller: bytes, asked: Commit) -> EngineKey:
    name = queries.engine_named(call.tx, asked.tenant, caller)
    return check_engine_key(asked.engine_key, {name: caller}, asked.tenant, call.now)


def _log(
    call: Call, caller: bytes, asked: Commit, engine_key: EngineKey, request: Request
) -> RequestRow:
    epochs = _epochs_in_scope(call, asked.tenant, request)
    ledger = call.ledger(asked.tenant)
    drafts = asked.case.drafts("commit", epochs_sha256=_epochs_sha256(epochs).hex())
    first_leaf = ledger.size
    for draft in drafts:
        ledger.append(draft, call.now)
    made = RequestRow(
        sha256=asked.case.request.sha256,
        tenant=asked.tenant,
        warrant_sha256=asked.case.warrant.sha256,
        engine=engine_key.engine,
        engine_identity=caller,
        engine_key=engine_key.key,
        engine_key_ends_at=int(engine_key.not_after.timestamp()),
        statements=asked.case.locked(call),
        state="committed",
        selectors=len(drafts),
        committed_at=call.unix_seconds,
        commit_leaf=first_leaf,
    )
    queries.add_request(call.tx, made, [epoch.eid for epoch in epochs])
    return made


def _epochs_in_scope(call: Call, tenant: str, request: Request) -> list[EpochRow]:
    """By (hour, eid): the ranges stand in order and do not overlap."""
    ranges = [(int(h.first.timestamp()), int(h.end.timestamp())) for h in request.hours]
    return [
        epoch
        for first, end in ranges
        for epoch in queries.epochs_of_hours(call.tx, tenant, first, end)
    ]


def _check_same(call: Call, row: RequestRow, caller: bytes, asked: Commit) -> None:
    """A repeat is of the same engine, brings the key that shares would be sealed to, and comes
    before any day of it has expired."""
    if row.engine_identity != caller:
        raise Refused("another-engine", 409)
    if EngineKey.parse(asked.engine_key).key != row.engine_key:
        raise Refused("another-engine-key", 409)
    salvage.check_request_known(call.tx, row.tenant, row.commit_leaf)
    check_retention(asked.case.request_said, call)


def _answer(call: Call, row: RequestRow) -> dict[str, Any]:
    ledger = call.ledger(row.tenant)
    epochs = queries.epochs_of_request(call.tx, row.sha256)
    return {
        **ledger.answer(ledger.leaves(row.commit_leaf, row.selectors)),
        "epochs": [_epoch_object(epoch) for epoch in epochs],
    }


def _epoch_object(epoch: EpochRow) -> dict[str, Any]:
    return {
        "eid": epoch.eid.hex(),
        "hour": time_text(datetime.fromtimestamp(epoch.hour, UTC)),
        "shard": epoch.shard,
        "statement_sha256": epoch.statement_sha256.hex(),
    }


def _epochs_sha256(epochs: list[EpochRow]) -> bytes:
    return hashlib.sha256(b"".join(e.eid + e.statement_sha256 for e in epochs)).digest()
