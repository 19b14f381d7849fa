"""The test's end of `tests.faults.breaking`: name a point, let a process break there."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from deploy import services
from deploy.supervisor import drop_to
from tests.site import Site

When = Literal["before", "after"]
How = Literal["kill", "fail", "pause"]
COMMIT = "django.db.backends.base.base:BaseDatabaseWrapper._commit"
LOOKS = {"sealer": "seal", "engine": "answer", "web": "serve"}


@dataclass(frozen=True)
class Point:
    """The ``n``-th call of ``at`` after the first of ``since``, and what happens there."""

    at: str
    when: When = "after"
    n: int = 1
    since: str = ""
    how: How = "kill"

    def __str__(self) -> str:
        return f"{self.how}-{self.when}-{self.at.rpartition(':')[2]}-{self.n}"


class Look:
    """One child at work; broken or not, it ends with the block in which it was begun."""

    def __init__(self, process: "subprocess.Popen[str]", point: Point | None) -> None:
        self._process = process
        self.pid = int(_say(process, json.dumps(asdict(point) if point else {})))

    def end(self) -> int:
        """Its exit code: 0, 1 for an exception, or minus the signal that ended it."""
        return int(_say(self._process, ""))

    def wait_paused(self) -> None:
        deadline = time.monotonic() + 20
        while Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, "it never came to its point"
            time.sleep(0.01)

    def go_on(self) -> int:
        os.kill(self.pid, signal.SIGCONT)
        return self.end()

    def kill(self) -> int:
        os.kill(self.pid, signal.SIGKILL)
        return self.end()


class Victim:
    """A process of one role, with that role's environment and uid, that looks when it is told."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def look(self, point: Point | None = None) -> int:
        """Look once and return how it ended (`Look.end`)."""
        return Look(self._process, point).end()

    def begin(self, point: Point | None = None) -> Look:
        return Look(self._process, point)


@contextmanager
def victim(site: Site, role: str) -> Iterator[Victim]:
    layout = site.stack.layout
    program = [sys.executable, "-m", "tests.faults.breaking", LOOKS[role]]
    with subprocess.Popen(
        [*drop_to(layout.identity(role)), *program],
        env=services.environment(layout, role),
        cwd=layout.code, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, process_group=0,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield Victim(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def instead_of(site: Site, role: str, count: int = 1) -> Iterator[list[Victim]]:
    """The real process stopped, victims in its place; afterwards it runs again."""
    site.stack.stop(role)
    try:
        with victim(site, role) as first:
            if count == 1:
                yield [first]
            else:
                with victim(site, role) as second:
                    yield [first, second]
    finally:
        site.stack.start(role)


def _say(process: "subprocess.Popen[str]", line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()
