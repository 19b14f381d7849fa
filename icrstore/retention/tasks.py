"""The janitor's look: certificates copied, what has expired forgotten."""

from celery import shared_task
from django.conf import settings

from icrstore.keeper.calls import keepers_of, with_witnesses
from icrstore.keeper.courier import Courier
from icrstore.retention import certificates, forget
from icrstore.warrant.trust import Trust


@shared_task
def retain() -> None:
    """Nothing is kept for longer than its year."""
    certificates.copy(couriers())
    forget.forget()
    forget.drop_months()


def couriers() -> list[Courier]:
    """The keepers that the trust file names, each with one of the other role as its witness."""
    trust = Trust.parse(settings.TRUST.read_bytes())
    return [Courier(*pair) for pair in with_witnesses(keepers_of(trust, settings.KEEPERS, None))]
