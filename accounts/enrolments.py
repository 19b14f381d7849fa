"""Enrolment: an operator invites a collector by name, and the first key that has the token is it.

1. `invite` makes a token of one use and 24 hours, and keeps its SHA-256.
2. The collector makes its key where it will be used and signs a call that carries the token.
3. `enrol` uses the token up and adds the collector, in one transaction.

Who reads the table learns no token; who writes it can let a stranger push, as one who writes the
table of collectors can.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.db import IntegrityError

from accounts.models import Collector, Enrolment, Tenant
from accounts.tenancy import of_caller, of_tenant
from icrstore.shell.enrolment import new_token, token_sha256
from icrstore.warrant.dsse import key_id
from icrstore.warrant.trust import Trust

TOKEN_LIFE = timedelta(hours=24)


class NotEnrolled(Exception):
    """The collector was not added. ``code`` is stable, ``mend`` says what to do."""

    def __init__(self, code: str, mend: str) -> None:
        super().__init__(code)
        self.code, self.mend = code, mend


@dataclass(frozen=True)
class Pins:
    """The public keys that a collector believes: of intake keys and sealed receipts, and of
    accepted receipts."""

    sealer_key: bytes
    receipt_key: bytes

    @classmethod
    def read(cls, trust_file: Path) -> "Pins":
        """From the trust file; raises `NotEnrolled` before the first sealer host is in it."""
        trust = Trust.parse(trust_file.read_bytes())
        if not trust.sealers:
            raise NotEnrolled("no-sealer", "name a sealer host in the trust file first")
        # One host signs the intake keys of an installation: the first by name.
        return cls(trust.sealers[min(trust.sealers)], trust.receipt_key)


def invite(tenant: Tenant, name: str, pins: Pins, now: datetime) -> str:
    """A token by which one new collector of this name can enrol; an older one ends.

    Raises `NotEnrolled` for a name that is taken, also by a collector that was revoked: its batches
    are still its own.
    """
    token = new_token(pins.sealer_key, pins.receipt_key)
    with of_tenant(tenant.name):
        if Collector.objects.filter(tenant=tenant, name=name).exists():
            mend = "a collector of this name is or was there: name another"
            raise NotEnrolled("name-taken", mend)
        Enrolment.objects.update_or_create(
            tenant=tenant,
            name=name,
            defaults={"token_sha256": token_sha256(token), "expires_at": now + TOKEN_LIFE},
        )
    return token


def invitation(token: str) -> Enrolment:
    """What the token is for, whether or not it still holds. Raises `NotEnrolled`."""
    sha256 = token_sha256(token)
    with of_caller(sha256):
        found = Enrolment.objects.filter(token_sha256=sha256).first()
    if found is None:
        raise NotEnrolled("token-unknown", "have a new one made: manage.py collector enrol")
    return found


def enrol(invited: Enrolment, key: bytes, now: datetime) -> Collector:
    """Add the collector whose 32-byte public key this is; the caller has checked that it signs.

    The same key may repeat its call, so that an answer that was lost costs nothing. Safe from two
    processes: one key wins. Raises `NotEnrolled`.
    """
    with of_tenant(invited.tenant_id):
        held = Collector.objects.filter(tenant=invited.tenant_id, name=invited.name).first()
    if held is not None and bytes(held.key) == key and held.revoked_at is None:
        return held
    if invited.used_at is not None:
        raise NotEnrolled("token-used", "a token serves once: have a new one made")
    if invited.expires_at <= now:
        raise NotEnrolled("token-expired", "a token serves for 24 hours: have a new one made")
    try:
        with of_tenant(invited.tenant_id):
            return _add(invited, key, now)
    except IntegrityError as error:
        raise NotEnrolled(
            "key-in-use", "that key is a collector's already: make another"
        ) from error


def _add(invited: Enrolment, key: bytes, now: datetime) -> Collector:
    # Of two that come at once one changes the row; the other waits here and then changes none. Nor
    # does a token that was made anew since it was looked up.
    unused = Enrolment.objects.filter(token_sha256=invited.token_sha256, used_at=None)
    if not unused.update(used_at=now):
        raise NotEnrolled("token-used", "a token serves once: have a new one made")
    return Collector.objects.create(
        tenant_id=invited.tenant_id, name=invited.name, key=key, keyid=key_id(key)
    )
