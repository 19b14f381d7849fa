"""Intake keys: this hour's and the next one's published, old links forgotten."""

import logging
from datetime import datetime

from django.db.models import Exists, Min, OuterRef, Q

from accounts.models import Tenant
from accounts.tenancy import of_tenant, tenants
from icrstore.inbox.accept import INTAKE_LIFE
from icrstore.inbox.models import MOST_TRIES, Batch, IntakeKey
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.seal.intake import hour_number
from icrstore.vault.keyring import SealerKeys
from icrstore.vault.models import Epoch, EpochSeal
from icrstore.vault.sealer import EMPTY_BEHIND
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import IntakeKey as IntakeKeyStatement

logger = logging.getLogger(__name__)


def publish_intake_keys(keys: SealerKeys, now: datetime) -> None:
    """The keys of this hour and the next, so that no push waits at the turn of the hour.

    Then the links that no waiting batch and no push under way can need are forgotten.
    """
    for hour in (hour_start(now), hour_start(now) + HOUR):
        if not IntakeKey.objects.filter(hour=hour).exists():
            _publish(keys, hour)
    # Who is shown no tenant cannot know what waits, or what was logged, and forgets nothing.
    everyone = tenants()
    if logged := [last for one in everyone if (last := _last_logged(one, now))]:
        # A link is gone for good, so our clock alone is not believed: by theirs the keepers log no
        # hour that has not begun. Who makes one up in the database is back at our clock alone.
        begun = min(hour_start(now), max(logged) + HOUR)
        under_way = begun - INTAKE_LIFE - HOUR
        oldest = (_oldest(one, under_way, begun) for one in everyone)
        keys.forget_intake_before(min(under_way, *oldest))


def _last_logged(tenant: Tenant, now: datetime) -> datetime | None:
    """The last hour of which all keepers logged an epoch, as far back as every hour gets one."""
    unlogged = EpochSeal.objects.filter(epoch=OuterRef("pk"), acknowledged_at=None)
    epochs = Epoch.objects.filter(
        ~Exists(unlogged), tenant=tenant, shard=0, hour__gte=now - EMPTY_BEHIND
    )
    with of_tenant(tenant.name):
        return epochs.order_by("-hour").values_list("hour", flat=True).first()


def _oldest(tenant: Tenant, under_way: datetime, begun: datetime) -> datetime:
    """The hour of the oldest key that a batch of this tenant waits for.

    What was set aside waits as long as keepers would take its hours: its collector holds it too.
    """
    aside = Q(tries__gte=MOST_TRIES, accepted_at__lt=begun - EMPTY_BEHIND)
    with of_tenant(tenant.name):
        waiting = Batch.objects.filter(~aside, tenant=tenant, state=Batch.ACCEPTED)
        oldest = waiting.aggregate(oldest=Min("intake_hour"))["oldest"]
    return oldest or under_way


def _publish(keys: SealerKeys, hour: datetime) -> None:
    chain, number = keys.intake(), hour_number(hour)
    if number < chain.number:
        # What waits is sealed to other keys, so the look goes on.
        logger.error("no intake key of %s: intake.json begins later: set the clock right", hour)
        return
    public = chain.key_pair(number).public_bytes()
    statement = IntakeKeyStatement(hour=hour, key=public)
    envelope = Envelope.sign("intake-key", statement.to_fields(), keys.signing).encode()
    IntakeKey.objects.get_or_create(hour=hour, defaults={"envelope": envelope})
