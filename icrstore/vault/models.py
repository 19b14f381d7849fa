"""Sealed epochs and their rows, month by month. Nothing here opens without two keepers.

Not trusted: who writes here cannot plant an epoch (keepers lend only for those they logged) nor
take a row away unseen (the signed manifest says which rows an epoch has).
"""

from django.db import models

from accounts.models import Tenant
from icrstore.inbox.models import Batch


class Epoch(models.Model):
    """One epoch. ``id`` is its *epoch_no* in the tables of segments and of the manifests' buckets,
    which are partitioned by month and known to no model: they are written by COPY (`vault.storing`)
    and read by `vault.reader`."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    eid = models.BinaryField()
    month = models.IntegerField()
    hour = models.DateTimeField()
    shard = models.PositiveIntegerField()
    rows = models.BigIntegerField()
    statement = models.BinaryField()
    batches = models.ManyToManyField(Batch, related_name="epochs")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "eid"], name="epoch_once"),
        ]
        indexes = [
            # Which hours have an epoch (`vault.sealer.seal_empty_hours`).
            models.Index(fields=["tenant", "shard", "hour"], name="epoch_hour"),
        ]


class EpochSeal(models.Model):
    """One atom of an epoch, sealed to one keeper instance, until that keeper has logged it."""

    epoch = models.ForeignKey(Epoch, on_delete=models.CASCADE, related_name="seals")
    role = models.CharField(max_length=16)
    instance = models.PositiveSmallIntegerField()
    seal = models.BinaryField()
    acknowledged_at = models.DateTimeField(null=True)
    refused = models.CharField(max_length=64, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["epoch", "role", "instance"], name="epoch_seal_once"),
        ]
        indexes = [
            # What a keeper has not logged yet (`vault.register`).
            models.Index(
                fields=["role", "instance", "epoch"],
                name="epoch_seal_waiting",
                condition=models.Q(acknowledged_at=None, refused=""),
            ),
        ]
