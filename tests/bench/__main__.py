"""``python -m tests.bench``: the store beside its peers in one run, or with ``--keepers`` two
keepers beside one alone, against the bars that they must meet.

Exit status 1 if a bar is missed. Progress goes to stderr, the table to stdout.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from icrstore.seal.epoch import hour_start
from tests.bench import ingest, keepers, store
from tests.bench.keepers import Load
from tests.bench.results import Result, table


@dataclass(frozen=True)
class Size:
    records: int
    rounds: int
    asked: Load


SIZES = {
    "full": Size(1_000_000, 5, Load(400, 5)),
    "small": Size(200_000, 3, Load(200, 3)),
    "tiny": Size(20_000, 1, Load(20, 1, hours=48)),
}


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    size = SIZES[options.size]
    results = _measure_keepers(size) if options.keepers else _measure(size)
    print(table(results))
    if options.json:
        told = {"size": options.size, "results": [result.to_object() for result in results]}
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0 if all(result.is_met for result in results) else 1


def _measure(size: Size) -> list[Result]:
    until = hour_start(datetime.now(UTC))
    with store.running() as ours, tempfile.TemporaryDirectory() as folder:
        return ingest.measure(ours, Path(folder), size.records, size.rounds, until)


def _measure_keepers(size: Size) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        return keepers.measure(Path(folder), size.asked)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    sizes = parser.add_mutually_exclusive_group()
    for name, size in SIZES.items():
        told = f"{size.records:,} records a shape, {size.rounds} rounds"
        sizes.add_argument(f"--{name}", dest="size", action="store_const", const=name, help=told)
    parser.set_defaults(size="small")
    asked = ", ".join(f"{name} {size.asked.questions:,}" for name, size in SIZES.items())
    parser.add_argument("--keepers", action="store_true", help=f"questions a round: {asked}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
