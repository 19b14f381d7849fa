"""Opening: two shares make a selector's keys, rows are fetched by label and proven, then opened.

Every row found must be the one that the epoch's manifest names, and every row not found must be
absent from it: a list that somebody shortened names its epoch instead of passing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from icrstore.seal.epoch import Kind
from icrstore.seal.manifest import (
    BUCKET,
    ENTRY_BYTES,
    BucketError,
    BucketProof,
    ManifestError,
    check,
)
from icrstore.seal.rows import RECORDS_PER_CHUNK, RowError, Segment, SelectorKeys
from icrstore.vault.reader import Found, HeldEpoch, Wanted

Rows = Callable[[int, Sequence[Wanted]], Iterable[Found]]

# Opened and looked at together, or one hour if it has more: some 50 MB of columns.
PART_RECORDS = 1 << 19


@dataclass(frozen=True)
class Lent:
    """What both keepers lent for one selector in one epoch."""

    epoch: HeldEpoch
    kind: Kind
    selector: bytes
    operator: bytes
    oversight: bytes

    def keys(self) -> SelectorKeys:
        return SelectorKeys(self.operator, self.oversight, self.epoch.eid, self.kind, self.selector)


@dataclass(frozen=True)
class Opened:
    """A segment, the name under which it was sealed, and its epoch's hour."""

    name: bytes
    hour: datetime
    segment: Segment


class Failures(dict[bytes, str]):
    """What is wrong with an epoch, by eid: of several things the first."""

    def add(self, epoch: HeldEpoch, what: str) -> None:
        self.setdefault(epoch.eid, what)


@dataclass
class _Chunks:
    """What was found under a selector's labels, by chunk number: None if it is proven absent,
    nothing if it failed."""

    lent: Lent
    keys: SelectorKeys
    found: dict[int, Segment | None]

    @property
    def last(self) -> int:
        """The last chunk's number as the first tells; -1 if there is no first."""
        first = self.found.get(0)
        return -1 if first is None else first.last_chunk

    @property
    def records(self) -> int:
        """At most."""
        first = self.found.get(0)
        return 0 if first is None else first.records + first.last_chunk * RECORDS_PER_CHUNK


def open_rows(lent: Iterable[Lent], rows: Rows, failed: Failures) -> Iterator[list[Opened]]:
    """Every row of what was lent of one month, in parts that are few enough records to look at
    together; the rows of one hour, if it is lent in one piece, lie in one part.

    Of each selector two rows are asked for: the first chunk, and what follows if that is the last,
    which then must be absent. Where there are more chunks, all of a part are asked for at once.
    """
    asked = [_Chunks(one, one.keys(), {}) for one in lent]
    _look([(each, number) for each in asked for number in (0, 1)], rows, failed)
    for part in _parts(asked):
        further = [(each, number) for each in part for number in _further(each, failed)]
        _look(further, rows, failed)
        yield [one for each in part for one in _taken(each, failed)]


def _parts(asked: Iterable[_Chunks]) -> Iterator[list[_Chunks]]:
    part: list[_Chunks] = []
    size = 0
    for _, group in groupby(asked, key=lambda each: each.lent.epoch.hour):
        of_hour = list(group)
        more = sum(each.records for each in of_hour)
        if part and size + more > PART_RECORDS:
            yield part
            part, size = [], 0
        part += of_hour
        size += more
    if part:
        yield part


def _further(chunks: _Chunks, failed: Failures) -> range:
    """The numbers of the chunks after the second, and the one after the last."""
    # Each chunk is a row of the manifest: no more are asked for than there can be.
    if chunks.last >= chunks.lent.epoch.rows:
        failed.add(chunks.lent.epoch, "a row names more than there are")
        return range(0)
    return range(2, chunks.last + 2) if chunks.last else range(0)


def _taken(chunks: _Chunks, failed: Failures) -> Iterator[Opened]:
    """Every chunk that is as the first one says; what is not fails the epoch."""
    epoch, last = chunks.lent.epoch, chunks.last
    for number, segment in chunks.found.items():
        if number > last:
            if segment is not None:
                failed.add(epoch, "a row has none before it")
        elif segment is None:
            # The first chunk names it, so it must be there.
            failed.add(epoch, "a row is missing from its manifest")
        elif segment.last_chunk != last:
            failed.add(epoch, "two rows of one name differ in how many there are")
        else:
            yield Opened(chunks.lent.selector, epoch.hour, segment)


def _look(asked: Sequence[tuple[_Chunks, int]], rows: Rows, failed: Failures) -> None:
    """Fetch, prove and open these chunks, all of one month."""
    if not asked:
        return
    wanted = [Wanted(each.lent.epoch, each.keys.label_and_key(number)[0]) for each, number in asked]
    month = wanted[0].epoch.month
    for (each, number), one, (body, proof) in zip(asked, wanted, rows(month, wanted), strict=True):
        try:
            _prove(one, body, proof)
            if body is None:
                each.found[number] = None
            elif 0 <= each.last < number:
                failed.add(one.epoch, "a row follows the last")
            else:
                each.found[number] = each.keys.open(number, body)
        except BucketError:
            failed.add(one.epoch, "its manifest is not the one of its statement")
        except ManifestError:
            missing = body is None
            failed.add(one.epoch, "a row is missing" if missing else "a row is not the one sealed")
        except RowError:
            failed.add(one.epoch, "a row does not open")


def _prove(wanted: Wanted, body: bytes | None, proof: BucketProof | None) -> None:
    rows = wanted.epoch.rows
    if not rows:
        if body is not None:
            raise ManifestError("an epoch without rows has one")
        return
    if proof is None:
        raise BucketError("the bucket is missing")
    if len(proof.bucket) != ENTRY_BYTES * min(BUCKET, rows - BUCKET * proof.index):
        raise BucketError("the bucket has more or less rows than the statement says")
    check(proof, wanted.epoch.manifest_root, wanted.label, body)
