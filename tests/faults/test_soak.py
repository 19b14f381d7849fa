"""The short form of `python -m tests.faults.soak`, on a site of its own."""

import subprocess
import sys

from tests.faults.soak import LONG, SHORT, schedule
from tests.faults.test_servers import embedded

# By this one a little of everything happens: a full disk, edges, sealer, web, database, broker.
SEED = 115


@embedded
def test_of_three_collectors_among_kills_every_record_is_held_exactly_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.soak", "--seed", str(SEED), "--short"],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == f"{SHORT.records} records, each held exactly once"


def test_who_is_killed_and_when_follows_from_the_seed() -> None:
    steps = schedule(SEED, LONG.kills)
    assert steps == schedule(SEED, LONG.kills)
    assert steps != schedule(SEED + 1, LONG.kills)
    assert sum(step.victim != "disk" for step in steps) == LONG.kills
