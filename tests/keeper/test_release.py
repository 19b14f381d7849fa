"""A keeper releases and lends only against what both logs hold, cosigned by the other."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.answers import Committed, Proven
from icrstore.keeper.client import KeeperUntrue, Question
from icrstore.keeper.evidence import Evidence
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.names import lend_info, witness_key_name
from icrstore.keeper.pins import pin
from icrstore.seal.epoch import ROLES, Role, other_role
from icrstore.tlog.note import Note, SigningKey, parse_note
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Disclosure
from icrstore.warrant.statements import AccountSelector
from icrstore.warrant.strict import Fields, StatementError, decode_base64
from icrstore.wire import hpke
from tests.keeper.pair import Pair, code_of, rows_of
from tests.keeper.papers import ACCOUNT, AUTHORITY, TENANT, last_hour, utc_now

each_role = pytest.mark.parametrize("role", ROLES)
Commits = Mapping[Role, Committed]


def shown(commits: Commits) -> dict[str, Any]:
    return {role: made.proven.evidence.to_object() for role, made in commits.items()}


def release_at(
    pair: Pair, role: Role, question: Question, evidence: Mapping[str, Any], caller: str = "engine"
) -> Fields:
    body = {"request_sha256": question.request.sha256.hex(), "evidence": dict(evidence)}
    return pair.keeper(role, caller).post("/v1/release", body)


def lend_at(
    pair: Pair, role: Role, question: Question, evidence: Evidence, caller: str = "engine"
) -> bytes:
    body = {"request_sha256": question.request.sha256.hex(), "evidence": evidence.to_object()}
    return pair.keeper(role, caller).post("/v1/lend", body).base64("sealed", longest=1 << 24)


def refused_with(pair: Pair, role: Role, question: Question, evidence: Mapping[str, Any]) -> str:
    return code_of(lambda: release_at(pair, role, question, evidence))


def note_of(evidence: dict[str, Any]) -> Note:
    return parse_note(evidence["checkpoint"].encode())


def unsigned_by_witness(evidence: dict[str, Any]) -> None:
    note = note_of(evidence)
    evidence["checkpoint"] = replace(note, signatures=note.signatures[:1]).encode().decode()


def cosigned_by_stranger(evidence: dict[str, Any]) -> None:
    """The right name, a key of one's own."""
    note = note_of(evidence)
    key = SigningKey(note.signatures[1].name, Ed25519PrivateKey.generate())
    forged = (note.signatures[0], key.cosign(note.body, int(utc_now().timestamp())))
    evidence["checkpoint"] = replace(note, signatures=forged).encode().decode()


def cosignature_flipped(evidence: dict[str, Any]) -> None:
    note = note_of(evidence)
    line = note.signatures[1]
    changed = replace(line, payload=line.payload[:-1] + bytes([line.payload[-1] ^ 1]))
    evidence["checkpoint"] = (
        replace(note, signatures=(note.signatures[0], changed)).encode().decode()
    )


def log_signature_gone(evidence: dict[str, Any]) -> None:
    note = note_of(evidence)
    evidence["checkpoint"] = replace(note, signatures=note.signatures[1:]).encode().decode()


def private_text_changed(evidence: dict[str, Any]) -> None:
    leaf = evidence["leaves"][0]
    leaf["private"] = leaf["private"].replace("services", "resolve")


def leaf_changed(evidence: dict[str, Any]) -> None:
    leaf = evidence["leaves"][0]
    leaf["leaf"] = leaf["leaf"].replace("\nday=20", "\nday=19")


def leaf_moved(evidence: dict[str, Any]) -> None:
    evidence["leaves"][0]["index"] -= 1


def proof_cut(evidence: dict[str, Any]) -> None:
    evidence["leaves"][0]["proof"].pop()


def leaf_dropped(evidence: dict[str, Any]) -> None:
    evidence["leaves"].pop()


def leaf_shown_twice(evidence: dict[str, Any]) -> None:
    evidence["leaves"][1] = evidence["leaves"][0]


