"""``python -m tests.bench.report RUN.json...``: the tables and pictures of deploy/PERFORMANCE.md.

Of several runs of the same commit each has its column, and a bar is met if all of them met it. What
stands between the marks in PERFORMANCE.md is replaced, pictures are written into
deploy/performance/; all else there is written by people. Growth is shown as it was in the last run,
or in one by itself that went further. Exit status 1 if a bar was missed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.report import pictures, tables

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "deploy" / "PERFORMANCE.md"

Run = dict[str, Any]
Curve = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.json")
    parser.add_argument("--growth", type=Path, metavar="FILE", help="of `tests.bench.growth`")
    parser.add_argument("--page", type=Path, default=PAGE, help="instead of deploy/PERFORMANCE.md")
    given = parser.parse_args(arguments)
    runs: list[Run] = [json.loads(path.read_text()) for path in given.runs]
    grown: Run = json.loads(given.growth.read_text()) if given.growth else runs[-1]
    write(given.page, runs, grown["curves"])
    return 1 if any(tables.is_missed(runs, id) for id in tables.barred(runs)) else 0


def write(page: Path, runs: Sequence[Run], curves: Sequence[Curve]) -> None:
    """Raises `tables.NoMark` if the page lacks one, before anything is written."""
    text = page.read_text()
    for mark, make in tables.BY_MARK.items():
        text = tables.between(text, mark, make(runs))
    text = tables.between(text, "growth", tables.growth(curves))
    drawn = pictures.drawn(runs, curves)
    folder = page.parent / page.stem.lower()
    shown = "\n".join(f"![{title}]({folder.name}/{name})" for name, (title, _) in drawn.items())
    text = tables.between(text, "pictures", shown)
    folder.mkdir(exist_ok=True)
    for name, (_, picture) in drawn.items():
        (folder / name).write_text(picture)
    page.write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
