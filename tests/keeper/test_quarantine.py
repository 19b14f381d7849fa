"""A keeper that was put back from a copy is found out, stops itself and stays stopped."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from icrstore.keeper import queries, salvage
from icrstore.keeper.client import KeeperUntrue
from icrstore.keeper.courier import Courier
from icrstore.keeper.errors import Refused
from icrstore.keeper.evidence import check_cosigned
from icrstore.keeper.keys import Identity
from icrstore.keeper.ledger import Ledger
from icrstore.keeper.quarantine import take_own
from icrstore.keeper.telling import sign_notice
from icrstore.keeper.upkeep import keep_up
from icrstore.seal.epoch import ROLES, Role, other_role
from icrstore.tlog import merkle
from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint
from icrstore.tlog.note import SigningKey
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import PoolPolicy
from tests.attacks.test_revoked import revocation
from tests.keeper.pair import Pair, SealedEpoch, code_of, rows_of
from tests.keeper.papers import ACCOUNT, TENANT, last_hour, utc_now

NOW = timedelta(0)
PutBack = Callable[[Role], tuple[Pair, SealedEpoch]]
each_role = pytest.mark.parametrize("role", ROLES)


@pytest.fixture
def put_back(still_pair: Pair, tmp_path: Path) -> PutBack:
    """A pair of which one keeper forgot what it did since its copy: it lent to a question."""

    def put_back(role: Role) -> tuple[Pair, SealedEpoch]:
        folder = still_pair.processes[role].folder
        shutil.copytree(folder, tmp_path / "copy")
        with still_pair.serving_ahead(NOW):
            still_pair.register(still_pair.seal_epoch(last_hour(), rows_of(ACCOUNT)))
            still_pair.run(still_pair.question())
            waiting = still_pair.seal_epoch(last_hour(), {})
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "copy", folder)
        return still_pair, waiting

    return put_back


def is_quarantined(pair: Pair, role: Role) -> bool:
    with pair.owner(role) as keeper, keeper.store.read() as tx:
        return salvage.is_quarantined(tx)


def written(pair: Pair, role: Role) -> list[str]:
    """All that the two stores hold, but for the count of strangers."""
    told = []
    for name in ("keeper.db", "witness.db"):
        with closing(sqlite3.connect(pair.processes[role].folder / name)) as tx:
            told += [line for line in tx.iterdump() if "stranger" not in line]
    return told


def everything_refused(pair: Pair, role: Role, sealed: SealedEpoch) -> None:
    """It signs nothing and lends nothing, and its log can be read."""
    keeper, peer = pair.keeper(role), pair.keeper(other_role(role))
    origin = pair.show(role)["tenants"][0]["origin"]
    pools = PoolPolicy(TENANT, last_hour() + timedelta(hours=9), ())
    policy = Envelope.sign("policy", pools.to_fields(), pair.keys["tenant"])
    notice = sign_notice(TENANT, 0, "", "outbox", utc_now(), pair.keys["notifier"])
    calls: tuple[Callable[[], Any], ...] = (
        lambda: pair.keepers().commit(pair.question()),
        lambda: keeper.checkpoint(origin),
        lambda: keeper.certificates(TENANT, "0001-01-01"),
        lambda: keeper.key_schedule(TENANT, sealed.epoch.day, sealed.epoch.day),
        lambda: pair.teller(role).due(TENANT, 0),
        lambda: pair.keeper(role, "sealer").register(
            [(sealed.envelope, sealed.seals[role])], [pair.grant("sealer")]
        ),
        lambda: keeper.revoke(revocation(pair, "investigator")),
        lambda: pair.keeper(role, "sealer").log_policy(policy, [pair.grant("sealer")]),
        lambda: pair.teller(role, "notifier").told(TENANT, notice),
        lambda: keeper.show_cosigned(pair.keeper(other_role(role)).cosigned_last(origin)),
        # It does not cosign the other's log: what it remembers of that may be old as well.
        lambda: Courier(peer, keeper).certificates(TENANT, date.min),
    )
    before = written(pair, role)
    for call in calls:
        assert code_of(call) == "quarantined"
    assert written(pair, role) == before
    assert len(keeper.entries(origin, 0, 3)) == 3
    assert pair.show(role)["quarantine"]


@each_role
def test_the_next_question_finds_it_out_and_it_lends_nothing_more(
    put_back: PutBack, role: Role
) -> None:
    pair, sealed = put_back(role)
    with pair.serving_ahead(NOW) as keepers:
        with pytest.raises(KeeperUntrue) as found:
            keepers.commit(pair.question())
        assert (found.value.role, found.value.code) == (role, "forked")
        everything_refused(pair, role, sealed)
    with pair.serving_ahead(NOW):
        everything_refused(pair, role, sealed)
    with pair.owner(role) as keeper, pytest.raises(Refused, match="quarantined"):
        keep_up(keeper)


@each_role
def test_the_janitors_next_look_finds_it_out(put_back: PutBack, role: Role) -> None:
    pair, _ = put_back(role)
    with pair.serving_ahead(NOW):
        courier = Courier(pair.keeper(role), pair.keeper(other_role(role)))
        with pytest.raises(KeeperUntrue):
            courier.certificates(TENANT, date.min)
        assert code_of(lambda: courier.certificates(TENANT, date.min)) == "quarantined"


def signed(pair: Pair, role: Role, size: int, twist: bytes = b"", pseudonym: str = "") -> bytes:
    """A checkpoint by the keeper's own log key, of leaves that nobody has."""
    identity = Identity.load(pair.processes[role].folder)
    origin: str = pair.show(role)["tenants"][0]["origin"]
    key = SigningKey(f"{identity.name}/{pseudonym}" if pseudonym else origin, identity.log)
    root = merkle.root_of(b"leaf %d" % n + twist for n in range(size))
    return sign_checkpoint(Checkpoint(key.name, size, root), key).encode()


