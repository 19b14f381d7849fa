"""One round of killing: files are pushed, processes die half way, every record is looked up.

All of it follows from a seed: the records, who is killed, and at which moment of the sealing.
"""

import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from deploy import database
from tests.faults.feeder import Feeder
from tests.faults.records import HOURS_BACK, Record, make
from tests.faults.stored import check_whole, stored
from tests.site import Site, last_hours

VICTIMS = ("sealer", "sealer", "engine", "postgres", "valkey", "keeper-operator",
           "keeper-oversight", "web", "collector")  # fmt: skip
# What PostgreSQL shows of a sealing under way.
MOMENTS = {
    "accepted": "SELECT EXISTS (SELECT FROM inbox_batch WHERE state = 'accepted')",
    "claimed": "SELECT EXISTS (SELECT FROM inbox_batch"
    " WHERE state = 'accepted' AND claim IS NOT NULL)",
    "in a transaction": "SELECT EXISTS (SELECT FROM pg_stat_activity"
    " WHERE usename = 'icr_sealer' AND state <> 'idle' AND query LIKE '%vault_%')",
    "sealed, not logged": "SELECT EXISTS (SELECT FROM vault_epochseal"
    " WHERE acknowledged_at IS NULL)",
    "logged once": "SELECT EXISTS (SELECT FROM vault_epochseal a JOIN vault_epochseal b"
    " USING (epoch_id) WHERE a.acknowledged_at IS NULL AND b.acknowledged_at IS NOT NULL)",
    "no receipt": "SELECT EXISTS (SELECT FROM inbox_batch"
    " WHERE state = 'sealed' AND sealed_receipt IS NULL)",
}
# A moment that has not come by then has been missed: the kill comes anyway.
MOMENT_SECONDS = 3.0
END_SECONDS = 120.0
FILE_RECORDS, LATE, AGAIN = 100, 10, 20


@dataclass(frozen=True)
class Kill:
    """Who was killed and when; until it served again, and until all pushed records were sealed."""

    victim: str
    moment: str
    was_met: bool
    serving_seconds: float
    sealed_seconds: float

    def __str__(self) -> str:
        met = "" if self.was_met else " (missed)"
        return (f"{self.victim:17} {self.moment + met:28} serving {self.serving_seconds:5.1f} s"
                f"  sealed {self.sealed_seconds:5.1f} s")  # fmt: skip


class Mayhem:
    """A round; afterwards ``pushed`` counts every record as often as the store must hold it."""

    def __init__(self, site: Site, folder: Path, config: Path, seed: int) -> None:
        self._site, self._folder, self._config = site, folder, config
        self._chance = random.Random(seed)
        self.accounts = [f"mayhem-{seed}-{n}" for n in range(3)]
        self.pushed: Counter[Record] = Counter()
        self.rejected = 0
        self._files: list[tuple[Path, list[Record]]] = []

    def run(self, victims: Sequence[str] = VICTIMS) -> list[Kill]:
        """Kill each of them once, in a seeded order, each while a file of its own is pushed."""
        order = self._chance.sample(victims, len(victims))
        return [self._kill(victim) for victim in order]

    def check(self) -> int:
        """Compare the records one by one; how many were compared. Raises AssertionError."""
        self._push_partly_refused()
        held = stored(self._site, self.accounts)
        assert held == self.pushed, (
            f"{len(held - self.pushed)} more, {len(self.pushed - held)} less"
        )
        check_whole(self._site)
        self._check_answer()
        return self.pushed.total()

    def _kill(self, victim: str) -> Kill:
        files = self._next_files()
        moment = self._chance.choice(sorted(MOMENTS))
        pushing = self._push(files)
        was_met = self._await(moment)
        began = time.monotonic()
        if victim == "collector":
            pushing.kill()
            pushing.communicate()
            pushing = self._push(files)
        else:
            self._site.stack.kill(victim)
        served = time.monotonic()
        _end(pushing)
        return Kill(victim, moment, was_met, served - began, time.monotonic() - began)

    def _push(self, files: Sequence[str]) -> "subprocess.Popen[str]":
        return self._site.popen_push(Path(files[0]), *files[1:])

    def _next_files(self) -> list[str]:
        """A new file with some records of the one before it, and now and then an old file too."""
        before = self._files[-1][1] if self._files else []
        records = make(self._chance, self.accounts, FILE_RECORDS, hours=4)
        records += make(self._chance, self.accounts, LATE)
        records += self._chance.sample(before, min(AGAIN, len(before)))
        self.pushed.update(records)
        path = self._folder / f"{len(self._files)}.ndjson"
        path.write_text("".join(f"{record.line()}\n" for record in records))
        self._files.append((path, records))
        # The same file gives the same batches: they are held once, however often they come.
        again = [str(old) for old, _ in self._files[:-1] if self._chance.random() < 0.3]
        return [str(path), *again]

    def _await(self, moment: str) -> bool:
        url = database.database_url(self._site.stack.layout, "admin")
        deadline = time.monotonic() + MOMENT_SECONDS
        with psycopg.connect(url, autocommit=True) as connection:
            while time.monotonic() < deadline:
                row = connection.execute(MOMENTS[moment]).fetchone()
                if row and row[0]:
                    return True
                time.sleep(0.001)
        return False

    def _push_partly_refused(self) -> None:
        """A batch whose scope is shorter than its records: what lies outside is counted out."""
        records = sorted(make(self._chance, self.accounts, 30, hours=3),
                         key=lambda record: record.milliseconds)  # fmt: skip
        last_hour, _ = last_hours(2)
        good = [each for each in records if each.observed_at < last_hours(1)[0]]
        feeder = Feeder(self._config)
        try:
            batch = feeder.put(records, last_hour)
            feeder.push(END_SECONDS)
            receipt = feeder.receipt(batch)
        finally:
            feeder.close()
        assert receipt is not None
        assert receipt.rejected == {"outside-scope": len(records) - len(good)}
        self.rejected += len(records) - len(good)
        self.pushed.update(good)

    def _check_answer(self) -> None:
        answer = self._site.ask(self.accounts, *last_hours(HOURS_BACK))
        hours = last_hours(HOURS_BACK)
        held = Counter({
            record: count for record, count in self.pushed.items()
            if hours[0] <= record.observed_at < hours[1]
        })  # fmt: skip
        assert answer["records"] == len(held)
        assert answer["collapsed"] == held.total() - len(held)
        assert {hour["coverage"] for hour in answer["hours"]} == {"COMPLETE"}


def _end(pushing: "subprocess.Popen[str]") -> None:
    _, errors = pushing.communicate(timeout=END_SECONDS)
    assert pushing.returncode == 0, errors
