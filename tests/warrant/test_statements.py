"""Every statement comes back as it was signed; anything else in its place is refused."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrstore.seal.epoch import Epoch
from icrstore.seal.pools import DEFAULT, Pool
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Disclosure, EpochStatement, KeySchedule, Receipt
from icrstore.warrant.statements import (
    AddressSelector,
    HourRange,
    PoolPolicy,
    Request,
    Warrant,
    read_account,
)
from icrstore.warrant.strict import StatementError, dump
from tests.warrant import cast
from tests.warrant.cast import DAY, HOUR
from tests.warrant.statements import KIND, STATEMENTS, Statement, unsigned
from tests.warrant.test_strict import JSON

REACHED = replace(cast.SERVICES, purpose="reached", targets=(cast.TARGET,))
RESOLVE = replace(cast.SERVICES, purpose="resolve", selectors=(cast.ADDRESS,))


def _refusal(reader: type[Statement], fields: dict[str, Any]) -> StatementError:
    with pytest.raises(StatementError) as caught:
        reader.parse(Envelope(KIND[reader], dump(fields), ()))
    return caught.value


def _refused_warrant(**changes: Any) -> tuple[str, str]:
    error = _refusal(Warrant, cast.SERVICES.to_fields() | changes)
    return error.code, error.field


@given(STATEMENTS)
def test_every_statement_comes_back_as_it_was_signed(value: Statement) -> None:
    envelope = unsigned(value)
    assert type(value).parse(envelope) == value
    assert unsigned(type(value).parse(envelope)).payload == envelope.payload


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    here = [(value, key) for key in keys]
    inner = [value[key] for key in keys if isinstance(value[key], dict | list)]
    return here + [place for each in inner for place in _places(each)]


@given(STATEMENTS, st.data(), JSON)
def test_any_json_in_any_place_is_taken_or_refused(
    value: Statement, data: st.DataObject, planted: object
) -> None:
    fields = deepcopy(value.to_fields())
    container, key = data.draw(st.sampled_from(_places(fields)))
    container[key] = planted
    envelope = Envelope(KIND[type(value)], json.dumps(fields).encode(), ())
    try:
        type(value).parse(envelope)
    except StatementError:
        return


@given(st.sampled_from(list(KIND)), JSON)
def test_any_json_at_all_is_refused_as_a_statement(reader: type[Statement], value: object) -> None:
    with pytest.raises(StatementError):
        reader.parse(Envelope(KIND[reader], json.dumps(value).encode(), ()))


@given(STATEMENTS, st.data())
def test_no_field_can_be_left_out_and_none_added(value: Statement, data: st.DataObject) -> None:
    fields = value.to_fields()
    left_out = data.draw(st.sampled_from(sorted(fields)))
    rest = {name: each for name, each in fields.items() if name != left_out}
    assert _refusal(type(value), rest).code in ("missing-field", "out-of-range")
    assert _refusal(type(value), fields | {"unless": "it rains"}).code == "not-supported"
    assert _refusal(type(value), fields | {"v": 2}).code == "out-of-range"


@pytest.mark.parametrize("container", ["selectors", "targets"])
def test_an_unknown_field_is_refused_inside_a_selector_and_a_target(container: str) -> None:
    fields = deepcopy(REACHED.to_fields())
    fields[container][0]["unless"] = 1
    assert _refusal(Warrant, fields).code == "not-supported"


def test_a_selector_is_an_account_or_an_address_and_never_both() -> None:
    both = cast.ADDRESS.to_fields() | cast.ACCOUNT.to_fields()
    assert _refused_warrant(selectors=[both])[0] == "not-supported"
    assert _refused_warrant(selectors=[])[0] == "not-a-list"


@pytest.mark.parametrize("value", ["", "a" * 65, "é" * 33, "e\u0301", "a\nb", "a\x00", 7, None])
def test_an_account_is_one_that_a_record_could_have(value: object) -> None:
    assert _refused_warrant(selectors=[{"account": value}])[1] == "selectors[0].account"
    with pytest.raises(StatementError):
        read_account(value, "accounts[0]")


@pytest.mark.parametrize(
    "value",
    ["203.0.113", "203.0.113.009", "203.0.113.256", "203.0.113.9/32", "fe80::1%eth0", "::g", "x",
     " 203.0.113.9", "3405803785", "2001:db8::1::2"],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_not_repeated(value: str) -> None:
    fields = RESOLVE.to_fields() | {"selectors": [cast.ADDRESS.to_fields() | {"address": value}]}
    error = _refusal(Warrant, fields)
    assert error.code == "not-an-address"
    assert error.__context__ is None or error.__suppress_context__


@pytest.mark.parametrize(
    "value",
    ["198.51.100.0", "198.51.100.1/24", "198.51.100.0/33", "198.51.100.0/255.255.255.0",
     "198.51.100.0/0.0.0.255", "198.51.100.0/-1", "fe80::%eth0/64", "2001:db8::1/64", "x/8", "/8"],
)  # fmt: skip
def test_what_is_no_network_is_refused_and_not_repeated(value: str) -> None:
    fields = deepcopy(REACHED.to_fields())
    fields["targets"][0]["cidr"] = value
    error = _refusal(Warrant, fields)
    assert error.code == "not-a-network"
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", -1), ("port", 65536), ("protocol", 256), ("tolerance_seconds", -1),
     ("tolerance_seconds", 3601), ("port", True), ("port", "1")],
)  # fmt: skip
def test_an_address_selectors_numbers_are_in_range(name: str, value: object) -> None:
    fields = RESOLVE.to_fields() | {"selectors": [cast.ADDRESS.to_fields() | {name: value}]}
    assert _refusal(Warrant, fields).code == "out-of-range"


@pytest.mark.parametrize("address", ["203.0.113.9", "::ffff:203.0.113.9", "::FFFF:cb00:7109"])
def test_an_ipv4_address_is_one_selector_however_it_is_written(address: str) -> None:
    fields = RESOLVE.to_fields() | {"selectors": [cast.ADDRESS.to_fields() | {"address": address}]}
    parsed = Warrant.parse(Envelope("warrant", dump(fields), ()))
    assert parsed.selectors == (cast.ADDRESS,)


def test_selectors_name_what_the_epochs_hold() -> None:
    expected = DEFAULT.selector(cast.ADDRESS.address, cast.ADDRESS.port)
    names = cast.ADDRESS.sealed_names(DEFAULT)
    assert (cast.ADDRESS.kind, names) == ("address", (expected, expected))
    assert (cast.ACCOUNT.kind, cast.ACCOUNT.sealed_names(DEFAULT)) == ("account", (b"17-zoe",))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purpose": "everything"}, "not-supported"),
        ({"purpose": "resolve"}, "does-not-fit-the-purpose"),
        ({"purpose": "reached"}, "does-not-fit-the-purpose"),
        ({"targets": [cast.TARGET.to_fields()]}, "does-not-fit-the-purpose"),
        ({"selectors": [cast.ADDRESS.to_fields()]}, "does-not-fit-the-purpose"),
        ({"selectors": [cast.ACCOUNT.to_fields(), cast.ADDRESS.to_fields()]},
         "does-not-fit-the-purpose"),
        ({"notify": "never"}, "not-supported"),
        ({"max_requests": 0}, "out-of-range"),
        ({"recipient_keys": []}, "not-a-list"),
        ({"recipient_keys": ["YWI="]}, "not-base64"),
        ({"nonce": "00" * 15}, "not-hexadecimal"),
        ({"from": "2026-11-22T08:30:00Z"}, "not-a-whole-hour"),
        ({"to": "2026-11-22T08:00:00Z"}, "ends-before-it-begins"),
        ({"to": "2027-11-24T08:00:00Z"}, "too-many-hours"),
        ({"valid_to": "2026-11-22T09:30:15Z"}, "ends-before-it-begins"),
    ],
)  # fmt: skip
def test_a_warrant_that_is_not_well_formed_is_refused(changes: dict[str, Any], code: str) -> None:
    assert _refused_warrant(**changes)[0] == code


def test_targets_end_after_they_begin() -> None:
    fields = deepcopy(REACHED.to_fields())
    fields["targets"][0]["to"] = fields["targets"][0]["from"]
    assert _refusal(Warrant, fields).code == "ends-before-it-begins"


@pytest.mark.parametrize(
    ("hours", "code"),
    [
        ([(8, 10), (9, 11)], "hours-overlap"),
        ([(10, 12), (8, 9)], "hours-overlap"),
        ([(8, 9), (8, 9)], "hours-overlap"),
        ([(8, 8)], "ends-before-it-begins"),
        ([(9, 8)], "ends-before-it-begins"),
        ([(0, 5000), (5000, 8785)], "too-many-hours"),
        ([], "not-a-list"),
    ],
)
def test_a_requests_hours_are_in_order_and_not_endless(
    hours: list[tuple[int, int]], code: str
) -> None:
    ranges = [HourRange(DAY + a * HOUR, DAY + b * HOUR).to_fields() for a, b in hours]
    assert _refusal(Request, cast.request_of().to_fields() | {"hours": ranges}).code == code


def test_a_request_counts_its_hours_once() -> None:
    ranges = (HourRange(DAY, DAY + 2 * HOUR), HourRange(DAY + 2 * HOUR, DAY + 3 * HOUR))
    asked = replace(cast.request_of(), hours=ranges)
    assert Request.parse(unsigned(asked)).all_hours() == [DAY, DAY + HOUR, DAY + 2 * HOUR]


def test_a_request_asks_for_a_selector_once() -> None:
    fields = cast.request_of().to_fields()
    twice = fields | {"selectors": fields["selectors"] * 2}
    assert _refusal(Request, twice).code == "duplicate-selector"


def test_a_disclosure_names_an_account_once() -> None:
    fields = Disclosure(bytes(32), ("a", "b"), (1, 2), 2, bytes(32)).to_fields()
    assert _refusal(Disclosure, fields | {"accounts": ["a", "a"]}).code == "duplicate-account"


@pytest.mark.parametrize("records", [[], [1], [1, 2, 3]])
def test_a_disclosure_counts_the_records_of_each_account(records: list[int]) -> None:
    fields = Disclosure(bytes(32), ("a", "b"), (1, 2), 2, bytes(32)).to_fields()
    assert _refusal(Disclosure, fields | {"records": records}).code == "not-one-for-each"


def _epoch_fields() -> dict[str, Any]:
    value = EpochStatement(
        epoch=Epoch("demo", DAY, 0, bytes(16)),
        commitments={"operator": bytes(32), "oversight": bytes(32)},
        seal_sha256={("operator", 1): bytes(32), ("oversight", 1): bytes(32)},
        rows=0,
        manifest_root=bytes(32),
        batches=(),
        pools_sha256=bytes(32),
        sealed_at=DAY + timedelta(hours=2),
    )
    return value.to_fields()


def test_an_epoch_names_a_keepers_seal_once() -> None:
    fields = _epoch_fields()
    fields["seals"].append(fields["seals"][0] | {"sha256": "11" * 32})
    assert _refusal(EpochStatement, fields).code == "duplicate-entry"


def test_an_epoch_commits_to_both_roles_and_no_third() -> None:
    for commitments in ({"operator": "00" * 32}, {"operator": "00" * 32, "oversight": "00" * 31}):
        fields = _epoch_fields() | {"commitments": commitments}
        assert _refusal(EpochStatement, fields).code in ("missing-field", "not-hexadecimal")
    fields = _epoch_fields()
    fields["commitments"]["third"] = "00" * 32
    assert _refusal(EpochStatement, fields).code == "not-supported"


def test_a_key_schedule_names_a_day_once_and_only_days() -> None:
    value = KeySchedule("demo", "operator", 1, {"2026-11-22": cast.RECIPIENT}, DAY)
    fields = value.to_fields()
    other = fields["days"][0] | {"key": fields["days"][0]["key"].replace("A", "B")}
    assert _refusal(KeySchedule, fields | {"days": [fields["days"][0], other]}).code in (
        "duplicate-entry",
        "not-base64",
    )
    again = fields | {"days": fields["days"] * 2}
    assert _refusal(KeySchedule, again).code == "duplicate-entry"
    for day in ("2026-11-31", "2026-1-1", "20261122", "2026-W47-7", "x"):
        wrong = [fields["days"][0] | {"day": day}]
        assert _refusal(KeySchedule, fields | {"days": wrong}).code == "not-a-day"


def test_a_receipt_counts_a_reason_once() -> None:
    value = Receipt(
        "sealed", "demo", "pf-1", bytes(16), "main", 7, 0, DAY, DAY, DAY, bytes(32), 1,
        {"time-too-old": 1},
    )  # fmt: skip
    fields = value.to_fields()
    twice = [*fields["rejected"], {"reason": "time-too-old", "count": 2}]
    assert _refusal(Receipt, fields | {"rejected": twice}).code == "duplicate-entry"


def test_a_whole_retention_of_day_keys_fits_into_one_envelope() -> None:
    days = {(DAY + timedelta(days=n)).date().isoformat(): cast.RECIPIENT for n in range(-364, 36)}
    value = KeySchedule("demo", "operator", 1, days, DAY)
    encoded = Envelope.sign("key-schedule", value.to_fields(), cast.ROOT).encode()
    assert KeySchedule.parse(Envelope.parse(encoded, "key-schedule")) == value


def test_an_ipv6_selector_keeps_all_its_bits() -> None:
    address = bytes.fromhex("20010db8000000010000000000000001")
    value = replace(RESOLVE, selectors=(replace(cast.ADDRESS, address=address),))
    selector = Warrant.parse(unsigned(value)).selectors[0]
    assert isinstance(selector, AddressSelector)
    assert selector.address == address


POLICY = PoolPolicy("demo", DAY, (Pool("198.51.100.0/24", 32, 9),))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"cidr": "198.51.100.1/24"}, "not-a-network"),
        ({"cidr": "198.51.100.0"}, "not-a-network"),
        ({"cidr": "198.51.100.0/255.255.255.0"}, "not-a-network"),
        ({"cidr": "198.51.100.0/024"}, "not-the-usual-spelling"),
        ({"cidr": "2001:DB8::/32", "prefix": 56}, "not-the-usual-spelling"),
        ({"cidr": "2001:db8:0::/32", "prefix": 56}, "not-the-usual-spelling"),
        ({"cidr": "::ffff:0:0/96", "prefix": 128}, "not-the-usual-spelling"),
        ({"prefix": 23}, "out-of-range"),
        ({"prefix": 33}, "out-of-range"),
        ({"block": 0}, "out-of-range"),
        ({"block": 1 << 17}, "out-of-range"),
        ({"block": 3}, "not-a-power-of-two"),
        ({"block": 512.0}, "not-json"),
        ({"block": True}, "out-of-range"),
        ({"prefix": 31}, "blocks-need-whole-addresses"),
        ({"cidr": "2001:db8::/32", "prefix": 127}, "blocks-need-whole-addresses"),
        ({"more": 1}, "not-supported"),
    ],
)
def test_a_pool_is_written_in_one_way(change: dict[str, Any], code: str) -> None:
    fields = POLICY.to_fields()
    fields["pools"] = [fields["pools"][0] | change]
    try:
        encoded = dump(fields)
    except ValueError:
        encoded = json.dumps(fields).encode()
    with pytest.raises(StatementError) as caught:
        PoolPolicy.parse(Envelope("policy", encoded, ()))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"about": "backfill"}, "not-supported"),
        ({"effective": "2026-11-22T10:00:01Z"}, "not-a-whole-hour"),
        ({"effective": "2026-11-22T10:00:00"}, "time-without-offset"),
        ({"pools": [POLICY.to_fields()["pools"][0]] * 4097}, "not-a-list"),
        ({"until": "2026-12-01T00:00:00Z"}, "not-supported"),
    ],
)
def test_a_policy_says_what_it_is_about_and_from_when(change: dict[str, Any], code: str) -> None:
    assert _refusal(PoolPolicy, POLICY.to_fields() | change).code == code
