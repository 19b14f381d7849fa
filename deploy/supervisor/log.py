"""One service's log file: what this run printed, its end for a person, and a bound on its size."""

import shutil
from pathlib import Path

LIMIT_BYTES = 8 << 20
READ_BYTES = 64 << 10


class Log:
    """An append-only file and its predecessor `NAME.log.1`, each at most the limit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._run_starts_at = 0

    def begin_run(self) -> None:
        """Remember where the output of the process about to be started begins."""
        self._run_starts_at = self.path.stat().st_size if self.path.exists() else 0

    def this_run(self) -> str:
        """The last 64 KiB that the present process printed."""
        with self.path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(self._run_starts_at, end - READ_BYTES))
            return file.read().decode(errors="replace")

    def tail(self, lines: int = 15) -> str:
        """The last lines of this run, indented for a message to a person."""
        return "\n".join(f"    {line}" for line in self.this_run().splitlines()[-lines:])

    def bound(self) -> None:
        """Start the file afresh when it is too large.

        The process holds the descriptor, so the file is copied and cut, not renamed; what it prints
        between the two is lost. It appends, so it goes on at the new beginning.
        """
        if self.path.stat().st_size < LIMIT_BYTES:
            return
        shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
        with self.path.open("r+b") as file:
            file.truncate(0)
        self._run_starts_at = 0