@each_role
@pytest.mark.parametrize("whose", ROLES)
@pytest.mark.parametrize(
    "spoil",
    [
        unsigned_by_witness,
        cosigned_by_stranger,
        cosignature_flipped,
        log_signature_gone,
        private_text_changed,
        leaf_changed,
        leaf_moved,
        proof_cut,
        leaf_dropped,
        leaf_shown_twice,
    ],
)
def test_it_releases_nothing_on_spoilt_evidence_of_either_log(
    pair: Pair, two: tuple[Question, Commits], role: Role, whose: Role, spoil: Callable[[Any], None]
) -> None:
    question, commits = two
    evidence = shown(commits)
    spoil(evidence[whose])
    assert refused_with(pair, role, question, evidence) == "evidence-refused"


@pytest.fixture(scope="module")
def two(pair: Pair) -> tuple[Question, Commits]:
    """A question about two accounts, committed and never released."""
    accounts = (AccountSelector(ACCOUNT), AccountSelector("18-max"))
    question = pair.question(pair.warrant(pair.warrant_of(selectors=accounts)))
    return question, pair.keepers().commit(question)


@each_role
def test_it_releases_nothing_on_the_proof_of_one_role_alone(
    pair: Pair, two: tuple[Question, Commits], role: Role
) -> None:
    question, commits = two
    own: dict[str, Any] = shown(commits)[role]
    evidence: dict[str, Any] = {role: own, other_role(role): own}
    assert refused_with(pair, role, question, evidence) == "evidence-refused"
    assert refused_with(pair, role, question, {str(role): own}) == "missing-field"
    assert refused_with(pair, other_role(role), question, evidence) == "evidence-refused"


@each_role
def test_it_releases_nothing_on_the_proof_of_another_request(
    pair: Pair, two: tuple[Question, Commits], role: Role
) -> None:
    question, commits = two
    accounts = (AccountSelector(ACCOUNT), AccountSelector("18-max"))
    elsewhere = pair.keepers().commit(
        pair.question(pair.warrant(pair.warrant_of(selectors=accounts)))
    )
    for whose in ROLES:
        evidence = {**shown(commits), whose: shown(elsewhere)[whose]}
        assert refused_with(pair, role, question, evidence) == "evidence-refused"


@each_role
def test_it_releases_nothing_on_its_own_word_of_before_it_was_put_back(
    own_pair: Pair, role: Role, tmp_path: Path
) -> None:
    """The other keeper cosigned those leaves, and this log has them no more."""
    question, process = own_pair.question(), own_pair.processes[role]
    process.stop()
    shutil.copytree(process.folder, tmp_path / "backup")
    process.start()
    commits = own_pair.keepers().commit(question)
    process.stop()
    shutil.rmtree(process.folder)
    (tmp_path / "backup").rename(process.folder)
    process.start()
    own_pair.keeper(role).logged("/v1/commit", question.to_object())
    assert refused_with(own_pair, role, question, shown(commits)) == "evidence-refused"


@each_role
def test_it_lends_nothing_before_the_release(pair: Pair, role: Role) -> None:
    question = pair.question()
    commits = pair.keepers().commit(question)
    evidence = commits[role].proven.evidence
    assert code_of(lambda: lend_at(pair, role, question, evidence)) == "not-released"


@each_role
def test_it_lends_nothing_on_a_release_that_its_peer_did_not_cosign(pair: Pair, role: Role) -> None:
    question = pair.question()
    keepers = pair.keepers()
    commits = keepers.commit(question)
    releases = keepers.release(question, commits)
    own = releases[role].evidence
    for spoil in (unsigned_by_witness, cosigned_by_stranger, leaf_changed, leaf_moved):
        spoilt = own.to_object()
        spoil(spoilt)
        refused = code_of(lambda: lend_at(pair, role, question, Evidence.read(spoilt)))  # noqa: B023
        assert refused == "evidence-refused"
    for wrong in (releases[other_role(role)].evidence, commits[role].proven.evidence):
        refused = code_of(lambda: lend_at(pair, role, question, wrong))  # noqa: B023
        assert refused == "evidence-refused"
    assert lend_at(pair, role, question, own)


