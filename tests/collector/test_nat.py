"""Bindings: what a slow reading of the events says, whatever the pieces in which they come."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.collector import nat
from icrstore.collector import pieces as pieces_module
from icrstore.collector.nat import Bindings, connections_of
from icrstore.flow.readers import Tally
from icrstore.flow.schema import binding_schema, record_schema
from icrstore.flow.validate import validate
from tests.collector.events import (
    CREATE,
    DELETE,
    START,
    Piece,
    event,
    events,
    moment,
    pieces,
    ports,
    to,
)

HOUR = 3600


def paired(*rows: Any, unit: Any = "ms") -> tuple[list[Piece], Tally, Bindings]:
    """What ended, how it was counted, and what is open."""
    tally, made = Tally(), Bindings()
    return pieces(made.take(events(*rows, unit=unit), tally)), tally, made


def lived(*rows: Any) -> list[Piece]:
    """What ended, and then what was open at the end of the input."""
    ended, _, made = paired(*rows)
    return ended + pieces(made.end())


# Against a slow reading.

some_events = st.lists(
    st.tuples(
        st.integers(0, 3 * HOUR), st.sampled_from([CREATE, DELETE]), st.integers(1, 3),
        st.sampled_from([5, 6]), st.sampled_from([None, "192.0.2.1", "192.0.2.2"]),
    ), max_size=24,
)  # fmt: skip


def slowly(rows: Sequence[tuple[Any, ...]], end: int) -> Counter[tuple[Any, ...]]:
    """(inside, port, from, until) of each binding, before it is cut at the hours."""
    opened: dict[Any, tuple[int, int]] = {}
    made: Counter[tuple[Any, ...]] = Counter()
    for at, kind, inside, port, target in sorted(rows, key=lambda row: row[0]):
        held = opened.get((port, target))
        if kind == CREATE and (held is None or held[0] != inside):
            if held:
                made[held[0], port, held[1], at] += 1
            opened[port, target] = inside, at
        elif kind == DELETE and held and held[0] == inside:
            made[inside, port, held[1], at] += 1
            del opened[port, target]
        elif kind == DELETE:
            made[inside, port, at, at] += 1
    for (port, _), (inside, at) in opened.items():
        made[inside, port, at, end] += 1
    return made


def cut_at_hours(made: Counter[tuple[Any, ...]], end: int) -> Counter[Piece]:
    cut: Counter[Piece] = Counter()
    for (inside, port, first, last), count in made.items():
        for start in range(first // HOUR * HOUR, last + 1, HOUR):
            if start == last == end and first < end:
                continue  # open as the input ends: its next piece would begin there
            piece = Piece(f"a{inside}", max(start, first), min(start + HOUR, last), (port, port))
            cut[piece] += count
    return cut


@settings(max_examples=150, deadline=None)
@given(some_events, st.lists(st.integers(1, 7), max_size=6))
def test_it_pairs_as_a_slow_reading_does(rows: list[Any], sizes: list[int]) -> None:
    # In the order of time, so that the pieces in which they come make no difference.
    rows.sort(key=lambda row: row[0])
    made, found, at = Bindings(), [], 0
    for size in [*sizes, len(rows) + 1]:
        some = rows[at : at + size]
        at += size
        batch = events(*(
            event(when, kind, inside, port, **(to(target) if target else {}))
            for when, kind, inside, port, target in some
        ))  # fmt: skip
        found += pieces(made.take(batch, Tally()))
        restored = Bindings()
        restored.restore(made.state())
        assert restored.state() == made.state()
        made._open = restored._open
    found += pieces(made.end())
    end = (max((row[0] for row in rows), default=0) // HOUR + 1) * HOUR
    assert Counter(found) == cut_at_hours(slowly(rows, end), end)


@settings(max_examples=60, deadline=None)
@given(some_events)
def test_within_a_batch_the_order_is_times(rows: list[Any]) -> None:
    def made_of(rows: list[Any]) -> Counter[Piece]:
        return Counter(lived(*(event(at, kind, n, port) for at, kind, n, port, _ in rows)))

    # Of two events at one moment, the one that came first is first.
    one_a_moment = list({row[0]: row for row in rows}.values())
    assert made_of(one_a_moment) == made_of(sorted(one_a_moment, key=lambda row: row[0]))


# Rule by rule.


def test_a_create_and_its_delete_are_one_binding() -> None:
    rows = (event(10.25, CREATE, 1, 640), event(70.5, DELETE, 1, 640))
    assert lived(*rows) == [Piece("a1", 10.25, 70.5, (640, 640))]


def test_a_delete_without_its_create_is_a_binding_of_that_moment() -> None:
    assert lived(event(10, DELETE, 1, 640)) == [Piece("a1", 10, 10, (640, 640))]


def test_a_delete_by_another_ends_nothing() -> None:
    rows = (event(10, CREATE, 1, 640), event(20, DELETE, 2, 640))
    assert lived(*rows) == [
        Piece("a2", 20, 20, (640, 640)), Piece("a1", 10, HOUR, (640, 640))
    ]  # fmt: skip


def test_a_create_by_another_ends_the_binding_before_and_is_counted() -> None:
    ended, tally, _ = paired(event(10, CREATE, 1, 640), event(20, CREATE, 2, 640))
    assert ended == [Piece("a1", 10, 20, (640, 640))]
    assert tally.not_records == {"binding-replaced": 1}


def test_a_create_in_another_accounts_name_ends_the_binding_before() -> None:
    """The NAT names accounts, a delete got lost, and the inside address is somebody else's."""
    rows = (
        event(10, CREATE, 1, 640, account="one"), event(20, CREATE, 1, 640, account="two"),
        event(30, CREATE, 1, 640, account=None), event(40, DELETE, 1, 640, account=None),
    )  # fmt: skip
    assert lived(*rows) == [
        Piece("one", 10, 20, (640, 640)), Piece("two", 20, 40, (640, 640))
    ]  # fmt: skip


