"""What a question about an hour costs before any keeper is asked: the batches that may hold its
records, each by the receipt that vouches for it; run as ``python -m tests.bench.waiting`` in the
engine's role.

It is told a tenant and the hour's beginning (ISO 8601). Prints one JSON object: milliseconds of
wall clock, each time it was looked at, and of how many batches the store has a receipt.
"""

import json
import sys
import time
from datetime import datetime

import django
from django.conf import settings

LOOKS = 20


def main() -> None:
    told = json.load(sys.stdin)
    django.setup()
    # Models can only be imported now.
    from accounts.tenancy import of_tenant
    from icrstore.inbox.models import Batch
    from icrstore.vault.accepted import unsealed
    from icrstore.warrant.trust import Trust

    tenant, hour = told["tenant"], datetime.fromisoformat(told["hour"])
    trust = Trust.parse(settings.TRUST.read_bytes())
    now = datetime.now(hour.tzinfo)
    with of_tenant(tenant):
        batches = Batch.objects.filter(tenant=tenant).count()
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        found = unsealed(tenant, hour, hour, trust, now)
        took.append(1000 * (time.perf_counter() - began))
        assert not found, "everything is sealed"
    print(json.dumps({"batches": batches, "milliseconds": took}))


if __name__ == "__main__":
    main()
