"""Which pictures runs give: each peer beside ours, and every curve that a part drew."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from tests.bench.report import svg
from tests.bench.report.tables import rows

Run = dict[str, Any]
Curve = dict[str, Any]

_OURS = "ours, sealed"
# Ids of results, and what a bar is called.
_SPEED = {
    "D.ours.cpu": _OURS,
    "D.as-arrived.cpu": "DuckDB as arrived",
    "D.same-work.cpu": "DuckDB sorted + address table",
    "D.clickhouse.cpu": "ClickHouse, lz4",
    "D.postgres.cpu": "PostgreSQL, two indexes",
}
_BYTES = {
    "D.bytes": _OURS,
    "D.bytes.as-arrived": "DuckDB as arrived",
    "D.bytes.same-work": "DuckDB sorted + address table",
    "D.bytes.clickhouse": "ClickHouse, lz4",
    "D.bytes.clickhouse-zstd": "ClickHouse, zstd",
    "D.bytes.postgres": "PostgreSQL, two indexes",
}
_TEXT = {
    "ndjson.ours.cpu": _OURS,
    "ndjson.collector.cpu": "ours, by icr-collect",
    "ndjson.clickhouse.cpu": "ClickHouse, lz4",
    "ndjson.fernet.cpu": "Django + Fernet fields",
}
_BESIDE = {
    "speed": ("A million records from Arrow to disk, CPU time", "s", _SPEED),
    "text": ("A million records from NDJSON to disk, CPU time", "s", _TEXT),
    "bytes": ("A record on disk", "bytes", _BYTES),
}


def drawn(runs: Sequence[Run], curves: Sequence[Curve]) -> dict[str, tuple[str, str]]:
    """By file name, a title and the picture."""
    return {f"{name}.svg": made for name, made in (*_beside(runs), *_together(curves))}


def _beside(runs: Sequence[Run]) -> Iterator[tuple[str, tuple[str, str]]]:
    found = rows(runs)
    for name, (title, unit, told) in _BESIDE.items():
        shown = [
            svg.Bar(label, median(medians), label.startswith("ours"))
            for id, label in told.items()
            if (medians := [row["median"] for row in found.get(id, ()) if "median" in row])
        ]
        if shown:
            yield name, (title, svg.bars(title, unit, shown))


def _together(curves: Sequence[Curve]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Of one run: a curve has no spread."""
    by_picture: dict[str, list[Curve]] = {}
    for curve in curves:
        by_picture.setdefault(curve["id"].partition(".")[0], []).append(curve)
    for name, several in by_picture.items():
        one = several[0]
        title = (
            f"{one['what']}, {one['unit']}"
            if len(several) == 1
            else f"{name.replace('-', ' ')}, {one['unit']}"
        )
        shown = [svg.Line(each["what"], each["points"]) for each in several]
        yield name, (title, svg.lines(title, one["x"], one["unit"], shown))
