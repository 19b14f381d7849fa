"""Intake keys: this hour's and the next one's published, old links forgotten."""

from datetime import datetime

from django.db.models import Min, Q

from accounts.models import Tenant
from accounts.tenancy import of_tenant, tenants
from icrstore.inbox.accept import INTAKE_LIFE
from icrstore.inbox.models import MOST_TRIES, Batch, IntakeKey
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.seal.intake import hour_number
from icrstore.vault.keyring import SealerKeys
from icrstore.vault.sealer import EMPTY_BEHIND
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import IntakeKey as IntakeKeyStatement


def publish_intake_keys(keys: SealerKeys, now: datetime) -> None:
    """The keys of this hour and the next, so that no push waits at the turn of the hour.

    Then the links that no waiting batch and no push under way can need are forgotten.
    """
    for hour in (hour_start(now), hour_start(now) + HOUR):
        if not IntakeKey.objects.filter(hour=hour).exists():
            _publish(keys, hour)
    # Who is shown no tenant cannot know what waits, and forgets nothing.
    if everyone := tenants():
        under_way = hour_start(now) - INTAKE_LIFE - HOUR
        oldest = (_oldest(one, under_way, now) for one in everyone)
        keys.forget_intake_before(min(under_way, *oldest))


def _oldest(tenant: Tenant, under_way: datetime, now: datetime) -> datetime:
    """The hour of the oldest key that a batch of this tenant waits for.

    What was set aside waits as long as keepers would take its hours: its collector holds it too.
    """
    aside = Q(tries__gte=MOST_TRIES, accepted_at__lt=now - EMPTY_BEHIND)
    with of_tenant(tenant.name):
        waiting = Batch.objects.filter(~aside, tenant=tenant, state=Batch.ACCEPTED)
        oldest = waiting.aggregate(oldest=Min("intake_hour"))["oldest"]
    return oldest or under_way


def _publish(keys: SealerKeys, hour: datetime) -> None:
    public = keys.intake().key_pair(hour_number(hour)).public_bytes()
    statement = IntakeKeyStatement(hour=hour, key=public)
    envelope = Envelope.sign("intake-key", statement.to_fields(), keys.signing).encode()
    IntakeKey.objects.get_or_create(hour=hour, defaults={"envelope": envelope})
