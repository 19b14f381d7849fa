"""Opening: two shares make a selector's keys, rows are fetched by label and proven, then opened.

Every row found must be the one that the epoch's manifest names, and every row not found must be
absent from it: a list that somebody shortened names its epoch instead of passing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from icrstore.seal import account_map, address_map
from icrstore.seal.epoch import Kind
from icrstore.seal.manifest import BucketError, BucketProof, ManifestError, check, leaf_bytes
from icrstore.seal.rows import RECORDS_PER_CHUNK, RowError, Segment, SelectorKeys
from icrstore.vault.reader import Found, HeldEpoch, Wanted

_CHECKS: Mapping[Kind, Callable[[Segment], object]] = {
    "account": account_map.check, "address": address_map.read,
}  # fmt: skip
Rows = Callable[[int, Sequence[Wanted]], Iterable[Found]]

# Opened and looked at together, or one hour if it has more: columns that stay in a core's caches.
PART_RECORDS = 1 << 17


class Lent(NamedTuple):
    """What both keepers lent for one selector in one epoch."""

    epoch: HeldEpoch
    kind: Kind
    selector: bytes
    operator: bytes
    oversight: bytes

    def keys(self) -> SelectorKeys:
        return SelectorKeys(self.operator, self.oversight, self.epoch.eid, self.kind, self.selector)


class Opened(NamedTuple):
    """A segment, and what was lent to open it."""

    lent: Lent
    segment: Segment

    @property
    def name(self) -> bytes:
        """Under which it was sealed."""
        return self.lent.selector

    @property
    def hour(self) -> datetime:
        return self.lent.epoch.hour


class Failures(dict[bytes, str]):
    """What is wrong with an epoch, by eid: of several things the first."""

    def add(self, epoch: HeldEpoch, what: str) -> None:
        self.setdefault(epoch.eid, what)


class _Chunks:
    """What was found under a selector's labels, by chunk number: None if it is proven absent,
    nothing if it failed.

    ``last``: the last chunk's number as the first tells, -1 if there is no first; ``records``: how
    many there are at most.
    """

    def __init__(self, lent: Lent) -> None:
        self.lent, self.keys = lent, lent.keys()
        self.found: dict[int, Segment | None] = {}
        self.last, self.records = -1, 0

    def take(self, number: int, body: bytes | None) -> None:
        """What was found, and proven, under one label. Raises `RowError`."""
        made = None if body is None else self.keys.open(number, body)
        self.found[number] = made
        if made is not None and not number:
            self.last = made.last_chunk
            self.records = made.records + made.last_chunk * RECORDS_PER_CHUNK


class _Asked(NamedTuple):
    """A chunk that is looked for; and, where it may be the last, the proof that none follows."""

    chunks: _Chunks
    number: int
    may_be_last: bool


def open_rows(lent: Iterable[Lent], rows: Rows, failed: Failures) -> Iterator[list[Opened]]:
    """Every row of what was lent of one month, in parts that are few enough records to look at
    together; the rows of one hour, if it is lent in one piece, lie in one part.

    Of each selector the first chunk is asked for, and the proof that there is no second. Where
    there are more chunks, all of a part are asked for at once, and that none follows.
    """
    asked = [_Chunks(one) for one in lent]
    _look([_Asked(each, 0, may_be_last=True) for each in asked], rows, failed)
    for part in _parts(asked):
        _look([one for each in part for one in _further(each, failed)], rows, failed)
        yield [one for each in part for one in _taken(each, failed)]
        # Kept until the month's end, a busy account's chunks would be gigabytes.
        for each in part:
            each.found.clear()


def understood(part: Iterable[Opened], failed: Failures) -> Iterator[Opened]:
    """Those that hold what a sealer writes, each looked at whole; what does not fails its epoch."""
    for one in part:
        try:
            _CHECKS[one.lent.kind](one.segment)
        except RowError:
            failed.add(one.lent.epoch, "a row does not open")
        else:
            yield one


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


def _further(chunks: _Chunks, failed: Failures) -> Iterator[_Asked]:
    last = chunks.last
    # Each chunk is a row of the manifest: no more are asked for than there can be.
    if last >= chunks.lent.epoch.rows:
        failed.add(chunks.lent.epoch, "a row names more than there are")
    elif last > 0:
        for number in range(1, last + 1):
            yield _Asked(chunks, number, may_be_last=number == last)


def _taken(chunks: _Chunks, failed: Failures) -> Iterator[Opened]:
    """Every chunk that is as the first one says; what is not fails the epoch."""
    epoch, last = chunks.lent.epoch, chunks.last
    for number, segment in chunks.found.items():
        if segment is not None and segment.last_chunk == last:
            yield Opened(chunks.lent, segment)
        elif segment is not None:
            failed.add(epoch, "two rows of one name differ in how many there are")
        elif number:
            # The first chunk names it, so it must be there.
            failed.add(epoch, "a row is missing from its manifest")


def _look(asked: Sequence[_Asked], rows: Rows, failed: Failures) -> None:
    """Fetch, prove and open these chunks, all of one month; of a selector in their order."""
    if not asked:
        return
    wanted = [
        Wanted(chunks.lent.epoch, *chunks.keys.labels(number))
        if may_be_last
        else Wanted(chunks.lent.epoch, chunks.keys.label_and_key(number)[0], None)
        for chunks, number, may_be_last in asked
    ]
    # Under no name: what raises here would keep it, and with it the connection, in its traceback.
    for (chunks, number, _), one, (body, proof, proof_after) in zip(
        asked, wanted, rows(wanted[0].epoch.month, wanted), strict=True
    ):
        epoch, label, after = one
        why = "a row is missing" if body is None else "a row is not the one sealed"
        try:
            _prove(epoch, label, body, proof)
            chunks.take(number, body)
            # Whether it is the last, the first has just said.
            if after is not None and number == max(chunks.last, 0):
                why = "a row follows the last"
                _prove(epoch, after, None, proof_after)
        except BucketError:
            failed.add(epoch, "its manifest is not the one of its statement")
        except ManifestError:
            failed.add(epoch, why)
        except RowError:
            failed.add(epoch, "a row does not open")


def _prove(epoch: HeldEpoch, label: bytes, body: bytes | None, proof: BucketProof | None) -> None:
    if not epoch.rows:
        if body is not None:
            raise ManifestError("an epoch without rows has one")
        return
    if proof is None:
        raise BucketError("the bucket is missing")
    if len(proof.leaf) != leaf_bytes(epoch.rows, proof.index):
        raise BucketError("the bucket has more or less rows than the statement says")
    check(proof, epoch.manifest_root, label, body)
