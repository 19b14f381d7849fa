"""A case: the statements of one request as they were committed, kept locked, and checked again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from icrstore.keeper import queries, salvage
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Call
from icrstore.keeper.leaves import told_of
from icrstore.keeper.ledger import Draft
from icrstore.keeper.locked import lock, unlock
from icrstore.keeper.queries import RequestRow
from icrstore.seal.encode import enc, text
from icrstore.seal.epoch import is_expired
from icrstore.warrant.authority import Granted, check_warrant
from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.statements import AccountSelector, Request, Warrant
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object

MOST_GRANTS = 100
MOST_CASE_BYTES = 1 << 24
REPEAT_LIFE = timedelta(hours=24)


@dataclass(frozen=True)
class Case:
    """A warrant, a request under it, and the grants of who signed them."""

    warrant: Envelope
    request: Envelope
    grants: tuple[Envelope, ...]

    @classmethod
    def take(cls, fields: Fields) -> "Case":
        """From the fields of a body. Raises `StatementError`; checks no signature."""
        return cls(
            Envelope.read(fields.take("warrant"), "warrant", "warrant"),
            Envelope.read(fields.take("request"), "request", "request"),
            fields.items("grants", read_grant, 1, MOST_GRANTS),
        )

    @classmethod
    def of(cls, call: Call, row: RequestRow) -> "Case":
        """As it was committed."""
        return cls.stored(call.keeper.identity.storage, row)

    @classmethod
    def stored(cls, storage_key: bytes, row: RequestRow) -> "Case":
        """Raises `BoxError` and `StatementError` for what is not as it was committed."""
        box = unlock(storage_key, _place(row.sha256), row.statements)
        return cls.take(Fields(parse_object(box, MOST_CASE_BYTES)))

    def locked(self, call: Call) -> bytes:
        kept = {
            "warrant": self.warrant.to_object(),
            "request": self.request.to_object(),
            "grants": [grant.to_object() for grant in self.grants],
        }
        return lock(call.keeper.identity.storage, _place(self.request.sha256), dump(kept))

    @cached_property
    def warrant_said(self) -> Warrant:
        """What the warrant says; it is believed only once `granted` checked it."""
        return Warrant.parse(self.warrant)

    @cached_property
    def request_said(self) -> Request:
        """What the request says; it is believed only of a case that was committed."""
        return Request.parse(self.request)

    def granted(self, call: Call, tenant: str) -> tuple[Granted, Warrant]:
        """Who may sign, by the authority's root that is pinned now, and the warrant in force.

        Raises `StatementError` and Refused(wrong-tenant, unknown-authority).
        """
        unchecked = self.warrant_said
        if unchecked.tenant != tenant:
            raise Refused("wrong-tenant")
        root = self._root(call, tenant)
        if root is None:
            raise Refused("unknown-authority")
        granted = Granted.check(self.grants, unchecked.authority, root, call.now)
        return granted, check_warrant(self.warrant, granted, call.now)

    def check_root(self, call: Call, tenant: str) -> None:
        """Raise `StatementError` unless the root that is pinned now made these grants: with another
        root its revocations would be forgotten, too."""
        root = self._root(call, tenant) or b""
        for grant in self.grants:
            grant.verify(root)

    def check_unrevoked(self, call: Call, tenant: str) -> None:
        """Raise Refused(revoked) if a key that signed was revoked by its authority's root."""
        root = self._root(call, tenant) or b""
        signed = {one.keyid for each in (self.warrant, self.request) for one in each.signatures}
        if any(key_id(key) in signed for key in queries.revoked_by(call.tx, tenant, root)):
            raise Refused("revoked")

    def _root(self, call: Call, tenant: str) -> bytes | None:
        """The root that is pinned now of the authority that the warrant names."""
        return queries.pinned(call.tx, "authority", tenant, self.warrant_said.authority)

    def told(self, type_: str) -> dict[str, Any]:
        warrant, request = self.warrant_said, self.request_said
        return told_of(type_, warrant, self.warrant.sha256, request, self.request.sha256)

    def drafts(self, type_: str, **besides: Any) -> list[Draft]:
        """A leaf for each selector, none of which knows of another."""
        told = {**self.told(type_), **besides}
        return [
            Draft(type_, told, selector.subject, isinstance(selector, AccountSelector))
            for selector in self.request_said.selectors
        ]

    def drafts_of_accounts(
        self, type_: str, records: Mapping[str, int], **besides: Any
    ) -> list[Draft]:
        """A leaf for each account, with how many records of it there were."""
        told = {**self.told(type_), **besides}
        return [
            Draft(type_, {**told, "records": count}, text(account), is_account=True)
            for account, count in records.items()
        ]


def check_retention(request: Request, call: Call) -> None:
    """Refuse a request whole that reaches an expired day or an hour that has not begun."""
    today = call.now.date()
    for hours in request.hours:
        if is_expired(hours.first.date(), today):
            raise Refused("expired-day")
        if hours.end - timedelta(hours=1) > call.now:
            raise Refused("future-hour")


def find_case(call: Call, request_sha256: bytes, caller: bytes) -> tuple[RequestRow, Case]:
    """The request of this engine, and its case. Raises Refused(unknown-request, another-engine,
    before-recovery, expired-day, revoked), and `StatementError`.

    The engine must be pinned still, with the key by which it committed; no day of the request have
    expired since; and the root that made its grants be pinned still, and have revoked no key that
    signed it or its warrant.
    """
    row = queries.request(call.tx, request_sha256)
    if row is None:
        raise Refused("unknown-request", 404)
    if row.engine_identity != caller:
        raise Refused("another-engine")
    queries.engine_named(call.tx, row.tenant, caller)
    salvage.check_request_known(call.tx, row.tenant, row.commit_leaf)
    case = Case.of(call, row)
    check_retention(case.request_said, call)
    case.check_root(call, row.tenant)
    case.check_unrevoked(call, row.tenant)
    return row, case


def read_grant(value: Any, place: str) -> Envelope:
    return Envelope.read(value, "grant", place)


def read_body(body: bytes) -> Fields:
    """The one object in a body. Raises Refused(malformed)."""
    try:
        return Fields(parse_object(body, MOST_CASE_BYTES))
    except StatementError as error:
        raise Refused("malformed", 400) from error


def _place(request_sha256: bytes) -> bytes:
    return enc(b"icr/v1/case", request_sha256)
