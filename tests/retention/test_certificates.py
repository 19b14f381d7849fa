"""Certificates are copied as both keepers logged them, and a clock in doubt is agreed upon."""

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.tenancy import of_tenant
from icrstore.keeper.answers import KeeperUntrue, Logged
from icrstore.keeper.calls import Keeper, with_witnesses
from icrstore.keeper.courier import Courier
from icrstore.keeper.evidence import Evidence, check_leaves
from icrstore.keeper.leaves import Leaf
from icrstore.keeper.recovery import clock_state
from icrstore.keeper.upkeep import keep_up
from icrstore.retention.certificates import copy, held
from icrstore.retention.models import Certificate
from icrstore.seal.epoch import HOUR, ROLES
from icrstore.warrant.strict import parse_object
from tests.keeper.pair import Pair, agreed
from tests.keeper.papers import TENANT, utc_now
from tests.vault.rooms import Database, Rooms

A_DAY = 25 * HOUR


def couriers_of(pair: Pair, ahead: timedelta) -> list[Courier]:
    """As the janitor's: without any key."""
    keepers = [pair.keeper(role, ahead=ahead) for role in ROLES]
    bare = [Keeper(each.identity, each._peer.address, None) for each in keepers]
    return [Courier(*each) for each in with_witnesses(bare)]


def upkeep(pair: Pair, ahead: timedelta, is_agreed: bool = True) -> None:
    for role in ROLES:
        with pair.owner(role, ahead) as keeper:
            if is_agreed:
                agreed(keeper)
            keep_up(keeper)


def rows() -> list[Certificate]:
    with of_tenant(TENANT):
        return list(Certificate.objects.order_by("role", "day"))


def test_both_keepers_certificates_are_kept_with_their_proof(
    database: Database, rooms: Rooms, still_pair: Pair
) -> None:
    upkeep(still_pair, A_DAY)
    database.use("janitor")
    try:
        with still_pair.serving_ahead(A_DAY):
            couriers = couriers_of(still_pair, A_DAY)
            assert copy(couriers) == len(rows()) >= 2
            # A second look, or a second janitor, brings nothing.
            assert copy(couriers) == 0
        assert {row.role for row in rows()} == set(ROLES)
        for row in rows():
            evidence = Evidence.read(parse_object(bytes(row.evidence)))
            check_leaves(evidence, still_pair.log_keys(row.role), 1)  # type: ignore[arg-type]
            said = parse_object(evidence.leaves[0].private.encode())
            assert (said["day"], said["epochs"]) == (f"{row.day}", row.epochs)
        first = utc_now().date() - timedelta(days=364)
        assert rows()[0].day == first
        assert held(TENANT, "operator", 1) >= first
    finally:
        database.use("admin")


def test_a_year_of_certificates_comes_page_by_page(rooms: Rooms, still_pair: Pair) -> None:
    ahead = timedelta(days=250)
    still_pair.live_until(ahead)
    with still_pair.serving_ahead(ahead):
        assert copy(couriers_of(still_pair, ahead)) == len(rows()) >= 500


def test_a_keeper_that_is_down_holds_up_nothing(rooms: Rooms, still_pair: Pair) -> None:
    upkeep(still_pair, A_DAY)
    with still_pair.serving_ahead(A_DAY):
        operator, oversight = couriers_of(still_pair, A_DAY)
        gone = Keeper(oversight.identity, f"unix:/tmp/{secrets.token_hex(8)}", None)
        down = Courier(gone, operator._keeper)
        assert copy([down, operator]) >= 1
    assert {row.role for row in rows()} == {"operator"}


def test_the_janitors_look_ends_a_weekends_doubt(rooms: Rooms, still_pair: Pair) -> None:
    weekend = 63 * HOUR
    upkeep(still_pair, weekend, is_agreed=False)
    with still_pair.serving_ahead(weekend):
        assert copy(couriers_of(still_pair, weekend)) == 0
    for role in ROLES:
        with still_pair.owner(role, weekend) as keeper:
            assert clock_state(keeper)["refuses"] == "-"
    upkeep(still_pair, weekend, is_agreed=False)
    with still_pair.serving_ahead(weekend):
        assert copy(couriers_of(still_pair, weekend)) >= 4


class Lying(Keeper):
    """A keeper whose answer was changed on its way, or by itself."""

    change: Callable[[Leaf], Leaf]

    def certificates(self, tenant: str, after: str) -> Logged:
        logged = super().certificates(tenant, after)
        return replace(logged, leaves=tuple(map(self.change, logged.leaves)))


def said(**changes: Any) -> Callable[[Leaf], Leaf]:
    def change(leaf: Leaf) -> Leaf:
        told = {**parse_object(leaf.private.encode()), **changes}
        return replace(leaf, private=json.dumps(told, separators=(",", ":"), sort_keys=True))

    return change


@pytest.mark.parametrize(
    "change",
    [
        said(),  # unchanged: this one is taken
        said(day="2020-01-01"),
        said(epochs=0.5),
        said(epochs=7),
        said(tenant="zulu"),
        said(type="pin"),
        said(more=1),
        lambda leaf: replace(leaf, text=leaf.text.replace("shred", "notice")),
        lambda leaf: replace(leaf, index=0),
        lambda leaf: replace(leaf, private="{}"),
    ],
)
def test_a_certificate_that_its_log_does_not_hold_is_not_kept(
    rooms: Rooms, still_pair: Pair, change: Callable[[Leaf], Leaf], request: Any
) -> None:
    upkeep(still_pair, A_DAY)
    with still_pair.serving_ahead(A_DAY):
        operator, oversight = couriers_of(still_pair, A_DAY)
        lying = Lying(operator.identity, operator._keeper._peer.address, None)
        lying.change = change
        courier = Courier(lying, oversight._keeper)
        if "change0" in request.node.name:
            assert copy([courier]) >= 1
            return
        with pytest.raises(KeeperUntrue):
            courier.certificates(TENANT, date.min)
        assert copy([courier]) == 0
    assert rows() == []


def test_the_command_shows_both_certificates_of_a_day(rooms: Rooms, still_pair: Pair) -> None:
    upkeep(still_pair, A_DAY)
    with still_pair.serving_ahead(A_DAY):
        copy(couriers_of(still_pair, A_DAY))
    day = f"{rows()[0].day}"
    shown = StringIO()
    call_command("retention", "certificate", TENANT, day, stdout=shown)
    told = json.loads(shown.getvalue())
    assert [one["role"] for one in told["certificates"]] == list(ROLES)
    call_command("retention", "status", stdout=shown)
    assert "operator has certified up to" in shown.getvalue()
    with pytest.raises(CommandError, match="no certificate"):
        call_command("retention", "certificate", TENANT, "2020-01-01")
