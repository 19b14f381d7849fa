"""Intake keys: this hour's and the next one's published, old links forgotten."""

from datetime import datetime

from django.db.models import Min

from icrstore.inbox.accept import INTAKE_LIFE
from icrstore.inbox.models import Batch, IntakeKey
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.seal.intake import hour_number
from icrstore.vault.keyring import SealerKeys
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import IntakeKey as IntakeKeyStatement


def publish_intake_keys(keys: SealerKeys, now: datetime) -> None:
    """The keys of this hour and the next, so that no push waits at the turn of the hour.

    Then the links that no waiting batch and no push under way can need are forgotten.
    """
    for hour in (hour_start(now), hour_start(now) + HOUR):
        if not IntakeKey.objects.filter(hour=hour).exists():
            _publish(keys, hour)
    waiting = Batch.objects.filter(state=Batch.ACCEPTED).aggregate(oldest=Min("intake_hour"))
    oldest = hour_start(now) - INTAKE_LIFE - HOUR
    keys.forget_intake_before(min(waiting["oldest"] or oldest, oldest))


def _publish(keys: SealerKeys, hour: datetime) -> None:
    public = keys.intake().key_pair(hour_number(hour)).public_bytes()
    statement = IntakeKeyStatement(hour=hour, key=public)
    envelope = Envelope.sign("intake-key", statement.to_fields(), keys.signing).encode()
    IntakeKey.objects.get_or_create(hour=hour, defaults={"envelope": envelope})
