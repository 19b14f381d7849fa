from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.answers import KeeperRefused, KeeperUntrue
from icrstore.keeper.client import Keeper
from icrstore.keeper.keys import Identity
from icrstore.seal.epoch import day_of
from icrstore.vault.schedule import DayKeys
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import KeySchedule
from tests.keeper.pair import Pair
from tests.keeper.papers import TENANT, utc_now

TODAY = day_of(utc_now())


def days_in(pair: Pair, folder: Path) -> DayKeys:
    return DayKeys(folder, (pair.keeper("operator", "sealer"), pair.keeper("oversight", "sealer")))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_keepers_own_key_of_the_day_is_given(pair: Pair, tmp_path: Path) -> None:
    given = days_in(pair, tmp_path).of(TENANT, TODAY)
    assert given == {
        ("operator", 1): pair.day_key("operator", TODAY),
        ("oversight", 1): pair.day_key("oversight", TODAY),
    }
    assert len(set(given.values())) == 2


def test_keys_on_file_are_used_while_keepers_are_away(pair: Pair, tmp_path: Path) -> None:
    first = days_in(pair, tmp_path).of(TENANT, TODAY)
    kept = files(tmp_path)
    assert days_in(pair, tmp_path).of(TENANT, TODAY) == first
    assert files(tmp_path) == kept


def test_a_new_day_is_fetched(pair: Pair, tmp_path: Path) -> None:
    days = days_in(pair, tmp_path)
    days.of(TENANT, TODAY)
    later = day_of(utc_now() + timedelta(days=20))
    assert days.of(TENANT, later) == {
        (role, 1): pair.day_key(role, later) for role in ("operator", "oversight")
    }


def test_another_keepers_schedule_on_file_is_not_used(pair: Pair, tmp_path: Path) -> None:
    days = days_in(pair, tmp_path)
    right = days.of(TENANT, TODAY)
    mine, other = sorted(tmp_path.iterdir())
    mine.write_bytes(other.read_bytes())
    assert days.of(TENANT, TODAY) == right


@pytest.mark.parametrize("signer", ["stranger", "tenant", "sealer"])
def test_a_schedule_that_the_keeper_did_not_sign_is_not_used(
    pair: Pair, tmp_path: Path, signer: str
) -> None:
    days = days_in(pair, tmp_path)
    right = days.of(TENANT, TODAY)
    for path in tmp_path.iterdir():
        genuine = KeySchedule.parse(Envelope.parse(path.read_bytes(), "key-schedule"))
        fields = {**genuine.to_fields()}
        fields["days"] = [{**day, "key": fields["days"][0]["key"]} for day in fields["days"]]
        path.write_bytes(Envelope.sign("key-schedule", fields, pair.keys[signer]).encode())
    assert days.of(TENANT, TODAY) == right


class Exchanged(Keeper):
    """A keeper before which somebody sits, who answers a schedule of his own."""

    signer: Ed25519PrivateKey
    changes: Mapping[str, Any]

    def _get(self, path: str) -> Any:
        genuine = KeySchedule.parse(Envelope.read(super()._get(path), "key-schedule"))
        made = replace(genuine, **self.changes)
        return Envelope.sign("key-schedule", made.to_fields(), self.signer).to_object()


@pytest.mark.parametrize(
    ("signer", "changes"),
    [("stranger", {}), ("own", {"tenant": "another"}), ("own", {"role": "oversight"}),
     ("own", {"instance": 2})],
)  # fmt: skip
def test_a_schedule_that_comes_is_this_keepers_and_this_tenants(
    pair: Pair, signer: str, changes: Mapping[str, Any]
) -> None:
    genuine = pair.keeper("operator", "sealer")
    exchanged = Exchanged(genuine.identity, genuine._peer.address, None)
    own = Identity.load(pair.processes["operator"].folder).identity
    exchanged.signer, exchanged.changes = own, {}
    assert exchanged.key_schedule(TENANT, TODAY, TODAY)
    exchanged.signer, exchanged.changes = {**pair.keys, "own": own}[signer], changes
    with pytest.raises(KeeperUntrue):
        exchanged.key_schedule(TENANT, TODAY, TODAY)


def test_a_file_that_is_half_there_is_fetched_again(pair: Pair, tmp_path: Path) -> None:
    days = days_in(pair, tmp_path)
    right = days.of(TENANT, TODAY)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert days.of(TENANT, TODAY) == right


def test_a_tenant_that_keepers_do_not_know_has_no_keys(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(KeeperRefused):
        days_in(pair, tmp_path).of("no-such-isp", TODAY)
    assert not files(tmp_path)


def test_a_day_that_the_keeper_has_no_key_of_is_an_untruth_not_a_crash(
    pair: Pair, tmp_path: Path
) -> None:
    """Asked for days around one that has expired, a keeper answers with those that have not."""
    expired = day_of(utc_now() - timedelta(days=366))
    with pytest.raises((KeeperUntrue, KeeperRefused)):
        days_in(pair, tmp_path).of(TENANT, expired)
