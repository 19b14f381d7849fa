"""JSON in any spelling but ours is refused, and always as a StatementError."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from icrstore.warrant.strict import (
    Fields,
    StatementError,
    decode_base64,
    dump,
    encode_base64,
    hours_between,
    parse_object,
    time_text,
)


def _code(encoded: bytes) -> str:
    with pytest.raises(StatementError) as caught:
        parse_object(encoded)
    return caught.value.code


def _field_code(value: object, how: str, *limits: int) -> str:
    with pytest.raises(StatementError) as caught:
        getattr(Fields({"x": value}), how)("x", *limits)
    assert caught.value.field == "x"
    return caught.value.code


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{} x",
        b"{}\x00",
        b"\xef\xbb\xbf{}",
        '{"a":"é"}'.encode("latin-1"),
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\xaf"}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{a:1}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":0x1}',
        b'{"a":"\t"}',
        b'{"a":"\x00"}',
        b'{"a":1 // one\n}',
    ],
)  # fmt: skip
def test_what_is_not_json_in_utf8_is_refused(encoded: bytes) -> None:
    assert _code(encoded) == "not-json"


@pytest.mark.parametrize(
    "encoded",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"b":{"a":1,"c":2,"a":3}}',
        b'{"b":[{"a":1,"a":1}]}',
        b'{"":1,"":2}',
    ],
)
def test_a_key_stands_once_at_every_depth(encoded: bytes) -> None:
    assert _code(encoded) == "not-json"


@pytest.mark.parametrize(
    "number",
    ["1.0", "0.5", "-0.0", "1e3", "1E0", "1e-1", "1e999", "NaN", "Infinity", "-Infinity"],
)
def test_a_number_is_an_integer_in_digits(number: str) -> None:
    assert _code(f'{{"a":{number}}}'.encode()) == "not-json"
    assert _code(f'{{"a":[{{"b":{number}}}]}}'.encode()) == "not-json"


@pytest.mark.parametrize(
    "digits", ["9007199254740993", "-9007199254740993", "1" + "0" * 17, "9" * 5000]
)
def test_an_integer_that_a_double_cannot_hold_is_refused(digits: str) -> None:
    assert _code(f'{{"a":{digits}}}'.encode()) == "not-json"


@pytest.mark.parametrize("number", [1 << 53, -(1 << 53), 0, -1])
def test_an_integer_that_every_reader_holds_is_taken(number: int) -> None:
    assert parse_object(b'{"a":%d}' % number) == {"a": number}


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused_without_a_crash(opening: bytes) -> None:
    assert _code(opening * 150_000) == "not-json"
    assert _code(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}") == "not-json"


def test_a_statement_has_at_most_a_mebibyte() -> None:
    filled = b'{"a":"' + b"x" * ((1 << 20) - 8) + b'"}'
    assert len(parse_object(filled)["a"]) == (1 << 20) - 8
    assert _code(filled + b" ") == "too-long"


@pytest.mark.parametrize("encoded", [b"[]", b"null", b"1", b'"a"', b"true"])
def test_a_statement_is_an_object(encoded: bytes) -> None:
    assert _code(encoded) == "not-an-object"


def test_an_unread_field_is_refused_and_an_odd_name_is_not_repeated() -> None:
    fields = Fields({"a": 1, "Odd Name": 2})
    fields.take("a")
    with pytest.raises(StatementError) as caught:
        fields.finish()
    assert (caught.value.code, caught.value.field) == ("not-supported", "(unknown)")
    assert "Odd" not in str(caught.value)


def test_a_field_is_there_and_is_taken_once() -> None:
    fields = Fields({"a": 1}, "place")
    assert fields.has("a")
    fields.take("a")
    with pytest.raises(StatementError) as caught:
        fields.take("a")
    assert (caught.value.code, caught.value.field) == ("missing-field", "place.a")


@pytest.mark.parametrize("value", [None, 1, True, [], {}, "", "x" * 257, "é" * 129, ["x"]])
def test_a_text_has_1_to_256_bytes(value: object) -> None:
    assert _field_code(value, "text") == "not-a-text"


@pytest.mark.parametrize(
    "character", ["\x00", "\x1f", "\n", "\t", "\x7f", "\x80", "\x9f", "\ud800"]
)
def test_a_text_has_no_control_characters_and_no_half_character(character: str) -> None:
    assert _field_code(f"a{character}b", "text") == "control-character"


@pytest.mark.parametrize("value", ["e\u0301", "\u212b", "\u1100\u1161", "a\u0327\u0301"])
def test_a_text_is_nfc(value: str) -> None:
    assert _field_code(value, "text") == "not-nfc"


@pytest.mark.parametrize("value", [True, False, "1", None, 1.0, -1, 11, []])
def test_an_integer_is_one_and_in_range(value: object) -> None:
    assert _field_code(value, "integer", 0, 10) == "out-of-range"


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_a_boolean_is_one(value: object) -> None:
    assert _field_code(value, "boolean") == "not-a-boolean"


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-22T20:00:00",
        "2026-11-22",
        "2026-11-22T20:00Z",
        "2026-11-22 20:00:00Z",
        "2026-11-22t20:00:00Z",
        "2026-11-22T20:00:00z",
        "2026-11-22T20:00:00.Z",
        "2026-11-22T20:00:00.1234567Z",
        "2026-11-22T20:00:00,5Z",
        "2026-11-22T20:00:00+0100",
        "2026-11-22T20:00:00+01",
        "20261122T200000Z",
        "2026-W47-7T20:00:00Z",
        "2026-11-22T20:00:00ZZ",
        " 2026-11-22T20:00:00Z",
        "٢٠٢٦-11-22T20:00:00Z",
        "+2026-11-22T20:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T23:59:60Z",
        "2026-11-22T20:60:00Z",
        "2026-11-22T20:00:00+01:60",
        "2026-11-22T20:00:00-00:99",
    ],
)
def test_a_time_has_one_shape_and_an_offset(value: str) -> None:
    assert _field_code(value, "time") == "time-without-offset"


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-11-22T20:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_a_time_exists_and_leaves_room_to_reckon(value: str) -> None:
    assert _field_code(value, "time") == "not-a-time"


@given(st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 30)), st.integers(-1439, 1439))  # noqa: DTZ001
def test_a_time_written_is_the_time_read(naive: datetime, offset_minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    read = Fields({"x": time_text(moment)}).time("x")
    assert (read, read.tzinfo) == (moment, UTC)
    assert Fields({"x": moment.isoformat()}).time("x") == moment


def test_a_naive_time_is_never_written() -> None:
    with pytest.raises(ValueError, match="offset"):
        time_text(datetime(2026, 11, 22))  # noqa: DTZ001


@pytest.mark.parametrize(
    "value",
    ["2026-11-22T20:00:01Z", "2026-11-22T20:01:00Z", "2026-11-22T20:00:00.000001Z",
     "2026-11-22T20:00:00+05:30"],
)  # fmt: skip
def test_an_hour_is_whole_in_utc(value: str) -> None:
    assert _field_code(value, "hour") == "not-a-whole-hour"


def test_an_hour_may_be_written_in_any_offset() -> None:
    fields = Fields({"x": "2026-11-23T01:30:00+05:30"})
    assert fields.hour("x") == datetime(2026, 11, 22, 20, tzinfo=UTC)


@pytest.mark.parametrize("value", ["", "0", "0G", "AB", "ab ", " ab", "abab", "a\u0663", 1, None])
def test_hexadecimal_is_lower_case_and_of_one_size(value: object) -> None:
    assert _field_code(value, "hexadecimal", 1) in ("not-hexadecimal", "not-a-text")


@pytest.mark.parametrize(
    "value",
    ["YWI", "YWI==", "YW I=", "YWI=\n", " YWI=", "YWJ=", "YWK=", "YQ=", "YR==", "Y===", "_-8=",
     "YWI=YWI=", "YWI=x", "ÿWI=", "YWI\u0000", 1, None, ["YWI="]],
)  # fmt: skip
def test_base64_has_one_spelling(value: object) -> None:
    assert _field_code(value, "base64") == "not-base64"


def test_base64_has_the_size_that_is_asked_for() -> None:
    assert Fields({"x": "YWI="}).base64("x", 2) == b"ab"
    assert _field_code("YWI=", "base64", 3) == "not-base64"
    assert _field_code("YWI=", "base64", 1) == "not-base64"


@given(st.binary(max_size=50), st.text("ABCYZabcz0189+/=-_ \n", max_size=12))
def test_only_what_we_would_write_is_read_as_base64(value: bytes, candidate: str) -> None:
    assert decode_base64(encode_base64(value)) == value
    decoded = decode_base64(candidate)
    assert decoded is None or encode_base64(decoded) == candidate


@pytest.mark.parametrize("value", [None, {}, "ab", 1, [], [1, 2, 3]])
def test_a_list_is_one_and_in_range(value: object) -> None:
    with pytest.raises(StatementError) as caught:
        Fields({"x": value}).items("x", lambda item, place: item, 1, 2)
    assert caught.value.code == "not-a-list"


def test_an_item_is_refused_at_its_place() -> None:
    with pytest.raises(StatementError) as caught:
        Fields({"x": [{"a": 1}, {"a": "b"}]}).items(
            "x", lambda item, place: Fields(item, place).integer("a", 0, 9)
        )
    assert caught.value.field == "x[1].a"


def test_hours_between_are_counted_without_the_end() -> None:
    day = datetime(2026, 11, 22, tzinfo=UTC)
    assert hours_between(day, day) == []
    assert hours_between(day, day + timedelta(hours=2)) == [day, day + timedelta(hours=1)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(JSON)
@example({"a": "\ud800"})
def test_any_json_is_taken_or_refused_and_nothing_else(value: object) -> None:
    try:
        parse_object(json.dumps(value).encode())
    except StatementError:
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused_and_nothing_else(encoded: bytes) -> None:
    try:
        parse_object(encoded)
    except StatementError:
        return


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(-(2**53), 2**53)))
def test_what_we_write_is_what_we_read(value: dict[str, int]) -> None:
    assert parse_object(dump(value)) == value
