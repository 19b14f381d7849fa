"""A keeper's disk fails at one chosen call: `python -m tests.faults.inject [--every N]`.

strace injects it into a real keeper's process: at the n-th write, sync, truncation or rename that a
thread does to a store as it answers, the process is killed, or the call fails with EIO or ENOSPC.
Every point of every step is taken, until there is no n-th call any more. After each the keeper
starts again, and then

- its store is whole (`fsck`), and so is the other's;
- both logs go on where somebody outside has seen them: no leaf is lost;
- what was answered is in the log, and shares were lent against leaves only;
- the same step taken again finishes, and so does the question.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from icrstore.keeper.answers import Committed, KeeperUnreachable, Proven
from icrstore.keeper.client import Question
from icrstore.keeper.fsck import fsck
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.statements import AccountSelector
from tests.keeper.outside import Outside
from tests.keeper.pair import Pair, rows_of
from tests.keeper.pairs import make_pair
from tests.keeper.papers import ACCOUNT, last_hour

# strace counts each call by itself, so those that follow one another are taken one by one.
CALLS = ("pwrite64", "fdatasync", "fsync,ftruncate,rename,renameat,renameat2,unlink")
KINDS = {"kill": "signal=SIGKILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
FILES = ("keeper.db-wal", "keeper.db", "witness.db-wal", "witness.db")
STEPS = ("register", "commit", "release", "lend", "disclose")


@dataclass(frozen=True)
class Point:
    """The ``n``-th of these calls in a step, at one keeper, and what becomes of it."""

    step: str
    kind: str
    n: int
    calls: str = CALLS[0]
    role: Role = "operator"

    def strace(self, folder: Path) -> tuple[str, ...]:
        """Only calls on what must last: the log that SQLite writes ahead, and its two stores."""
        inject = f"inject={self.calls}:{KINDS[self.kind]}:when={self.n}"
        paths = [word for name in FILES for word in ("-P", str(folder / name))]
        return ("strace", "-D", "-f", "-qq", "-o", "/dev/null",
                "-e", f"trace={self.calls}", "-e", inject, *paths)  # fmt: skip


class Scene:
    """A pair of keepers, and a question that has come as far as the step before."""

    def __init__(self, pair: Pair) -> None:
        self.pair, self.outside = pair, Outside(pair)
        self.outside.follow()

    def strike(self, point: Point) -> bool:
        """Whether there is such a point. Raises AssertionError where something was lost."""
        step = self._prepared(point.step)
        process = self.pair.processes[point.role]
        process.stop()
        process.start(*point.strace(process.folder))
        try:
            step()
        except KeeperUnreachable:
            process.wait()
            is_struck = True
        else:
            process.stop()
            is_struck = False
        process.start()
        step()
        self._check()
        return is_struck

    def _prepared(self, step: str) -> Callable[[], object]:
        """The step, for a question and an epoch of its own; safe to take again."""
        keepers, question = self.pair.keepers(), self.pair.question()
        sealed = self.pair.seal_epoch(last_hour(), rows_of(ACCOUNT))
        if step == "register":
            return lambda: self.pair.register(sealed)
        self.pair.register(sealed)
        made: list[dict[Role, Committed]] = []
        released: list[dict[Role, Proven]] = []
        steps: dict[str, Callable[[], object]] = {
            "commit": lambda: made.append(keepers.commit(question)),
            "release": lambda: released.append(keepers.release(question, made[-1])),
            "lend": lambda: self._lend(question, made[-1], released[-1], sealed.epoch.eid),
            "disclose": lambda: keepers.disclose(question, self.pair.disclosure(question, ACCOUNT)),
        }
        for name, before in steps.items():
            if name == step:
                return before
            before()
        raise ValueError(step)

    def _lend(
        self, question: Question, commits: dict[Role, Committed], releases: dict[Role, Proven],
        eid: bytes,
    ) -> None:  # fmt: skip
        lent = self.pair.keepers().lend(question, commits, releases, self.pair.engine_key)
        assert all((eid, AccountSelector(ACCOUNT)) in lent[role] for role in ROLES)

    def _check(self) -> None:
        self.outside.follow()
        for role in ROLES:
            assert fsck(self.pair.processes[role].folder, print) == []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--every", type=int, default=1, help="take only every N-th point")
    every = parser.parse_args().every
    started, count = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder, make_pair(Path(folder)) as pair:
        scene = Scene(pair)
        for step, kind, calls in product(STEPS, KINDS, CALLS):
            n = 1
            while scene.strike(Point(step, kind, n, calls)):
                count, n = count + 1, n + every
            print(f"{step} {kind} {calls}: up to call {n - 1}", flush=True)
    print(f"{count} points in {time.monotonic() - started:.0f} s: nothing lost")


if __name__ == "__main__":
    main()
