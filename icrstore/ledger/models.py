"""Copies of the keepers' logs: public data, only ever added to.

Not trusted: who writes here can show a log that ends early or does not lead to its checkpoint,
which everyone finds out who checks. Who reads learns what anyone may; which log is which tenant's
is under row-level security.
"""

from django.db import models

from accounts.models import Tenant


class Log(models.Model):
    """Which log is a tenant's at a keeper. Found by who names its pseudonym."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    role = models.CharField(max_length=16)
    origin = models.CharField(max_length=160, unique=True)
    pseudonym = models.CharField(max_length=16)

    def newest(self) -> "Checkpoint | None":
        """The largest size that is copied, as it was cosigned last."""
        return self.checkpoints.order_by("-size", "-cosigned_at").first()


class Checkpoint(models.Model):
    """A size that the log signed and the other keeper cosigned; its leaves and nodes are here."""

    log = models.ForeignKey(Log, on_delete=models.PROTECT, related_name="checkpoints")
    size = models.BigIntegerField()
    cosigned_at = models.DateTimeField()
    note = models.TextField()

    class Meta:
        constraints = [
            # `Log.newest`; copied twice it is one row.
            models.UniqueConstraint(fields=["log", "size", "cosigned_at"], name="checkpoint_once"),
        ]


class Fork(models.Model):
    """Two checkpoints that the log signed and that cannot both be true, as `icr-verify fork` reads
    them. One is enough; nobody can take it away."""

    log = models.OneToOneField(Log, on_delete=models.PROTECT, related_name="fork")
    found_at = models.DateTimeField()
    evidence = models.TextField()


class Leaf(models.Model):
    """A leaf's public lines, byte for byte."""

    pk = models.CompositePrimaryKey("log_id", "number")
    log = models.ForeignKey(Log, on_delete=models.PROTECT, db_index=False)
    number = models.BigIntegerField()
    text = models.TextField()


class Node(models.Model):
    """The hash of a complete subtree, which never changes once its leaves are there."""

    pk = models.CompositePrimaryKey("log_id", "level", "number")
    log = models.ForeignKey(Log, on_delete=models.PROTECT, db_index=False)
    level = models.PositiveSmallIntegerField()
    number = models.BigIntegerField()
    hash = models.BinaryField()
