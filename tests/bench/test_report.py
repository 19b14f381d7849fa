"""What the report makes of runs: tables between marks, well-formed pictures, its status."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bench.measure import Spread
from tests.bench.report import svg
from tests.bench.report.__main__ import PAGE, main
from tests.bench.report.tables import NoMark
from tests.bench.results import Curve, Outcome, Result, Unmeasured

MACHINE = {"cpu": "a cpu", "cpus": 2, "memory_gib": 24, "kernel": "6", "python": "3.11",
           "postgresql": "PostgreSQL 18", "duckdb": "2.0", "clickhouse": ""}  # fmt: skip

Write = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Write:
    """Writes the JSON of a run with these outcomes."""

    def write(name: str, *outcomes: Outcome) -> str:
        told: dict[str, Any] = {
            "commit": "c" * 40, "machine": MACHINE, "ended": "today", "size": "full",
            "results": [one.to_object() for one in outcomes if not isinstance(one, Curve)],
            "curves": [one.to_object() for one in outcomes if isinstance(one, Curve)],
        }  # fmt: skip
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(told))
        return str(path)

    return write


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "PERFORMANCE.md"
    path.write_text(PAGE.read_text())
    return path


def line(page: Path, id: str) -> list[str]:
    (found,) = [row for row in page.read_text().splitlines() if row.startswith(f"| `{id}` |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_each_run_has_its_column_and_a_bar_is_met_if_all_met_it(run: Write, page: Path) -> None:
    def both(*medians: float) -> list[str]:
        return [run(f"run{n}", Result.of_bar("D.bytes", [m])) for n, m in enumerate(medians)]

    assert main([*both(11, 12), "--page", str(page)]) == 0
    assert line(page, "D.bytes")[3:] == ["11.00", "12.00", "11.00 - 12.00", "at most 15", "12",
                                         "met, aim reached"]  # fmt: skip
    assert main([*both(11, 14), "--page", str(page)]) == 0
    assert line(page, "D.bytes")[-1] == "met"
    assert main([*both(11, 16), "--page", str(page)]) == 1
    assert line(page, "D.bytes")[-1] == "**MISSED**"


def test_what_was_not_measured_says_why_and_what_has_no_bar_stands_below(
    run: Write, page: Path
) -> None:
    one = run("one", Unmeasured("D.bytes", "no moon"), Result("D.x", "a", "s", Spread(1, 2, 3)))
    assert main([one, "--page", str(page)]) == 0
    assert line(page, "D.bytes")[-1] == "not measured: no moon"
    assert line(page, "D.x") == ["`D.x`", "a", "s", "1.00", "2.00 - 3.00"]


def test_a_bar_that_one_run_did_not_measure_is_not_met(run: Write, page: Path) -> None:
    met = run("met", Result.of_bar("D.bytes", [11]))
    for number, other in enumerate(([Unmeasured("D.bytes", "ingest failed")], [])):
        without = run(f"without-{number}", Result.of_bar("H.bytes", [10]), *other)
        for runs in ([met, without], [without, met]):
            assert main([*runs, "--page", str(page)]) == 1
            assert line(page, "D.bytes")[-1] == "**not measured** in 1 of 2 runs"


def test_all_but_what_stands_between_the_marks_is_left_as_it_is(run: Write, page: Path) -> None:
    before = [part.partition("<!-- end -->")[2] for part in page.read_text().split(" -->\n")]
    one = run("one", Result.of_bar("D.bytes", [11]))
    main([one, "--page", str(page)])
    first = page.read_text()
    assert [part.partition("<!-- end -->")[2] for part in first.split(" -->\n")] == before
    main([one, "--page", str(page)])
    assert page.read_text() == first


def test_a_page_without_a_mark_is_not_written(run: Write, page: Path) -> None:
    page.write_text(page.read_text().replace("<!-- rest -->", ""))
    before = page.read_text()
    with pytest.raises(NoMark, match="rest"):
        main([run("one", Result.of_bar("D.bytes", [11])), "--page", str(page)])
    assert page.read_text() == before


def test_peers_and_curves_are_drawn_and_shown(run: Write, page: Path) -> None:
    one = run(
        "one",
        Result.of_bar("D.bytes", [11]),
        Result("D.bytes.postgres", "", "", Spread(220, 220, 220)),
        Curve("growth-questions.q1", "Q1", "records", "ms", ((1e6, 1), (1e8, 1.5))),
        Curve("growth-questions.q2", "Q2 & more", "records", "ms", ((1e6, 5), (1e8, 7.5))),
    )
    main([one, "--page", str(page)])
    drawn = {path.name: path.read_text() for path in page.with_name("performance").iterdir()}
    assert set(drawn) == {"bytes.svg", "growth-questions.svg"}
    assert all(f"](performance/{name})" in page.read_text() for name in drawn)
    assert {"11 bytes", "220 bytes", "PostgreSQL, two indexes"} <= words(drawn["bytes.svg"])
    assert {"100 M", "records", "ms", "Q2 & more"} <= words(drawn["growth-questions.svg"])


def test_growth_is_a_line_for_each_size_of_the_store(run: Write, page: Path) -> None:
    one = run(
        "one",
        Curve("growth-rate.ours", "", "", "", ((11e6, 976_000), (22e6, 1_007_000))),
        Curve("growth-bytes.index", "", "", "", ((11e6, 10.4e6), (22e6, 21e6))),
    )
    main([one, "--page", str(page)])
    made = page.read_text().partition("<!-- growth -->\n")[2].partition("\n<!-- end -->")[0]
    assert made.splitlines() == [
        "| million records | thousands a CPU second | index, MB |",
        "| --- | --- | --- |",
        "| 11 | 976.00 | 10.40 |",
        "| 22 | 1,007 | 21.00 |",
    ]


def test_growth_by_itself_is_shown_instead_thinned_to_few_lines(
    run: Write, page: Path, tmp_path: Path
) -> None:
    one = run("one", Curve("growth-rate.ours", "", "", "", ((11e6, 1), (22e6, 1))))
    points = [(n * 11e6, n * 1e3) for n in range(1, 101)]
    grown = tmp_path / "grown.json"
    curve = Curve("growth-rate.ours", "", "", "", tuple(points))
    grown.write_text(json.dumps({"curves": [curve.to_object()]}))
    main([one, "--growth", str(grown), "--page", str(page)])
    made = page.read_text().partition("<!-- growth -->\n")[2].partition("\n<!-- end -->")[0]
    assert made.splitlines()[2:] == [f"| {n * 11:,} | {n:.2f} |" for n in range(1, 101, 9)]
    (drawn,) = page.with_name("performance").glob("growth-*.svg")
    assert "1 G" in words(drawn.read_text())


def test_a_line_goes_through_its_points_and_a_bar_is_as_long_as_its_value() -> None:
    drawn = parsed(svg.lines("t", "x", "y", [svg.Line("a", [(0, 0), (10, 10)])]))
    line = next(one for one in drawn.iter() if one.get("class") == "line c0")
    ends = (svg.LEFT, svg.HEIGHT - svg.BOTTOM), (svg.WIDTH - svg.RIGHT, svg.TOP)
    assert line.get("points") == " ".join(f"{x:.1f},{y:.1f}" for x, y in ends)
    bars = parsed(svg.bars("t", "s", [svg.Bar("a", 10), svg.Bar("b", 5, True)]))
    a, b = [float(one.attrib["width"]) for one in bars.iter() if one.tag.endswith("rect")]
    assert a == pytest.approx(2 * b, abs=0.1)


def test_nothing_measured_as_nothing_is_drawn_too() -> None:
    parsed(svg.lines("t", "x", "y", [svg.Line("a", [(0, 0)])]))
    parsed(svg.bars("t", "s", [svg.Bar("a", 0)]))


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)  # noqa: S314 - we drew it


def words(picture: str) -> set[str]:
    return {"".join(one.itertext()) for one in parsed(picture).iter()}
