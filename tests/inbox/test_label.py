from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrstore.inbox.accept import BatchError, Label

GOOD = {
    "idempotency-key": f'"{"ab" * 16}"',
    "batch-sequence": 'stream="main", n=17',
    "batch-scope": 'shard=0, first="2026-11-22T00:00:00Z", last="2026-11-22T03:00:00Z"',
    "intake-key": 'hour="2026-11-22T20:00:00Z"',
}


def test_a_label_is_read_from_its_four_headers() -> None:
    label = Label.parse({**GOOD, "@method": "POST"})
    assert label == Label(
        b"\xab" * 16, "main", 17, 0,
        datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 22, 3, tzinfo=UTC),
        datetime(2026, 11, 22, 20, tzinfo=UTC),
    )  # fmt: skip


@pytest.mark.parametrize("missing", GOOD)
def test_each_header_must_be_there(missing: str) -> None:
    headers = {name: value for name, value in GOOD.items() if name != missing}
    with pytest.raises(BatchError) as caught:
        Label.parse(headers)
    assert caught.value.code == "bad-header"
    assert caught.value.place.lower() == missing


MALFORMED = [
    ("idempotency-key", "ab" * 16),
    ("idempotency-key", f'"{"AB" * 16}"'),
    ("idempotency-key", f'"{"ab" * 15}"'),
    ("idempotency-key", f'"{"ab" * 17}"'),
    ("idempotency-key", f'"{"ab" * 16}"\n'),
    ("idempotency-key", f' "{"ab" * 16}"'),
    ("idempotency-key", f'"{"ab" * 16}", "{"cd" * 16}"'),
    ("idempotency-key", f'"{"٣" * 32}"'),
    ("batch-sequence", 'stream="main",n=17'),
    ("batch-sequence", 'stream="", n=17'),
    ("batch-sequence", f'stream="{"a" * 65}", n=17'),
    ("batch-sequence", 'stream="a b", n=17'),
    ("batch-sequence", 'stream="main", n=-1'),
    ("batch-sequence", 'stream="main", n=017'),
    ("batch-sequence", 'stream="main", n=+1'),
    ("batch-sequence", f'stream="main", n={"9" * 19}'),
    ("batch-sequence", 'stream="main", n=٣'),
    ("batch-sequence", 'n=17, stream="main"'),
    ("batch-scope", 'shard=0, first="2026-11-22T00:00:00Z"'),
    ("batch-scope", 'shard=00, first="2026-11-22T00:00:00Z", last="2026-11-22T03:00:00Z"'),
    ("batch-scope", 'shard=100000, first="2026-11-22T00:00:00Z", last="2026-11-22T03:00:00Z"'),
    ("batch-scope", 'shard=0, first="2026-11-22T00:30:00Z", last="2026-11-22T03:00:00Z"'),
    ("batch-scope", 'shard=0, first="2026-11-22T00:00:00+00:00", last="2026-11-22T03:00:00Z"'),
    ("batch-scope", 'shard=0, first="2026-11-31T00:00:00Z", last="2026-12-01T03:00:00Z"'),
    ("batch-scope", 'shard=0, first="0000-11-22T00:00:00Z", last="2026-11-22T03:00:00Z"'),
    ("batch-scope", 'shard=0, first="2026-11-22T24:00:00Z", last="2026-11-23T03:00:00Z"'),
    ("intake-key", 'hour="2026-11-22T20:00:01Z"'),
    ("intake-key", 'hour="2026-13-22T20:00:00Z"'),
    ("intake-key", 'hour="2026-11-22T20:00:00Z", x=1'),
]


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_a_malformed_header_is_refused_by_name_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(BatchError) as caught:
        Label.parse({**GOOD, name: value})
    assert caught.value.code == "bad-header"
    assert caught.value.place.lower() == name
    assert value not in str(caught.value)


def scope(first: str, last: str) -> str:
    return f'shard=0, first="{first}", last="{last}"'


def test_a_scope_has_at_most_fifty_hours_from_first_to_last() -> None:
    fifty = scope("2026-11-20T00:00:00Z", "2026-11-22T01:00:00Z")
    assert Label.parse({**GOOD, "batch-scope": fifty}).first_hour.day == 20
    for first, last in (
        ("2026-11-20T00:00:00Z", "2026-11-22T02:00:00Z"),
        ("2026-11-22T01:00:00Z", "2026-11-22T00:00:00Z"),
        ("2000-01-01T00:00:00Z", "2999-12-31T23:00:00Z"),
    ):
        with pytest.raises(BatchError) as caught:
            Label.parse({**GOOD, "batch-scope": scope(first, last)})
        assert caught.value.code == "bad-scope"


@pytest.mark.parametrize("hour", ["0001-01-01T00:00:00Z", "9999-12-31T23:00:00Z"])
def test_no_hour_is_too_near_an_end_of_the_calendar_to_be_compared(hour: str) -> None:
    """`accept` adds hours to it: a sum outside the calendar would be a crash, not a refusal."""
    for headers in ({"batch-scope": scope(hour, hour)}, {"intake-key": f'hour="{hour}"'}):
        with pytest.raises(BatchError):
            Label.parse({**GOOD, **headers})


@given(st.sampled_from(sorted(GOOD)), st.text(max_size=60))
def test_no_header_at_all_can_crash_it(name: str, value: str) -> None:
    with pytest.raises(BatchError):
        Label.parse({**GOOD, name: value})