def test_one_role_released_lends_and_opens_nothing_by_itself(pair: Pair) -> None:
    sealed = pair.seal_epoch(last_hour() - timedelta(hours=3), rows_of(ACCOUNT))
    pair.register(sealed)
    question = pair.question()
    keepers = pair.keepers()
    commits = keepers.commit(question)
    fields = release_at(pair, "operator", question, shown(commits))
    assert fields.take("leaves")
    evidence = commits["oversight"].proven.evidence
    assert code_of(lambda: lend_at(pair, "oversight", question, evidence)) == "not-released"


@each_role
def test_a_release_and_a_loan_may_be_repeated_by_the_same_engine_alone(
    pair: Pair, role: Role
) -> None:
    question = pair.question()
    lent = pair.run(question)
    size = pair.leaves(role)
    again = pair.run(question)
    assert pair.leaves(role) == size
    assert again.shares == lent.shares
    leaves = [[leaf.text for leaf in one.releases[role].evidence.leaves] for one in (lent, again)]
    assert leaves[0] == leaves[1]
    evidence = shown(lent.commits)
    refused = code_of(lambda: release_at(pair, role, question, evidence, "engine-2"))
    assert refused == "another-engine"
    own = lent.releases[role].evidence
    assert code_of(lambda: lend_at(pair, role, question, own, "engine-2")) == "another-engine"


@each_role
def test_what_is_lent_opens_for_the_committed_key_this_request_and_this_keeper(
    pair: Pair, role: Role
) -> None:
    lent = pair.run(pair.question())
    sealed = lend_at(pair, role, lent.question, lent.releases[role].evidence)
    sha256 = lent.question.request.sha256
    right = lend_info(sha256, role, 1)
    assert hpke.open_(pair.engine_key, right, sealed) is not None
    wrong = [
        lend_info(sha256, other_role(role), 1),
        lend_info(sha256, role, 2),
        lend_info(bytes(32), role, 1),
    ]
    for info in wrong:
        with pytest.raises(hpke.DoesNotOpen):
            hpke.open_(pair.engine_key, info, sealed)
    with pytest.raises(hpke.DoesNotOpen):
        hpke.open_(hpke.PrivateKey.generate(), right, sealed)


@each_role
def test_an_unknown_request_is_neither_released_nor_lent(pair: Pair, role: Role) -> None:
    question, lent = pair.question(), pair.run(pair.question())
    evidence = shown(lent.commits)
    assert refused_with(pair, role, question, evidence) == "unknown-request"
    own = lent.releases[role].evidence
    assert code_of(lambda: lend_at(pair, role, question, own)) == "unknown-request"


def test_a_commit_that_nobody_released_in_time_ends(own_pair: Pair) -> None:
    question = own_pair.question()
    commits = own_pair.keepers().commit(question)
    with own_pair.serving_ahead(timedelta(minutes=15, seconds=30)) as late:
        assert code_of(lambda: late.release(question, commits)) == "request-expired"
        # It stays ended, even had the evidence been late and not the engine.
        assert code_of(lambda: late.release(question, commits)) == "request-expired"


def test_a_warrant_that_ended_since_the_commit_is_not_released(own_pair: Pair) -> None:
    soon = own_pair.warrant_of(valid_to=utc_now() + timedelta(minutes=5))
    question = own_pair.question(own_pair.warrant(soon))
    own_pair.keepers().commit(question)
    with own_pair.serving_ahead(timedelta(minutes=6)) as later:
        commits = later.commit(question)
        assert code_of(lambda: later.release(question, commits)) == "expired"


