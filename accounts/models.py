"""Who may knock: tenants (ISPs), their authorities and collectors, people whose grants we saw.

None of these rows is trusted to open anything: keepers pin their own roots. Who can write here
can let a stranger push records or queue a request that every keeper then refuses.
"""

from django.db import models


class Tenant(models.Model):
    """An ISP. Its root key vouches for its sealer hosts."""

    name = models.CharField(primary_key=True, max_length=64)
    root_key = models.BinaryField()
    shards = models.PositiveSmallIntegerField(default=1)
    # Whether web may seal what its simplest senders cannot (`inbox.plain`).
    takes_plain = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)


class Authority(models.Model):
    """A body that may be granted warrants at a tenant. Its root key vouches for its people."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    name = models.CharField(max_length=64)
    root_key = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="authority_tenant_name"),
        ]


class OversightBody(models.Model):
    """A body that watches over a tenant's store. Its root key vouches for its people, and for
    nobody of an authority: keepers pin no root of it."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    name = models.CharField(max_length=64)
    root_key = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="oversight_tenant_name"),
        ]


class Collector(models.Model):
    """A machine at an ISP that pushes batches."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    name = models.CharField(max_length=64)
    key = models.BinaryField()
    keyid = models.CharField(max_length=16)
    revoked_at = models.DateTimeField(null=True)
    # The tenant's root vouches for the key (`accounts.collector_grants`): nothing is pushed before.
    grant = models.BinaryField(null=True)
    # The last number of each stream that went with its year: what lies before is no gap.
    forgotten = models.JSONField(default=dict)
    # What it may hand in within a UTC hour and a UTC day (`inbox.limits`).
    hour_batches = models.BigIntegerField(default=20_000)
    hour_bytes = models.BigIntegerField(default=16 << 30)
    day_batches = models.BigIntegerField(default=200_000)
    day_bytes = models.BigIntegerField(default=64 << 30)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="collector_tenant_name"),
            # A signature names its key alone, so a key belongs to one collector of one tenant.
            models.UniqueConstraint(fields=["keyid"], name="collector_keyid"),
        ]


class Enrolment(models.Model):
    """An invitation: whoever has the token may become this collector, once."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    name = models.CharField(max_length=64)
    token_sha256 = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            # One token a name: a new one ends the old one.
            models.UniqueConstraint(fields=["tenant", "name"], name="enrolment_tenant_name"),
        ]


class Principal(models.Model):
    """A person's key at a tenant, from a grant that the authority's root signed."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    authority = models.CharField(max_length=64)
    role = models.CharField(max_length=16)
    key = models.BinaryField()
    keyid = models.CharField(max_length=16)
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()

    class Meta:
        constraints = [
            # The same grant lodged twice is one row.
            models.UniqueConstraint(
                fields=["tenant", "authority", "role", "keyid"], name="principal_grant"
            ),
        ]
        indexes = [models.Index(fields=["keyid"], name="principal_keyid")]


class Policy(models.Model):
    """What a tenant's root ruled: its address pools from an hour to come on, or a backfill.

    Not trusted: keepers log policies by their own pinned roots, and an epoch names its policy by
    digest. Who writes here can hold up sealing, or make epochs that keepers refuse.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    sha256 = models.BinaryField()
    # Pools or backfill.
    about = models.CharField(max_length=16, default="pools")
    # From when the pools hold; of a backfill, its first hour.
    effective = models.DateTimeField()
    statement = models.BinaryField()
    # What each keeper said of it last: "logged", or why not, by its role and instance.
    keepers = models.JSONField(default=dict)

    class Meta:
        constraints = [
            # No policy of pools takes another's place.
            models.UniqueConstraint(
                fields=["tenant", "effective"],
                condition=models.Q(about="pools"),
                name="policy_hour",
            ),
            # The same file again is the same policy.
            models.UniqueConstraint(fields=["tenant", "sha256"], name="policy_once"),
        ]


class Revocation(models.Model):
    """A key that the root which granted it took back.

    Not trusted: keepers go by what they logged. Who deletes a row here lets its holder lodge what
    keepers refuse; who adds one has web refuse somebody.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    issuer = models.CharField(max_length=64)
    keyid = models.CharField(max_length=16)
    statement = models.BinaryField()
    # What each keeper said of it last: "logged", or why not, by its role and instance.
    keepers = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "issuer", "keyid"], name="revocation_once"),
        ]


class Nonce(models.Model):
    """A signature's nonce, kept while the signature could be replayed."""

    keyid = models.CharField(max_length=16)
    nonce = models.CharField(max_length=128)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["keyid", "nonce"], name="nonce_once")]
        indexes = [models.Index(fields=["expires_at"], name="nonce_expiry")]
