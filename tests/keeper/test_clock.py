"""Clocks that are wrong, on one keeper and on both: nothing is destroyed early, nothing lent."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from icrstore.keeper import queries
from icrstore.keeper.cli import run
from icrstore.keeper.client import Question
from icrstore.keeper.clock import Boot
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.leaves import LeafText
from icrstore.keeper.ledger import Draft
from icrstore.keeper.names import witness_key_name
from icrstore.keeper.recovery import clock_state, confirm
from icrstore.keeper.schedule import key_schedule
from icrstore.keeper.upkeep import keep_up
from icrstore.seal.epoch import ROLES, Role
from icrstore.tlog.note import SigningKey, parse_note
from icrstore.warrant.statements import AccountSelector, HourRange
from tests.keeper.pair import Pair, agreed, code_of, rows_of
from tests.keeper.papers import ACCOUNT, TENANT, last_hour, utc_now

YEAR, HOUR = timedelta(days=365), timedelta(hours=1)
each_role = pytest.mark.parametrize("role", ROLES)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.code


def schedule(keeper: Keeper) -> Any:
    day = keeper.clock().date().isoformat()
    return key_schedule(keeper, TENANT, day, day)


def kept(keeper: Keeper) -> tuple[Any, ...]:
    """All that a shredding would change."""
    with keeper.store.read() as tx:
        days = queries.days(tx, TENANT, "0000", "9999")
        return keeper.chain(), days, queries.shreds_after(tx, TENANT, "0000", 999)


def types(keeper: Keeper) -> list[str]:
    with keeper.store.read() as tx:
        texts = queries.leaf_texts(tx, TENANT, 0, 9999)
    return [LeafText.parse(each.decode()).type for each in texts]


def write_leaf(keeper: Keeper) -> None:
    with keeper.write() as call:
        call.ledger(TENANT).append(Draft("refusal", {"code": "a-test"}), call.now)


@each_role
@pytest.mark.parametrize(
    ("ahead", "code"),
    [(YEAR, "clock-ahead"), (97 * HOUR, "clock-ahead"), (-YEAR, "clock-behind"),
     (-HOUR, "clock-behind")],
)  # fmt: skip
def test_a_clock_that_is_off_after_a_restart_refuses_and_destroys_nothing(
    still_pair: Pair, role: Role, ahead: timedelta, code: str
) -> None:
    with still_pair.owner(role, ahead) as keeper:
        before = kept(keeper)
        assert refused(lambda: keep_up(keeper)) == code
        assert refused(lambda: schedule(keeper)) == code
        assert refused(lambda: write_leaf(keeper)) == code
        assert kept(keeper) == before


@pytest.mark.parametrize("ahead", [YEAR, -YEAR])
def test_clocks_that_are_off_by_a_year_on_both_answer_no_call(
    still_pair: Pair, ahead: timedelta
) -> None:
    question = still_pair.question()
    with still_pair.serving_ahead(ahead) as keepers:
        code = "clock-ahead" if ahead > timedelta(0) else "clock-behind"
        assert code_of(lambda: keepers.commit(question)) == code
        # Two clocks that are wrong alike agree with each other, and that opens nothing.
        assert code_of(lambda: still_pair.agree(ahead)) == code
    with still_pair.serving_ahead(timedelta(0)):
        assert still_pair.run(question).shares


@pytest.mark.parametrize("step", [timedelta(seconds=122), HOUR, 25 * HOUR, YEAR])
def test_a_clock_that_was_set_while_the_host_ran_is_found_out(
    still_pair: Pair, step: timedelta
) -> None:
    now = utc_now()
    seconds = 1000

    def at(wall: timedelta, ran: int, boot: str = "one") -> Keeper:
        folder = still_pair.processes["operator"].folder
        return Keeper.open(folder, lambda: now + wall, lambda: Boot(boot, seconds + ran))

    # Two leaves in one second, of two boots: the later boot's counts.
    with closing(at(timedelta(0), 0, "the one before")) as keeper:
        write_leaf(keeper)
    with closing(at(timedelta(0), 0)) as keeper:
        write_leaf(keeper)
    # An hour passes on both clocks, and NTP may correct a little.
    with closing(at(HOUR + timedelta(seconds=100), 3600)) as keeper:
        assert schedule(keeper)
    with closing(at(HOUR + step, 3600)) as keeper:
        before = kept(keeper)
        assert refused(lambda: schedule(keeper)) in ("clock-stepped", "clock-ahead")
        assert refused(lambda: keep_up(keeper)) in ("clock-stepped", "clock-ahead")
        assert kept(keeper) == before
    with closing(at(timedelta(seconds=60), 3600)) as keeper:
        assert refused(lambda: schedule(keeper)) == "clock-stepped"
    # Set right again it is right.
    with closing(at(HOUR, 3600)) as keeper:
        assert schedule(keeper)


@pytest.mark.parametrize("ahead", [timedelta(minutes=3), HOUR, 25 * HOUR])
def test_after_a_reboot_nothing_is_destroyed_or_lent_until_the_peer_agrees(
    still_pair: Pair, ahead: timedelta
) -> None:
    """However little the clock is ahead: the host started with it, and nobody has checked it."""
    with still_pair.owner("operator") as keeper:
        agreed(keeper)
        assert clock_state(keeper)["refuses"] == "-"
        before = kept(keeper)
    question = question_at(still_pair, ahead)
    with still_pair.serving_ahead(ahead) as keepers:
        commits = keepers.commit(question)
        releases = keepers.release(question, commits)
    with still_pair.owner("operator", ahead) as keeper:
        # Leaves were written in this boot, and take no doubt away, nor does another call.
        for _ in range(2):
            write_leaf(keeper)
            keep_up(keeper)
            assert clock_state(keeper)["refuses"] == "clock-doubtful"
        assert kept(keeper)[0] == before[0]
        assert kept(keeper)[2] == before[2]
    with still_pair.serving_ahead(ahead) as keepers:
        # The question's own release brings the peer's time.
        assert keepers.lend(question, commits, releases, still_pair.engine_key)
    with still_pair.owner("operator", ahead) as keeper:
        assert clock_state(keeper)["refuses"] == "-"
        keep_up(keeper)
        assert kept(keeper)[0].day == keeper.clock().date()


def test_a_step_after_the_peer_agreed_is_found_out_though_no_leaf_was_written(
    still_pair: Pair,
) -> None:
    """The boot clock is compared from the agreement on, also in a boot without a leaf."""
    now = utc_now() + HOUR

    def at(wall: timedelta, ran: int) -> Keeper:
        folder = still_pair.processes["operator"].folder
        return Keeper.open(folder, lambda: now + wall, lambda: Boot("new", 50 + ran))

    with closing(at(timedelta(0), 0)) as keeper:
        agreed(keeper)
        assert clock_state(keeper)["refuses"] == "-"
    with closing(at(HOUR, 3600)) as keeper:
        assert clock_state(keeper)["refuses"] == "-"
    with closing(at(2 * HOUR, 3600)) as keeper:
        assert clock_state(keeper)["refuses"] == "clock-stepped"


@each_role
def test_after_a_weekend_nothing_is_destroyed_until_the_peer_agrees(
    still_pair: Pair, role: Role
) -> None:
    weekend = 63 * HOUR
    with still_pair.owner(role, weekend) as keeper:
        before = kept(keeper)
        keep_up(keeper)
        # Leaves are written all the same, and take no doubt away.
        write_leaf(keeper)
        keep_up(keeper)
        chain, days, shreds = kept(keeper)
        assert (chain, shreds) == (before[0], before[2])
        assert days[: len(before[1])] == before[1]
        assert clock_state(keeper)["refuses"] == "clock-doubtful"
    with still_pair.serving_ahead(weekend):
        still_pair.agree(weekend)
    with still_pair.owner(role, weekend) as keeper:
        keep_up(keeper)
        chain, days, shreds = kept(keeper)
        assert chain.day == keeper.clock().date()
        assert len(shreds) == (chain.day - before[0].day).days in (2, 3)
        assert clock_state(keeper)["refuses"] == "-"


def test_a_weekend_switched_off_needs_no_ceremony(still_pair: Pair) -> None:
    """The question itself carries the peer's time."""
    with still_pair.serving_ahead(timedelta(0)):
        sealed = still_pair.seal_epoch(last_hour(), rows_of(ACCOUNT))
        still_pair.register(sealed)
    weekend = 63 * HOUR
    question = question_at(still_pair, weekend)
    with still_pair.serving_ahead(weekend) as keepers:
        commits = keepers.commit(question)
        releases = keepers.release(question, commits)
        shares = keepers.lend(question, commits, releases, still_pair.engine_key)
    assert all((sealed.epoch.eid, AccountSelector(ACCOUNT)) in shares[role] for role in ROLES)


