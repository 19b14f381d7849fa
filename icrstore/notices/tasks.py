"""The notifier's look: what is due pulled, what is ready sent, what was sent logged."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from icrstore.keeper.calls import keepers_of, with_witnesses
from icrstore.keeper.telling import Teller
from icrstore.notices import pull, report, sign_in
from icrstore.notices.deliver import Delivery
from icrstore.notices.keyring import NotifierKeys
from icrstore.notices.mail import Mail, Outbox, Smtp
from icrstore.warrant.trust import Trust

# A mail server may drip: past this the process ends, and the sweep starts another.
LONGEST_SECONDS = 600


@shared_task(time_limit=LONGEST_SECONDS)
def tell() -> None:
    """Everybody who was named is told."""
    keys = NotifierKeys.load(settings.SECRETS)
    tellers = tellers_of(keys)
    delivery = Delivery(keys, mail(), settings.SIGN_IN_URL)
    # Somebody waits for a code; a notice may come some seconds later.
    delivery.send_codes(timezone.now())
    pull.pull(keys.lookup, tellers, timezone.now())
    pull.recheck_one(keys.lookup, tellers, timezone.now())
    delivery.deliver(timezone.now())
    report.report(tellers, keys.signing, timezone.now())
    sign_in.sweep(timezone.now())


def tellers_of(keys: NotifierKeys) -> tuple[Teller, ...]:
    """The keepers that the trust file names, each with one of the other role as its witness."""
    trust = Trust.parse(settings.TRUST.read_bytes())
    pairs = with_witnesses(keepers_of(trust, settings.KEEPERS, keys.signing))
    return tuple(Teller(*pair, keys.opening) for pair in pairs)


def mail() -> Mail:
    """The mail server, or the folder where there is none."""
    if not settings.SMTP:
        settings.OUTBOX.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Outbox(settings.OUTBOX, settings.MAIL_FROM)
    host, _, port = settings.SMTP.rpartition(":")
    return Smtp(host.strip("[]"), int(port), settings.MAIL_FROM, settings.SMTP_STARTTLS)
