"""The benchmark runs, its two sides hold the same records, and no count creeps up unseen.

No time is asserted here: this machine's clock says little, its counts say everything.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from icrstore.seal.epoch import Epoch, new_atoms
from icrstore.seal.group import by_hour
from icrstore.seal.pools import DEFAULT
from icrstore.seal.sealing import SealedEpoch, seal_epoch
from tests.bench import answers, ingest, text
from tests.bench.generate import SHAPES, records
from tests.bench.measure import Cost, timed

# Not hour and growth: they seal and ask as the others do, and take as long as all of those.
INGEST = ("store", "text", "collector")
ASKING = ("questions", "answers", "household", "keepers")
UNTIL = datetime(2026, 11, 22, 20, tzinfo=UTC)
COUNT = 50_000
# By shape: epochs, rows of both maps, bytes a record in those rows with their labels.
COUNTS = {"S": (24, 2112, 18.08), "D": (8, 88, 9.87), "H": (24, 96, 8.45)}


def test_who_takes_records_holds_the_same_ones(tmp_path: Path) -> None:
    results, told = ran(INGEST, tmp_path)
    # A part's results are there only after both sides gave the same answers.
    peers = [one.about for one in (*ingest.ENTRIES["D"], *text.ENTRIES) if one.is_here]
    assert sorted(re.findall(r"s  (.+) (?:has|holds) the same", told)) == sorted(
        [*peers, "ours", "ours"]
    )
    assert all(results[f"{name}.memory"]["met"] for name in ("ndjson", "zeek"))


def test_who_is_asked_gives_the_same_answers(tmp_path: Path) -> None:
    results, told = ran(ASKING, tmp_path)
    peers = [one.id for load in answers.LOADS["tiny"] for one in load.entries if one.is_here]
    assert f"answers: {', '.join(['ours', *peers])} tell the same of 12 questions" in told
    assert {f"M-tiny.{name}.{peer}" for name in ("q1", "q2", "q3") for peer in peers} <= set(
        results
    )


def ran(parts: Sequence[str], folder: Path) -> tuple[dict[str, Any], str]:
    """The results of these parts by id, and what was told meanwhile."""
    told = folder / "bench.json"
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--tiny", "--only", *parts, "--json", str(told)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    made = json.loads(told.read_text())
    assert not made["failed"], ended.stderr
    results = {each["id"]: each for each in made["results"]}
    assert ended.returncode == (0 if all(each.get("met", True) for each in results.values()) else 1)
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["id", *results]
    measured = [each for each in results.values() if "median" in each]
    # CPU is told in hundredths of a second: a little work may have had none.
    assert all(0 <= each["min"] <= each["median"] <= each["max"] for each in measured)
    return results, ended.stderr


@pytest.mark.parametrize("name", SHAPES)
def test_the_rows_and_bytes_of_fixed_records_stay_what_they_are(name: str) -> None:
    made = sealed(name)

    rows = [row for epoch in made for row in epoch.rows]
    size = sum(len(row.label) + len(row.body) for row in rows) / COUNT
    epochs, count, bytes_per_record = COUNTS[name]
    assert (len(made), len(rows)) == (epochs, count)
    assert size == pytest.approx(bytes_per_record, rel=0.01)


def sealed(name: str) -> list[SealedEpoch]:
    table = records(SHAPES[name].scaled(COUNT / ingest.FULL_RECORDS), COUNT, UNTIL)
    return [
        seal_epoch(Epoch.new("isp-one", hour, 0), new_atoms(), [group], DEFAULT)
        for hour, group in by_hour(table)
    ]


def test_the_work_of_a_server_and_of_its_ended_children_is_counted() -> None:
    burn = "import time\nwhile time.process_time() < .3: pass"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
    with subprocess.Popen(
        [sys.executable, "-c", f"{parent}print(flush=True)\ninput()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as server:  # fmt: skip

        def child_has_ended() -> None:
            assert server.stdout is not None
            server.stdout.readline()

        _, cost = timed(child_has_ended, server.pid, own=False)
        server.communicate(b"\n")

    assert isinstance(cost, Cost)
    assert cost.cpu == pytest.approx(0.35, abs=0.2)