def test_told_by_two_collectors_it_is_one_binding() -> None:
    rows = [event(10, CREATE, 1, 640), event(10, CREATE, 1, 640), event(20, DELETE, 1, 640)]
    assert lived(*rows) == [Piece("a1", 10, 20, (640, 640))]


def test_the_same_port_in_turn_within_a_second_is_two_accounts() -> None:
    rows = (
        event(1.1, CREATE, 1, 640), event(1.3, DELETE, 1, 640),
        event(1.4, CREATE, 2, 640), event(1.9, DELETE, 2, 640),
    )  # fmt: skip
    assert lived(*rows) == [
        Piece("a1", 1.1, 1.3, (640, 640)), Piece("a2", 1.4, 1.9, (640, 640))
    ]  # fmt: skip


def test_one_port_for_two_destinations_is_two_bindings() -> None:
    rows = (
        event(10, CREATE, 1, 640, **to("192.0.2.1")), event(20, CREATE, 1, 640, **to("192.0.2.2")),
        event(30, DELETE, 1, 640, **to("192.0.2.1")), event(40, DELETE, 1, 640, **to("192.0.2.2")),
    )  # fmt: skip
    assert lived(*rows) == [
        Piece("a1", 10, 30, (640, 640)), Piece("a1", 20, 40, (640, 640))
    ]  # fmt: skip


def test_protocols_addresses_ports_and_blocks_are_keys_of_their_own() -> None:
    other = bytes(15) + b"\x07"
    made = lived(
        event(1, CREATE, 1, 640),
        event(2, CREATE, 2, 640, protocol=6),
        event(3, CREATE, 3, 640, post_nat_source_address=other),
        event(4, CREATE, 4, **ports(640, 641)),
        event(5, CREATE, 5, **ports(0, 65_535)),
        event(6, CREATE, 6, protocol=None),
    )
    assert [each[:4] for each in sorted(made, key=lambda each: each.first)] == [
        ("a1", 1, HOUR, (640, 640)), ("a2", 2, HOUR, (640, 640)), ("a3", 3, HOUR, (640, 640)),
        ("a4", 4, HOUR, (640, 641)), ("a5", 5, 6, None), ("a6", 6, HOUR, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "counted"),
    [
        ({"protocol": 1, **to("192.0.2.1"), "post_nat_source_port": 7}, 0),  # an ICMP identifier
        ({"protocol": 1, "post_nat_source_port": 7}, 1),
        (to("192.0.2.1"), 0),  # one connection is no whole address
        (ports(9, 8), 1),
        ({"port_range_start": 8}, 1),
        ({"port_range_end": 8}, 1),
    ],
)
def test_what_says_no_port_is_no_binding(changed: dict[str, Any], counted: int) -> None:
    ended, tally, made = paired(event(1, CREATE, 1, **changed))
    assert not ended
    assert not pieces(made.end())
    assert tally.not_records["event-without-binding"] == counted


