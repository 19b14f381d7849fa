"""Reading sealed rows: bodies by label, for epochs that both keepers vouched for.

Only `icrstore.query` may import this. What it returns is ciphertext; opening is the engine's.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from accounts.models import Tenant
from accounts.tenancy import of_tenant
from icrstore.inbox.models import Batch
from icrstore.seal.manifest import Manifest, ManifestError
from icrstore.vault import models
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import EpochStatement
from icrstore.warrant.strict import StatementError

Wanted = tuple[int, bytes]  # (epoch_no, label)


class EpochMissing(Exception):
    """The epoch is not held, or is not the one that the keepers logged."""


@dataclass(frozen=True)
class HeldEpoch:
    """An epoch whose statement is the one that the keepers logged, and whose manifest fits it."""

    number: int
    month: int
    statement: EpochStatement
    manifest: Manifest


def held_epochs(
    tenant: str, logged: Mapping[bytes, bytes]
) -> tuple[dict[bytes, HeldEpoch], set[bytes]]:
    """The epochs of ``logged`` (eid to the SHA-256 of the logged statement) by eid, and the eids
    that are missing here or differ from what was logged."""
    with of_tenant(tenant):
        rows = list(models.Epoch.objects.filter(tenant=tenant, eid__in=list(logged)))
    held = {}
    for row in rows:
        try:
            held[bytes(row.eid)] = _check(row, logged[bytes(row.eid)])
        except EpochMissing:
            continue
    return held, set(logged) - set(held)


def bodies(month: int, wanted: Iterable[Wanted]) -> dict[Wanted, bytes]:
    """The bodies that are there, of the rows wanted in one month."""
    numbers, labels = [], []
    for number, label in wanted:
        numbers.append(number)
        labels.append(label)
    with connection.cursor() as cursor:
        # Rows by (epoch, label): one probe of the month's primary key for each.
        cursor.execute(
            "SELECT s.epoch_no, s.label, s.body"
            " FROM unnest(%s::bigint[], %s::bytea[]) AS w(epoch_no, label)"
            " JOIN vault_segment s ON s.month = %s"
            "  AND s.epoch_no = w.epoch_no AND s.label = w.label",
            [numbers, labels, month],
        )
        return {(n, bytes(label)): bytes(body) for n, label, body in cursor.fetchall()}


def waiting_scopes(tenant: str) -> list[tuple[int, datetime, datetime]]:
    """Shard, first and last hour of every batch whose epochs the keepers have not all logged."""
    rows = Batch.objects.filter(tenant=tenant, sealed_receipt=None)
    with of_tenant(tenant):
        return list(rows.values_list("shard", "first_hour", "last_hour"))


def shards_of(tenant: str) -> int:
    with of_tenant(tenant):
        return Tenant.objects.get(name=tenant).shards


def _check(row: models.Epoch, logged_sha256: bytes) -> HeldEpoch:
    """That the row is what was logged.

    1. The statement's bytes are the ones that the keepers logged.
    2. It speaks of this epoch.
    3. The manifest has the statement's root and count.
    """
    try:
        envelope = Envelope.parse(bytes(row.statement), "epoch")
        if hashlib.sha256(envelope.payload).digest() != logged_sha256:
            raise EpochMissing
        statement = EpochStatement.parse(envelope)
        manifest = Manifest(bytes(row.manifest))
    except (StatementError, ManifestError) as error:
        raise EpochMissing from error

    if statement.epoch.eid != bytes(row.eid):
        raise EpochMissing
    if manifest.root != statement.manifest_root or manifest.rows != statement.rows:
        raise EpochMissing
    return HeldEpoch(row.id, row.month, statement, manifest)


__all__: Sequence[str] = [
    "EpochMissing", "HeldEpoch", "bodies", "held_epochs", "shards_of", "waiting_scopes",
]  # fmt: skip