@each_role
@pytest.mark.parametrize("size", [1, 2, 5, 6, 100], ids=str)
def test_what_it_signed_and_does_not_know_stops_it_whatever_the_size(
    still_pair: Pair, role: Role, size: int
) -> None:
    note = signed(still_pair, role, size)
    with still_pair.owner(role, timedelta(days=-365)) as keeper:
        assert take_own(keeper, note) == {"is_quarantined": True}
        # The first one is kept; more of them fill nothing.
        take_own(keeper, signed(still_pair, role, size + 1))
        with keeper.store.read() as tx:
            assert [one.note for one in salvage.quarantines(tx)] == [note]
    assert is_quarantined(still_pair, role)


def test_a_log_that_is_younger_than_the_copy_stops_it_too(still_pair: Pair) -> None:
    with still_pair.owner("operator") as keeper:
        assert take_own(keeper, signed(still_pair, "operator", 3, pseudonym="0" * 16)) == {
            "is_quarantined": True
        }


def test_what_was_evidence_once_is_so_again(still_pair: Pair) -> None:
    shown = salvage.Evidence("log", b"note", 0)
    with still_pair.owner("operator") as keeper, keeper.store.write() as tx:
        salvage.quarantine(tx, shown)
        salvage.end_quarantine(tx, 1)
        salvage.quarantine(tx, shown)
        assert salvage.quarantines(tx) == [shown]


@each_role
def test_what_others_signed_or_it_knows_stops_it_not(still_pair: Pair, role: Role) -> None:
    good = signed(still_pair, role, 3)
    foreign = signed(still_pair, other_role(role), 3)
    with still_pair.owner(role) as keeper:
        with keeper.store.read() as tx:
            own = Ledger(tx, keeper.identity, queries.tenant(tx, TENANT)).checkpoint().encode()
        assert take_own(keeper, own) == {"is_quarantined": False}
        broken = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
        for note in (*broken, foreign, b"", good + b"x", good * 2):
            with pytest.raises(Refused) as refused:
                take_own(keeper, note)
            assert refused.value.code in ("malformed", "unknown-origin", "not-signed")
    assert not is_quarantined(still_pair, role)


def test_the_witness_shows_what_it_cosigned_last(pair: Pair) -> None:
    pair.run(pair.question())
    for role in ROLES:
        origin = pair.show(role)["tenants"][0]["origin"]
        note = pair.keeper(other_role(role)).cosigned_last(origin)
        signed, _ = check_cosigned(note.encode(), pair.log_keys(role))
        assert (signed.origin, note.count("\u2014")) == (origin, 2)
        nobody = origin[:-16] + "0" * 16
        gone = lambda: pair.keeper(other_role(role)).cosigned_last(nobody)  # noqa: B023, E731
        assert code_of(gone) == "no-such-log"


@each_role
def test_a_cosigned_head_that_it_does_not_know_stops_it_too(put_back: PutBack, role: Role) -> None:
    """Whoever brings the other keeper's time brings what it cosigned."""
    pair, _ = put_back(role)
    with pair.serving_ahead(NOW):
        origin = pair.show(role)["tenants"][0]["origin"]
        note = pair.keeper(other_role(role)).cosigned_last(origin)
        assert code_of(lambda: pair.keeper(role).show_cosigned(note)) == "quarantined"
    assert is_quarantined(pair, role)
