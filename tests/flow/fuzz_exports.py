"""``python -m tests.flow.fuzz_exports``: damaged exports without end, to what reads them.

  python -m tests.flow.fuzz_exports --seconds 600            ten minutes
  python -m tests.flow.fuzz_exports --seconds 600 --seed 7   the same datagrams again

Whole exports, made by hand and real ones where they are, are cut, joined and changed. Fails where
reading raises, takes two seconds for one datagram, or keeps more and more. Prints how many there
were.
"""

import argparse
import random
import resource
import sys
import time
from collections.abc import Sequence

from icrstore.flow.readers import Tally
from icrstore.flow.readers.datagrams import Datagram
from icrstore.flow.readers.exports import Exports
from tests.flow.exported import NOON, SECOND
from tests.flow.test_export_attacks import WHOLE
from tests.shared_data import ROOT

_SLOWEST_SECONDS = 2.0
_MOST_KILOBYTES = 300_000
_LENGTHS = (b"\xff\xff", b"\0\0", b"\0\1", b"\0\4", b"\1\0")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}", file=sys.stderr)
    print(f"{fuzz(given.seed, given.seconds)} datagrams")
    return 0


def fuzz(seed: int, seconds: float) -> int:
    """How many datagrams were read in that time; AssertionError at what must not be."""
    chance, exports, count = random.Random(seed), Exports(Tally()), 0
    samples, end, before = _samples(), time.monotonic() + seconds, _peak_kilobytes()
    while time.monotonic() < end:
        payload = _damaged(chance, samples)
        datagram = Datagram((NOON + count) * SECOND, chance.choice("abc"), payload)
        began = time.process_time()
        for batch in exports.feed([datagram]):
            batch.validate(full=True)
        assert time.process_time() - began < _SLOWEST_SECONDS, payload.hex()
        count += 1
        if count % 1000 == 0:
            assert len(exports.tally.gaps) <= 1000
            exports.tally = Tally()
    exports.end()
    assert _peak_kilobytes() - before < _MOST_KILOBYTES
    return count


def _peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _samples() -> list[bytes]:
    folder = ROOT / "netflow"
    paths = sorted([*folder.rglob("*.dat"), *folder.rglob("*.bin")])
    return WHOLE * 8 + [path.read_bytes() for path in paths]


def _damaged(chance: random.Random, samples: list[bytes]) -> bytes:
    made = bytearray(chance.choice(samples))
    for _ in range(chance.choice((0, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(5):
            case 0:
                made[at : at + 1] = chance.randbytes(1)
            case 1:
                made[at : at + 2] = chance.choice(_LENGTHS)
            case 2:
                del made[at : at + chance.randrange(9)]
            case 3:
                made[at:at] = chance.randbytes(chance.randrange(9))
            case 4:
                made[at:at] = chance.choice(samples)[: chance.randrange(200)]
    return bytes(made[:65_535])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