def test_people_whose_root_was_replaced_since_the_commit_are_not_released(own_pair: Pair) -> None:
    question = own_pair.question()
    commits = own_pair.keepers().commit(question)
    for role in ROLES:
        keeper = StoreOwner.open(own_pair.processes[role].folder)
        pin(keeper, "authority", TENANT, AUTHORITY, own_pair.public("stranger"), replace=True)
        keeper.close()
        assert refused_with(own_pair, role, question, shown(commits)) == "not-signed"


def test_an_investigator_whose_grant_ended_since_the_commit_is_not_released(
    own_pair: Pair,
) -> None:
    grants = [own_pair.grant(role) for role in ("applicant", "approver")]
    ending = own_pair.grant("investigator", not_after=utc_now() + timedelta(minutes=5))
    question = replace(own_pair.question(), grants=(*grants, ending))
    commits = own_pair.keepers().commit(question)
    with own_pair.serving_ahead(timedelta(minutes=6)):
        for role in ROLES:
            late = own_pair.keeper(role, ahead=timedelta(minutes=6))
            body = {"request_sha256": question.request.sha256.hex(), "evidence": shown(commits)}
            assert code_of(lambda: late.post("/v1/release", body)) == "no-investigator"  # noqa: B023


def test_shares_are_lent_again_for_a_day_and_to_a_living_key(own_pair: Pair) -> None:
    lent = own_pair.run(own_pair.question())
    arguments = (lent.question, lent.commits, lent.releases, own_pair.engine_key)
    with own_pair.serving_ahead(timedelta(hours=22)) as later:
        own_pair.agree(timedelta(hours=22))
        assert later.lend(*arguments) == lent.shares
    with own_pair.serving_ahead(timedelta(hours=23, minutes=30)) as later:
        assert code_of(lambda: later.lend(*arguments)) == "engine-key-expired"
    with own_pair.serving_ahead(timedelta(hours=24, minutes=1)) as later:
        assert code_of(lambda: later.lend(*arguments)) == "release-over"
        assert code_of(lambda: later.release(lent.question, lent.commits)) == "release-over"


@pytest.mark.parametrize("whose", ROLES)
def test_a_cosignature_by_a_clock_that_is_ahead_is_refused(own_pair: Pair, whose: Role) -> None:
    """Of our log, or of the peer's: that clock runs five minutes ahead, so its cosignature is from
    the future."""
    question = own_pair.question()
    commits = own_pair.keepers().commit(question)
    evidence = shown(commits)
    note = note_of(evidence[whose])
    keeper = StoreOwner.open(own_pair.processes[other_role(whose)].folder)
    witness = SigningKey(witness_key_name(keeper.identity.name), keeper.identity.witness)
    keeper.close()
    for seconds in (300, -300):
        ahead = witness.cosign(note.body, int(utc_now().timestamp()) + seconds)
        changed = replace(note, signatures=(note.signatures[0], ahead))
        evidence[whose]["checkpoint"] = changed.encode().decode()
        assert refused_with(own_pair, "operator", question, evidence) == "cosignature-time"


def test_a_keeper_whose_clock_went_back_refuses_everything(own_pair: Pair) -> None:
    question = own_pair.question()
    with own_pair.serving_ahead(timedelta(minutes=30)) as ahead:
        ahead.commit(question)
    own_pair.start()
    for role in ROLES:
        commit = lambda: own_pair.keeper(role).logged("/v1/commit", question.to_object())  # noqa: B023, E731
        assert code_of(commit) == "clock-behind"
        schedule = lambda: own_pair.day_key(role, question_day())  # noqa: B023, E731
        assert code_of(schedule) == "clock-behind"


def question_day() -> str:
    return utc_now().date().isoformat()


def test_the_client_believes_no_shares_of_another_layout(pair: Pair) -> None:
    pair.register(pair.seal_epoch(last_hour(), rows_of(ACCOUNT)))
    lent = pair.run(pair.question())
    epochs = lent.commits["operator"].epochs
    for other in (*epochs, *epochs[:1]), epochs[:-1]:
        commits = {**lent.commits, "operator": replace(lent.commits["operator"], epochs=other)}
        with pytest.raises(KeeperUntrue):
            pair.keepers().lend(lent.question, commits, lent.releases, pair.engine_key)


