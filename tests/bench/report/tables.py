"""Tables in Markdown of one run or several, and where they go in a page."""

import math
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from tests.bench.results import number

Run = dict[str, Any]
Row = dict[str, Any]
Curve = dict[str, Any]

# Of the growth in one run; of more than a hundred steps every tenth or so is enough.
MOST_STEPS = 12


class NoMark(Exception):
    """The page has no such pair of marks."""


def between(page: str, mark: str, made: str) -> str:
    """The page with what stands between ``<!-- mark -->`` and ``<!-- end -->`` replaced."""
    before, begin, rest = page.partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not begin or not end:
        raise NoMark(mark)
    return f"{before}{begin}{made}\n{end}{after}"


def rows(runs: Sequence[Run]) -> dict[str, list[Row]]:
    """By id, one of each run in which it stands."""
    found: dict[str, list[Row]] = {}
    for run in runs:
        for row in run["results"]:
            found.setdefault(row["id"], []).append(row)
    return found


def barred(runs: Sequence[Run]) -> list[str]:
    return [id for id, given in rows(runs).items() if "bar" in given[0]]


def is_missed(runs: Sequence[Run], id: str) -> bool:
    """Also if one of the runs measured it and another did not, as where its part has failed."""
    given = rows(runs)[id]
    measured = [row for row in given if "median" in row]
    return bool(measured) and (len(measured) < len(runs) or not all(row["met"] for row in measured))


def machine(runs: Sequence[Run]) -> str:
    """Where the runs took place, a line for each that differs."""
    told = {_machine(run): None for run in runs}
    return "\n".join(told)


def bars(runs: Sequence[Run]) -> str:
    """Every bar; of each run the median, and the spread of all."""
    numbers = [f"run {n + 1}" for n in range(len(runs))] if len(runs) > 1 else ["median"]
    heading = ["id", "measure", "unit", *numbers, "min - max", "bar", "aim", "verdict"]
    return _table(
        heading, (_bar(runs, given) for given in rows(runs).values() if "bar" in given[0])
    )


def steps(runs: Sequence[Run]) -> str:
    """What each step of ours takes, by shape, beside the peers that do as much."""
    columns = {
        "client": "collector", "accept": "web", "seal": "sealer", "ours": "web + sealer",
        "same-work": "DuckDB, same work", "clickhouse": "ClickHouse, lz4",
    }  # fmt: skip
    found = rows(runs)
    lines = []
    for shape in "SDH":
        given = [found.get(f"{shape}.{step}.cpu", ()) for step in columns]
        if any(given):
            lines.append([shape, *map(_median, given)])
    return _table(["shape", *columns.values()], iter(lines))


def rest(runs: Sequence[Run]) -> str:
    """What has no bar: the median of the runs' medians, and the spread of all."""
    heading = ["id", "measure", "unit", "median", "min - max"]
    return _table(heading, (
        [f"`{given[0]['id']}`", given[0]["what"], given[0]["unit"],
         _median(given), _spread(given)]
        for given in rows(runs).values() if "bar" not in given[0]
    ))  # fmt: skip


# By curve of `tests.bench.growth`: what its column is called, and how many of its unit make one.
_GROWTH = {
    "growth-rate.ours": ("thousands a CPU second", 1e3),
    "growth-questions.q1": ("Q1, ms", 1),
    "growth-questions.q2": ("Q2, ms", 1),
    "growth-questions.q3": ("Q3, ms", 1),
    "growth-bytes.table": ("segments, MB", 1e6),
    "growth-bytes.index": ("index, MB", 1e6),
    "growth-vacuum.seconds": ("VACUUM, s", 1),
    "growth-look.idle": ("idle look, ms", 1),
}


def growth(curves: Sequence[Curve]) -> str:
    """The curves by the million records that the store held, the last size among them."""
    points = {one["id"]: one["points"] for one in curves}
    shown = [(name, of, points[id]) for id, (name, of) in _GROWTH.items() if id in points]
    sizes = [size for size, _ in shown[0][2]] if shown else []
    apart = max(math.ceil(len(sizes) / MOST_STEPS), 1)
    steps = range(len(sizes) - 1, -1, -apart)
    return _table(["million records", *(name for name, _, _ in shown)], (
        [f"{sizes[n] / 1e6:,.0f}", *(number(each[n][1] / of) for _, of, each in shown)]
        for n in reversed(steps)
    ))  # fmt: skip


def _median(given: Sequence[Row]) -> str:
    return number(median(row["median"] for row in given)) if given else ""


def _bar(runs: Sequence[Run], given: Sequence[Row]) -> list[str]:
    one = given[0]
    measured = [row for row in given if "median" in row]
    medians = [number(row["median"]) if "median" in row else "" for row in given]
    medians += [""] * (len(runs) - len(given))
    aim = f"{one['aim']:g}" if one["aim"] else ""
    return [f"`{one['id']}`", one["what"], one["unit"], *medians, _spread(measured),
            f"{one['sense']} {one['bar']:g}", aim,
            _verdict(len(runs), given, measured)]  # fmt: skip


def _verdict(runs: int, given: Sequence[Row], measured: Sequence[Row]) -> str:
    if not measured:
        return f"not measured: {given[0]['not_measured']}"
    if not all(row["met"] for row in measured):
        return "**MISSED**"
    if len(measured) < runs:
        return f"**not measured** in {runs - len(measured)} of {runs} runs"
    return "met, aim reached" if all(row["aim_reached"] for row in measured) else "met"


def _spread(measured: Sequence[Row]) -> str:
    if not measured:
        return ""
    least, most = (number(pick(row[end] for row in measured))
                   for pick, end in ((min, "min"), (max, "max")))  # fmt: skip
    return f"{least} - {most}"


def _machine(run: Run) -> str:
    told = run["machine"]
    versions = f"CPython {told['python']}, {told['postgresql']}, DuckDB {told['duckdb']}"
    if told["clickhouse"]:
        versions += f", ClickHouse {told['clickhouse']}"
    return (
        f"`--{run['size']}`, commit {run['commit'][:12]}, ended {run['ended']}: {told['cpus']} CPUs"
        f" ({told['cpu']}), {told['memory_gib']} GiB, Linux {told['kernel']}; {versions}."
    )


def _table(heading: Sequence[str], body: Iterator[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


# What is made of runs alone.
BY_MARK = {"machine": machine, "bars": bars, "steps": steps, "rest": rest}
