"""Fuzz every reader for some minutes each: `python -m tests.fuzz --seconds 600`.

By itself it mutates samples. Where atheris is installed (`pip install atheris`), `--atheris` lets
it follow the readers' branches. An input that crashes a reader, takes longer than ten seconds or
two gigabytes is kept in a file, which `--replay FILE` reads again.
"""

import argparse
import hashlib
import multiprocessing
import random
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import Target, targets

LONGEST_SECONDS = 10
MOST_BYTES = 2 << 30


class _TooLong(Exception):
    """An input that a reader does not come to the end of."""


def main() -> int:
    """Exit 1 if an input was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = targets()
    parser.add_argument("names", nargs="*", metavar="READER", help=f"of {', '.join(known)}")
    parser.add_argument("--seconds", type=float, default=600, help="of each; default 600")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path(), help="where inputs are kept")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="one input, of one reader")
    given = parser.parse_args()
    if unknown := set(given.names) - set(known):
        parser.error(f"no such reader: {', '.join(sorted(unknown))}")
    chosen = [known[name] for name in given.names or known]
    if given.replay:
        for target in chosen:
            target.run(given.replay.read_bytes())
        return 0
    found = sum(_apart(target, given) for target in chosen)
    print(f"{found} of {len(chosen)} readers failed")
    return 1 if found else 0


def _apart(target: Target, given: argparse.Namespace) -> bool:
    """In a process of its own, which may die; whether an input was found."""
    kept = given.folder / f"fuzz-{target.name}.input"
    work = multiprocessing.get_context("fork").Process(
        target=_guided if given.atheris else _fuzz, args=(target, given.seconds, given.seed, kept)
    )
    work.start()
    work.join()
    if not work.exitcode:
        kept.unlink(missing_ok=True)
        return False
    digest = hashlib.sha256(kept.read_bytes()).hexdigest()[:12] if kept.exists() else "none"
    print(f"{target.name}: FAILED ({work.exitcode}): {kept} {digest}", flush=True)
    return True


def _fuzz(target: Target, seconds: float, seed: int, kept: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    signal.signal(signal.SIGALRM, _too_long)
    chance, until, tried = random.Random(seed), time.monotonic() + seconds, 0
    told = time.monotonic()
    while time.monotonic() < until:
        content = mutated(chance, target.samples)
        # Written first: whatever ends this process, the input is there.
        kept.write_bytes(content)
        signal.alarm(LONGEST_SECONDS)
        target.run(content)
        signal.alarm(0)
        tried += 1
        if time.monotonic() - told > 10 and sys.stderr.isatty():
            told = time.monotonic()
            print(f"\r{target.name}: {tried} inputs", end="", file=sys.stderr, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{target.name}: {tried} inputs in {seconds:.0f} s, {peak} MB at most", flush=True)


def _guided(target: Target, seconds: float, seed: int, kept: Path) -> None:
    import atheris  # type: ignore[import-untyped]  # Nobody has to have it.

    corpus = kept.with_suffix(".corpus")
    corpus.mkdir(exist_ok=True)
    for n, sample in enumerate(target.samples):
        (corpus / f"sample-{n}").write_bytes(sample)
    atheris.instrument_all()
    limits = [f"-max_total_time={int(seconds)}", f"-seed={seed}", f"-timeout={LONGEST_SECONDS}",
              f"-rss_limit_mb={MOST_BYTES >> 20}", f"-exact_artifact_path={kept}"]  # fmt: skip
    atheris.Setup(["fuzz", *limits, str(corpus)], target.run)
    atheris.Fuzz()


def _too_long(_: int, __: FrameType | None) -> None:
    raise _TooLong(f"more than {LONGEST_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
