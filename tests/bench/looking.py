"""Looks of the sealer that find nothing to do, measured; run as ``python -m tests.bench.looking``.

What is due (empty hours, epochs that no keeper has) is done by the first. Prints one JSON object.
"""

import json

import django

from tests.bench.measure import Spread, timed

LOOKS = 5


def main() -> None:
    django.setup()
    # Models can only be imported now.
    from icrstore.vault.tasks import seal

    seal()
    costs = [timed(seal)[1] for _ in range(LOOKS)]
    print(json.dumps({"cpu": Spread.of([cost.cpu for cost in costs]).median}))


if __name__ == "__main__":
    main()
