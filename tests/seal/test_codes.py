"""Numbers by first appearance against the loop that says what they are, up to 63 bits."""

import random

import numpy as np
import pytest

from icrstore.seal.codes import Coded


def expected(segments: list[list[int]]) -> tuple[list[int], list[int], list[int], list[int]]:
    again, code, distinct, ends = [], [], [], []
    for values in segments:
        named: dict[int, int] = {}
        for value in values:
            code.append(named.get(value, 0))
            again.append(named.setdefault(value, len(named) + 1))
        distinct += list(named)
        ends.append(len(distinct))
    return again, code, distinct, ends


def coded(segments: list[list[int]]) -> tuple[list[int], ...]:
    starts = np.cumsum([0, *map(len, segments)])
    made = Coded.of(np.array([v for values in segments for v in values], np.uint32), starts)
    return tuple(each.tolist() for each in (made.again, made.code, made.distinct, made.ends))


@pytest.mark.parametrize("most", [0, 3, (1 << 28) - 1])
def test_values_are_numbered_as_their_segment_first_names_them(most: int) -> None:
    rng = random.Random(most)
    segments = [
        [rng.randint(max(0, most - 40), most) for _ in range(rng.choice([1, 2, 50, 4096]))]
        for _ in range(60)
    ]
    assert coded(segments) == expected(segments)
    longest = [[rng.randint(0, most) for _ in range((1 << 16) - 1)]]
    assert coded(longest) == expected(longest)


def test_as_many_segments_as_a_group_may_have_fit() -> None:
    """Above two million segments, with services of 28 bits."""
    rows = np.repeat([1, 2], [2_000_000, 200_000])
    starts = np.append(0, np.cumsum(rows))
    made = Coded.of(np.full(starts[-1], (1 << 28) - 1, np.uint32), starts)
    is_first = np.ones(starts[-1], np.bool_)
    is_first[2_000_001::2] = False
    assert (made.again == 1).all()
    assert (made.code == ~is_first).all()
    assert (made.ends == np.arange(1, len(rows) + 1)).all()


def test_what_would_not_fit_is_refused_and_not_mixed_up() -> None:
    too_long = np.zeros(1 << 16, np.uint32)
    with pytest.raises(ValueError, match="too many"):
        Coded.of(too_long, np.array([0, len(too_long)]))
    too_many = np.full(1 << 18, (1 << 45) - 1, np.int64)
    with pytest.raises(ValueError, match="too many"):
        Coded.of(too_many, np.arange(len(too_many) + 1))
