"""One look of the sealer in a fresh process, measured; run as ``python -m tests.bench.sealing``.

Arguments: the pid of PostgreSQL's first process, whose children's CPU time counts with ours, and
the moment by the monotonic clock at which to begin, so that several begin at once. Prints one JSON
object. Afterwards, outside of what is measured, the next keys of intake are published and the
keepers are told of the epochs.
"""

import json
import sys
import time

import django
from django.conf import settings
from django.utils import timezone

from tests.bench.measure import peak_bytes, timed


def main(postgres: int, begin: float) -> None:
    django.setup()
    # Models can only be imported now.
    from icrstore.keeper.calls import keepers_of
    from icrstore.vault import months, publish, register, sealer
    from icrstore.vault.keyring import SealerKeys
    from icrstore.vault.schedule import DayKeys
    from icrstore.warrant.trust import Trust

    now = timezone.now()
    keys = SealerKeys.load(settings.SECRETS)
    months.make_months(now)
    trust = Trust.parse(settings.TRUST.read_bytes())
    keepers = keepers_of(trust, settings.KEEPERS, keys.signing)
    days = DayKeys(settings.SECRETS, keepers)
    time.sleep(max(0.0, begin - time.monotonic()))
    batches, cost = timed(lambda: sealer.seal_waiting(keys, days, now), postgres)
    peak, ended = peak_bytes(), time.monotonic()
    publish.publish_intake_keys(keys, now)
    register.register_epochs(keys, keepers, now)
    told = {"batches": batches, "wall": cost.wall, "cpu": cost.cpu, "peak_bytes": peak}
    print(json.dumps({**told, "ended": ended}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
