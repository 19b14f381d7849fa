"""Whose rows a transaction sees: PostgreSQL's row-level security goes by what is set here alone.

Every table with rows of a tenant shows and takes only those of ``icr.tenant``. A caller whose
tenant nobody knows yet finds its own row by ``icr.caller``: the id of the key that it signs with,
or the hash of the token that it brings. Both settings end with the transaction, so that a
connection which serves another tenant next carries nothing over; unset, they show nothing.

This is the second wall. The first is that the tenant is part of every query and every key.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from accounts.exchange import Statement
from accounts.models import Tenant


@contextmanager
def of_tenant(name: str) -> Iterator[None]:
    """A transaction that sees this tenant's rows; within another, for as long as the block."""
    with _transaction_with("icr.tenant", name):
        yield


def see(tenant: str) -> Statement:
    """By which the statements after it, to the end of their transaction, see its rows."""
    return "SELECT set_config('icr.tenant', %(tenant)s, true)", {"tenant": tenant}


@contextmanager
def of_caller(identifier: str) -> Iterator[None]:
    """A transaction that sees what is kept under a key's id or a token's hash, at any tenant."""
    with _transaction_with("icr.caller", identifier):
        yield


def tenants() -> list[Tenant]:
    """Every ISP of this installation. Web is shown none here."""
    return list(Tenant.objects.order_by("name"))


@contextmanager
def _transaction_with(setting: str, value: str) -> Iterator[None]:
    is_within = connection.in_atomic_block
    with transaction.atomic():
        before = _exchange(setting, value, is_within)
        yield
        if is_within:
            _exchange(setting, before, wanted=False)


def _exchange(setting: str, value: str, wanted: bool) -> str:
    """Set it until the transaction ends; what was set before, if that is wanted."""
    before = ""
    with connection.cursor() as cursor:
        if wanted:
            cursor.execute("SELECT coalesce(current_setting(%s, true), '')", [setting])
            (before,) = cursor.fetchone()
        cursor.execute("SELECT set_config(%s, %s, true)", [setting, value])
    return str(before)
