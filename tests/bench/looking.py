"""Looks of the sealer that find nothing to do, measured; run as ``python -m tests.bench.looking``.

It is told the pid of PostgreSQL's first process, whose children's CPU time counts too. What is due
(empty hours, epochs that no keeper has) is done by the first look. Prints one JSON object.
"""

import json
import sys

import django

from tests.bench.measure import timed

# The kernel tells of a server's CPU time by hundredths of a second.
LOOKS = 20


def main() -> None:
    postgres = json.load(sys.stdin)["postgres"]
    django.setup()
    # Models can only be imported now.
    from icrstore.vault.tasks import seal

    seal()
    _, cost = timed(lambda: [seal() for _ in range(LOOKS)], postgres)
    print(json.dumps({"cpu": cost.cpu / LOOKS}))


if __name__ == "__main__":
    main()
