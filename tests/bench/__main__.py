"""``python -m tests.bench``: the store beside its peers in one run, with ``--keepers`` two keepers
beside one alone, or with ``--collector`` files of text read and pushed beside the sealing of their
records, against the bars that they must meet.

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
from tests.bench import ingest, keepers, reading, store
from tests.bench.keepers import Load
from tests.bench.results import Result, table


@dataclass(frozen=True)
class Size:
    records: int
    rounds: int
    asked: Load
    growing: tuple[int, ...]


SIZES = {
    "full": Size(1_000_000, 5, Load(400, 5), (500_000, 2_000_000, 5_000_000)),
    "small": Size(200_000, 3, Load(200, 3), (200_000, 500_000)),
    "tiny": Size(20_000, 1, Load(20, 1, hours=48), ()),
}


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    size = SIZES[options.size]
    results = _MEASURES[options.what](size)
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


def _measure_collector(size: Size) -> list[Result]:
    until = hour_start(datetime.now(UTC))
    with store.running() as ours, tempfile.TemporaryDirectory() as folder:
        return reading.measure(ours, Path(folder), size.records, size.rounds, size.growing, until)


_MEASURES = {"store": _measure, "keepers": _measure_keepers, "collector": _measure_collector}


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    sizes = parser.add_mutually_exclusive_group()
    for name, size in SIZES.items():
        told = f"{size.records:,} records a shape, {size.rounds} rounds"
        sizes.add_argument(f"--{name}", dest="size", action="store_const", const=name, help=told)
    parser.set_defaults(size="small")
    asked = ", ".join(f"{name} {size.asked.questions:,}" for name, size in SIZES.items())
    grown = "files of the same records as text; memory over inputs that grow"
    others = {"keepers": f"questions a round: {asked}", "collector": grown}
    for what, meaning in others.items():
        parser.add_argument(
            f"--{what}", dest="what", action="store_const", const=what, help=meaning
        )
    parser.set_defaults(what="store")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
