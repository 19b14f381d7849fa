"""What waited when a question began is read back as it was kept, however much it is."""

from datetime import UTC, datetime, timedelta

import pytest

from icrstore.query.waits import keep, kept
from icrstore.seal.epoch import HOUR
from icrstore.vault.accepted import Unsealed
from icrstore.warrant.strict import StatementError, dump, parse_object
from tests.warrant.cast import STRANGER

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)
KEY = bytes(32)


def gaps(count: int) -> list[Unsealed]:
    return [
        Unsealed(
            NINE + timedelta(seconds=n), NINE, NINE + n * HOUR,
            f"records missing at collector edge-1 from {n} to {n} (exporter-silent)", is_gap=True,
        )
        for n in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 6_000, 20_000])
def test_whatever_waits_is_read_back_as_it_was_kept(count: int) -> None:
    """By an engine that begins anew: else what it cannot read fails the question."""
    made = gaps(count)
    assert kept(keep(made, KEY, STRANGER).to_object(), KEY, STRANGER) == made


def test_what_was_kept_for_another_key_is_not_read() -> None:
    made = keep(gaps(1), KEY, STRANGER).to_object()
    with pytest.raises(StatementError, match="wrong-engine-key"):
        kept(made, bytes(31) + b"1", STRANGER)


def test_nothing_else_may_be_longer_than_a_statement() -> None:
    too_long = keep(gaps(6_000), KEY, STRANGER)
    with pytest.raises(StatementError, match="too-long"):
        too_long.fields()
    with pytest.raises(StatementError, match="too-long"):
        parse_object(dump(too_long.to_object()))
