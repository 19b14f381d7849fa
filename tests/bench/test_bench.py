"""The benchmark runs, its two sides hold the same records, and no count creeps up unseen.

No time is asserted here: this machine's clock says little, its counts say everything.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from icrstore.seal.epoch import Epoch, new_atoms
from icrstore.seal.group import by_hour
from icrstore.seal.pools import DEFAULT
from icrstore.seal.sealing import SealedEpoch, seal_epoch
from tests.bench import ingest, reading
from tests.bench.generate import SHAPES, records
from tests.bench.inputs import WRITERS
from tests.bench.measure import Cost, Spread, timed
from tests.bench.results import Bar, Result, table

UNTIL = datetime(2026, 11, 22, 20, tzinfo=UTC)
COUNT = 50_000
# By shape: epochs, rows of both maps, bytes a record in those rows with their labels.
COUNTS = {"S": (24, 2112, 17.73), "D": (8, 88, 9.87), "H": (24, 96, 8.45)}


def test_every_bar_has_its_line_and_both_sides_hold_the_same_records(tmp_path: Path) -> None:
    told = tmp_path / "bench.json"
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--tiny", "--json", str(told)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    # It is written only after both sides gave the same answers.
    results = json.loads(told.read_text())["results"]
    assert ended.stderr.count("the same ") == len(SHAPES)
    assert ended.returncode == (0 if all(each.get("met", True) for each in results) else 1)

    ids = [each["id"] for each in results]
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["id", *ids]
    assert len(set(ids)) == len(ids)
    assert {each["id"]: each["bar"] for each in results if "bar" in each} == {
        **{f"{s}.speed.same-work": bar for s, bar in ingest.FASTER_THAN_SAME_WORK.items()},
        **{f"{s}.speed.as-arrived": bar for s, bar in ingest.FASTER_THAN_AS_ARRIVED.items()},
        **{f"{s}.bytes": bar for s, bar in ingest.BYTES_PER_RECORD.items()},
        **{f"{s}.memory": ingest.PEAK_GIGABYTES for s in SHAPES},
    }
    assert all(0 < each["min"] <= each["median"] <= each["max"] for each in results)


def test_two_keepers_are_measured_beside_one_alone(tmp_path: Path) -> None:
    told = tmp_path / "bench.json"
    subprocess.run(
        [sys.executable, "-m", "tests.bench", "--keepers", "--tiny", "--json", str(told)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    results = {each["id"]: each for each in json.loads(told.read_text())["results"]}
    assert {
        name: (each["sense"], each["bar"]) for name, each in results.items() if "bar" in each
    } == {
        "keepers.both": ("at least", 40),
        "keepers.p95": ("at most", 150),
        "keepers.year": ("at most", 1.5),
    }
    assert results.keys() >= {"keepers.alone", "keepers.ratio", "keepers.cpu"}
    assert all(each["median"] > 0 for each in results.values())


def test_files_of_text_are_measured_beside_the_sealing_of_their_records(tmp_path: Path) -> None:
    told = tmp_path / "bench.json"
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--collector", "--tiny", "--json", str(told)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    results = {each["id"]: each for each in json.loads(told.read_text())["results"]}
    assert ended.returncode == (0 if all(each.get("met", True) for each in results.values()) else 1)
    assert {name: each["bar"] for name, each in results.items() if "bar" in each} == {
        **{f"{n}.of-sealing.{by}": reading.OF_SEALING for n in WRITERS for by in ("cpu", "wall")},
        **{f"{n}.memory": reading.PEAK_MEGABYTES for n in WRITERS},
    }
    assert all(0 < each["min"] <= each["median"] <= each["max"] for each in results.values())
    assert all(results[f"{name}.memory"]["met"] for name in WRITERS)


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


@pytest.mark.parametrize(
    ("sense", "value", "met"),
    [
        ("at least", 1.5, True),
        ("at least", 1.49, False),
        ("at most", 1.5, True),
        ("at most", 1.51, False),
    ],
)
def test_the_median_meets_a_bar_or_misses_it(sense: str, value: float, met: bool) -> None:
    bar = Bar("at least" if sense == "at least" else "at most", 1.5)
    result = Result("id", "what", "x", Spread.of([0.1, value, 9.0]), bar)

    assert result.is_met is met
    assert result.to_object()["met"] is met
    assert table([result]).splitlines()[1].split()[-1] == ("met" if met else "MISSED")


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
