"""Ties: each row is of its leaves, and there are as many leaves as rows that need one."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.budgets import askers
from icrstore.keeper.cases import Case
from icrstore.keeper.debts import debtor
from icrstore.keeper.errors import KeeperError
from icrstore.keeper.fsck.walked import Walked
from icrstore.keeper.queries import Asker, DebtRow, RequestRow
from icrstore.seal.encode import digest
from icrstore.seal.epoch import day_of
from icrstore.warrant.statements import AccountSelector, Grant, Request
from icrstore.warrant.strict import StatementError, parse_object

_SOME = "SELECT coalesce(sum(selectors), 0) FROM request WHERE tenant = ?"
# How many leaves of a type there must be; refusals and pins are not counted anywhere else.
_COUNTS = {
    "commit": _SOME,
    "release": f"{_SOME} AND release_leaf IS NOT NULL",
    "disclosure": "SELECT coalesce(sum(disclosed), 0) FROM request WHERE tenant = ?",
    "notice": "SELECT count(*) FROM debt WHERE tenant = ? AND notice IS NOT NULL",
    "shred": "SELECT count(*) FROM shred WHERE tenant = ?",
    "policy": "SELECT (SELECT count(*) FROM policy WHERE tenant = ?1)"
    " + (SELECT count(*) FROM backfill WHERE tenant = ?1)",
    "expired": f"{_SOME} AND state = 'expired'",
    "revoke": "SELECT count(*) FROM revocation WHERE tenant = ?",
}


def requests(walked: Walked) -> Iterator[str]:
    """The statements of every question open and are those that were asked; its leaves say so."""
    rows = walked.tx.execute(
        "SELECT sha256 FROM request WHERE tenant = ? ORDER BY commit_leaf", (walked.name,)
    )
    counted = queries.askers_of_requests(walked.tx, walked.name)
    for (sha256,) in rows:
        row = queries.request(walked.tx, sha256)
        assert row is not None
        try:
            case = Case.stored(walked.identity.storage, row)
            selectors = Request.parse(case.request).selectors
        except (KeeperError, StatementError):
            yield f"request {sha256.hex()}: its statements do not open"
            continue
        if (case.request.sha256, case.warrant.sha256) != (row.sha256, row.warrant_sha256):
            yield f"request {sha256.hex()}: other statements"
        if not _counts_rightly(case, row, counted[sha256]):
            yield f"request {sha256.hex()}: counts in other budgets than its own"
        subjects = [each.subject for each in selectors]
        _know(walked, row, selectors)
        yield from _steps(walked, row, subjects)


def debts(walked: Walked) -> Iterator[str]:
    """Numbered 1, 2, .., each of a leaf that owes a notice; what was told has its leaf."""
    for number, debt in enumerate(queries.debts_after(walked.tx, walked.name, 0, 1 << 53), 1):
        place = f"debt {debt.number}"
        if debt.number != number:
            yield f"debt {number} is not there"
            return
        try:
            account = debtor(walked.identity.storage, walked.name, debt)
        except KeeperError:
            yield f"{place}: its account does not open"
            continue
        walked.accounts[debt.leaf] = account
        yield from _owed(walked, debt, account, place)


def counts(walked: Walked) -> Iterator[str]:
    """No leaf without its row: every row was seen to have leaves of its own."""
    for type_, query in _COUNTS.items():
        (rows,) = walked.tx.execute(query, (walked.name,)).fetchone()
        if rows != walked.types[type_]:
            yield f"{walked.types[type_]} {type_} leaves, and {rows} that rows stand for"
    (epochs,) = walked.tx.execute(
        "SELECT count(*) FROM epoch WHERE tenant = ?", (walked.name,)
    ).fetchone()
    if epochs + walked.shredded != walked.types["epoch"]:
        living = walked.types["epoch"] - walked.shredded
        yield f"{living} epochs are logged and not destroyed, and {epochs} are kept"


def _counts_rightly(case: Case, row: RequestRow, by: set[Asker]) -> bool:
    """In its authority's budget of its day, and in that of one or more of its investigators."""
    grants = [Grant.parse(each) for each in case.grants]
    day = day_of(datetime.fromtimestamp(row.committed_at, UTC))
    may = askers(day, case.warrant_said, (each for each in grants if each.role == "investigator"))
    return by.issubset(may) and {each.kind for each in by} == {"officer", "authority"}


def _know(walked: Walked, row: RequestRow, selectors: Sequence[Any]) -> None:
    for position, each in enumerate(selectors):
        if isinstance(each, AccountSelector):
            for first in (row.commit_leaf, row.release_leaf):
                if first is not None:
                    walked.accounts[first + position] = each.subject


def _steps(walked: Walked, row: RequestRow, subjects: Sequence[bytes]) -> Iterator[str]:
    place, known = f"request {row.sha256.hex()}", {"request_sha256": row.sha256.hex()}
    epochs = queries.epochs_of_request(walked.tx, row.sha256)
    # What a destroyed day took with it is not in the list any more.
    listed = b"".join(each.eid + each.statement_sha256 for each in epochs)
    fixed = {"epochs_sha256": hashlib.sha256(listed).hexdigest()} if epochs else {}
    yield from _leaves(walked, row.commit_leaf, subjects, {"type": "commit", **known}, place)
    if fixed and not _says(walked, row.commit_leaf, fixed) and not _some_destroyed(walked, row):
        yield f"{place}: other epochs than those that were fixed"
    if row.release_leaf is not None:
        yield from _leaves(walked, row.release_leaf, subjects, {"type": "release", **known}, place)
    if row.disclosure_leaf is not None and row.disclosed is not None:
        answer = {"answer_sha256": (row.answer_sha256 or b"").hex()}
        told = {"type": "disclosure", **known, **answer}
        for number in range(row.disclosure_leaf, row.disclosure_leaf + row.disclosed):
            if not _says(walked, number, told):
                yield f"{place}: leaf {number} is not its disclosure"


def _leaves(
    walked: Walked, first: int, subjects: Sequence[bytes], told: dict[str, Any], place: str
) -> Iterator[str]:
    for number, subject in enumerate(subjects, first):
        if not _says(walked, number, told, subject):
            yield f"{place}: leaf {number} is not its {told['type']}"


def _says(walked: Walked, number: int, told: dict[str, Any], subject: bytes | None = None) -> bool:
    leaf = walked.leaf(number)
    if leaf is None:
        return False
    said = parse_object(leaf.private.encode())
    if subject is not None and said.get("subject") != digest("subject", leaf.salt, subject).hex():
        return False
    return all(said.get(name) == value for name, value in told.items())


def _some_destroyed(walked: Walked, row: RequestRow) -> bool:
    """Whether a day of the question's hours has no key any more."""
    request = Request.parse(Case.stored(walked.identity.storage, row).request)
    held = {each.day for each in queries.days(walked.tx, walked.name, "0000", "9999")}
    return any(hours.first.date().isoformat() not in held for hours in request.hours)


def _owed(walked: Walked, debt: DebtRow, account: bytes, place: str) -> Iterator[str]:
    if not any(
        _says(walked, debt.leaf, {"type": type_}, account) for type_ in ("release", "disclosure")
    ):
        yield f"{place}: leaf {debt.leaf} owes it to nobody, or to another"
    if debt.notice is not None:
        walked.accounts[debt.notice] = account
        told = {"type": "notice", "told_leaf": debt.leaf}
        if not _says(walked, debt.notice, told, account):
            yield f"{place}: leaf {debt.notice} is not its notice"
