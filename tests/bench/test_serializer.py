"""The Django peer that the bar is about refuses what our store would refuse, and no more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.serializers import ValidationError

from tests.bench.peers.fernet import model_of
from tests.bench.peers.serializer import storing

NOW = datetime.now(UTC)
GOOD = {
    "observed_at": NOW.isoformat(),
    "protocol": 6,
    "source_address": "2001:db8::1",
    "source_port": 0,
    "destination_address": "192.0.2.1",
    "destination_port": 65535,
    "post_nat_source_address": "198.51.100.7",
    "post_nat_source_port": 1024,
    "account": "é" * 3,
}


class Stored(Exception):
    """It was found good, and would have been stored."""


def store(told: dict[str, Any]) -> None:

    def made(fields: dict[str, Any]) -> None:
        raise Stored(fields)

    storing(model_of("checking"), made)([told])


def test_a_good_record_is_stored_as_it_was_told() -> None:
    with pytest.raises(Stored) as stored:
        store(GOOD)
    (fields,) = stored.value.args
    assert fields == GOOD | {"observed_at": NOW}


@pytest.mark.parametrize(
    "wrong",
    [
        {"observed_at": (NOW - timedelta(hours=49)).isoformat()},
        {"observed_at": (NOW + timedelta(hours=1)).isoformat()},
        {"observed_at": None},
        {"protocol": 256},
        {"protocol": 1},
        {"source_address": "192.0.2.256"},
        {"destination_address": ""},
        {"destination_port": 65536},
        {"post_nat_source_address": "here"},
        {"account": ""},
        {"account": "a" * 65},
        {"account": "a\x07"},
        {"account": "e\u0301"},
    ],
)
def test_a_wrong_one_is_not(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        store(GOOD | wrong)


def test_a_translated_port_needs_its_address() -> None:
    with pytest.raises(ValidationError):
        store({name: value for name, value in GOOD.items() if name != "post_nat_source_address"})
