"""What NATs told of comes back from the address map as it was told, under each name it reaches."""

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrstore.flow.schema import NANOSECONDS, Unit, address_bytes, binding_schema
from icrstore.seal import address_map
from icrstore.seal.bindings import MOST_BLOCKS, BindingGroup, bindings_by_hour, runs_of, told_by
from icrstore.seal.pools import DEFAULT, Pool, Pools
from icrstore.seal.rows import RECORDS_PER_CHUNK, Segment
from icrstore.seal.runs import ANY_PROTOCOL, HAS_PORT, MERGED, OTHERS, TOLD

HOUR = datetime(2026, 11, 20, 7, tzinfo=UTC)
START = int(HOUR.timestamp())
ADDRESS = "81.2.69.160"
BLOCKS = Pools(bytes(32), (Pool("81.2.69.0/24", 32, 6),))

# Account, first and last second of the hour, ports, protocol.
Row = tuple[str, int, int, tuple[int, int] | None, int | None]


def table(rows: Iterable[Row], unit: Unit = "us", address: str = ADDRESS) -> pa.Table:
    scale = 10**9 // NANOSECONDS[unit]
    schema = binding_schema(unit)
    columns = list(zip(*(
        ((START + first) * scale, (START + last) * scale, protocol, address_bytes(address),
         *(ports or (None, None)), account)
        for account, first, last, ports, protocol in rows
    ), strict=True))  # fmt: skip
    arrays: list[Any] = [
        pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def group(rows: Sequence[Row], unit: Unit = "us") -> BindingGroup:
    ((hour, made),) = bindings_by_hour(table(rows, unit))
    assert hour == HOUR
    return made


def read_back(rows: Sequence[Row], pools: Pools = DEFAULT, unit: Unit = "us") -> Any:
    """By each name, what is read: account, first, last in nanoseconds, ports, flags, protocol."""
    made: dict[bytes, list[Any]] = {}
    told = group(rows, unit)
    for piece in address_map.pieces(told, runs_of(told, pools)):
        assert piece.records <= RECORDS_PER_CHUNK
        held = address_map.read(Segment(0, 0, piece.records, piece.columns))
        assert not held.count.any()
        assert not held.low.any()
        made.setdefault(piece.selector, []).extend(zip(
            held.account, held.first.tolist(), held.last.tolist(), held.port.tolist(),
            held.last_port.tolist(), held.flags.tolist(), held.protocol.tolist(), strict=True,
        ))  # fmt: skip
    return made


def name(port: int | None, pools: Pools = BLOCKS) -> bytes:
    return pools.selector(address_bytes(ADDRESS), port)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_whole_hour_to_its_end_comes_back(unit: Unit) -> None:
    rows: list[Row] = [("a", 0, 3600, (640, 640), 17), ("b", 3599, 3600, None, None)]
    (held,) = read_back(rows, unit=unit).values()
    assert sorted(held) == [
        ("a", 0, 3600 * 10**9, 640, 640, HAS_PORT | TOLD, 17),
        ("b", 3599 * 10**9, 3600 * 10**9, 0, 65_535, MERGED | TOLD | ANY_PROTOCOL, 0),
    ]


@pytest.mark.parametrize(
    ("ports", "names"),
    [
        ((1024, 1024), [1024]),
        ((1024, 1087), [1024]),
        ((1030, 1040), [1024]),
        ((1087, 1088), [1024, 1088]),
        ((1024, 1023 + 64 * MOST_BLOCKS), [1024 + 64 * n for n in range(MOST_BLOCKS)]),
        ((1024, 1024 + 64 * MOST_BLOCKS), [None]),
        ((65_535, 65_535), [65_535]),
        ((0, 0), [0]),
        ((0, 65_535), [None]),
        (None, [None]),
    ],
)
def test_it_stands_under_each_block_that_it_reaches(
    ports: tuple[int, int] | None, names: list[int | None]
) -> None:
    made = read_back([("a", 1, 2, ports, 6)], BLOCKS)
    assert set(made) == {name(each) for each in names}
    assert {rows[0][3:5] for rows in made.values()} == {ports or (0, 65_535)}


stretches = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.integers(0, 60), st.integers(0, 20),
        st.sampled_from([(640, 640), (640, 641)]), st.sampled_from([6, None]),
    ), min_size=1, max_size=12,
)  # fmt: skip


@given(stretches)
def test_what_touches_is_one_and_no_moment_is_won_or_lost(drawn: list[Any]) -> None:
    rows: list[Row] = [
        (account, first, first + length, ports, protocol)
        for account, first, length, ports, protocol in drawn
    ]
    (held,) = read_back(rows, unit="s").values()
    keys = {(row[0], row[3], row[4]) for row in rows}
    for account, ports, protocol in keys:
        flags = TOLD | (HAS_PORT if ports == (640, 640) else MERGED)
        flags |= ANY_PROTOCOL if protocol is None else 0
        mine = sorted(
            (first // 10**9, last // 10**9)
            for who, first, last, port, last_port, bits, number in held
            if (who, (port, last_port), bits, number) == (account, ports, flags, protocol or 0)
        )  # fmt: skip
        for half in range(200):
            second = half / 2
            assert any(first <= second <= last for first, last in mine) == any(
                row[1] <= second <= row[2]
                for row in rows
                if (row[0], row[3], row[4]) == (account, ports, protocol)
            )
        assert all(one[1] < other[0] for one, other in pairwise(mine))


def test_many_are_cut_into_chunks_and_all_come_back() -> None:
    rng = random.Random(5)
    rows: list[Row] = [
        (f"line-{rng.randrange(99)}", n % 3599, n % 3599 + 1, (n, n), 17) for n in range(9000)
    ]
    (held,) = read_back(rows).values()
    assert {(who, first // 10**9, port) for who, first, _, port, *_ in held} == {
        (account, first, ports[0] if ports else 0) for account, first, _, ports, _ in rows
    }


def test_who_was_told_of_is_known_by_place() -> None:
    made = group([("a", 1, 2, (1024, 1030), 6), ("b", 1, 2, (1031, 1090), 6)])
    told = told_by([(made, runs_of(made, BLOCKS))])
    assert told == {name(1024): {"a", "b", OTHERS}, name(1088): {"b", OTHERS}}


def test_of_what_is_lent_whole_there_are_no_others() -> None:
    made = group([("a", 1, 2, (1024, 1151), 6), ("b", 1, 2, None, None)])
    told = told_by([(made, runs_of(made, BLOCKS))])
    assert told == {name(1024): {"a"}, name(1088): {"a"}, name(None): {"b"}}


def test_ports_of_every_block_bring_no_more_rows_than_bindings() -> None:
    made = group([(f"line-{n}", 1, 2, (n, 65_535 - n), 6) for n in range(500)])
    assert len(runs_of(made, BLOCKS).account) == 500
    within = group([("a", 1, 2, (64 * n + 1, 64 * n + 64 * MOST_BLOCKS), 6) for n in range(500)])
    assert len(runs_of(within, BLOCKS).account) == 500
