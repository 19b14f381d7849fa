"""The engine's look: runs in a child process of its own, and what it opened ends with it."""

from celery import shared_task
from django.conf import settings

from icrstore.keeper.calls import keepers_of
from icrstore.keeper.client import Keepers
from icrstore.query.keyring import EngineKeys
from icrstore.query.run import run_open
from icrstore.warrant.trust import Trust


@shared_task
def answer() -> None:
    """Take what is queued to the keepers."""
    keys = EngineKeys.load(settings.SECRETS, settings.ENGINE)
    trust = Trust.parse(settings.TRUST.read_bytes())
    by_role = {one.role: one for one in keepers_of(trust, settings.KEEPERS, keys.identity)}
    run_open(keys, Keepers(by_role), trust, settings.ONE_HOST)
