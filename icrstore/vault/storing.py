"""What a sealer has made, into PostgreSQL: statements by the ORM, rows by COPY."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from accounts.models import Tenant
from icrstore.inbox.models import Batch
from icrstore.seal.epoch import Epoch, Role
from icrstore.seal.sealing import SealedEpoch
from icrstore.vault import models
from icrstore.vault.manifests import copy_manifests
from icrstore.vault.months import month_of
from icrstore.warrant.dsse import Envelope

# A statement of PostgreSQL's takes 65,535 values, and by a backfill a claim may reach a year.
ROWS_AT_ONCE = 2000


@dataclass(frozen=True)
class MadeEpoch:
    epoch: Epoch
    sealed: SealedEpoch
    statement: Envelope
    seals: Mapping[tuple[Role, int], bytes]
    batches: Sequence[Batch]


def store(tenant: Tenant, made: Sequence[MadeEpoch]) -> None:
    """Epochs, their seals, rows and manifests; inside the caller's transaction."""
    epochs = [
        models.Epoch(
            tenant=tenant,
            eid=one.epoch.eid,
            month=month_of(one.epoch.hour),
            hour=one.epoch.hour,
            shard=one.epoch.shard,
            rows=one.sealed.manifest.rows,
            statement=one.statement.encode(),
        )
        for one in made
    ]
    rows = models.Epoch.objects.bulk_create(epochs, ROWS_AT_ONCE)
    seals = [
        models.EpochSeal(epoch=row, role=role, instance=instance, seal=seal)
        for row, one in zip(rows, made, strict=True)
        for (role, instance), seal in one.seals.items()
    ]
    models.EpochSeal.objects.bulk_create(seals, ROWS_AT_ONCE)
    through = models.Epoch.batches.through
    through.objects.bulk_create(
        through(epoch=row, batch=batch)
        for row, one in zip(rows, made, strict=True)
        for batch in one.batches
    )
    _copy_segments((row.month, row.id, one.sealed) for row, one in zip(rows, made, strict=True))
    copy_manifests(
        (row.month, row.id, one.sealed.manifest) for row, one in zip(rows, made, strict=True)
    )


def _copy_segments(epochs: Iterable[tuple[int, int, SealedEpoch]]) -> None:
    """Rows by COPY, in its binary format (PostgreSQL manual, COPY, "Binary Format").

    Written out here because of an epoch's rows only label and body differ.
    """
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY vault_segment (month, epoch_no, label, body) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
        for month, epoch_no, sealed in epochs:
            # Four fields, each with its length before it: int4, int8, 16 bytes of label, the body.
            start = struct.pack(">hiiiqi", 4, 4, month, 8, epoch_no, 16)
            copy.write(b"".join([
                start + label + len(body).to_bytes(4, "big") + body for label, body in sealed.rows
            ]))  # fmt: skip
        copy.write(b"\xff\xff")
