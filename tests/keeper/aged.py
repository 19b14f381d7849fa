"""A keeper's upkeep in a process of its own, on a host whose clock is ahead of ours.

``python -m tests.keeper.aged STORE SECONDS``
"""

import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from icrstore.keeper.clock import Boot
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.upkeep import keep_up
from tests.keeper.pair import agreed

if __name__ == "__main__":
    ahead = timedelta(seconds=int(sys.argv[2]))
    clock = lambda: datetime.now(UTC) + ahead  # noqa: E731
    with closing(Keeper.open(Path(sys.argv[1]), clock, lambda: Boot("aged", 0))) as keeper:
        agreed(keeper)
        keep_up(keeper)
