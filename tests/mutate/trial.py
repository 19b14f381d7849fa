"""A trial: a mutation in a copy of the tree, and what its test says there."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.mutate.mutation import Mutation

TEST_SECONDS = 60
_NOT_COPIED = shutil.ignore_patterns(".*", "var", "dist")
# A run of the tests within the tests: it is nobody's worker, and its database is its own.
_NOT_TOLD = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID", "PYTEST_CURRENT_TEST",
             "PYTEST_ADDOPTS", "ICR_DATABASE_URL", "ICR_BROKER_URL", "ICR_VAR")  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of a mutation: "red" is well; "survived" and "broken" are not."""

    mutation: Mutation
    verdict: str
    seconds: float
    printed: str

    @property
    def is_red(self) -> bool:
        return self.verdict == "red"


class Tree:
    """A copy of the checkout, to be changed. Bytecode comes along, so that it starts as fast."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(root, folder, ignore=_NOT_COPIED, symlinks=True)

    def try_out(self, mutation: Mutation) -> Outcome:
        """Red only if the test itself failed: not if it could not be imported or set up."""
        source = self._folder / mutation.file
        before, times = source.read_text(), source.stat()
        began = time.monotonic()
        try:
            source.write_text(mutation.of(before))
            code, printed = self.test(mutation.test)
        except SyntaxError as error:
            code, printed = -1, str(error)
        finally:
            source.write_text(before)
            os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
        return Outcome(mutation, _verdict(code, printed), time.monotonic() - began, printed)

    def test(self, *nodes: str) -> tuple[int, str]:
        """Pytest's exit code, and what it printed."""
        quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--timeout={TEST_SECONDS}")
        # In the folder that all share, each clears away what the others left, and may collide.
        own = f"--basetemp={self._folder}.tmp"
        told = {name: value for name, value in os.environ.items() if name not in _NOT_TOLD}
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *quiet, own, *nodes],
            cwd=self._folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**told, "PYTHONPATH": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout


@contextmanager
def trees(root: Path, count: int) -> Iterator[list[Tree]]:
    """Copies in a temporary folder, where the services' own uids can read them."""
    folder = Path(tempfile.mkdtemp(prefix="icr-mutate-"))
    folder.chmod(0o711)
    try:
        yield [Tree(root, folder / str(number)) for number in range(count)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def try_all(copies: Sequence[Tree], mutations: Sequence[Mutation]) -> Iterator[Outcome]:
    """Side by side, one to a copy; in the order in which they were given."""
    free: SimpleQueue[Tree] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def try_one(mutation: Mutation) -> Outcome:
        copy = free.get()
        try:
            return copy.try_out(mutation)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        yield from pool.map(try_one, mutations)


def _verdict(code: int, printed: str) -> str:
    """Pytest ends with 1 where a test failed, but also where one could not be set up."""
    if code == 0:
        return "survived"
    # What a test logged stands above, and may begin with the same words.
    lines = printed.rpartition("short test summary info")[2].splitlines()
    has_failed = any(line.startswith("FAILED ") for line in lines)
    has_error = any(line.startswith("ERROR ") for line in lines)
    return "red" if code == 1 and has_failed and not has_error else "broken"
