"""Rows found, proven and opened, from a store in memory that can be robbed and lied with."""

import dataclasses
import secrets
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from icrstore.query.opening import Failures, Lent, Opened, open_rows
from icrstore.seal.epoch import HOUR, ROLES, Epoch, Role, new_atoms, share
from icrstore.seal.manifest import BucketProof, Manifest, buckets_of
from icrstore.seal.pools import DEFAULT
from icrstore.seal.rows import Row, Segment, SelectorKeys
from icrstore.vault.reader import Found, HeldEpoch, Wanted
from tests.seal.proving import prove

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)
ZOE, YAN = b"17-zoe", b"18-yan"


@dataclass
class Made:
    """An epoch with its rows and manifest, and the shares that open them."""

    held: HeldEpoch
    manifest: Manifest
    atoms: Mapping[Role, bytes]
    rows: dict[bytes, bytes]

    @property
    def eid(self) -> bytes:
        return self.held.eid

    def lent(self, selector: bytes = ZOE) -> Lent:
        operator, oversight = (share(self.atoms[role], "account", selector) for role in ROLES)
        return Lent(self.held, "account", selector, operator, oversight)

    def found(self, wanted: Wanted) -> Found:
        """As the reader finds it in what is stored."""
        of_label, of_after = (self._proof(wanted, each) for each in (wanted.label, wanted.after))
        return self.rows.get(wanted.label), of_label, of_after

    def _proof(self, wanted: Wanted, label: bytes | None) -> BucketProof | None:
        if label is None or not self.manifest.rows:
            return None
        return prove(self.manifest, label)._replace(buckets=buckets_of(wanted.epoch.rows))

    def label(self, selector: bytes = ZOE, chunk: int = 0) -> bytes:
        return self.lent(selector).keys().label_and_key(chunk)[0]

    def changed(self, **changes: Any) -> "Made":
        return dataclasses.replace(self, held=self.held._replace(**changes))


def make(
    chunks: Mapping[bytes, Sequence[Segment]], number: int = 1, others: int = 0,
    hour: datetime = NINE,
) -> Made:  # fmt: skip
    """An epoch with these segments by selector, and rows of ``others`` beside them."""
    epoch, atoms = Epoch.new("demo", hour, 0), new_atoms()
    rows = []
    for selector, segments in chunks.items():
        shares = [share(atoms[role], "account", selector) for role in ROLES]
        keys = SelectorKeys(shares[0], shares[1], epoch.eid, "account", selector)
        rows += [keys.seal(segment) for segment in segments]
    rows += [Row(secrets.token_bytes(16), secrets.token_bytes(80)) for _ in range(others)]
    manifest = Manifest.of(rows)
    held = HeldEpoch(number, epoch.eid, hour, len(rows), manifest.root, DEFAULT.sha256)
    return Made(held, manifest, atoms, {row.label: row.body for row in rows})


def chunked(count: int, text: bytes = b"columns") -> list[Segment]:
    return [Segment(n, count - 1, 1, text + bytes([n])) for n in range(count)]


@dataclass
class Store:
    """The rows and buckets of some epochs, and how much was asked for at a time."""

    epochs: Sequence[Made]
    asked: list[int] = field(default_factory=list)

    def rows(self, month: int, wanted: Sequence[Wanted]) -> Iterator[Found]:
        self.asked.append(len(wanted))
        held = {made.held.number: made for made in self.epochs if made.held.month == month}
        for one in wanted:
            made = held.get(one.epoch.number)
            yield made.found(one) if made else (None, None, None)

    def open(self, *lent: Lent) -> "Result":
        failed = Failures()
        parts = list(open_rows(lent, self.rows, failed))
        return Result(parts, failed)


@dataclass(frozen=True)
class Result:
    parts: Sequence[Sequence[Opened]]
    failed: Failures

    def of(self, selector: bytes = ZOE) -> list[Opened]:
        return [one for part in self.parts for one in part if one.name == selector]


def opened(*epochs: Made, selectors: Sequence[bytes] = (ZOE,)) -> Result:
    lent = [epoch.lent(selector) for epoch in epochs for selector in selectors]
    return Store(epochs).open(*lent)


def columns(made: Result, selector: bytes = ZOE) -> list[bytes]:
    return [one.segment.columns for one in made.of(selector)]