def test_a_doubtful_clock_lends_nothing_against_an_old_cosignature(still_pair: Pair) -> None:
    weekend = 63 * HOUR
    question = question_at(still_pair, weekend)
    with still_pair.serving_ahead(weekend) as keepers:
        commits = keepers.commit(question)
        releases = keepers.release(question, commits)
    with still_pair.serving_ahead(weekend + timedelta(minutes=5)) as later:
        lend = lambda: later.lend(question, commits, releases, still_pair.engine_key)  # noqa: E731
        assert code_of(lend) == "clock-doubtful"


@pytest.mark.parametrize("seconds", [-125, 125, 86400, -86400 * 365])
def test_a_peers_time_that_differs_is_no_agreement(still_pair: Pair, seconds: int) -> None:
    weekend = 63 * HOUR
    with still_pair.serving_ahead(weekend):
        keeper = still_pair.keeper("operator")
        checkpoint = cosigned_at(still_pair, weekend + timedelta(seconds=seconds))
        assert code_of(lambda: keeper.show_cosigned(checkpoint)) == "clocks-differ"
        keeper.show_cosigned(cosigned_at(still_pair, weekend))


def test_nobody_but_the_peer_makes_an_agreement(still_pair: Pair) -> None:
    weekend = 63 * HOUR
    with still_pair.serving_ahead(weekend):
        keeper = still_pair.keeper("operator")
        good = cosigned_at(still_pair, weekend)
        bare = "".join(good.splitlines(keepends=True)[:-1])
        foreign = good.replace("operator-1", "operator-2")
        for note in (bare, foreign, good.replace("\n\n", "\nmore\n\n"), "", "\x00"):
            assert code_of(lambda note=note: keeper.show_cosigned(note)) == "evidence-refused"  # type: ignore[misc]


