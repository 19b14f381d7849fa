"""The first of each flow: what the vectorised memory says, and what a slow reading says."""

from collections.abc import Sequence
from random import Random

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from icrstore.flow.first import First, flow_keys, pair_keys
from icrstore.flow.schema import address_bytes

IDLE = 10
SECOND = 10**9
Piece = tuple[str, int, int]  # key, first and last second


def masks(first: First, pieces: Sequence[Piece], size: int = 1000) -> list[bool]:
    """Whether each is the first of its flow, given in calls of so many."""
    made: list[bool] = []
    for start in range(0, len(pieces), size):
        keys, begins, ends = zip(*pieces[start : start + size], strict=True)
        made += first.of(
            np.array(keys, "S41"), np.array(begins) * SECOND, np.array(ends) * SECOND
        ).tolist()
    return made


def slowly(pieces: Sequence[Piece]) -> list[bool]:
    """Of pieces in order of their first second: one after the other."""
    ends: dict[str, int] = {}
    made = []
    for key, first, last in pieces:
        made.append(key not in ends or first - ends[key] > IDLE)
        ends[key] = max(ends.get(key, last), last)
    return made


pieces = st.lists(
    st.builds(
        lambda key, first, seconds: (key, first, first + seconds),
        st.sampled_from("abc"), st.integers(0, 20_000).map(lambda n: n // 100 * 3),
        st.integers(0, 15),
    ), max_size=40,
)  # fmt: skip


@given(pieces.map(lambda some: sorted(some, key=lambda piece: piece[1])), st.integers(1, 9))
def test_it_says_what_a_slow_reading_says_however_the_input_is_split(
    listed: list[Piece], size: int
) -> None:
    assert masks(First(IDLE), listed, size) == slowly(listed)
    assert masks(First(IDLE), listed) == slowly(listed)


@given(pieces, st.integers(1, 9), st.randoms(use_true_random=False))
def test_in_any_order_each_flow_has_its_record(
    listed: list[Piece], size: int, random: Random
) -> None:
    in_order = sorted(listed, key=lambda piece: piece[1])
    whole = sum(slowly(in_order))
    random.shuffle(listed)
    # In one call the order is nothing; in more, what joins two flows comes too late for one.
    assert sum(masks(First(IDLE), listed)) == whole
    assert sum(masks(First(IDLE), listed, size)) >= whole


def test_a_piece_that_comes_late_is_no_second_record() -> None:
    first = First(IDLE)
    assert masks(first, [("a", 60, 120)]) == [True]
    assert masks(first, [("a", 0, 59), ("a", 121, 180)]) == [False, False]
    # What the late piece told is known from then on.
    assert masks(first, [("a", -5, -5), ("a", 190, 190), ("a", 201, 201)]) == [False, False, True]


def test_of_one_call_the_earliest_is_the_first() -> None:
    assert masks(First(IDLE), [("a", 60, 120), ("a", 0, 59), ("b", 1, 2)]) == [False, True, True]


def test_another_flow_of_long_before_has_its_record_and_the_later_stays_known() -> None:
    first = First(IDLE)
    assert masks(first, [("a", 1000, 1001)]) == [True]
    assert masks(first, [("a", 1, 2)]) == [True]
    assert masks(first, [("a", 3, 3), ("a", 1002, 1002)]) == [False, False]


def test_the_oldest_go_where_there_are_too_many() -> None:
    first = First(IDLE, most=10)
    keys = [f"{n:02}" for n in range(20)]
    masks(first, [(key, n % 7, n % 7) for n, key in enumerate(keys)], 3)
    assert len(first._keys) == 10
    # All twenty are within `idle`: those that are forgotten begin anew.
    assert sum(masks(first, [(key, 7, 7) for key in keys])) == 10


def test_one_false_clock_forgets_nothing() -> None:
    first = First(IDLE)
    masks(first, [("a", 0, 1), ("b", 0, 1)])
    masks(first, [("b", 2, 2), ("c", 10**9, 10**9), ("a", 3, 3)])
    assert masks(first, [("a", 9, 9)]) == [False]


def test_what_ended_long_ago_is_forgotten() -> None:
    first = First(IDLE)
    masks(first, [("a", 0, 1)])
    masks(first, [("b", 4000, 4000)])
    assert len(first._keys) == 1


def test_times_at_the_edge_of_what_there_is_are_borne() -> None:
    most = np.iinfo(np.int64).max
    made = First(IDLE).of(
        np.array(["a", "a"], "S41"), np.array([-most, most]), np.array([-most, 0])
    )
    assert made.tolist() == [True, True]


def test_keys_tell_each_end_and_direction_apart() -> None:
    one, two = address_bytes("192.0.2.1"), address_bytes("2001:db8::")
    rows = [
        (6, one, 1, two, 2), (6, two, 2, one, 1), (17, one, 1, two, 2),
        (6, one, 2, two, 1), (6, one, None, two, None), (6, one, 0, two, 0),
    ]  # fmt: skip
    types = (pa.uint8(), pa.binary(16), pa.uint16(), pa.binary(16), pa.uint16())
    columns = [
        pa.array(each, type) for each, type in zip(zip(*rows, strict=True), types, strict=True)
    ]
    assert len(set(flow_keys(*columns).tolist())) == 6
    pairs, backwards = pair_keys(*columns)
    assert len(set(pairs.tolist())) == 5
    assert pairs[0] == pairs[1]
    assert backwards[0] != backwards[1]
