"""The sealer's looks: each runs in a child process of its own, and the keys end with it."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from icrstore.vault import publish, sealer
from icrstore.vault import register as registering
from icrstore.vault.keyring import SealerKeys
from icrstore.vault.schedule import DayKeys


@shared_task
def seal() -> None:
    """Publish intake keys, seal what waits, give empty hours their epoch."""
    now = timezone.now()
    keys = SealerKeys.load(settings.SECRETS)
    publish.publish_intake_keys(keys, now)
    days = DayKeys.load(settings.SECRETS, settings.TRUST, settings.KEEPERS)
    sealer.seal_waiting(keys, days, now)
    sealer.seal_empty_hours(keys, days, now)


@shared_task
def register() -> None:
    """Tell the keepers of epochs they have not logged, then give out the sealed receipts."""
    now = timezone.now()
    keys = SealerKeys.load(settings.SECRETS)
    registering.register_epochs(keys, settings.TRUST, settings.KEEPERS, now)
    registering.give_receipts(keys, now)