# Hours.


@pytest.mark.parametrize(
    ("first", "last", "cut"),
    [
        (HOUR - 1, HOUR + 1, [(HOUR - 1, HOUR), (HOUR, HOUR + 1)]),
        (HOUR, HOUR + 1, [(HOUR, HOUR + 1)]),
        (HOUR - 1, HOUR - 0.001, [(HOUR - 1, HOUR - 0.001)]),
        (HOUR - 1, HOUR, [(HOUR - 1, HOUR), (HOUR, HOUR)]),
        (HOUR, HOUR, [(HOUR, HOUR)]),
        (0, 2 * HOUR, [(0, HOUR), (HOUR, 2 * HOUR), (2 * HOUR, 2 * HOUR)]),
    ],
)
def test_it_is_cut_at_the_hours(first: float, last: float, cut: list[Any]) -> None:
    made = lived(event(first, CREATE, 1, 640), event(last, DELETE, 1, 640))
    assert [each[1:3] for each in made] == cut


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_every_piece_may_be_retained(unit: Any) -> None:
    rows = [event(n * 400, [CREATE, DELETE][n % 2], 1, 640 + n % 3) for n in range(40)]
    made = Bindings()
    for batch in [*made.take(events(*rows, unit=unit), Tally()), *made.end()]:
        assert batch.schema.equals(binding_schema("ns"))
        assert not validate(batch, now=START, account_required=True).rejected.keys() - {
            "time-in-future"
        }


def test_a_block_is_there_in_every_hour_until_its_delete() -> None:
    _, tally, made = paired(event(10, CREATE, 1, **ports(1024, 2047)))
    block: dict[str, Any] = {"ports": (1024, 2047), "protocol": None}
    assert pieces(made.turn(moment(HOUR - 1))) == []
    assert pieces(made.turn(moment(HOUR))) == [Piece("a1", 10, HOUR, **block)]
    assert pieces(made.turn(moment(HOUR))) == []
    assert pieces(made.turn(moment(3 * HOUR + 5))) == [
        Piece("a1", HOUR, 2 * HOUR, **block), Piece("a1", 2 * HOUR, 3 * HOUR, **block)
    ]  # fmt: skip
    last = events(event(3 * HOUR + 7, DELETE, 1, **ports(1024, 2047)))
    assert pieces(made.take(last, tally)) == [Piece("a1", 3 * HOUR, 3 * HOUR + 7, **block)]
    assert pieces(made.turn(moment(9 * HOUR))) == []


def test_a_delete_of_before_the_hour_that_comes_after_it_ends_the_binding() -> None:
    _, tally, made = paired(event(10, CREATE, 1, 640))
    list(made.turn(moment(HOUR)))
    late = events(event(HOUR - 1, DELETE, 1, 640))
    assert pieces(made.take(late, tally)) == []
    assert pieces(made.turn(moment(9 * HOUR))) == []


def test_a_delete_of_before_the_create_is_of_an_earlier_binding() -> None:
    _, tally, made = paired(event(10, CREATE, 1, 640))
    assert pieces(made.take(events(event(5, DELETE, 1, 640)), tally)) == [
        Piece("a1", 5, 5, (640, 640))
    ]
    assert pieces(made.end()) == [Piece("a1", 10, HOUR, (640, 640))]