@each_role
def test_a_confirmed_clock_is_logged_and_destroys_nothing_alone(
    still_pair: Pair, role: Role
) -> None:
    with still_pair.owner(role, YEAR) as keeper:
        before, leaves = kept(keeper), types(keeper)
        assert confirm(keeper)
        assert types(keeper) == [*leaves, "recovery"]
        # A second time, or where nothing is refused, it says nothing.
        assert not confirm(keeper)
        assert types(keeper) == [*leaves, "recovery"]
        keep_up(keeper)
        chain, days, shreds = kept(keeper)
        assert (chain, shreds) == (before[0], before[2])
        assert days[: len(before[1])] == before[1]


def test_a_step_of_hours_that_was_confirmed_destroys_nothing_alone(still_pair: Pair) -> None:
    """However small: who looked may be mistaken, and a day ahead is a day of everyone's."""
    now = utc_now() + timedelta(minutes=1)

    def at(wall: timedelta, ran: int) -> Keeper:
        folder = still_pair.processes["operator"].folder
        return Keeper.open(folder, lambda: now + wall, lambda: Boot("one", 1000 + ran))

    with closing(at(timedelta(0), 0)) as keeper:
        write_leaf(keeper)
        before = kept(keeper)
    with closing(at(25 * HOUR, 60)) as keeper:
        assert clock_state(keeper)["refuses"] == "clock-stepped"
        assert confirm(keeper)
        assert clock_state(keeper)["refuses"] == "clock-doubtful"
        write_leaf(keeper)
        keep_up(keeper)
        chain, _, shreds = kept(keeper)
        assert (chain, shreds) == (before[0], before[2])


def test_a_clock_is_confirmed_forward_only(still_pair: Pair) -> None:
    with still_pair.owner("operator", -YEAR) as keeper:
        leaves = types(keeper)
        assert refused(lambda: confirm(keeper)) == "clock-behind"
        assert types(keeper) == leaves


def test_the_command_shows_the_clock_and_has_nothing_to_confirm(
    still_pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(still_pair.processes["operator"].folder)
    assert run(["clock", "show", "--store", store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refuses"] == "-"
    assert run(["clock", "confirm", "--store", store]) == 0
    assert "nothing to confirm" in capsys.readouterr().out


def test_the_command_confirms_and_a_refusal_says_the_mend(
    still_pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    process = still_pair.processes["operator"]
    age_last_leaf(still_pair, 97 * HOUR)
    pinning = ["pin", "tenant", "zulu", "A" * 43 + "=", "--store", str(process.folder)]
    assert run(pinning) == 1
    told = capsys.readouterr().err
    assert "clock-ahead" in told
    assert "clock confirm" in told
    assert run(["clock", "confirm", "--store", str(process.folder)]) == 0
    assert "confirmed" in capsys.readouterr().out
    assert run(pinning) == 0


def age_last_leaf(pair: Pair, by: timedelta) -> None:
    """As if the store had lain there for so long."""
    with pair.owner("operator") as keeper, keeper.store.write() as tx:
        tx.execute("UPDATE clock SET last_leaf_at = last_leaf_at - ?, trusted_at = trusted_at - ?,"
                   " boot = ''", (by.total_seconds(),) * 2)  # fmt: skip


def cosigned_at(pair: Pair, ahead: timedelta) -> str:
    """The operator's log as the oversight keeper cosigns it by a clock of its own."""
    logged = pair.keeper("operator").certificates(TENANT, "0001-01-01")
    note = parse_note(logged.checkpoint.encode())
    with pair.owner("oversight") as keeper:
        witness = SigningKey(witness_key_name(keeper.identity.name), keeper.identity.witness)
    moment = int((datetime.now(UTC) + ahead).timestamp())
    return logged.checkpoint + witness.cosign(note.body, moment).line()


def question_at(pair: Pair, ahead: timedelta) -> Question:
    """A question put after so long, about the last hour before now."""
    return pair.question_at(ahead, HourRange(last_hour(), last_hour() + HOUR))
