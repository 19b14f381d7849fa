"""Signing in: an account typed into an open page, a code to the contact on file, typed in there.

A code has eight digits, works once, for ten minutes, for five tries, in the browser that asked for
it. Every account is answered alike, whether it is somebody's or not: web does not look.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from django.db import connection

from accounts.tenancy import of_tenant, tenants
from icrstore.keeper.locked import BoxError, lock, unlock
from icrstore.notices.models import Session, SignIn, Subscriber
from icrstore.notices.names import LookupKey
from icrstore.seal.encode import enc, prf, text
from icrstore.warrant.statements import read_account
from icrstore.warrant.strict import StatementError
from icrstore.wire import hpke

CODE_LIFE = timedelta(minutes=10)
CODE = re.compile(rb"[0-9]{8}")
MOST_TRIES = 5
SESSION_LIFE = timedelta(minutes=30)
# Codes asked for within an hour: of one account, so that nobody floods a mailbox or guesses on;
# from one network, so that nobody tries all accounts.
WINDOW = timedelta(hours=1)
MOST_OF_ACCOUNT, MOST_OF_NETWORK = 5, 30

# One try more, if there is one left: two at once never share a try.
_TRY = """
UPDATE notices_signin SET tries = tries + 1
WHERE id = (SELECT id FROM notices_signin
            WHERE tenant_id = %s AND browser_sha256 = %s ORDER BY id DESC LIMIT 1)
  AND tries < %s AND NOT is_used AND asked_at > %s
RETURNING id, lookup, code_mac
"""


class TooMany(Exception):
    """This account or this network asked too often within the hour."""


class NotSignedIn(Exception):
    """No reason: the code is wrong, old, used, of another browser, or was never sent."""


@dataclass(frozen=True)
class SignedIn:
    """Whose entries may be read, by which key, and from when on they are theirs."""

    tenant: str
    lookup: bytes
    access: bytes = field(repr=False)
    since: datetime | None


def ask(
    tenant: str, account: str, address: str, key: LookupKey, notifier: bytes, now: datetime
) -> str:
    """Make a code and have it sent; the browser's secret, for its cookie. Raises `TooMany`."""
    lookup, network = key.find(tenant, account), key.network(_network(address))
    browser, code = secrets.token_urlsafe(32), f"{secrets.randbelow(10**8):08d}"
    sealed = hpke.seal(notifier, code_info(tenant, lookup), code.encode("ascii"))
    with of_tenant(tenant):
        # Those who ask at once for one account, or from one network, are counted one by one.
        _take_turns(lookup, network)
        recent = SignIn.objects.filter(tenant=tenant, asked_at__gt=now - WINDOW)
        if recent.filter(lookup=lookup).count() >= MOST_OF_ACCOUNT:
            raise TooMany
        if recent.filter(network=network).count() >= MOST_OF_NETWORK:
            raise TooMany
        SignIn.objects.create(
            tenant_id=tenant, lookup=lookup, browser_sha256=_sha256(browser), sealed=sealed,
            code_mac=_code_mac(key, browser, code), network=network, asked_at=now,
            next_attempt_at=now,
        )  # fmt: skip
    return browser


def enter(tenant: str, account: str, browser: str, code: str, key: LookupKey, now: datetime) -> str:
    """The new session's secret, for its cookie. Raises `NotSignedIn`; every call is a try."""
    # The try is counted before the code is looked at, in a transaction of its own.
    with of_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(_TRY, [tenant, _sha256(browser), MOST_TRIES, now - CODE_LIFE])
        found = cursor.fetchone()
    if found is None:
        raise NotSignedIn
    number, lookup, code_mac = found[0], bytes(found[1]), bytes(found[2])
    typed = "".join(code.split())
    is_right = hmac.compare_digest(code_mac, _code_mac(key, browser, typed))
    if not is_right or not hmac.compare_digest(lookup, key.find(tenant, account)):
        raise NotSignedIn
    token = secrets.token_urlsafe(32)
    with of_tenant(tenant):
        # Two that bring the right code at once: one of them uses it.
        if not SignIn.objects.filter(id=number, is_used=False).update(is_used=True):
            raise NotSignedIn
        Session.objects.create(
            tenant_id=tenant, lookup=lookup, token_sha256=_sha256(token),
            expires_at=now + SESSION_LIFE,
            sealed=lock(_session_key(token), _place(tenant, lookup), key.access(tenant, account)),
        )  # fmt: skip
    return token


def signed_in(tenant: str, token: str, now: datetime) -> SignedIn:
    """Who the cookie says it is, while the account is theirs. Raises `NotSignedIn`."""
    live = Session.objects.filter(tenant=tenant, token_sha256=_sha256(token), expires_at__gt=now)
    with of_tenant(tenant):
        session = live.first()
        if session is None:
            raise NotSignedIn
        lookup = bytes(session.lookup)
        theirs = Subscriber.objects.filter(tenant=tenant, lookup=lookup, closed_at=None)
        subscriber = theirs.only("since").first()
    if subscriber is None:
        raise NotSignedIn
    try:
        access = unlock(_session_key(token), _place(tenant, lookup), bytes(session.sealed))
    except BoxError:
        raise NotSignedIn from None
    return SignedIn(tenant, lookup, access, subscriber.since)


def leave(tenant: str, token: str) -> None:
    with of_tenant(tenant):
        Session.objects.filter(tenant=tenant, token_sha256=_sha256(token)).delete()


def forget(tenant: str, lookup: bytes) -> None:
    """End every session and code of an account: it is closed, or its contact changed."""
    with of_tenant(tenant):
        # First the codes: whoever is just entering one is waited for, and then has a session.
        SignIn.objects.filter(tenant=tenant, lookup=lookup).delete()
        Session.objects.filter(tenant=tenant, lookup=lookup).delete()


def sweep(now: datetime) -> None:
    """Drop what has ended and is counted no more."""
    for tenant in tenants():
        with of_tenant(tenant.name):
            Session.objects.filter(tenant=tenant, expires_at__lte=now).delete()
            SignIn.objects.filter(tenant=tenant, asked_at__lte=now - WINDOW).delete()


def is_account(value: str) -> bool:
    try:
        read_account(value, "account")
    except StatementError:
        return False
    return True


def code_info(tenant: str, lookup: bytes) -> bytes:
    """The HPKE info of a code on its way to the notifier."""
    return enc(b"icr/v1/sign-in", text(tenant), lookup)


def _code_mac(key: LookupKey, browser: str, code: str) -> bytes:
    return prf(key.raw, "code", text(browser), text(code))


def _session_key(token: str) -> bytes:
    return prf(text(token), "session")


def _place(tenant: str, lookup: bytes) -> bytes:
    return enc(b"icr/v1/session", text(tenant), lookup)


def _sha256(value: str) -> bytes:
    return hashlib.sha256(text(value)).digest()


def _network(address: str) -> str:
    """An IPv6 home has a whole /64 to ask from."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(ip_network((parsed, 32 if parsed.version == 4 else 64), strict=False))


def _take_turns(*names: bytes) -> None:
    numbers = sorted(int.from_bytes(hashlib.sha256(name).digest()[:7], "big") for name in names)
    with connection.cursor() as cursor:
        for number in numbers:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
