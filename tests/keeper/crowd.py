"""Many write a log while many read it: `python -m tests.keeper.crowd [--proofs N]`.

Writers register epochs at one keeper. Readers take a checkpoint, and prove by it what they ask for:
a leaf that must be in it, and that it continues the one they had before. A proof that belongs to
another size, or a size that goes back, would not lead to the signed root.
"""

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from icrstore.seal.epoch import Role
from icrstore.tlog.checkpoint import Checkpoint, verify_checkpoint
from icrstore.tlog.merkle import leaf_hash, verify_consistency, verify_inclusion
from tests.keeper.pair import Pair
from tests.keeper.pairs import make_pair
from tests.keeper.papers import last_hour

WRITERS, READERS, AT_ONCE = 20, 4, 5
# How many of a checkpoint's leaves are proven at each look.
LEAVES = 9


def crowd(pair: Pair, proofs: int, role: Role = "operator") -> tuple[int, int]:
    """How many proofs held, and how many leaves the log grew by meanwhile. Raises `LogError`."""
    before = pair.leaves(role)
    counted, is_done = itertools.count(1), threading.Event()

    def write() -> None:
        while not is_done.is_set():
            few = [pair.seal_epoch(last_hour(), {}) for _ in range(AT_ONCE)]
            assert pair.register(*few, role=role) == {role: [None] * AT_ONCE}

    def read() -> None:
        reader = Reader(pair, role)
        while not is_done.is_set():
            reader.look()
            if next(counted) * (LEAVES + 1) >= proofs:
                is_done.set()

    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        work: list[Callable[[], None]] = [write] * WRITERS + [read] * READERS
        running = [pool.submit(each) for each in work]
        # Whoever fails ends it for all.
        wait(running, return_when=FIRST_EXCEPTION)
        is_done.set()
        for each in running:
            each.result()
    return (next(counted) - 1) * (LEAVES + 1), pair.leaves(role) - before


class Reader:
    """Follows one log by its checkpoints, and never believes a proof of another size."""

    def __init__(self, pair: Pair, role: Role) -> None:
        self._keeper = pair.keeper(role)
        self._origin = pair.show(role)["tenants"][0]["origin"]
        self._key = pair.log_keys(role).log_verifier(self._origin)
        self._before = self._latest()

    def look(self) -> None:
        """A checkpoint, that it continues the one before, and some of its newest leaves."""
        now, old = self._latest(), self._before
        assert now.size >= old.size
        proof = self._keeper.consistency(self._origin, old.size, now.size)
        verify_consistency(old.size, now.size, proof, old.root, now.root)
        first = max(0, now.size - LEAVES)
        for index, entry in enumerate(self._keeper.entries(self._origin, first, now.size), first):
            path = self._keeper.inclusion(self._origin, index, now.size)
            verify_inclusion(leaf_hash(entry), index, now.size, path, now.root)
        self._before = now

    def _latest(self) -> Checkpoint:
        note = self._keeper.checkpoint(self._origin).encode()
        return verify_checkpoint(note, self._origin, self._key)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--proofs", type=int, default=100_000)
    wanted = parser.parse_args().proofs
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, make_pair(Path(folder)) as pair:
        proofs, leaves = crowd(pair, wanted)
    seconds = time.monotonic() - started
    print(f"{proofs} proofs held while {WRITERS} writers added {leaves} leaves, in {seconds:.0f} s")


if __name__ == "__main__":
    main()
