"""Put back from a copy, quarantined, recovered: the log goes on, and nothing is lent too much."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from icrstore.keeper import queries, salvage
from icrstore.keeper.accesses import asked_of
from icrstore.keeper.answers import KeepersRefused, KeeperUntrue
from icrstore.keeper.budgets import pin_budget
from icrstore.keeper.canaries import pin_canaries
from icrstore.keeper.fsck import fsck
from icrstore.keeper.keys import Chain, Identity
from icrstore.keeper.leaves import LeafText
from icrstore.keeper.ledger import Draft, Ledger
from icrstore.keeper.pins import pin
from icrstore.keeper.policies import take_late
from icrstore.keeper.published import source
from icrstore.keeper.quarantine import take_own
from icrstore.keeper.recover import recover
from icrstore.keeper.recovery import clock_state
from icrstore.keeper.revocations import revoke
from icrstore.keeper.store import Store
from icrstore.keeper.telling import sign_notice
from icrstore.keeper.upkeep import keep_up
from icrstore.keeper.witness import SCHEMA, STORE, cosigned, remember
from icrstore.seal.epoch import ROLES, Epoch, Role, other_role
from icrstore.tlog import merkle
from icrstore.tlog.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from icrstore.tlog.merkle import root_of
from icrstore.tlog.note import SigningKey
from icrstore.warrant.backfill import Backfill
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.revocation import Revocation
from icrstore.warrant.statements import AccountSelector, HourRange
from icrstore.warrant.strict import encode_base64
from tests.keeper.outside import Outside
from tests.keeper.pair import Pair, SealedEpoch, code_of
from tests.keeper.papers import ACCOUNT, AUTHORITY, TENANT, last_hour, utc_now
from tests.keeper.story import Story, code, each_role, is_quarantined, story
from tests.keeper.test_expiry import LATE, counted, types

__all__ = ["story"]


@each_role
def test_it_goes_on_where_the_peer_cosigned_and_opens_old_and_new_epochs(story: Story) -> None:
    pair, role = story.pair, story.role
    size = len(story.outside.seen[role])
    (outcome,) = story.recover()
    assert outcome.lost == {"epoch": 1, "commit": 1, "release": 1, "disclosure": 1}
    with pair.owner(role) as keeper:
        # Nobody knows how old the copy was; the peer will say what time it is.
        assert clock_state(keeper)["refuses"] == "clock-doubtful"
    assert story.recover() == []
    with story.serving():
        # The lost epoch is brought again as an ordinary one, and no leaf is added for it.
        assert pair.register(*story.epochs) == {each: [None, None] for each in ROLES}
        story.outside.follow()
        assert story.outside.types(role, size) == ["recovery"]
        story.seal()
        lent = pair.run(story.new_question())
        for sealed in (story.epochs[0], story.epochs[2]):
            assert pair.open_rows(lent, sealed, AccountSelector(ACCOUNT))
        assert {e.eid for e in lent.commits[role].epochs} == {e.epoch.eid for e in story.epochs}
        pair.keepers().disclose(lent.question, pair.disclosure(lent.question, ACCOUNT))
        story.outside.follow()
    tags = [LeafText.parse(leaf.decode()).tag for leaf in story.outside.seen[role]]
    assert len(set(tags)) == len(tags)
    assert fsck(story.store, print) == []
    with pair.owner(role) as keeper:
        listed = asked_of(keeper)
    # Of what was lost oversight still sees that it was.
    assert [row["type"] for row in listed if "request_sha256" not in row] == [
        "commit", "release", "disclosure"
    ]  # fmt: skip


@each_role
def test_nothing_is_lent_under_a_warrant_that_may_have_been_used(story: Story) -> None:
    story.recover()
    pair = story.pair
    assert story.before
    assert story.after
    with story.serving():
        for question in (story.before, story.after, pair.question()):
            assert code_of(lambda q=question: pair.keepers().commit(q)) == "before-recovery"  # type: ignore[misc]
        answer = pair.disclosure(story.before, ACCOUNT)
        refused = lambda: pair.keepers().disclose(story.before, answer)  # noqa: E731
        assert code_of(refused) == "before-recovery"
        assert pair.run(story.new_question()).shares


def test_what_was_asked_in_the_lost_time_counts_in_every_budget_of_its_day(story: Story) -> None:
    """Whose those questions were, nobody can tell; so an officer gets no second 200."""
    story.recover()
    with story.pair.owner(story.role) as keeper:
        pin_budget(keeper, "officer", TENANT, 2, replace=False)
    with story.serving():
        new = story.new_question()
        assert code_of(lambda: story.pair.keepers().commit(new)) == "officer-budget-spent"
    with story.pair.owner(story.role) as keeper:
        pin_budget(keeper, "officer", TENANT, 3, replace=True)
    with story.serving():
        assert story.pair.run(story.new_question())


@pytest.mark.parametrize("found_out", ["before its upkeep", "after its upkeep"])
def test_what_was_lent_in_the_lost_time_is_not_said_to_have_ended_unreleased(
    still_pair: Pair, tmp_path: Path, found_out: str
) -> None:
    """The copy knows a question as asked and no more; the log has its release."""
    story = Story(still_pair, "operator", tmp_path, Outside(still_pair))
    pair, role = still_pair, story.role
    with story.serving():
        question = pair.question()
        pair.keepers().commit(question)
        story.outside.follow()
    story.copy()
    with story.serving():
        pair.run(question)
        story.outside.follow()
    story.put_back()
    published = source(str(story.outside.publish(tmp_path / "published")))
    with pair.owner(role, LATE) as keeper:
        if found_out == "after its upkeep":
            keep_up(keeper)
        take_own(keeper, story.outside.notes[role].encode())
        assert recover(keeper, published, pins_compared=False)
        keep_up(keeper)
        assert types(keeper).count("expired") == 0
        assert counted(keeper, question) == 1
    assert fsck(story.store, print) == []


def test_what_was_written_since_is_logged_anew_but_for_questions(
    still_pair: Pair, tmp_path: Path
) -> None:
    """An epoch, a refusal, a notice and a pin of the time between being put back and being found
    out; and the lost epoch, which its sealer brought once more meanwhile."""
    story = Story(still_pair, "operator", tmp_path, Outside(still_pair))
    pair, role = still_pair, story.role
    with story.serving():
        lent = pair.run(pair.question())
        story.outside.follow()
    story.copy()
    with story.serving():
        story.seal()
        story.outside.follow()
    story.put_back()
    with story.serving():
        story.epochs.append(pair.seal_epoch(last_hour(), {}))
        assert pair.register(*story.epochs, role=role) == {role: [None, None]}
        late = pair.question(pair.warrant(pair.warrant_of(valid_to=utc_now())))
        with pytest.raises(KeepersRefused):
            pair.keepers().commit(late)
        teller = pair.teller(role)
        (debt,) = read_debts(pair, role)
        notice = sign_notice(TENANT, debt, leaf_of(pair, role, debt), "outbox", utc_now(),
                             pair.keys["notifier"])  # fmt: skip
        teller.told(TENANT, notice)
        with pytest.raises(KeeperUntrue):
            pair.run(story.new_question())
    with pair.owner(role) as keeper, keeper.store.read() as tx:
        assert salvage.is_quarantined(tx)
    with pair.owner(role) as keeper:
        assert code(lambda: pin(keeper, "engine", TENANT, "x", bytes(32), False)) == "quarantined"
    (outcome,) = story.recover()
    assert outcome.lost == {"epoch": 1}
    assert fsck(story.store, print) == []
    with story.serving():
        size = len(story.outside.seen[role])
        story.outside.follow()
        assert story.outside.types(role, size) == ["recovery", "epoch", "refusal", "notice"]
        # No question was lost, so what was asked before goes on.
        assert pair.keepers().disclose(lent.question, pair.disclosure(lent.question, ACCOUNT))


def test_rights_of_the_time_since_are_logged_anew_and_hold(
    still_pair: Pair, tmp_path: Path
) -> None:
    story = Story(still_pair, "operator", tmp_path, Outside(still_pair))
    pair, role = still_pair, story.role
    story.copy()
    with story.serving():
        story.seal()
        story.outside.follow()
    story.put_back()
    until = utc_now() + timedelta(hours=9)
    backfill = Backfill(
        TENANT, "edge-1", HourRange(last_hour(), last_hour() + timedelta(hours=1)), until
    )
    revoked = Revocation(TENANT, AUTHORITY, pair.public("stranger"), utc_now())
    with pair.owner(role) as keeper:
        pin(keeper, "engine", TENANT, "engine-3", pair.public("stranger"), replace=False)
        pin_budget(keeper, "officer", TENANT, 7, replace=False)
        pin_canaries(keeper, TENANT, ["40-nobody"])
        take_late(keeper, Envelope.sign("policy", backfill.to_fields(), pair.keys["tenant"]))
        revoke(keeper, Envelope.sign("revoke", revoked.to_fields(), pair.keys["root"]))
        take_own(keeper, story.outside.notes[role].encode())
    (outcome,) = story.recover()
    assert (outcome.lost, outcome.anew) == ({"epoch": 1}, 5)
    assert fsck(story.store, print) == []
    with pair.owner(role) as keeper:
        assert types(keeper)[-6:] == ["recovery", "pin", "pin", "pin", "policy", "revoke"]
    assert pair.show(role)["tenants"][0]["budgets"]["officer"] == 7


def read_debts(pair: Pair, role: Role) -> list[int]:
    with pair.owner(role) as keeper, keeper.store.read() as tx:
        return [debt.leaf for debt in queries.debts_after(tx, TENANT, 0, 99)]


def leaf_of(pair: Pair, role: Role, number: int) -> str:
    with pair.owner(role) as keeper, keeper.store.read() as tx:
        return queries.leaf(tx, TENANT, number)[0].decode()


def test_nothing_is_planted_as_an_epoch_that_was_lost(story: Story) -> None:
    """Days later only the very epochs that the log holds come back."""
    pair, role, late = story.pair, story.role, timedelta(hours=99)
    published = story.outside.publish(story.folder / "published")
    lost = story.epochs[1]
    planted = pair.signed_epoch(lost.epoch, lost.atoms, lost.seals)
    other = Epoch.new(TENANT, lost.epoch.hour, 0)
    with pair.owner(role, late) as keeper:
        assert recover(keeper, source(str(published)), pins_compared=False)

    def register(*sealed: SealedEpoch) -> list[str | None]:
        keeper = pair.keeper(role, "sealer", late)
        pairs = [(one.envelope, one.seals[role]) for one in sealed]
        answer = keeper.register(pairs, [pair.grant("sealer")])
        return [answer.codes[one.epoch.eid] for one in sealed]

    fresh = pair.signed_epoch(other, lost.atoms, lost.seals)
    with pair.serving_ahead(late):
        assert register(planted) == ["hour-too-old"]
        assert register(fresh) == ["hour-too-old"]
        size = pair.leaves(role)
        assert register(lost) == [None]
        assert register(lost) == [None]
        assert register(planted) == ["epoch-differs"]
        assert pair.leaves(role) == size
    assert fsck(story.store, print) == []


def test_a_second_copy_is_found_out_as_the_first_and_an_old_head_says_nothing(
    story: Story,
) -> None:
    pair, role = story.pair, story.role
    with pair.owner(role) as keeper, keeper.store.read() as tx:
        ledger = Ledger(tx, keeper.identity, queries.tenant(tx, TENANT))
        # A head that it signed while it had forgotten: nobody cosigned it.
        head = signed_head(ledger, Identity.load(story.store))
    story.recover()
    with pair.owner(role) as keeper:
        assert take_own(keeper, head) == {"is_quarantined": False}
    with story.serving():
        pair.run(story.new_question())
    story.put_back()
    with story.serving(), pytest.raises(KeeperUntrue):
        pair.run(story.new_question())
    assert is_quarantined(story)


def signed_head(ledger: Ledger, identity: Identity) -> bytes:
    made = Checkpoint(ledger.origin, ledger.size, merkle.root(ledger.node, ledger.size))
    return sign_checkpoint(made, SigningKey(ledger.origin, identity.log)).encode()


def test_the_chain_does_not_go_back_with_the_copy(story: Story) -> None:
    """Put back in spite of all: what was certified as destroyed stays closed."""
    story.recover()
    story.copy_again()
    today, old = utc_now().date(), Chain.start(utc_now().date() - timedelta(days=40))
    with story.pair.owner(story.role) as keeper, keeper.write() as call:
        day = f"{today - timedelta(days=365)}"
        draft = Draft("shred", {"day": day, "epochs": 0})
        leaf = call.ledger(TENANT).append(draft, call.now)
        queries.add_shred(call.tx, TENANT, day, leaf.index)
    with story.serving():
        story.outside.follow()
    story.put_back()
    old.save(story.store)
    (outcome,) = story.recover()
    assert outcome.lost == {"shred": 1}
    assert Chain.load(story.store) == old.advance(today)


def test_trust_that_was_given_in_the_lost_time_must_be_compared(story: Story) -> None:
    pair, role = story.pair, story.role
    story.recover()
    story.copy_again()
    with pair.owner(role) as keeper:
        pin(keeper, "engine", TENANT, "engine-2", pair.public("stranger"), replace=True)
    with story.serving():
        story.outside.follow()
    story.put_back()
    assert code(story.recover) == "pins-lost"
    assert story.recover(pins_compared=True)


def test_a_key_that_was_revoked_in_the_lost_time_is_missed_by_who_compares(
    still_pair: Pair, tmp_path: Path
) -> None:
    story = Story(still_pair, "operator", tmp_path, Outside(still_pair))
    pair, role = still_pair, story.role
    with story.serving():
        lent = pair.run(pair.question())
        story.outside.follow()
    story.copy()
    revoked = Revocation(TENANT, AUTHORITY, pair.public("stranger"), utc_now())
    envelope = Envelope.sign("revoke", revoked.to_fields(), pair.keys["root"])
    told = {"tenant": TENANT, "issuer_key": encode_base64(pair.public("root")),
            "key": encode_base64(pair.public("stranger"))}  # fmt: skip
    with pair.owner(role) as keeper:
        assert revoke(keeper, envelope)
    assert pair.show(role)["revocations"] == [told]
    with story.serving():
        story.outside.follow()
    story.put_back()
    assert code(story.recover) == "pins-lost"
    assert story.recover(pins_compared=True)
    assert pair.show(role)["revocations"] == []
    with pair.owner(role) as keeper:
        assert revoke(keeper, envelope)
    assert pair.show(role)["revocations"] == [told]
    assert fsck(story.store, print) == []
    with story.serving():
        # No question was lost, so what was asked before goes on.
        assert pair.keepers().disclose(lent.question, pair.disclosure(lent.question, ACCOUNT))


@each_role
def test_the_witness_remembers_what_it_cosigned(story: Story) -> None:
    """It cosigns no other history of the peer's after the copy's size."""
    peer = other_role(story.role)
    origin = story.outside.notes[peer].splitlines()[0]
    with closing(Store(story.folder / "copy" / STORE, SCHEMA)) as store, store.read() as tx:
        note = cosigned(tx)[origin]
    with closing(Store(story.store / STORE, SCHEMA)) as store, store.write() as tx:
        remember(tx, parse_checkpoint(note.body), note)
    story.recover()
    with closing(Store(story.store / STORE, SCHEMA)) as store, store.read() as tx:
        remembered = parse_checkpoint(cosigned(tx)[origin].body)
    seen = story.outside.seen[peer]
    assert (remembered.size, remembered.root) == (len(seen), root_of(seen))
    assert fsck(story.store, print) == []
