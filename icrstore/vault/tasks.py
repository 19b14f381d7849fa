"""The sealer's looks: each runs in a child process of its own, and the keys end with it."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from icrstore.keeper.calls import keepers_of
from icrstore.vault import months, policies, publish, register, revocations, sealer
from icrstore.vault.keyring import SealerKeys
from icrstore.vault.schedule import DayKeys
from icrstore.warrant.trust import Trust


@shared_task
def seal() -> None:
    """Months and intake keys made ahead; policies logged; what waits sealed; receipts given."""
    now = timezone.now()
    keys = SealerKeys.load(settings.SECRETS)
    months.make_months(now)
    publish.publish_intake_keys(keys, now)
    trust = Trust.parse(settings.TRUST.read_bytes())
    keepers = keepers_of(trust, settings.KEEPERS, keys.signing)
    days = DayKeys(settings.SECRETS, keepers)
    revocations.hand_in_revocations(keepers)
    policies.hand_in_policies(keys, keepers, now)
    sealer.seal_waiting(keys, days, now)
    sealer.seal_empty_hours(keys, days, now)
    register.register_epochs(keys, keepers, now)
    register.give_receipts(keys, keepers, now)
