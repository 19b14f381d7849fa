"""Whose key is it: collectors by their row, people by a grant that an authority's root signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from accounts.exchange import alone, exchange
from accounts.models import Authority, Collector, Principal, Revocation, Tenant
from accounts.tenancy import of_caller, of_tenant
from icrstore.warrant.authority import SKEW, Granted
from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.statements import Grant
from icrstore.warrant.strict import StatementError

NONCE_LIFE = timedelta(minutes=10)
PEOPLE = ("applicant", "approver", "investigator")

# Each use clears away a few whose signatures are too old to be replayed. The unique constraint
# decides between two at once: only one of them inserts.
_USE_NONCE = """
WITH old AS (
    DELETE FROM accounts_nonce
    WHERE id IN (SELECT id FROM accounts_nonce WHERE expires_at < %(now)s LIMIT 10)
)
INSERT INTO accounts_nonce (keyid, nonce, expires_at) VALUES (%(keyid)s, %(nonce)s, %(end)s)
ON CONFLICT DO NOTHING RETURNING true
"""

# A caller sees its own row; that row says whose it is; and only then the tenant's is seen.
_OF_COLLECTOR = [
    "id", "tenant_id", "name", "key", "keyid", "revoked_at", "grant",
    "hour_batches", "hour_bytes", "day_batches", "day_bytes",
]  # fmt: skip
_OF_TENANT = ["name", "root_key", "shards", "takes_plain", "created_at"]
_COLUMNS = ", ".join(
    [f'collector."{name}"' for name in _OF_COLLECTOR] + [f"tenant.{name}" for name in _OF_TENANT]
)
_BY_KEY = "keyid = %(keyid)s AND revoked_at IS NULL"
_SEE_COLLECTOR = "SELECT set_config('icr.caller', %(keyid)s, true)"
_SEE_TENANT = f"""
SELECT set_config('icr.tenant', tenant_id, true) FROM accounts_collector WHERE {_BY_KEY}
"""  # noqa: S608 - names of ours
_COLLECTOR_AND_TENANT = f"""
SELECT {_COLUMNS} FROM accounts_collector collector
JOIN accounts_tenant tenant ON tenant.name = tenant_id WHERE {_BY_KEY}
"""  # noqa: S608 - names of ours


class UnknownPrincipal(Exception):
    """Nobody here has that key."""


@dataclass(frozen=True)
class Person:
    """Whose grants say so: at this tenant, for this authority, with this key."""

    tenant: str
    authority: str
    keyid: str


def collector_by_key(keyid: str) -> Collector:
    """The collector that signs with this key, unless revoked. Raises `UnknownPrincipal`."""
    steps = _SEE_COLLECTOR, _SEE_TENANT, _COLLECTOR_AND_TENANT
    _, _, found = alone(*((step, {"keyid": keyid}) for step in steps))
    if not found:
        raise UnknownPrincipal
    row, width = found[0], len(_OF_COLLECTOR)
    collector = Collector.from_db(connection.alias, _OF_COLLECTOR, row[:width])
    collector.tenant = Tenant.from_db(connection.alias, _OF_TENANT, row[width:])
    return collector


def vouched(tenant: str, envelopes: Sequence[Envelope], now: datetime) -> list[Principal]:
    """The people whose grants are in force, signed by an authority of this tenant and not taken
    back; not kept.

    Raises `StatementError` for a grant that no authority here vouches for.
    """
    with of_tenant(tenant):
        roots = dict(Authority.objects.filter(tenant=tenant).values_list("name", "root_key"))
        revoked = set(Revocation.objects.filter(tenant=tenant).values_list("issuer", "keyid"))
    people: dict[tuple[str, str, str], Principal] = {}
    for envelope in envelopes:
        issuer = Grant.parse(envelope).issuer
        if issuer not in roots:
            raise StatementError("unknown-authority", "grant")
        for grant in Granted.check([envelope], issuer, bytes(roots[issuer]), now).grants:
            if grant.role in PEOPLE and (issuer, key_id(grant.key)) not in revoked:
                people[issuer, grant.role, key_id(grant.key)] = _principal(tenant, grant)
    return list(people.values())


def remember(people: Sequence[Principal]) -> None:
    """Keep these people of one tenant for later calls.

    Only for a caller who is known: a stranger stores nothing.
    """
    if not people:
        return
    # In one order, so that two calls which bring the same grants cannot lock each other out.
    ordered = sorted(people, key=lambda person: (person.authority, person.role, person.keyid))
    with of_tenant(people[0].tenant_id):
        Principal.objects.bulk_create(
            ordered,
            update_conflicts=True,
            unique_fields=["tenant", "authority", "role", "keyid"],
            update_fields=["not_before", "not_after", "key"],
        )


def person_by_key(
    keyid: str, now: datetime, shown: Sequence[Principal] = ()
) -> tuple[bytes, list[Person]]:
    """The key, and where its grants hold now: those kept and those ``shown`` with the call.

    Raises `UnknownPrincipal`.
    """
    kept = Principal.objects.filter(keyid=keyid, not_before__lte=now + SKEW, not_after__gt=now)
    with of_caller(keyid):
        rows = [*kept]
    rows += [person for person in shown if person.keyid == keyid]
    people = {Person(row.tenant_id, row.authority, keyid) for row in rows}
    keys = {bytes(row.key) for row in rows}
    if len(keys) != 1:
        raise UnknownPrincipal
    return keys.pop(), sorted(people, key=lambda person: (person.tenant, person.authority))


def check_investigator(tenant: str, authority: str, request: Envelope, now: datetime) -> None:
    """Raise `StatementError` unless an investigator of this authority signed the request."""
    rows = Principal.objects.filter(
        tenant=tenant, authority=authority, role="investigator",
        keyid__in=[signature.keyid for signature in request.signatures],
        not_before__lte=now + SKEW, not_after__gt=now,
    )  # fmt: skip
    with of_tenant(tenant):
        granted = tuple(
            Grant(authority, row.role, bytes(row.key), row.keyid, row.not_before, row.not_after)
            for row in rows
        )
    Granted(authority, granted).signer(request, "investigator")


def use_nonce(keyid: str, nonce: str, now: datetime) -> bool:
    """Whether this is the nonce's first use; afterwards it is used."""
    values = {"now": now, "keyid": keyid, "nonce": nonce, "end": now + NONCE_LIFE}
    (used,) = exchange((_USE_NONCE, values))
    return bool(used)


def _principal(tenant: str, grant: Grant) -> Principal:
    return Principal(
        tenant_id=tenant,
        authority=grant.issuer,
        role=grant.role,
        key=grant.key,
        keyid=key_id(grant.key),
        not_before=grant.not_before,
        not_after=grant.not_after,
    )