def test_every_chunk_is_found_and_opened() -> None:
    epoch = make({ZOE: chunked(5), YAN: chunked(1, b"other")}, others=300)
    made = opened(epoch)
    assert columns(made) == [b"columns" + bytes([n]) for n in range(5)]
    assert {one.hour for one in made.of(ZOE)} == {NINE}
    assert made.failed == {}
    assert made.of(YAN) == []


def test_many_selectors_in_many_epochs_are_looked_for_twice() -> None:
    first, second = make({ZOE: chunked(2)}, 1), make({ZOE: chunked(1), YAN: chunked(3)}, 2)
    store = Store([first, second])
    made = store.open(*(each.lent(name) for each in (first, second) for name in (ZOE, YAN)))
    # Of each the first chunk, with what follows; then of two the others, with what follows those.
    assert store.asked == [4, 1 + 2]
    assert (len(made.of(ZOE)), len(made.of(YAN))) == (3, 3)


def test_what_has_one_chunk_is_looked_for_once_in_any_number_of_hours() -> None:
    epochs = [make({ZOE: chunked(1)}, n, hour=NINE + n * HOUR) for n in range(40)]
    store = Store(epochs)
    made = store.open(*(epoch.lent() for epoch in epochs))
    assert (store.asked, len(made.of(ZOE)), made.failed) == ([40], 40, {})


