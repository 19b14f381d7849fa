"""What was accepted and waits to be sealed. A body is ciphertext to an intake key throughout.

Who writes here can lose batches before they are sealed, which the collector then sees (no sealed
receipt) and an answer too (a missing number of its stream), and cannot read them. These rows are
trusted with nothing else: a sealer checks the collector's signature by itself (`authorship`).
"""

from django.db import models

from accounts.models import Collector, Tenant

# A batch of which so many claims died or failed is claimed no more: its first in company, its
# second in less, and three of its own (`vault.trying`).
MOST_TRIES = 5


class IntakeKey(models.Model):
    """The signed public key of one UTC hour, as the sealer host published it."""

    hour = models.DateTimeField(primary_key=True)
    envelope = models.BinaryField()


class Batch(models.Model):
    """One accepted batch. Its row stays for the whole retention, its body until it is sealed.

    ``accepted`` -> ``sealed`` (rows committed; ``sealed_receipt`` follows once all keepers have
    logged its epochs). An accepted one whose tries are spent is *set aside*: it waits for somebody
    who lets it be tried again (`manage.py inbox retry`), and its collector keeps it too.
    """

    ACCEPTED, SEALED = "accepted", "sealed"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    collector = models.ForeignKey(Collector, on_delete=models.PROTECT)
    batch_id = models.BinaryField()
    stream = models.CharField(max_length=64)
    sequence = models.BigIntegerField()
    shard = models.PositiveIntegerField()
    first_hour = models.DateTimeField()
    last_hour = models.DateTimeField()
    intake_hour = models.DateTimeField()
    body = models.BinaryField(null=True)
    body_bytes = models.BigIntegerField()
    body_sha256 = models.BinaryField()
    accepted_at = models.DateTimeField()
    receipt = models.BinaryField()
    # The call that the collector signed as it handed this in (`inbox.authorship`).
    signed = models.BinaryField(null=True)
    state = models.CharField(max_length=8, default=ACCEPTED)
    # Somebody with a warrant cannot wait for the hour's end (`accept.hurry`).
    urgent = models.BooleanField(default=False)
    claim = models.BigIntegerField(null=True)
    # How many claims of it died or failed over it (`vault.trying`).
    tries = models.PositiveSmallIntegerField(default=0)
    records = models.BigIntegerField(default=0)
    rejected = models.JSONField(default=dict)
    # Of which gaps it told; an answer believes the sealed receipt only.
    gaps = models.JSONField(default=list)
    # What the sealer host signed as it sealed: all that the sealed receipt will repeat. It is no
    # receipt itself, so whoever copies it to a collector makes it forget nothing.
    sealing = models.BinaryField(null=True)
    sealed_receipt = models.BinaryField(null=True)

    @property
    def is_set_aside(self) -> bool:
        return self.state == self.ACCEPTED and self.tries >= MOST_TRIES

    class Meta:
        constraints = [
            # The same file gives the same batches: an id already held is never stored twice.
            models.UniqueConstraint(
                fields=["tenant", "collector", "batch_id"], name="batch_once_per_collector"
            ),
            models.UniqueConstraint(
                fields=["tenant", "collector", "stream", "sequence"], name="batch_sequence_once"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["accepted", "sealed"]), name="batch_state"
            ),
        ]
        indexes = [
            # What waits to be sealed (`vault.sealer`), and what waits for its receipt
            # (`vault.register`, `vault.reader`): both small, however much is kept.
            models.Index(
                fields=["tenant", "shard", "last_hour"],
                name="batch_waiting",
                condition=models.Q(state="accepted"),
            ),
            models.Index(
                fields=["tenant"],
                name="batch_unacknowledged",
                condition=models.Q(sealed_receipt=None),
            ),
            # Which numbers of a stream came when (`vault.streams`).
            models.Index(
                fields=["tenant", "collector", "stream", "accepted_at", "sequence"],
                name="batch_came",
            ),
            # Few: those that tell of gaps, by their hours (`vault.streams`).
            models.Index(
                fields=["tenant", "last_hour"],
                name="batch_tells_of_gaps",
                condition=~models.Q(gaps=[]),
            ),
            # What a collector handed in since when (`inbox.limits`).
            models.Index(
                fields=["tenant", "collector", "accepted_at"],
                include=["body_bytes"],
                name="batch_handed_in",
            ),
        ]
