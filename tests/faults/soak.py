"""The long form: `python -m tests.faults.soak --seed N --rounds M` kills M rounds on a new site."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults.mayhem import Mayhem
from tests.site import TENANT, Site
from tests.stack import Stack, new_stack


def main() -> int:
    """Prints each kill and, in the end, what was compared; fails with the first difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="icr-"))
    try:
        with new_stack(directory) as installation:
            _soak(Site(Stack(installation)), given.seed, given.rounds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _soak(site: Site, seed: int, rounds: int) -> None:
    config = site.add_collector(TENANT, "faults-1")
    kills = compared = 0
    for each in range(seed, seed + rounds):
        folder = site.folder / f"round-{each}"
        folder.mkdir()
        mayhem = Mayhem(site, folder, config, each)
        done = mayhem.run()
        print(f"seed {each}", *done, sep="\n", flush=True)
        kills += len(done)
        compared += mayhem.check()
    print(f"{rounds} rounds, {kills} kills, {compared} records compared, none lost, none twice")


if __name__ == "__main__":
    sys.exit(main())
