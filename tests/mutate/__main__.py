"""``python -m tests.mutate``: takes one check of the product out at a time; a named test turns red.

A check that nothing misses is not shown to work. The checkout is never changed: a copy of it is,
check by check, and there each one's own test runs in a process of its own. Before that, all of
those tests must be green in the copy as it is.

  python -m tests.mutate                        all of them
  python -m tests.mutate --sample 10            ten, by a seed that it tells
  python -m tests.mutate --sample 10 --seed 7   the same ten again
  python -m tests.mutate --only keeper-budget   one; --list says their names

To add one, write a line into a file of tests/mutate/listed: its name, the file, the text to take
out, and the test that must see it.

Exit status: 0 if every test turned red; 1 if one stayed green, could not be run, or if what a
mutation names is no longer there; 2 if it is called wrongly. Progress goes to stderr, the table to
stdout.
"""

import argparse
import os
import random
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.mutate.listed import MUTATIONS
from tests.mutate.mutation import Mutation
from tests.mutate.trial import Outcome, trees, try_all

ROOT = Path(__file__).resolve().parents[2]


def main(
    arguments: Sequence[str], listed: Sequence[Mutation] = MUTATIONS, root: Path = ROOT
) -> int:
    options, parser = _options(arguments)
    if options.list:
        print("\n".join(f"{one.name}  {one.file}  {one.test}" for one in listed))
        return 0
    chosen = _chosen(options, listed, parser)
    if stale := [f"{one.name}: {why}" for one in listed if (why := one.why_stale(root))]:
        print("\n".join(["stale:", *stale]), file=sys.stderr)
        return 1
    return _try(chosen, root)


def _try(chosen: Sequence[Mutation], root: Path) -> int:
    with trees(root, min(len(chosen), os.cpu_count() or 1)) as copies:
        _tell(f"{len(chosen)} of them: first their tests as it is")
        code, printed = copies[0].test(*dict.fromkeys(one.test for one in chosen))
        if code:
            _tell(printed)
            _tell("not green before anything was taken out")
            return 1
        outcomes = []
        for outcome in try_all(copies, chosen):
            outcomes.append(outcome)
            _tell(f"{len(outcomes)}/{len(chosen)} {_line(outcome)}")
            if not outcome.is_red:
                _tell(outcome.printed)
    print("\n".join(map(_line, outcomes)))
    return 0 if all(outcome.is_red for outcome in outcomes) else 1


def _chosen(
    options: argparse.Namespace, listed: Sequence[Mutation], parser: argparse.ArgumentParser
) -> list[Mutation]:
    if options.only:
        known = {one.name: one for one in listed}
        if unknown := [name for name in options.only if name not in known]:
            parser.error(f"no mutation is called {unknown[0]}: see --list")
        return [known[name] for name in options.only]
    if options.sample is None:
        return list(listed)
    if not 0 < options.sample <= len(listed):
        parser.error(f"--sample takes 1 to {len(listed)}")
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    _tell(f"--sample {options.sample} --seed {seed}")
    return sample(listed, options.sample, seed)


def sample(listed: Sequence[Mutation], count: int, seed: int) -> list[Mutation]:
    """In the order of the list."""
    picked = random.Random(seed).sample(range(len(listed)), count)
    return [listed[number] for number in sorted(picked)]


def _line(outcome: Outcome) -> str:
    told = f"{outcome.verdict} in {outcome.seconds:.1f} s"
    return f"{outcome.mutation.name:<36} {told:<18} {outcome.mutation.test}"


def _options(arguments: Sequence[str]) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--list", action="store_true", help="their names, files and tests")
    which.add_argument("--sample", type=int, metavar="N", help="N of them, at random")
    which.add_argument("--only", action="append", metavar="NAME", help="this one; may be repeated")
    parser.add_argument("--seed", type=int, metavar="S", help="which sample")
    options = parser.parse_args(arguments)
    if options.seed is not None and options.sample is None:
        parser.error("--seed goes with --sample")
    return options, parser


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