def test_a_part_has_whole_hours_and_few_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icrstore.query.opening.PART_RECORDS", 3)
    hours = [0, 0, 0, 0, 1, 2, 2, 3, 4]  # an epoch each, with one record
    epochs = [make({ZOE: chunked(1)}, n, hour=NINE + h * HOUR) for n, h in enumerate(hours)]
    made = opened(*epochs)
    assert [[(one.hour - NINE) // HOUR for one in part] for part in made.parts] == [
        [0, 0, 0, 0], [1, 2, 2], [3, 4],
    ]  # fmt: skip


def test_chunks_of_every_part_are_looked_for_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icrstore.query.opening.PART_RECORDS", 1)
    epochs = [make({ZOE: chunked(3)}, n, hour=NINE + n * HOUR) for n in range(3)]
    store = Store(epochs)
    made = store.open(*(epoch.lent() for epoch in epochs))
    assert store.asked == [3, 2, 2, 2]
    assert [len(part) for part in made.parts] == [3, 3, 3]


def test_what_was_looked_at_is_forgotten_before_the_next_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A month of an account with a hundred chunks an hour would be gigabytes."""
    monkeypatch.setattr("icrstore.query.opening.PART_RECORDS", 1)
    epochs = [make({ZOE: chunked(3)}, n, hour=NINE + n * HOUR) for n in range(3)]
    store, failed = Store(epochs), Failures()
    seen: list[weakref.ref[Segment]] = []
    for part in open_rows([epoch.lent() for epoch in epochs], store.rows, failed):
        assert [one() for one in seen] == [None] * len(seen)
        seen += [weakref.ref(one.segment) for one in part]
        del part
    assert (len(seen), failed) == (9, {})


@pytest.mark.parametrize("others", [0, 1, 63, 64, 65, 500])
def test_a_selector_without_rows_is_proven_absent(others: int) -> None:
    made = opened(make({}, others=others))
    assert (made.of(ZOE), made.failed) == ([], {})


def test_a_row_that_an_empty_epoch_should_not_have_fails_it() -> None:
    with_row, empty = make({ZOE: chunked(1)}), make({})
    empty.rows[empty.label()] = next(iter(with_row.rows.values()))
    made = opened(empty)
    assert (made.of(ZOE), set(made.failed)) == ([], {empty.eid})


def without(epoch: Made, chunk: int) -> None:
    del epoch.rows[epoch.label(chunk=chunk)]


def swapped(epoch: Made, chunk: int) -> None:
    epoch.rows[epoch.label(chunk=chunk)] = epoch.rows[epoch.label(YAN)]


def flipped(epoch: Made, chunk: int) -> None:
    body = bytearray(epoch.rows[epoch.label(chunk=chunk)])
    body[len(body) // 2] ^= 1
    epoch.rows[epoch.label(chunk=chunk)] = bytes(body)


def cut(epoch: Made, chunk: int) -> None:
    epoch.rows[epoch.label(chunk=chunk)] = epoch.rows[epoch.label(chunk=chunk)][:-1]


def emptied(epoch: Made, chunk: int) -> None:
    epoch.rows[epoch.label(chunk=chunk)] = b""


@pytest.mark.parametrize("chunk", [0, 1, 2])
@pytest.mark.parametrize("attack", [without, swapped, flipped, cut, emptied])
def test_a_row_that_is_missing_or_another_names_its_epoch(
    attack: Callable[[Made, int], None], chunk: int
) -> None:
    epoch = make({ZOE: chunked(3), YAN: chunked(1)}, others=100)
    sound = make({ZOE: chunked(1, b"sound")}, number=2)
    attack(epoch, chunk)
    made = opened(epoch, sound)
    assert set(made.failed) == {epoch.eid}
    assert b"sound\x00" in columns(made)
    assert b"columns" + bytes([chunk]) not in columns(made)


def test_rows_that_the_manifest_does_not_name_fail_the_epoch() -> None:
    planted = make({ZOE: chunked(1)}, others=10)
    manifest = Manifest(b"".join(sorted(
        entry for entry in entries(planted.manifest) if entry[:16] != planted.label()
    )))  # fmt: skip
    epoch = planted.changed(rows=manifest.rows, manifest_root=manifest.root)
    made = opened(dataclasses.replace(epoch, manifest=manifest))
    assert (made.of(ZOE), set(made.failed)) == ([], {epoch.eid})


def entries(manifest: Manifest) -> list[bytes]:
    return [manifest.entries[at : at + 32] for at in range(0, len(manifest.entries), 32)]


def test_an_epoch_looked_for_in_another_month_or_number_fails() -> None:
    epoch = make({ZOE: chunked(1)})
    for changes in ({"hour": NINE + 31 * 24 * HOUR}, {"number": 9}):
        made = Store([epoch]).open(epoch.changed(**changes).lent())
        assert made.of(ZOE) == []
        assert made.failed == {epoch.eid: "its manifest is not the one of its statement"}


def test_the_buckets_of_another_epoch_prove_nothing() -> None:
    epoch, other = make({ZOE: chunked(1)}, others=100), make({ZOE: chunked(1)}, others=100)
    for stranger in (other, make({}, others=100), make({})):
        made = opened(dataclasses.replace(epoch, manifest=stranger.manifest))
        assert made.of(ZOE) == []
        assert made.failed == {epoch.eid: "its manifest is not the one of its statement"}


@pytest.mark.parametrize("rows", [0, 1, 10, 12, 64, 65, 200])
def test_a_bucket_has_as_many_rows_as_the_statement_says(rows: int) -> None:
    epoch = make({ZOE: chunked(1)}, others=10)
    assert opened(epoch).failed == {}
    assert set(opened(epoch.changed(rows=rows)).failed) == {epoch.eid}


def test_shares_of_another_selector_or_epoch_find_nothing() -> None:
    epoch, other = make({ZOE: chunked(1)}, others=5), make({ZOE: chunked(1)})
    wrong = epoch.lent()._replace(operator=other.lent().operator)
    assert Store([epoch]).open(wrong).of(ZOE) == []


def test_chunks_that_disagree_about_the_last_fail_the_epoch() -> None:
    for chunks in (
        [Segment(0, 1, 1, b"a"), Segment(1, 5, 1, b"b")],
        [Segment(0, 2, 1, b"a"), Segment(1, 1, 1, b"b"), Segment(2, 2, 1, b"c")],
    ):
        epoch = make({ZOE: chunks}, others=10)
        assert set(opened(epoch).failed) == {epoch.eid}


@pytest.mark.parametrize("chunks", [1, 2, 4])
def test_the_chunk_after_the_last_is_proven_absent(chunks: int) -> None:
    made = [Segment(n, max(n, chunks - 1), 1, b"a") for n in range(chunks + 1)]
    epoch = make({ZOE: made}, others=10)
    assert opened(epoch).failed == {epoch.eid: "a row follows the last"}
    assert len(columns(opened(epoch))) == chunks


def test_a_chunk_that_names_more_than_the_epoch_has_asks_for_none_of_them() -> None:
    """Four billion labels would end the engine."""
    epoch = make({ZOE: [Segment(0, (1 << 32) - 1, 1, b"a")]}, others=10)
    store = Store([epoch])
    made = store.open(epoch.lent())
    assert set(made.failed) == {epoch.eid}
    assert len(store.asked) == 1