def test_one_connection_is_open_for_a_day_at_most_and_a_block_for_ever() -> None:
    _, tally, made = paired(
        event(10, CREATE, 1, 640, **to("192.0.2.1")), event(10, CREATE, 2, **ports(1024, 2047))
    )
    given = pieces(made.turn(moment(26 * HOUR)))
    assert [max(one.last for one in given if one.account == who) for who in ("a1", "a2")] == [
        24 * HOUR + 10, 26 * HOUR
    ]  # fmt: skip
    assert {one.account for one in pieces(made.turn(moment(27 * HOUR)))} == {"a2"}
    list(made.take(events(event(27 * HOUR, CREATE, 3, 7)), tally))
    assert tally.not_records == {"binding-forgotten": 1}


# What is open survives, and has a bound.


def test_a_restart_in_between_changes_nothing() -> None:
    before = events(event(10, CREATE, 1, 640), event(20, CREATE, 2, **ports(1024, 2047)))
    after = events(event(HOUR + 5, DELETE, 1, 640), event(HOUR + 6, CREATE, 3, 9))
    made = []
    for restarts in (False, True):
        now = Bindings()
        found = pieces(now.take(before, Tally())) + pieces(now.turn(moment(HOUR)))
        if restarts:
            state, now = now.state(), Bindings()
            now.restore(state)
        found += pieces(now.take(after, Tally())) + pieces(now.turn(moment(3 * HOUR)))
        made.append(found)
    assert made[0] == made[1]
    assert len(made[0]) == 7


@pytest.mark.parametrize("state", [b"", b"x" * 99, Bindings().state()[:-20]])
def test_a_state_that_is_none_is_refused(state: bytes) -> None:
    with pytest.raises(ValueError, match="not the state"):
        Bindings().restore(state)


def test_another_table_is_no_state() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, record_schema("s")) as writer:
        writer.write_table(record_schema("s").empty_table())
    with pytest.raises(ValueError, match="not the state"):
        Bindings().restore(sink.getvalue().to_pybytes())


def test_of_too_many_the_oldest_are_ended_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nat, "MOST_OPEN", 5)
    ended, tally, made = paired(*(event(n, CREATE, n, 640 + n) for n in range(1, 9)))
    assert ended == [Piece(f"a{n}", n, 8, (640 + n, 640 + n)) for n in (1, 2, 3)]
    list(made.take(events(event(9, DELETE, 8, 648)), tally))
    assert tally.not_records == {"binding-forgotten": 3}
    assert len(pieces(made.end())) == 4


def test_a_wrong_time_fills_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "MOST_PIECES", 100)
    far = 20 * 365 * 24 * HOUR
    rows = [event(n, CREATE, n, n) for n in range(1, 5)]
    made = Bindings()
    list(made.take(events(*rows), Tally()))
    given = list(made.take(events(*(event(far, DELETE, n, n) for n in range(1, 5))), Tally()))
    assert sum(batch.num_rows for batch in given) == 4 * pieces_module.MOST_HOURS
    assert max(batch.num_rows for batch in given) < pieces_module.MOST_HOURS + 100


# Connections.


def test_a_create_with_a_destination_is_a_connection_and_a_delete_never() -> None:
    rows = events(
        event(1, CREATE, 1, 640, source_port=123, **to("192.0.2.1", 123)),
        event(2, DELETE, 1, 640, source_port=123, **to("192.0.2.1", 123)),
        event(3, CREATE, 2, 641),
        event(4, CREATE, 3, 7, source_port=7, protocol=1, **to("192.0.2.1", 7)),
        event(5, CREATE, 3, 7, source_port=7, protocol=None, **to("192.0.2.1", 7)),
    )
    made = connections_of(rows)
    assert made.schema.equals(record_schema("ms"))
    udp, icmp = made.to_pylist()
    assert [udp[name] for name in made.schema.names if name.endswith("_port")] == [123, 123, 640]
    assert [icmp[name] for name in made.schema.names if name.endswith("_port")] == [None] * 3
    assert (udp["account"], udp["observed_at"].second) == ("a1", 1)
    assert not validate(made, now=START).rejected


def test_the_order_is_that_of_what_ends_them() -> None:
    creates = [event(1, CREATE, n, 640 + n) for n in range(1, 6)]
    order = next(itertools.islice(itertools.permutations(range(1, 6)), 77, None))
    ends = [event(10 + at, DELETE, n, 640 + n) for at, n in enumerate(order)]
    assert [one.account for one in lived(*creates, *ends)] == [f"a{n}" for n in order]
