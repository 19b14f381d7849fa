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
from pathlib import Path

from tests.bench.bars import BARS, PART_OF
from tests.bench.machine import commit, machine
from tests.bench.parts import PARTS, Part
from tests.bench.progress import tell
from tests.bench.results import Outcome, Result, judged, table
from tests.bench.running import Bench, Size

_EXAMPLES = """examples:
  python -m tests.bench                        the bars that take less than three minutes
  python -m tests.bench --full --json out.json all bars; the growth to 100 million takes longest
  python -m tests.bench --only store keepers   these parts alone
  python -m tests.bench.report out.json        tables and pictures of deploy/PERFORMANCE.md

parts:
"""


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    names = options.only or [name for name in PARTS if options.size != "small" or _small(name)]
    took: dict[str, float] = {}
    with Bench() as bench:
        outcomes, failed = _measure(bench, names, options.size, took)
    made = judged(outcomes, {id: _why(id, failed) for id in BARS})
    print(table(made))
    if options.json:
        told = {
            "commit": commit(), "machine": machine(), "size": options.size, "seconds": took,
            "failed": failed, "results": [one.to_object() for one in made],
            "growth": bench.growth,
        }  # fmt: skip
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    missed = any(isinstance(one, Result) and not one.is_met for one in made)
    return 1 if missed or failed else 0


def _measure(
    bench: Bench, names: Sequence[str], size: Size, took: dict[str, float]
) -> tuple[list[Outcome], list[str]]:
    """What the parts found, and the names of those that failed."""
    outcomes: list[Outcome] = []
    failed = []
    for number, name in enumerate(names):
        began = time.monotonic()
        tell(f"{name}: part {number + 1} of {len(names)}: {PARTS[name].about}")
        try:
            outcomes += PARTS[name].measure(bench, _size_of(PARTS[name], size))
        except Exception:  # The others are still worth measuring; the status says it.
            traceback.print_exc()
            failed.append(name)
        took[name] = round(time.monotonic() - began, 1)
        tell(f"{name}: took {took[name]:.0f} s")
    return outcomes, failed


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
