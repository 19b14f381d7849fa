"""Lodged warrants and queries. What they ask is sealed to the engine; web keeps no plain copy.

Not trusted: who writes here can queue what keepers will refuse, or withhold a query; who reads
learns digests, times and states, never a selector.
"""

from django.db import models

from accounts.models import Tenant


class LodgedWarrant(models.Model):
    """A warrant with its grants, sealed to the engine's storage key."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    sha256 = models.BinaryField()
    authority = models.CharField(max_length=64)
    sealed = models.BinaryField()
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField()
    lodged_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "sha256"], name="warrant_once"),
        ]


class Query(models.Model):
    """One request on its way: the row is the queue.

    queued -> running -> answered | refused | failed, and running -> queued when the engine that
    ran it is gone.
    """

    QUEUED, RUNNING = "queued", "running"
    ANSWERED, REFUSED, FAILED = "answered", "refused", "failed"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    warrant = models.ForeignKey(LodgedWarrant, on_delete=models.PROTECT)
    sha256 = models.BinaryField()
    sealed = models.BinaryField()
    # How many leaves each keeper writes of it: by this a question that is hidden here shows.
    selectors = models.PositiveIntegerField(db_default=0)
    urgent = models.BooleanField(default=False)
    state = models.CharField(max_length=8, default=QUEUED)
    claim = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    # Which keeper said what: [{"keeper": role, "code": stable code}].
    keepers = models.JSONField(default=list)
    # The key to which shares are sealed, sealed itself to the engine; gone when the query ends.
    share_key = models.BinaryField(null=True)
    # What was not proven sealed before a keeper was first asked, signed by the engine (`waits`).
    waiting = models.JSONField(null=True)
    disclosure = models.BinaryField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "sha256"], name="query_once"),
            models.CheckConstraint(
                condition=models.Q(
                    state__in=["queued", "running", "answered", "refused", "failed"]
                ),
                name="query_state",
            ),
        ]
        indexes = [
            # What the engine looks for (`query.tasks.answer`).
            models.Index(
                fields=["id"],
                name="query_open",
                condition=models.Q(state__in=["queued", "running"]),
            ),
        ]
