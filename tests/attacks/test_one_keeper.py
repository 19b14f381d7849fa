"""One keeper's complete store and the whole database open nothing; with both stores all opens.

The second half shows that the first is no weak thief's word: the same code, given the other store,
reads every row.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import pytest

from icrstore.flow.schema import address_bytes, address_text
from icrstore.seal import account_map, address_map
from icrstore.seal.epoch import ROLES, Role
from icrstore.seal.group import HAS_PUBLIC_ADDRESS, HAS_PUBLIC_PORT
from icrstore.seal.rows import Segment
from tests.attacks.conftest import Atoms, Pushed
from tests.attacks.known import Known, Record
from tests.attacks.thief import Selector, StolenRow, rows_of
from tests.site import Site

CHUNKS = range(3)  # no selector here has more


@pytest.fixture(scope="module")
def rows(site: Site, pushed: Pushed) -> list[StolenRow]:
    return rows_of(site, pushed.eids)


def selectors(known: Known) -> list[Selector]:
    addresses = {address_bytes(each) for each in known.public_addresses}
    return [
        *map(Selector.account, known.accounts),
        *dict.fromkeys(map(Selector.address, sorted(addresses))),
    ]


def guesses(
    own: Mapping[bytes, bytes], eid: bytes, others: Sequence[bytes], selector: Selector
) -> Iterator[bytes]:
    """What the other keeper's share might be, to one who has this keeper's atoms alone."""
    share = selector.share(own[eid])
    yield from (share, bytes(32), b"\xff" * 32, b"", own[eid], bytes(64))
    yield from (selector.share(own[other]) for other in others if other != eid)
    yield from (selector.share(share), selector.share(bytes(32)), selector.share(eid))


@pytest.mark.parametrize("role", ROLES)
def test_one_keepers_store_and_the_database_open_nothing(
    pushed: Pushed, atoms: Atoms, rows: list[StolenRow], role: Role
) -> None:
    own, labels = atoms[role], {row.label for row in rows}
    wanted, tried = selectors(pushed.known), 0
    for eid in pushed.eids:
        for selector in wanted:
            share = selector.share(own[eid])
            for guess in guesses(own, eid, pushed.eids, selector):
                for pair in ((share, guess), (guess, share)):
                    keys = selector.keys(eid, *pair)
                    tried += 1
                    assert not any(keys.label_and_key(chunk)[0] in labels for chunk in CHUNKS)
    assert tried > 1000


@pytest.mark.parametrize("role", ROLES)
def test_no_key_that_one_keeper_can_guess_opens_a_row_under_whatever_label(
    pushed: Pushed, atoms: Atoms, rows: list[StolenRow], role: Role
) -> None:
    own, selector = atoms[role], Selector.account(pushed.known.heavy)
    for eid in pushed.eids:
        share = selector.share(own[eid])
        for guess in (share, bytes(32), b""):
            for pair in ((share, guess), (guess, share)):
                keys = selector.keys(eid, *pair)
                mine = [row for row in rows if row.eid == eid]
                assert all(keys.open(row, 0) is None for row in mine)


@pytest.fixture(scope="module")
def opened(
    pushed: Pushed, atoms: Atoms, rows: list[StolenRow]
) -> dict[tuple[bytes, Selector], list[Segment]]:
    """Every row that both stores open, by epoch and selector."""
    bodies = {(row.eid, row.label): row for row in rows}
    made: dict[tuple[bytes, Selector], list[Segment]] = {}
    wanted = selectors(pushed.known)
    for eid in pushed.eids:
        for selector in wanted:
            keys = selector.keys(eid, *(selector.share(atoms[role][eid]) for role in ROLES))
            for chunk in CHUNKS:
                row = bodies.pop((eid, keys.label_and_key(chunk)[0]), None)
                if row is not None:
                    content = keys.open(row, chunk)
                    assert content is not None
                    number, last, records = struct.unpack(">III", content[:12])
                    segment = Segment(number, last, records, content[12:])
                    made.setdefault((eid, selector), []).append(segment)
    assert bodies == {}, "rows that nothing opened"
    return made


def test_both_stores_open_every_row_and_give_every_record(
    site: Site, pushed: Pushed, opened: dict[tuple[bytes, Selector], list[Segment]]
) -> None:
    hours = dict(site.sql("SELECT eid, hour FROM vault_epoch WHERE eid = ANY(%s)",
                          list(pushed.eids)))  # fmt: skip
    read = [
        record
        for (eid, selector), segments in opened.items()
        if selector.kind == b"account"
        for segment in segments
        for record in records_of(selector.name.decode(), hours[eid], segment)
    ]
    assert sorted(map(repr, read)) == sorted(map(repr, pushed.known.records))


def test_both_stores_open_who_held_every_address(
    pushed: Pushed, opened: dict[tuple[bytes, Selector], list[Segment]]
) -> None:
    held: Counter[tuple[Selector, str]] = Counter()
    for (_, selector), segments in opened.items():
        for segment in segments if selector.kind == b"address" else ():
            bindings = address_map.read(segment)
            for account, count in zip(bindings.account, bindings.count.tolist(), strict=True):
                held[selector, account] += count
    assert held == Counter(
        (Selector.address(address_bytes(record.public_address)), record.account)
        for record in pushed.known.records
        if record.public_address is not None
    )


def records_of(account: str, hour: datetime, segment: Segment) -> Iterator[Record]:
    rows, start = account_map.read(segment), int(hour.timestamp()) * 10**6
    for n in range(segment.records):
        has = int(rows.flags[n])
        yield Record(
            observed_at=start + int(rows.nanoseconds[n]) // 1000,
            protocol=int(rows.protocol[n]),
            source_address=address_text(rows.addresses[rows.source[n]].tobytes()),
            source_port=int(rows.source_port[n]),
            destination_address=address_text(rows.addresses[rows.destination[n]].tobytes()),
            destination_port=int(rows.destination_port[n]),
            post_nat_source_address=(
                address_text(rows.addresses[rows.public[n]].tobytes())
                if has & HAS_PUBLIC_ADDRESS
                else None
            ),
            post_nat_source_port=int(rows.public_port[n]) if has & HAS_PUBLIC_PORT else None,
            account=account,
        )
