"""Times that are all of one plain shape are read at once, and mean what each means by itself."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.flow.readers import times

_DIGITS = st.integers(0, 9)


@st.composite
def columns(draw: st.DrawFn) -> list[str]:
    """Mostly times of one number of digits, some of them in no calendar, some a byte wrong."""
    digits = draw(_DIGITS)
    made = []
    for _ in range(draw(st.integers(1, 4))):
        moment = draw(st.datetimes(datetime(1965, 1, 1), datetime(2290, 1, 1)))  # noqa: DTZ001
        text = moment.strftime("%Y-%m-%dT%H:%M:%S")
        if draw(st.integers(0, 3)) == 0:
            text = text[:5] + draw(st.sampled_from(["00-01", "02-29", "02-30", "13-01", "12-31"]))
            text += draw(st.sampled_from(["T24:00:00", "T23:59:60", "T23:60:00", "T00:00:00"]))
        fraction = f".{draw(st.integers(0, 10**digits - 1)):0{digits}}" if digits else ""
        text += fraction + draw(st.sampled_from("ZZZZZz+"))
        if draw(st.integers(0, 5)) == 0:
            at = draw(st.integers(0, len(text) - 1))
            text = text[:at] + draw(st.sampled_from("09-: /T.Zx")) + text[at + 1 :]
        made.append(text)
    return made


@given(columns())
@settings(max_examples=400, deadline=None)
def test_read_at_once_they_are_what_they_are_one_by_one(texts: list[str]) -> None:
    column = pa.array(["before", *texts])[1:]
    at_once = times.instants(column, "s", UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "_plain", lambda _: None)
        slowly = times.instants(column, "s", UTC)
    assert at_once[0].equals(slowly[0])
    told = [[(reason, mask.tolist()) for reason, mask in faults if mask.any()]
            for _, faults in (at_once, slowly)]  # fmt: skip
    assert told[0] == told[1]


@st.composite
def seconds(draw: st.DrawFn) -> list[str]:
    """Mostly seconds of one number of digits before and after the point, some a byte wrong."""
    whole, digits = draw(st.sampled_from([10, 10, 10, 9, 11])), draw(st.integers(0, 10))
    made = []
    for _ in range(draw(st.integers(1, 4))):
        text = f"{draw(st.integers(0, 10**whole - 1)):0{whole}}"
        text += f".{draw(st.integers(0, 10**digits - 1)):0{digits}}" if digits else ""
        if draw(st.integers(0, 5)) == 0:
            at = draw(st.integers(0, len(text) - 1))
            text = text[:at] + draw(st.sampled_from("09-: /.x")) + text[at + 1 :]
        made.append(text)
    return made


@given(seconds())
@settings(max_examples=400, deadline=None)
def test_seconds_read_at_once_are_what_they_are_one_by_one(texts: list[str]) -> None:
    column = pa.array(["before", *texts])[1:]
    at_once, _ = times.instants(column, "s", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "_plain_seconds", lambda _: None)
        slowly, _ = times.instants(column, "s", None)
    assert at_once.equals(slowly)


@pytest.mark.parametrize("text", ["1431969641", "1431969641.947863", "8999999999.999999999"])
def test_plain_seconds_are_read_at_once(text: str) -> None:
    made = times._plain_seconds(pa.array([text] * 3))
    assert made is not None
    whole, _, fraction = text.partition(".")
    ticks = int(whole) * 10**9 + int(fraction.ljust(9, "0"))
    assert made.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_pylist() == [ticks] * 3


@pytest.mark.parametrize("text", ["2026-02-28T23:59:59.999999Z", "2024-02-29T00:00:00Z"])
def test_the_plain_shape_is_read_at_once(text: str) -> None:
    made = times._plain(pa.array([text] * 3))
    assert made is not None
    assert made.to_pylist() == [datetime.fromisoformat(text)] * 3
