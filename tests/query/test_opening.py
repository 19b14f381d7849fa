"""Rows found, proven and opened, from a store in memory that can be robbed and lied with."""

import dataclasses
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from icrstore.query.opening import Lent, Opened, open_rows
from icrstore.seal.epoch import ROLES, Epoch, Role, commitment, new_atoms, share
from icrstore.seal.manifest import Manifest
from icrstore.seal.pools import DEFAULT
from icrstore.seal.rows import Row, Segment, SelectorKeys
from icrstore.vault.reader import HeldEpoch, Wanted
from icrstore.warrant.machines import EpochStatement

HOUR = datetime(2026, 11, 22, 9, tzinfo=UTC)
ZOE, YAN = b"17-zoe", b"18-yan"


@dataclass
class Made:
    """An epoch with its rows, and the shares that open them."""

    held: HeldEpoch
    atoms: Mapping[Role, bytes]
    rows: dict[bytes, bytes]

    @property
    def eid(self) -> bytes:
        return self.held.statement.epoch.eid

    def lent(self, selector: bytes = ZOE) -> Lent:
        operator, oversight = (share(self.atoms[role], "account", selector) for role in ROLES)
        return Lent(self.held, "account", selector, operator, oversight)

    def label(self, selector: bytes = ZOE, chunk: int = 0) -> bytes:
        return self.lent(selector).keys().label_and_key(chunk)[0]

    def changed(self, **changes: Any) -> "Made":
        return dataclasses.replace(self, held=dataclasses.replace(self.held, **changes))


def make(chunks: Mapping[bytes, Sequence[Segment]], number: int = 1, others: int = 0) -> Made:
    """An epoch with these segments by selector, and rows of ``others`` beside them."""
    epoch, atoms = Epoch.new("demo", HOUR, 0), new_atoms()
    rows = []
    for selector, segments in chunks.items():
        shares = [share(atoms[role], "account", selector) for role in ROLES]
        keys = SelectorKeys(shares[0], shares[1], epoch.eid, "account", selector)
        rows += [keys.seal(segment) for segment in segments]
    rows += [Row(secrets.token_bytes(16), secrets.token_bytes(80)) for _ in range(others)]
    manifest = Manifest.of(rows)
    statement = EpochStatement(
        epoch=epoch,
        commitments={role: commitment(epoch, role, atoms[role]) for role in ROLES},
        seal_sha256={(role, 1): bytes(32) for role in ROLES},
        rows=len(rows),
        manifest_root=manifest.root,
        batches=(),
        pools_sha256=DEFAULT.sha256,
        sealed_at=HOUR,
    )
    held = HeldEpoch(number, 202611, statement, manifest)
    return Made(held, atoms, {row.label: row.body for row in rows})


def chunked(count: int, text: bytes = b"columns") -> list[Segment]:
    return [Segment(n, count - 1, 1, text + bytes([n])) for n in range(count)]


@dataclass
class Store:
    """The bodies of some epochs, and what was asked for."""

    epochs: Sequence[Made]
    asked: list[tuple[int, list[Wanted]]] = field(default_factory=list)

    def bodies(self, month: int, wanted: Iterable[Wanted]) -> dict[Wanted, bytes]:
        listed = list(wanted)
        self.asked.append((month, listed))
        rows = {(e.held.number, label): body for e in self.epochs for label, body in e.rows.items()
                if e.held.month == month}  # fmt: skip
        return {one: rows[one] for one in listed if one in rows}


def opened(*epochs: Made, selectors: Sequence[bytes] = (ZOE,)) -> Opened:
    made = Opened()
    lent = [epoch.lent(selector) for epoch in epochs for selector in selectors]
    open_rows(lent, Store(epochs).bodies, made)
    return made


def columns(made: Opened, selector: bytes = ZOE) -> list[bytes]:
    return [segment.columns for _, segment in made.of(selector)]


def test_every_chunk_is_found_and_opened() -> None:
    epoch = make({ZOE: chunked(5), YAN: chunked(1, b"other")}, others=300)
    made = opened(epoch)
    assert columns(made) == [b"columns" + bytes([n]) for n in range(5)]
    assert {hour for hour, _ in made.of(ZOE)} == {HOUR}
    assert made.failed == {}
    assert made.of(YAN) == []


def test_many_selectors_in_many_epochs_are_two_rounds_a_month() -> None:
    first, second = make({ZOE: chunked(2)}, 1), make({ZOE: chunked(1), YAN: chunked(3)}, 2)
    store = Store([first, second])
    made = Opened()
    open_rows([e.lent(s) for e in (first, second) for s in (ZOE, YAN)], store.bodies, made)
    assert [(month, len(wanted)) for month, wanted in store.asked] == [(202611, 4), (202611, 3)]
    assert (len(made.of(ZOE)), len(made.of(YAN))) == (3, 3)


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
        entry for entry in entries(planted.held.manifest) if entry[:16] != planted.label()
    )))  # fmt: skip
    statement = dataclasses.replace(
        planted.held.statement, rows=manifest.rows, manifest_root=manifest.root
    )
    epoch = planted.changed(manifest=manifest, statement=statement)
    made = opened(epoch)
    assert (made.of(ZOE), set(made.failed)) == ([], {epoch.eid})


def entries(manifest: Manifest) -> list[bytes]:
    return [manifest.entries[at : at + 32] for at in range(0, len(manifest.entries), 32)]


def test_an_epoch_looked_for_in_another_month_or_number_fails() -> None:
    epoch = make({ZOE: chunked(1)})
    for changes in ({"month": 202612}, {"number": 9}):
        moved = epoch.changed(**changes)
        made = Opened()
        open_rows([moved.lent()], Store([epoch]).bodies, made)
        assert (made.of(ZOE), set(made.failed)) == ([], {epoch.eid})


def test_shares_of_another_selector_or_epoch_find_nothing() -> None:
    epoch, other = make({ZOE: chunked(1)}, others=5), make({ZOE: chunked(1)})
    wrong = dataclasses.replace(epoch.lent(), operator=other.lent().operator)
    made = Opened()
    open_rows([wrong], Store([epoch]).bodies, made)
    assert made.of(ZOE) == []


def test_chunks_that_disagree_about_the_last_fail_the_epoch() -> None:
    for chunks in (
        [Segment(0, 1, 1, b"a"), Segment(1, 5, 1, b"b")],
        [Segment(0, 2, 1, b"a"), Segment(1, 1, 1, b"b"), Segment(2, 2, 1, b"c")],
    ):
        epoch = make({ZOE: chunks}, others=10)
        assert set(opened(epoch).failed) == {epoch.eid}


def test_the_chunk_after_the_last_is_proven_absent() -> None:
    epoch = make({ZOE: [Segment(0, 0, 1, b"a"), Segment(1, 0, 1, b"b")]}, others=10)
    made = opened(epoch)
    assert made.failed == {epoch.eid: "a row follows the last"}
    assert columns(made) == [b"a"]


def test_a_chunk_that_names_more_than_the_epoch_has_asks_for_none_of_them() -> None:
    """Four billion labels would end the engine."""
    epoch = make({ZOE: [Segment(0, (1 << 32) - 1, 1, b"a")]}, others=10)
    store, made = Store([epoch]), Opened()
    open_rows([epoch.lent()], store.bodies, made)
    assert set(made.failed) == {epoch.eid}
    assert len(store.asked) == 1
