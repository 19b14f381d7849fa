"""``python -m tests.bench``: how fast the store is and how small, beside its peers in one run on
the same records, against the bars that it must meet.

The table goes to stdout, every bar in it, also those that this run did not measure; progress goes
to stderr. Exit status 1 if a bar is missed or a part failed (say, since a peer holds other records
than we do), 0 otherwise: "not measured" is no miss. Numbers mean something on a quiet machine only.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.bars import BARS, PART_OF
from tests.bench.machine import commit, machine
from tests.bench.parts import PARTS, Part
from tests.bench.progress import tell
from tests.bench.results import Curve, Outcome, Result, Row, judged, table
from tests.bench.running import Bench, Size

_EXAMPLES = """examples:
  python -m tests.bench                        the bars that take less than three minutes
  python -m tests.bench --full --json out.json all bars; the growth to 100 million takes longest
  python -m tests.bench --only store keepers   these parts alone
  python -m tests.bench.report out.json        tables and pictures of deploy/PERFORMANCE.md

parts:
"""


@dataclass
class Told:
    """What the parts found, which of them failed, and how long each took."""

    outcomes: list[Outcome] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    names = options.only or [name for name in PARTS if options.size != "small" or _small(name)]
    told = _measure(names, options.size)
    rows = [one for one in told.outcomes if not isinstance(one, Curve)]
    rows = judged(rows, {id: _why(id, told.failed) for id in BARS})
    print(table(rows))
    if options.json:
        made = _to_object(options.size, told, rows)
        options.json.write_text(json.dumps(made, indent=2) + "\n")
    missed = any(isinstance(row, Result) and not row.is_met for row in rows)
    return 1 if missed or told.failed else 0


def _measure(names: Sequence[str], size: Size) -> Told:
    told = Told()
    with Bench() as bench:
        for number, name in enumerate(names):
            began, part = time.monotonic(), PARTS[name]
            tell(f"{name}: part {number + 1} of {len(names)}: {part.about}")
            try:
                told.outcomes += part.measure(bench, _size_of(part, size))
            except Exception:  # The others are still worth measuring; the status says it.
                traceback.print_exc()
                told.failed.append(name)
            told.seconds[name] = round(time.monotonic() - began, 1)
            tell(f"{name}: took {told.seconds[name]:.0f} s")
    return told


def _to_object(size: Size, told: Told, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "commit": commit(),
        "machine": machine(),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": size,
        "seconds": told.seconds,
        "failed": told.failed,
        "results": [row.to_object() for row in rows],
        "curves": [one.to_object() for one in told.outcomes if isinstance(one, Curve)],
    }


def _size_of(part: Part, size: Size) -> Size:
    """What takes minutes anyway has no small size."""
    return "full" if size == "small" and not part.in_small else size


def _small(name: str) -> bool:
    return PARTS[name].in_small


def _why(id: str, failed: Sequence[str]) -> str:
    part = PART_OF[id]
    if part not in PARTS:
        return f"python -m tests.bench.{part}"
    return f"{part} failed" if part in failed else f"--full or --only {part}"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parts = (
        f"  {name:<12} {part.about}{'' if part.in_small else ' (not in --small)'}"
        for name, part in PARTS.items()
    )
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog=_EXAMPLES + "\n".join(parts),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sizes = parser.add_mutually_exclusive_group()
    for name, told in {
        "small": "what can be measured in three minutes (default)",
        "full": "all bars at the sizes that they mean",
        "tiny": "every part at a size that proves only that it works",
    }.items():
        sizes.add_argument(f"--{name}", dest="size", action="store_const", const=name, help=told)
    parser.set_defaults(size="small")
    only = "these parts alone; one that is not in --small runs at its full size"
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=only)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
