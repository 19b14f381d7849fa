"""Opening: two shares make a selector's keys, rows are fetched by label and proven, then opened.

Every row found must be the one that the epoch's manifest names, and every row not found must be
absent from it: a list that somebody shortened names its epoch instead of passing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from icrstore.seal.epoch import Kind
from icrstore.seal.manifest import ManifestError, check
from icrstore.seal.rows import RowError, Segment, SelectorKeys
from icrstore.vault.reader import HeldEpoch, Wanted

Bodies = Callable[[int, Iterable[Wanted]], dict[Wanted, bytes]]


@dataclass(frozen=True)
class Lent:
    """What both keepers lent for one selector in one epoch."""

    epoch: HeldEpoch
    kind: Kind
    selector: bytes
    operator: bytes
    oversight: bytes

    def keys(self) -> SelectorKeys:
        eid = self.epoch.statement.epoch.eid
        return SelectorKeys(self.operator, self.oversight, eid, self.kind, self.selector)


@dataclass
class Opened:
    """Segments by selector and epoch, and the epochs where a row is missing or fails."""

    segments: dict[bytes, list[tuple[HeldEpoch, Segment]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    failed: set[bytes] = field(default_factory=set)

    def of(self, selector: bytes) -> list[tuple[datetime, Segment]]:
        """The segments of one selector, each with its hour; none if nothing was found."""
        found = self.segments.get(selector, [])
        return [(epoch.statement.epoch.hour, segment) for epoch, segment in found]


def open_rows(lent: Iterable[Lent], bodies: Bodies) -> Opened:
    """Open every row of what was lent, in two rounds: first chunks, then the chunks they name."""
    opened = Opened()
    first = [(one, one.keys(), 0) for one in lent]
    further = []
    for one, keys, segment in _round(first, bodies, opened):
        if segment is not None:
            opened.segments[one.selector].append((one.epoch, segment))
            further += [(one, keys, chunk) for chunk in range(1, segment.last_chunk + 1)]
    for one, _, segment in _round(further, bodies, opened):
        if segment is None:  # the first chunk names it, so it must be there
            opened.failed.add(one.epoch.statement.epoch.eid)
        else:
            opened.segments[one.selector].append((one.epoch, segment))
    return opened


def _round(
    asked: list[tuple[Lent, SelectorKeys, int]], bodies: Bodies, opened: Opened
) -> Iterable[tuple[Lent, SelectorKeys, Segment | None]]:
    by_month: dict[int, list[Wanted]] = defaultdict(list)
    labels = [keys.label_and_key(chunk)[0] for _, keys, chunk in asked]
    for (one, _, _), label in zip(asked, labels, strict=True):
        by_month[one.epoch.month].append((one.epoch.number, label))
    found: Mapping[Wanted, bytes] = {
        key: body
        for month, wanted in by_month.items()
        for key, body in bodies(month, wanted).items()
    }
    for (one, keys, chunk), label in zip(asked, labels, strict=True):
        body = found.get((one.epoch.number, label))
        try:
            _prove(one.epoch, label, body)
            yield one, keys, None if body is None else keys.open(chunk, body)
        except (ManifestError, RowError):
            opened.failed.add(one.epoch.statement.epoch.eid)


def _prove(epoch: HeldEpoch, label: bytes, body: bytes | None) -> None:
    if not epoch.statement.rows and body is None:
        return
    check(epoch.manifest.prove(label), epoch.statement.manifest_root, label, body)
