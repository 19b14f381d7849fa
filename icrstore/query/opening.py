"""Opening: two shares make a selector's keys, rows are fetched by label and proven, then opened.

Every row found must be the one that the epoch's manifest names, and every row not found must be
absent from it: a list that somebody shortened names its epoch instead of passing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from icrstore.seal.epoch import Kind
from icrstore.seal.manifest import ManifestError, check
from icrstore.seal.pools import Pools
from icrstore.seal.rows import RowError, Segment, SelectorKeys
from icrstore.vault.reader import HeldEpoch, Wanted
from icrstore.warrant.statements import AddressSelector

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
    """Segments by sealed name, each with its hour; the epochs that fail, and by what first; and
    the pools of each hour of which something was opened."""

    segments: dict[bytes, dict[datetime, list[Segment]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    failed: dict[bytes, str] = field(default_factory=dict)
    pools: dict[datetime, Pools] = field(default_factory=dict)

    def of(self, name: bytes) -> list[tuple[datetime, Segment]]:
        """The segments under one name; none if nothing was found."""
        by_hour = self.segments.get(name, {})
        return [(hour, segment) for hour, several in by_hour.items() for segment in several]

    def all(self) -> Iterator[Segment]:
        """Every segment, each once, whichever selectors asked for it."""
        for by_hour in self.segments.values():
            for several in by_hour.values():
                yield from several

    def of_address(self, selector: AddressSelector) -> list[tuple[datetime, Segment]]:
        """The segments of an address, by its names in each hour."""
        return [
            (hour, segment)
            for hour, pools in self.pools.items()
            for name in dict.fromkeys(selector.sealed_names(pools))
            for segment in self.segments.get(name, {}).get(hour, ())
        ]

    def take(self, lent: Lent, segment: Segment) -> None:
        self.segments[lent.selector][lent.epoch.statement.epoch.hour].append(segment)

    def fail(self, epoch: HeldEpoch, what: str) -> None:
        self.failed.setdefault(epoch.statement.epoch.eid, what)


def open_rows(lent: Iterable[Lent], bodies: Bodies, opened: Opened) -> None:
    """Open every row of what was lent, in two rounds: first chunks, then the chunks they name."""
    first = [(one, one.keys(), 0) for one in lent]
    lasts: dict[tuple[int, bytes], int] = {}
    further = []
    for one, keys, segment in _round(first, bodies, opened):
        if segment is None:
            continue
        opened.take(one, segment)
        # Each chunk is a row of the manifest: no more are asked for than there can be.
        if segment.last_chunk >= one.epoch.statement.rows:
            opened.fail(one.epoch, "a row names more than there are")
            continue
        if _is_present(one.epoch, keys.label_and_key(segment.last_chunk + 1)[0]):
            opened.fail(one.epoch, "a row follows the last")
        lasts[one.epoch.number, one.selector] = segment.last_chunk
        further += [(one, keys, chunk) for chunk in range(1, segment.last_chunk + 1)]
    for one, _, segment in _round(further, bodies, opened):
        # The first chunk names it, so it must be there, and say the same.
        if segment is None:
            opened.fail(one.epoch, "a row is missing from its manifest")
        elif segment.last_chunk != lasts[one.epoch.number, one.selector]:
            opened.fail(one.epoch, "two rows of one name differ in how many there are")
        else:
            opened.take(one, segment)


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
        except ManifestError:
            missing = body is None
            opened.fail(one.epoch, "a row is missing" if missing else "a row is not the one sealed")
        except RowError:
            opened.fail(one.epoch, "a row does not open")


def _is_present(epoch: HeldEpoch, label: bytes) -> bool:
    try:
        _prove(epoch, label, None)
    except ManifestError:
        return True
    return False


def _prove(epoch: HeldEpoch, label: bytes, body: bytes | None) -> None:
    if not epoch.statement.rows and body is None:
        return
    check(epoch.manifest.prove(label), epoch.statement.manifest_root, label, body)
