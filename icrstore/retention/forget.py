"""Forgetting: what is left of expired days goes, by functions that the database's owner wrote.

Everything here may run twice, beside another janitor, and end anywhere: each call is a transaction.
"""

import logging
import re

from django.db import OperationalError, connection

from accounts.tenancy import of_tenant, tenants

logger = logging.getLogger(__name__)

_MONTHS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'vault_segment'::regclass ORDER BY 1
"""


def forget() -> int:
    """Remove what is dated on days that both roles have certified; how many epochs went."""
    count = 0
    for tenant in tenants():
        with of_tenant(tenant.name), connection.cursor() as cursor:
            cursor.execute("SELECT retention_forget(%s)", [tenant.name])
            count += cursor.fetchone()[0]
    with connection.cursor() as cursor:
        cursor.execute("SELECT retention_sweep()")
    return count


def drop_months() -> list[int]:
    """Drop the partitions in which no day lives; which were dropped."""
    dropped = []
    for month in months():
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT retention_drop_month(%s)", [month])
                if cursor.fetchone()[0]:
                    dropped.append(month)
        except OperationalError:
            # A sealer or an engine is at work on the table: its turn comes at the next look.
            logger.info("month %s: not now", month)
    return dropped


def months() -> list[int]:
    """The months that have a partition."""
    with connection.cursor() as cursor:
        cursor.execute(_MONTHS)
        found = [re.fullmatch(r"vault_segment_(\d{6})", name) for (name,) in cursor.fetchall()]
    return [int(match[1]) for match in found if match]
