"""A gap travels in a batch's schema, is understood strictly, and nothing else passes for one."""

from datetime import UTC, datetime

import pytest

from icrstore.flow.gaps import MOST, WHYS, Gap, noted, noting
from icrstore.flow.schema import record_schema
from icrstore.warrant.strict import StatementError, dump

AT = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
GAP = Gap(AT, AT.replace(hour=13), "exporter-sequence")


@pytest.mark.parametrize("why", WHYS)
def test_what_is_noted_is_read_back_in_order_and_once(why: str) -> None:
    later = Gap(AT.replace(hour=20), AT.replace(hour=21), why)
    assert noted(noting(record_schema("us"), [later, GAP, later])) == [GAP, later]


def test_a_batch_without_gaps_says_nothing_of_them() -> None:
    assert noting(record_schema("us"), []).metadata is None
    assert noted(record_schema("us")) == []


@pytest.mark.parametrize(
    "told",
    [
        [],
        [{"from": "2026-01-31T12:00:00Z", "to": "2026-01-31T11:00:00Z", "why": "undecodable"}],
        [{"from": "2026-01-31T12:00:00Z", "to": "2026-01-31T13:00:00Z", "why": "anything"}],
        [{"from": "2026-01-31T12:00:00", "to": "2026-01-31T13:00:00Z", "why": "undecodable"}],
        [{"from": "2026-01-31T12:00:00Z", "why": "undecodable"}],
        [{**GAP.to_fields(), "account": "line-17"}],
        [GAP.to_fields()] * (MOST + 1),
    ],
)
def test_what_is_no_list_of_gaps_is_refused(told: list[dict[str, str]]) -> None:
    schema = record_schema("us").with_metadata({"icr.gaps": dump({"gaps": told})})
    with pytest.raises(StatementError):
        noted(schema)