def test_a_disclosure_is_logged_once_and_for_one_answer(pair: Pair) -> None:
    accounts = (AccountSelector(ACCOUNT), AccountSelector("18-max"))
    lent = pair.run(pair.question(pair.warrant(pair.warrant_of(selectors=accounts))))
    keepers = pair.keepers()
    statement = pair.disclosure(lent.question, ACCOUNT, "18-max", answer=b"{1}")
    first = keepers.disclose(lent.question, statement)
    sizes = [pair.leaves(role) for role in ROLES]
    again = keepers.disclose(lent.question, statement)
    assert [pair.leaves(role) for role in ROLES] == sizes
    for role in ROLES:
        texts = [[leaf.text for leaf in one[role].evidence.leaves] for one in (first, again)]
        assert texts[0] == texts[1]
        today = utc_now().date().isoformat()
        assert all(f"\ntype=disclosure\nday={today}\ndue={today}\n" in text for text in texts[0])
        assert len(set(texts[0])) == 2
    changed = pair.disclosure(lent.question, ACCOUNT, answer=b"{2}")
    assert code_of(lambda: keepers.disclose(lent.question, changed)) == "answer-differs"


def test_each_leaf_of_a_disclosure_counts_the_records_of_its_account(pair: Pair) -> None:
    accounts = (AccountSelector(ACCOUNT), AccountSelector("18-max"))
    lent = pair.run(pair.question(pair.warrant(pair.warrant_of(selectors=accounts))))
    made = Disclosure(lent.question.request.sha256, (ACCOUNT, "18-max"), (7, 40), 2, bytes(32))
    statement = Envelope.sign("disclosure", made.to_fields(), pair.keys["engine"])
    for proven in pair.keepers().disclose(lent.question, statement).values():
        assert proven.records() == [7, 40]
    # The same answer from other numbers: the leaves stay, and the engine takes them for untrue.
    other = replace(made, records=(7, 41))
    statement = Envelope.sign("disclosure", other.to_fields(), pair.keys["engine"])
    with pytest.raises(KeeperUntrue) as untrue:
        pair.keepers().disclose(lent.question, statement)
    assert untrue.value.code == "records"


def test_an_answer_that_names_nobody_is_disclosed_without_a_leaf(pair: Pair) -> None:
    lent = pair.run(pair.question())
    disclosed = pair.keepers().disclose(lent.question, pair.disclosure(lent.question))
    assert disclosed["operator"].evidence.leaves == ()


@each_role
def test_a_disclosure_before_the_release_or_by_another_is_refused(pair: Pair, role: Role) -> None:
    question = pair.question()
    pair.keepers().commit(question)
    body = {"disclosure": pair.disclosure(question, ACCOUNT).to_object()}
    keeper = pair.keeper(role)
    assert code_of(lambda: keeper.post("/v1/disclosure", body)) == "not-released"
    lent = pair.run(question)
    borrowed = pair.keeper(role, "engine-2")
    assert code_of(lambda: borrowed.post("/v1/disclosure", body)) == "another-engine"
    forged = replace(pair, keys={**pair.keys, "engine": pair.keys["stranger"]})
    statement = forged.disclosure(lent.question, ACCOUNT).to_object()
    assert code_of(lambda: keeper.post("/v1/disclosure", {"disclosure": statement})) == "not-signed"


def test_a_proven_leaf_shows_its_salt_in_a_package(pair: Pair) -> None:
    lent = pair.run(pair.question())
    made = pair.keepers().disclose(lent.question, pair.disclosure(lent.question, ACCOUNT))
    for proven in made.values():
        assert isinstance(proven, Proven)
        (leaf,) = proven.to_object()["leaves"]
        assert bytes.fromhex(leaf["salt"]) == proven.salts[0] != b""
        with pytest.raises(StatementError):
            Evidence.read({**proven.to_object(), "more": 1})
    assert decode_base64("") == b""
