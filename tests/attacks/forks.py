"""Two children of one worker seal epochs by the sealer's own code; is any key made twice?

  python -m tests.attacks.forks [SEGMENTS]            100,000 by default, some seconds
  python -m tests.attacks.forks SEGMENTS --before     with atoms drawn before the fork: the mistake

Prints how many labels, keys and shares there were twice. 1 if there were any.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import django
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "icrstore.settings")
django.setup()

from icrstore.flow.schema import address_bytes, record_schema  # noqa: E402 - models need setup
from icrstore.seal.epoch import new_atoms  # noqa: E402
from icrstore.seal.group import Group, by_hour  # noqa: E402
from icrstore.seal.rows import Row, Segment, SelectorKeys  # noqa: E402
from icrstore.vault import sealer  # noqa: E402
from icrstore.vault.backfills import Backfills  # noqa: E402
from icrstore.vault.keyring import SealerKeys  # noqa: E402
from icrstore.vault.policies import PoolsByHour  # noqa: E402

CHILDREN = 2
ACCOUNTS = 500  # of one epoch, each with a row of its own; their address has one more
HOUR = datetime(2026, 11, 22, 9, tzinfo=UTC)


def seal(segments: int, writer: "Connection") -> None:
    """Seal so many segments and tell the label, key and shares of each."""
    made: list[tuple[bytes, bytes, bytes]] = []
    true_seal = SelectorKeys.seal

    def seen(self: SelectorKeys, segment: Segment) -> Row:
        made.append((*self.label_and_key(segment.chunk), self._secret))
        return true_seal(self, segment)

    SelectorKeys.seal = seen  # type: ignore[method-assign] # it does what it did, and is watched
    group, by = _group(), _sealed_by()
    while len(made) < segments:
        sealer._make_epoch("isp-one", HOUR, 0, [group], (), by, HOUR)
    writer.send([b"".join(parts) for parts in zip(*made, strict=True)])


def _group() -> Group:
    import pyarrow as pa  # it starts threads, so not before a fork

    rows = [
        {
            "observed_at": HOUR, "protocol": 6, "source_address": address_bytes("203.0.113.9"),
            "source_port": 40001, "destination_address": address_bytes("198.51.100.7"),
            "destination_port": 443, "account": f"line-{number}",
        }
        for number in range(ACCOUNTS)
    ]  # fmt: skip
    ((_, group),) = by_hour(pa.Table.from_pylist(rows, record_schema("us")))
    return group


def _sealed_by() -> Any:
    keys = SealerKeys(Path(), Ed25519PrivateKey.generate(), ())
    pools = PoolsByHour((), HOUR + timedelta(days=1))
    return sealer._SealedBy(keys, lambda day: {}, pools, Backfills())


def repeated(segments: int) -> dict[str, int]:
    """How many the children have twice, within one or in common. Equal shares are of one atom:
    where only the epoch's nonce differs, labels and keys still do."""
    context = get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(CHILDREN)]
    children = [
        context.Process(target=seal, args=(segments // CHILDREN, writer)) for _, writer in pipes
    ]
    for child in children:
        child.start()
    told = [reader.recv() for reader, _ in pipes]
    for child in children:
        child.join()
    sizes = {"labels": 16, "keys": 32, "shares": 64}
    counts = {}
    for place, (name, size) in enumerate(sizes.items()):
        parts = [one[place][at : at + size] for one in told
                 for at in range(0, len(one[place]), size)]  # fmt: skip
        counts[name] = len(parts) - len(set(parts))
        counts["segments"] = len(parts)
    return counts


def main(segments: int, before: bool) -> int:
    if before:
        drawn = new_atoms()
        setattr(sealer, "new_atoms", lambda: drawn)  # noqa: B010 - what it imports, not its own
    started = time.monotonic()
    counts = repeated(segments)
    print(json.dumps({**counts, "seconds": round(time.monotonic() - started, 1)}))
    return 1 if counts["labels"] or counts["keys"] or counts["shares"] else 0


if __name__ == "__main__":
    given = [each for each in sys.argv[1:] if each != "--before"]
    sys.exit(main(int(given[0]) if given else 100_000, "--before" in sys.argv))
