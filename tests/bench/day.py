"""``python -m tests.bench.day``: a day of three collectors' traffic, pushed as fast as it goes.

Three `icr-collect run --once` at once read a day of Zeek's logs each, by the hour, with bursts of
hundreds in a second, and push to a real site until all of it is sealed. Exit status 1 if a record
is lost, changed, doubled or rejected. Progress goes to stderr, the table to stdout.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import days
from tests.bench.days import Day
from tests.bench.measure import Spread
from tests.bench.progress import tell
from tests.bench.results import Outcome, Result, table
from tests.bench.running import Bench, Size
from tests.faults.edges import PROGRAM
from tests.faults.exactly import held, written
from tests.faults.stored import check_whole
from tests.site import TENANT, Site, last_hours
from tests.stack import Stack, new_stack

COLLECTORS = 3
REAL_SECONDS = timedelta(days=1).total_seconds()
_LONGEST_SECONDS = 3600.0
TIMES: dict[Size, float] = {"full": 1, "small": 1, "tiny": 0.01}

MakeDay = Callable[[Path, int], Day]


@dataclass
class Collector:
    """One that runs; ``sealed`` and ``pushed`` are when it last was told so, by our clock."""

    config: Path
    day: Day
    pushed: float = 0.0
    sealed: float = 0.0
    peak_kilobytes: int = 0
    told: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """Until everything is sealed. Raises AssertionError."""
        errors = self.config.with_suffix(".errors")
        with errors.open("wb") as file:
            process = subprocess.Popen(
                [PROGRAM, "run", "--once", "--config", str(self.config), "--json",
                 "--wait", str(int(_LONGEST_SECONDS))],
                stdout=subprocess.PIPE, stderr=file,
            )  # fmt: skip
        watching = threading.Thread(target=self._watch, args=(process,), daemon=True)
        watching.start()
        assert process.stdout
        for line in process.stdout:
            self._hear(json.loads(line))
        assert process.wait() == 0, errors.read_text()[-2000:]
        watching.join()
        process.stdout.close()

    def _hear(self, line: dict[str, Any]) -> None:
        event = str(line["event"])
        self.told[event] += 1
        if event == "accepted":
            self.pushed = time.monotonic()
        elif event == "sealed":
            self.sealed = time.monotonic()
            self.rejected.update(line["rejected"])

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """VmHWM only grows: what it says last is the peak, but for the last moment's."""
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peak_kilobytes = int(line.split()[1])
            time.sleep(0.1)


def measure(bench: Bench, size: Size) -> list[Outcome]:
    """The part "day": the made-up one, as busy as the real one was. Raises AssertionError."""

    def make(folder: Path, number: int) -> Day:
        return days.made_up(folder, number, TIMES[size], bench.until, seed=1)

    return [*_on_a_site("day", make)]


def _on_a_site(name: str, make: MakeDay) -> list[Result]:
    """On one that is new, and gone afterwards."""
    # Not below a folder of ours alone: the services have uids of their own.
    directory = Path(tempfile.mkdtemp(prefix="icr-day-"))
    try:
        with new_stack(directory) as installation:
            return push(Site(Stack(installation)), name, make)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def push(site: Site, name: str, make: MakeDay) -> list[Result]:
    """A day of each collector, pushed and compared. Raises AssertionError."""
    collectors = [_collector(site, f"{name}-{n}", make, n) for n in range(COLLECTORS)]
    count = sum(each.day.records.num_rows for each in collectors)
    tell(f"{name}: {count:,} records of {COLLECTORS} collectors are written")
    began = time.monotonic()
    _together([each.run for each in collectors])
    took = time.monotonic() - began
    tell(f"{name}: all is sealed after {took:.1f} s")
    assert check(site, collectors) == count
    tell(f"{name}: {count:,} records, each held exactly once; none rejected")
    after = max(each.sealed for each in collectors) - max(each.pushed for each in collectors)
    peak = max(each.peak_kilobytes for each in collectors) * 1024 / 1e6
    return [
        _result("day.real-time", "faster than it came", "x", REAL_SECONDS / took),
        _result("day.rate", "read, pushed and sealed", "records/s", count / took),
        _result("day.after", "from the last push to the last receipt", "s", after),
        _result("day.batches", "batches", "", sum(each.told["sealed"] for each in collectors)),
        _result("day.memory", "a collector's peak", "MB", peak),
    ]


def check(site: Site, collectors: Sequence[Collector]) -> int:
    """How many records were compared, one by one. Raises AssertionError."""
    for each in collectors:
        assert each.told["sealed"] == each.told["accepted"] > 0, each.told
        assert not each.told["refused"] + each.told["set-aside"], each.told
        assert not each.rejected, each.rejected
    check_whole(site)
    site.wait_ready(300)
    compared = 0
    for each in collectors:
        found = held(site, each.day.accounts)
        for account, rows in found.items():
            expected = written(each.day.records, account)
            assert np.array_equal(rows, expected), (
                f"{account}: {len(rows)} records are held of {len(expected)} that were written"
            )
            compared += len(rows)
    return compared


def _collector(site: Site, name: str, make: MakeDay, number: int) -> Collector:
    day = make(site.folder / f"{name}-files", number)
    config = json.loads(site.add_collector(TENANT, name).read_text())
    tail = {"files": [str(day.logs / "*.log")], "format": "zeek", "leases": str(day.leases)}
    path = site.folder / f"{name}-day.json"
    path.write_text(json.dumps(config | {"metrics": {"listen": "off"}, "tail": [tail]}))
    return Collector(path, day)


def _together(works: Sequence[Callable[[], None]]) -> None:
    failed: list[BaseException] = []

    def work(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:  # It is raised below, in the thread that waits.
            failed.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def _result(id: str, what: str, unit: str, value: float) -> Result:
    return Result(id, what, unit, Spread.of([value]))


def main() -> int:
    """Prints the table; fails with the first difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.day", description=__doc__)
    busier = "so many times as busy as the day that was measured (31,367 connections)"
    parser.add_argument("--times", type=float, default=1, metavar="N", help=busier)
    parser.add_argument("--seed", type=int, default=1, help="the made-up day repeats by it")
    instead = "a folder of a real day's conn.*.log.gz, pushed instead, its times moved"
    parser.add_argument("--real", type=Path, metavar="FOLDER", help=instead)
    given = parser.parse_args()
    until = last_hours(1)[1]

    def make(folder: Path, number: int) -> Day:
        if given.real:
            return days.real(folder, number, given.real, until)
        return days.made_up(folder, number, given.times, until, given.seed)

    results = _on_a_site("real" if given.real else "day", make)
    print(table(results))
    return 0 if all(result.is_met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
