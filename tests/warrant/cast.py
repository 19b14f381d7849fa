"""Who signs in these tests, and a warrant, a request and grants that hold at `NOW`."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.warrant.authority import Granted
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.statements import (
    AccountSelector,
    AddressSelector,
    Grant,
    HourRange,
    Request,
    Target,
    Warrant,
)
from icrstore.warrant.strict import StatementError
from icrstore.wire import hpke

HOUR = timedelta(hours=1)
DAY = datetime(2026, 11, 22, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 9, 30, 15, tzinfo=UTC)
AUTHORITY = "Avon Constabulary"


def key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


ROOT, APPLICANT, APPROVER, INVESTIGATOR, STRANGER = (
    key(name) for name in ("root", "applicant", "approver", "investigator", "stranger")
)
RECIPIENT = hpke.PrivateKey(b"r" * 96).public_bytes()

ACCOUNT = AccountSelector("17-zoe")
ADDRESS = AddressSelector(
    bytes(10) + b"\xff\xff" + bytes([203, 0, 113, 9]),
    40001,
    6,
    DAY + 20 * HOUR + timedelta(minutes=30),
    timedelta(seconds=60),
)
TARGET = Target("198.51.100.0/24", DAY, DAY + 48 * HOUR)

SERVICES = Warrant(
    id="2026/117",
    nonce=b"w" * 16,
    tenant="demo",
    instrument="authorisation",
    authority=AUTHORITY,
    purpose="services",
    basis="a reason",
    selectors=(ACCOUNT,),
    targets=(),
    hours=HourRange(DAY + 8 * HOUR, DAY + 22 * HOUR),
    valid_from=NOW - timedelta(days=1),
    valid_to=NOW + timedelta(days=28),
    max_requests=3,
    max_candidates=1,
    recipient_keys=(RECIPIENT,),
)


def warrant(value: Warrant = SERVICES, *signers: Ed25519PrivateKey) -> Envelope:
    return Envelope.sign("warrant", value.to_fields(), *(signers or (APPLICANT, APPROVER)))


def request_of(under: Warrant = SERVICES) -> Request:
    """A request for all that a warrant allows."""
    return Request(
        request_id=b"q" * 16,
        warrant_sha256=warrant(under).sha256,
        selectors=under.selectors,
        targets=under.targets,
        hours=(under.hours,),
        urgent=False,
        nonce=b"n" * 16,
        created=NOW - timedelta(minutes=1),
    )


def request(value: Request, *signers: Ed25519PrivateKey) -> Envelope:
    return Envelope.sign("request", value.to_fields(), *(signers or (INVESTIGATOR,)))


def grant(
    role: str,
    holder: Ed25519PrivateKey,
    root: Ed25519PrivateKey = ROOT,
    issuer: str = AUTHORITY,
    not_before: datetime = NOW - timedelta(days=30),
    not_after: datetime = NOW + timedelta(days=30),
    name: str = "",
) -> Envelope:
    value = Grant(issuer, role, raw_public(holder), name or f"the {role}", not_before, not_after)
    return Envelope.sign("grant", value.to_fields(), root)


GRANTS = (
    grant("applicant", APPLICANT),
    grant("approver", APPROVER),
    grant("investigator", INVESTIGATOR),
)


def granted(*grants: Envelope) -> Granted:
    return Granted.check(grants or GRANTS, AUTHORITY, raw_public(ROOT), NOW)


def code_of(run: Callable[[], object]) -> str:
    """The stable code by which a statement is refused; fails the test if it is not."""
    try:
        run()
    except StatementError as refused:
        return refused.code
    raise AssertionError("it was not refused")
