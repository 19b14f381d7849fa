"""Three collectors, a store, and everything that goes wrong in a year: `--seed N [--short]`.

Records are written to files that three collectors follow, while processes are killed (-9) in an
order that follows from the seed, the spools' disk is filled and freed, and the network loses
answers. At the end every record must be held exactly once, every batch have its sealed receipt, and
the spools be empty.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.bench.generate import Shape, records
from tests.faults.disk import Disk, small_disk
from tests.faults.edges import Edge
from tests.faults.exactly import held, written
from tests.faults.network import Network
from tests.faults.stored import check_whole
from tests.site import Site, last_hours
from tests.stack import Stack, new_stack

EDGES = 3
SPOOL_MEGABYTES = 256
# How often each is chosen; a disk is filled, and freed at the step after the next.
VICTIMS = {"edge-a": 3, "edge-b": 3, "edge-c": 3, "sealer": 4, "web": 3, "valkey": 2, "postgres": 2,
           "keeper-operator": 1, "keeper-oversight": 1, "disk": 1}  # fmt: skip
_LONGEST_PAUSE_SECONDS = 4.0
_ROTATED_EVERY = 7


@dataclass(frozen=True)
class Size:
    records: int
    accounts: int
    kills: int


LONG, SHORT = Size(2_000_000, 60, 100), Size(3_000, 6, 7)


@dataclass(frozen=True)
class Step:
    """Who is hit, so long after the step before."""

    victim: str
    after_seconds: float


def schedule(seed: int, kills: int) -> list[Step]:
    """The same for the same seed: ``kills`` processes, and the disks filled among them."""
    chance, steps = random.Random(seed), list[Step]()
    while sum(step.victim != "disk" for step in steps) < kills:
        (victim,) = chance.choices(list(VICTIMS), list(VICTIMS.values()))
        steps.append(Step(victim, round(chance.uniform(0.1, _LONGEST_PAUSE_SECONDS), 2)))
    return steps


class Soak:
    """One run on a site of its own."""

    def __init__(self, site: Site, network: Network, disk: Disk, seed: int, size: Size) -> None:
        self._site, self._disk, self._seed, self._size = site, disk, seed, size
        self._network = network
        self._records = records(
            Shape("soak", size.accounts, 24), size.records, last_hours(1)[1], seed
        )
        self.edges = [
            Edge(site, f"edge-{letter}", disk.folder, self._network.port) for letter in "abc"
        ]
        self.hits: Counter[str] = Counter()

    def run(self) -> Iterator[str]:
        """Tells each step; afterwards everything is written, pushed and sealed."""
        for edge in self.edges:
            edge.start()
        steps = schedule(self._seed, self._size.kills)
        filled_at = -2
        for n, (step, part) in enumerate(zip(steps, self._parts(len(steps)), strict=True)):
            self._write(part, rotate=n % _ROTATED_EVERY == 0)
            time.sleep(step.after_seconds)
            if n == filled_at + 2:
                self._disk.free()
            began = time.monotonic()
            self._hit(step.victim)
            if step.victim == "disk":
                filled_at = n
            took = time.monotonic() - began
            yield f"{n + 1:3}/{len(steps)} {step.victim:17} back in {took:4.1f} s"
        self._disk.free()
        self._network.heal()
        for edge in self.edges:
            edge.stop()
            edge.finish()
            assert edge.is_empty(), f"{edge.name}: {edge.status()}"
            yield f"{edge.name}: nothing is left in its spool; exits {dict(edge.exits)}"

    def check(self) -> int:
        """How many records were compared, one by one. Raises AssertionError."""
        check_whole(self._site)
        self._site.wait_ready(300)
        names = [str(name) for name in pc.unique(self._records.column("account")).to_pylist()]
        found = held(self._site, names)
        for name in names:
            expected = written(self._records, name)
            assert np.array_equal(found[name], expected), (
                f"{name}: {len(found[name])} records are held of {len(expected)} that were written"
            )
        unsealed = "SELECT count(*) FROM inbox_batch WHERE sealed_receipt IS NULL"
        assert self._site.sql(unsealed) == [(0,)]
        return sum(map(len, found.values()))

    def _hit(self, victim: str) -> None:
        self.hits[victim] += 1
        if victim == "disk":
            self._disk.fill()
        elif victim.startswith("edge-"):
            next(edge for edge in self.edges if edge.name == victim).kill()
        else:
            # It may be down already: a worker ends by itself when its broker does.
            self._site.stack.installation.supervisor.wait(victim)
            self._site.stack.kill(victim)

    def close(self) -> None:
        """Nothing of it runs any more."""
        for edge in self.edges:
            edge.close()

    def _parts(self, count: int) -> Iterator[pa.Table]:
        size = -(-self._records.num_rows // count)
        for start in range(0, count * size, size):
            yield self._records.slice(start, size)

    def _write(self, part: pa.Table, *, rotate: bool) -> None:
        """Each collector has its own accounts' records."""
        number = pc.cast(pc.utf8_slice_codeunits(part.column("account"), -2), pa.int64())
        for n, edge in enumerate(self.edges):
            mine = np.asarray(number) % EDGES == n
            edge.write(part.filter(pa.array(mine)), rotate)


def soak(directory: Path, seed: int, size: Size) -> Iterator[str]:
    """A whole run on a new site; what it tells ends in how many records were compared."""
    with ExitStack() as stack:
        installation = stack.enter_context(new_stack(directory))
        network = Network(installation.layout.port, random.Random(seed))
        stack.callback(network.close)
        # By this name collectors reach the store, and sign it.
        os.environ["ICR_AUTHORITY"] = f"127.0.0.1:{network.port}"
        site = Site(Stack(installation))
        disk = stack.enter_context(small_disk(site.folder / "spools", SPOOL_MEGABYTES))
        made = Soak(site, network, disk, seed, size)
        stack.callback(made.close)
        yield from made.run()
        if not disk.is_small:
            yield "no disk was filled: only root can mount one"
        yield f"hit: {dict(made.hits)}; connections: {dict(network.fates)}"
        yield f"{made.check()} records, each held exactly once"


def main() -> int:
    """Prints each step; fails with the first difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="the schedule repeats by it")
    parser.add_argument("--short", action="store_true", help="a minute instead of half an hour")
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="icr-"))
    try:
        for told in soak(directory, given.seed, SHORT if given.short else LONG):
            print(told, flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
