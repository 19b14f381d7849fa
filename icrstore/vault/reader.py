"""Reading sealed rows: bodies by label, for epochs that both keepers vouched for.

Only `icrstore.query` may import this. What it returns is ciphertext; opening is the engine's.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db import connection

from accounts.models import Tenant
from accounts.tenancy import of_tenant
from icrstore.keeper.answers import ListedEpoch
from icrstore.seal.manifest import Manifest, ManifestError
from icrstore.vault import models
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import EpochStatement
from icrstore.warrant.strict import StatementError

Wanted = tuple[int, bytes]  # (epoch_no, label)
# Read at once: a manifest has 32 bytes for a row, and Python some 100 more while it is looked at.
GROUP_ROWS, GROUP_EPOCHS = 1 << 18, 500


class EpochMissing(Exception):
    """The epoch is not held, or is not the one that the keepers logged; the message says which."""


MISSING = "it is not in the store"


@dataclass(frozen=True)
class HeldEpoch:
    """An epoch whose statement is the one that the keepers logged, and whose manifest fits it."""

    number: int
    month: int
    statement: EpochStatement
    manifest: Manifest


def held_epochs(
    tenant: str, logged: Sequence[ListedEpoch]
) -> Iterator[tuple[list[HeldEpoch], dict[bytes, str]]]:
    """The epochs that are as the keepers logged them, group by group, and what is wrong with the
    others of each group, by eid.

    One group's manifests are in memory at a time: a year of a large ISP's would not fit.
    """
    for group in _groups(tenant, logged):
        digests = {epoch.eid: epoch.statement_sha256 for epoch in group}
        held, wrong = [], dict.fromkeys(digests, MISSING)
        with of_tenant(tenant):
            rows = list(models.Epoch.objects.filter(tenant=tenant, eid__in=list(digests)))
        for row in rows:
            try:
                held.append(check_epoch(row, digests[bytes(row.eid)]))
                del wrong[bytes(row.eid)]
            except EpochMissing as error:
                wrong[bytes(row.eid)] = str(error)
        yield held, wrong


def _groups(tenant: str, logged: Sequence[ListedEpoch]) -> Iterator[list[ListedEpoch]]:
    """In their order, as many at a time as have few enough rows by the database's own count."""
    if not logged:
        return
    hours = [epoch.hour for epoch in logged]
    near = models.Epoch.objects.filter(tenant=tenant, hour__range=(min(hours), max(hours)))
    with of_tenant(tenant):
        rows = {bytes(eid): count for eid, count in near.values_list("eid", "rows")}
    group: list[ListedEpoch] = []
    size = 0
    for epoch in logged:
        size += rows.get(epoch.eid, 0)
        if group and (size > GROUP_ROWS or len(group) == GROUP_EPOCHS):
            yield group
            group, size = [], rows.get(epoch.eid, 0)
        group.append(epoch)
    yield group


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


def shards_of(tenant: str) -> int:
    with of_tenant(tenant):
        return Tenant.objects.get(name=tenant).shards


def check_epoch(row: models.Epoch, logged_sha256: bytes) -> HeldEpoch:
    """That the row is what was logged.

    1. The statement's bytes are the ones that the keepers logged.
    2. It speaks of this epoch.
    3. The manifest has the statement's root and count.
    """
    try:
        envelope = Envelope.parse(bytes(row.statement), "epoch")
        if hashlib.sha256(envelope.payload).digest() != logged_sha256:
            raise EpochMissing("its statement is not the one that the keepers logged")
        statement = EpochStatement.parse(envelope)
    except StatementError as error:
        raise EpochMissing("its statement is none") from error

    if statement.epoch.eid != bytes(row.eid):
        raise EpochMissing("its statement is another epoch's")
    try:
        manifest = Manifest(bytes(row.manifest))
    except ManifestError as error:
        raise EpochMissing("its manifest is none") from error
    if manifest.root != statement.manifest_root or manifest.rows != statement.rows:
        raise EpochMissing("its manifest is not the one of its statement")
    return HeldEpoch(row.id, row.month, statement, manifest)


__all__: Sequence[str] = [
    "EpochMissing", "HeldEpoch", "bodies", "held_epochs", "shards_of",
]  # fmt: skip
