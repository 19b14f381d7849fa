"""The engine's look: runs in a child process of its own, and what it opened ends with it."""

from celery import shared_task
from django.conf import settings

from icrstore.keeper.client import Keeper, Keepers
from icrstore.query.keyring import EngineKeys
from icrstore.query.run import run_open
from icrstore.warrant.trust import Trust


@shared_task
def answer() -> None:
    """Take what is queued to the keepers."""
    keys = EngineKeys.load(settings.SECRETS, settings.ENGINE)
    trust = Trust.parse(settings.TRUST.read_bytes())
    keepers = Keepers(
        {
            identity.role: Keeper(identity, settings.KEEPERS[identity.role], keys.identity)
            for identity in trust.keepers
        }
    )
    run_open(keys, keepers, settings.ONE_HOST)
