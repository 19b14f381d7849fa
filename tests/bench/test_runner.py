"""What a run of the benchmark says of bars met, missed and not measured, and how it ends.

The parts here are made up: that the real ones run is `test_bench`'s.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.__main__ import main
from tests.bench.bars import BARS, BY_PART
from tests.bench.measure import Spread
from tests.bench.parts import PARTS, Part
from tests.bench.results import Outcome, Result, Unmeasured
from tests.bench.running import Bench, Size

Say = Callable[..., None]


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Puts a made-up part in the place of all."""

    def put(*outcomes: Outcome, fails: bool = False, in_small: bool = True) -> None:
        def measure(bench: Bench, size: Size) -> list[Outcome]:
            if fails:
                raise ValueError("broken")
            return [*outcomes, Result(f"ran.{size}", "", "", Spread(1, 1, 1))]

        monkeypatch.setattr("tests.bench.__main__.PARTS", {"keepers": Part("", measure, in_small)})

    return put


def rows(printed: str) -> dict[str, str]:
    return {line.split()[0]: line for line in printed.splitlines()}


@pytest.mark.parametrize(
    ("id", "value", "verdict", "status"),
    [
        ("keepers.both", 100, "met, aim reached", 0),
        ("keepers.both", 40, "met", 0),
        ("keepers.both", 39.9, "MISSED", 1),
        ("D.bytes", 12, "met, aim reached", 0),
        ("D.bytes", 15, "met", 0),
        ("D.bytes", 15.1, "MISSED", 1),
        ("keepers.p95", 1, "met", 0),
    ],
)
def test_a_bar_is_met_or_missed_by_the_median(
    id: str, value: float, verdict: str, status: int, parts: Say, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    parts(Result.of_bar(id, [0.1, value, 10_000]))
    told = tmp_path / "bench.json"
    assert main(["--json", str(told)]) == status

    line = rows(capsys.readouterr().out)[id]
    assert line.endswith(f"  {verdict}")
    made = {each["id"]: each for each in json.loads(told.read_text())["results"]}[id]
    assert (made["met"], made["aim_reached"]) == (verdict != "MISSED", "aim" in verdict)
    assert (made["bar"], made["aim"]) == (BARS[id].value, BARS[id].aim)


def test_every_bar_stands_in_the_table_whether_measured_or_not(
    parts: Say, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts(Unmeasured("keepers.p95", "the moon is full"), Result.of_bar("keepers.both", [100]))
    told = tmp_path / "bench.json"
    assert main(["--json", str(told)]) == 0

    lines = rows(capsys.readouterr().out)
    assert list(lines) == ["id", *BARS, "ran.small"]
    assert lines["keepers.p95"].endswith("not measured: the moon is full")
    assert lines["keepers.year"].endswith("not measured: --full or --only keepers")
    made = {each["id"]: each for each in json.loads(told.read_text())["results"]}
    assert list(made) == [*BARS, "ran.small"]
    assert made["keepers.p95"]["not_measured"] == "the moon is full"
    assert "met" not in made["keepers.p95"]


def test_a_part_that_fails_fails_the_run_but_not_the_table(
    parts: Say, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts(fails=True)
    told = tmp_path / "bench.json"
    assert main(["--json", str(told)]) == 1

    printed = capsys.readouterr()
    assert "ValueError: broken" in printed.err
    assert rows(printed.out)["keepers.both"].endswith("not measured: keepers failed")
    assert json.loads(told.read_text())["failed"] == ["keepers"]


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        ([], None),
        (["--full"], "full"),
        (["--tiny"], "tiny"),
        (["--only", "keepers"], "full"),
        (["--only", "keepers", "--tiny"], "tiny"),
    ],
)
def test_a_part_that_takes_long_is_not_in_small_and_has_no_small_size(
    arguments: list[str], ran: str | None, parts: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    parts(in_small=False)
    assert main(arguments) == 0
    found = [id for id in rows(capsys.readouterr().out) if id.startswith("ran.")]
    assert found == ([f"ran.{ran}"] if ran else [])


def test_a_part_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "moon"])
    assert ended.value.code == 2
    assert "keepers" in capsys.readouterr().err


def test_what_made_a_run_is_in_its_json(parts: Say, tmp_path: Path) -> None:
    parts()
    told = tmp_path / "bench.json"
    main(["--json", str(told)])
    made = json.loads(told.read_text())
    assert set(made["machine"]) >= {"cpu", "cpus", "python", "postgresql", "duckdb"}
    assert all(value for name, value in made["machine"].items() if name != "clickhouse")
    assert made["size"] == "small"
    assert set(made["seconds"]) == {"keepers"}


def test_every_bar_has_an_id_of_its_own_and_an_aim_beyond_it() -> None:
    assert len(BARS) == sum(map(len, BY_PART.values()))
    assert set(PARTS) <= set(BY_PART)
    for bar in BARS.values():
        assert bar.aim is None or bar.is_met_by(bar.aim)
