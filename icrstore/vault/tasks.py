"""The sealer's looks: each runs in a child process of its own, and the keys end with it."""

from celery import shared_task
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.utils import timezone

from icrstore.keeper.client import Keeper
from icrstore.vault import months, policies, publish, register, sealer
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
    keepers = keepers_of(keys.signing)
    days = DayKeys(settings.SECRETS, keepers)
    policies.hand_in_policies(keys, keepers, now)
    sealer.seal_waiting(keys, days, now)
    sealer.seal_empty_hours(keys, days, now)
    register.register_epochs(keys, keepers, now)
    register.give_receipts(keys, keepers, now)


def keepers_of(caller: Ed25519PrivateKey) -> tuple[Keeper, ...]:
    """The keepers that the trust file names, where this process reaches them."""
    trust = Trust.parse(settings.TRUST.read_bytes())
    return tuple(
        Keeper(identity, settings.KEEPERS[identity.role], caller) for identity in trust.keepers
    )
