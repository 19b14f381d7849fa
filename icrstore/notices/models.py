"""Subscribers, what they are owed and what they may read: nothing here says who they are.

Not trusted: who writes here can delay a notice or delete a row, which the keepers' next answer
brings back; a telling counts only if the notifier signed it. Who reads learns how many subscribers
and notices there are, and which query each belongs to; no account, no contact.
"""

from django.db import models

from accounts.models import Tenant


class Subscriber(models.Model):
    """One person's time with an account. Found by HMAC; account and contact open for the notifier.

    An account that was closed and is loaded again is somebody else's: ``since`` then says from
    when, and what was looked at before is not theirs to read. No row but the first lacks it.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    lookup = models.BinaryField()
    sealed = models.BinaryField(null=True)
    # Tells a changed contact from the same one loaded again, and what nobody loaded from both.
    contact_mac = models.BinaryField(null=True)
    since = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "lookup"],
                name="subscriber_open_once",
                condition=models.Q(closed_at=None),
            ),
        ]
        indexes = [
            # Whether an account was somebody's before (`subscribers.load`).
            models.Index(fields=["tenant", "lookup"], name="subscriber_lookup"),
        ]


class OldContact(models.Model):
    """A contact that was replaced, until it was told so."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    lookup = models.BinaryField()
    sealed = models.BinaryField()
    replaced_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    claim = models.BigIntegerField(null=True)


class Notice(models.Model):
    """One question about one account: told by one message, once both keepers said their part."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    lookup = models.BinaryField()
    request_sha256 = models.BinaryField()
    newest_leaf_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    # Why the last attempt failed: a stable code.
    why = models.CharField(max_length=32, default="")
    claim = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "lookup", "request_sha256"], name="notice_once"
            ),
        ]
        indexes = [
            # What is tried next (`deliver`).
            models.Index(fields=["next_attempt_at"], name="notice_next"),
        ]


class NoticeLeaf(models.Model):
    """A debt of one keeper, as its log says it; ``number`` is that keeper's.

    ``sealed`` opens under a key that the lookup key and the account make together. ``statement``
    is the notifier's signed word that it told; ``logged`` that the keeper has a leaf of that.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="leaves")
    role = models.CharField(max_length=16)
    number = models.BigIntegerField()
    leaf = models.BigIntegerField()
    is_disclosure = models.BooleanField()
    is_proven = models.BooleanField()
    owed_at = models.DateTimeField()
    sealed = models.BinaryField()
    statement = models.BinaryField(null=True)
    logged = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "role", "number"], name="notice_leaf_once"),
        ]
        indexes = [
            # Whom nobody told yet (`deliver`, `overdue`).
            models.Index(
                fields=["notice"],
                name="notice_leaf_untold",
                condition=models.Q(statement=None, logged=False),
            ),
            # What the keepers were not told yet (`report`).
            models.Index(
                fields=["id"],
                name="notice_leaf_unlogged",
                condition=models.Q(statement__isnull=False, logged=False),
            ),
        ]


class Pull(models.Model):
    """When a keeper last said all that it owes: the date behind "nobody has looked"."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    role = models.CharField(max_length=16)
    complete_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "role"], name="pull_once"),
        ]


class SignIn(models.Model):
    """A one-time code on its way: bound to the browser that asked, good for one use.

    Who reads here learns that somebody asked, and from which hashed network; the code is sealed to
    the notifier, and its check needs the lookup key and the browser's cookie.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    lookup = models.BinaryField()
    browser_sha256 = models.BinaryField()
    code_mac = models.BinaryField()
    sealed = models.BinaryField()
    network = models.BinaryField()
    asked_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    is_used = models.BooleanField(default=False)
    is_sent = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    claim = models.BigIntegerField(null=True)

    class Meta:
        indexes = [
            # How often this account, and this network, asked within the hour.
            models.Index(fields=["tenant", "lookup", "asked_at"], name="sign_in_account"),
            models.Index(fields=["network", "asked_at"], name="sign_in_network"),
            models.Index(fields=["browser_sha256"], name="sign_in_browser"),
        ]


class Session(models.Model):
    """Somebody signed in. The key of what they may read opens under their cookie alone."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    lookup = models.BinaryField()
    token_sha256 = models.BinaryField(unique=True)
    sealed = models.BinaryField()
    expires_at = models.DateTimeField()
