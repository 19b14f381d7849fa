"""Shredding certificates: copies of the keepers' leaves, for whoever wants to see them.

Not trusted: each is checked when it is copied, and by whoever is shown it. Who writes here can have
the rest of a day forgotten whose year is over by PostgreSQL's clock, and no other.
"""

from django.db import models

from accounts.models import Tenant


class Certificate(models.Model):
    """One keeper's word that a day's keys are destroyed; ``evidence`` is the leaf with its private
    text, proven under a checkpoint that the other keeper cosigned (JSON)."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    role = models.CharField(max_length=16)
    instance = models.PositiveSmallIntegerField()
    day = models.DateField()
    epochs = models.BigIntegerField()
    evidence = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "role", "instance", "day"], name="certificate_once"
            ),
        ]
