"""One keeper exchanged for one that always says yes: the other alone still decides.

The rogue has that keeper's true folder and cosigns, commits, releases and lends whatever it is
asked. That it can is shown first, by a lawful question that the two of them answer.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.client import Question
from icrstore.seal.epoch import HOUR, ROLES, Role, other_role
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import AccountSelector, HourRange
from icrstore.warrant.strict import dump, encode_base64, time_text
from icrstore.wire import hpke
from tests.attacks.rogue import Rogue, serving
from tests.attacks.thief import Selector
from tests.keeper.pair import Pair, SealedEpoch, code_of, rows_of
from tests.keeper.pairs import copy_pair
from tests.keeper.papers import ACCOUNT, last_hour, utc_now

OTHER = "18-max"


@dataclass(frozen=True)
class Swapped:
    """A pair of which one keeper is a rogue."""

    pair: Pair
    rogue: Rogue
    rogue_role: Role
    honest_role: Role
    sealed: SealedEpoch


@pytest.fixture(scope="module", params=ROLES)
def swapped(
    request: pytest.FixtureRequest, template: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Swapped]:
    role: Role = request.param
    honest = other_role(role)
    with copy_pair(template, tmp_path_factory.mktemp("rogue")) as pair:
        sealed = pair.seal_epoch(last_hour(), rows_of(ACCOUNT, OTHER))
        assert pair.register(sealed) == {each: [None] for each in ROLES}
        process = pair.processes[role]
        process.stop()
        rogue = Rogue(process.folder, [sealed.listed])
        with serving(rogue, process.socket):
            yield Swapped(pair, rogue, role, honest, sealed)


def test_a_lawful_question_is_answered_so_the_rogue_is_able(swapped: Swapped) -> None:
    pair, question = swapped.pair, swapped.pair.question()
    lent = pair.run(question)
    assert pair.open_rows(lent, swapped.sealed, AccountSelector(ACCOUNT)) == [
        b"columns of " + ACCOUNT.encode()
    ]
    assert pair.keepers().disclose(question, pair.disclosure(question, ACCOUNT))


def test_a_false_share_hides_a_row_and_nobody_can_tell(
    swapped: Swapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit: what opens with a share of each is checked, that a share is the atom's is not."""
    pair = swapped.pair
    monkeypatch.setattr(swapped.rogue, "share", lambda eid, account: bytes(32))
    lent = pair.run(pair.question())
    assert pair.open_rows(lent, swapped.sealed, AccountSelector(ACCOUNT)) == []


def refused(swapped: Swapped, question: Question) -> str:
    """The honest keeper's reason. The rogue has committed to the same question, and nothing that
    it can show brings the honest one any further."""
    pair, body = swapped.pair, question.to_object()
    sha256 = question.request.sha256.hex()
    rogue, honest = (pair.keeper(role) for role in (swapped.rogue_role, swapped.honest_role))
    code = code_of(lambda: honest.logged("/v1/commit", body))
    logged, _ = rogue.logged("/v1/commit", body)
    shown = logged.evidence(logged.checkpoint, logged.proofs).to_object()
    released = {"request_sha256": sha256, "evidence": dict.fromkeys(ROLES, shown)}
    assert code_of(lambda: honest.logged("/v1/release", released)) == "unknown-request"
    lent = {"request_sha256": sha256, "evidence": shown}
    assert code_of(lambda: honest.post("/v1/lend", lent)) == "unknown-request"
    assert rogue.post("/v1/lend", lent).take("sealed")
    assert_nothing_opens(swapped)
    return code


def assert_nothing_opens(swapped: Swapped) -> None:
    """With the rogue's true share and every guess at the other."""
    eid = swapped.sealed.epoch.eid
    for account in (ACCOUNT, OTHER):
        share = swapped.rogue.share(eid, account)
        for guess in (share, bytes(32), b"", swapped.rogue.share(eid, "somebody")):
            for two in ((share, guess), (guess, share)):
                keys = Selector.account(account).keys(eid, *two)
                assert keys.label_and_key(0)[0] not in swapped.sealed.rows


def altered(envelope: Envelope, name: str, value: Any) -> Envelope:
    """With one part changed after it was signed."""
    fields = json.loads(envelope.payload)
    assert fields[name] != value
    return replace(envelope, payload=dump({**fields, name: value}))


def under(pair: Pair, warrant: Envelope, account: str = ACCOUNT, **changes: Any) -> Question:
    """A question that an investigator truly signed under this warrant, whatever it says."""
    model = pair.warrant(pair.warrant_of(selectors=(AccountSelector(account),)))
    value = replace(pair.request_of(model), warrant_sha256=warrant.sha256, **changes)
    return replace(pair.question(model), warrant=warrant, request=pair.request(value))


def test_it_refuses_an_expired_warrant(swapped: Swapped) -> None:
    pair = swapped.pair
    ended = pair.warrant(pair.warrant_of(valid_to=utc_now() - timedelta(seconds=1)))
    assert refused(swapped, pair.question(ended)) == "expired"


@pytest.mark.parametrize(
    ("signer", "code"), [("applicant", "no-approver"), ("approver", "no-applicant")]
)
def test_it_refuses_a_half_signed_warrant(swapped: Swapped, signer: str, code: str) -> None:
    pair = swapped.pair
    assert refused(swapped, pair.question(pair.warrant(pair.warrant_of(), signer))) == code


def test_it_refuses_a_foreign_warrant(swapped: Swapped) -> None:
    """Signed by two people of another root, which says that it is the authority's."""
    pair = swapped.pair
    foreign = replace(pair, keys={name: Ed25519PrivateKey.generate() for name in pair.keys})
    question = foreign.question()
    asked = replace(question, engine_key=pair.engine_statement())
    assert refused(swapped, asked) == "not-signed"


def test_it_refuses_a_warrant_of_another_authority(swapped: Swapped) -> None:
    pair = swapped.pair
    other = pair.warrant(pair.warrant_of(authority="Severn Constabulary"))
    assert refused(swapped, pair.question(other)) == "unknown-authority"


def test_it_refuses_an_account_outside_the_warrant(swapped: Swapped) -> None:
    question = swapped.pair.question(selectors=(AccountSelector(OTHER),))
    assert refused(swapped, question) == "outside-the-warrant"


_TARGETS = [{
    "cidr": "198.51.100.0/24",
    "from": time_text(last_hour()),
    "to": time_text(last_hour() + HOUR),
}]  # fmt: skip
_RECIPIENT = encode_base64(hpke.PrivateKey.generate().public_bytes())
WARRANT_PARTS: dict[str, tuple[Any, str]] = {
    "v": (2, "out-of-range"),
    "id": ("2026/118", "bad-signature"),
    "nonce": ("00" * 16, "bad-signature"),
    "tenant": ("elsewhere", "wrong-tenant"),
    "instrument": ("another", "bad-signature"),
    "authority": ("Severn Constabulary", "unknown-authority"),
    "purpose": ("resolve", "does-not-fit-the-purpose"),
    "basis": ("no reason", "bad-signature"),
    "selectors": ([{"account": OTHER}], "bad-signature"),
    "targets": (_TARGETS, "does-not-fit-the-purpose"),
    "from": (time_text(last_hour() - 70 * HOUR), "bad-signature"),
    # Not the true one even where another hour has begun since these were made.
    "to": (time_text(last_hour() + 6 * HOUR), "bad-signature"),
    "valid_from": (time_text(utc_now() - timedelta(days=2)), "bad-signature"),
    "valid_to": (time_text(utc_now() + timedelta(days=2)), "bad-signature"),
    "max_requests": (10_000, "bad-signature"),
    "max_candidates": (100, "bad-signature"),
    "recipient_keys": ([_RECIPIENT], "bad-signature"),
    "notify": ("hold", "not-supported"),
}


REQUEST_PARTS: dict[str, tuple[Any, str]] = {
    "v": (2, "bad-signature"),
    "request_id": ("00" * 16, "bad-signature"),
    "warrant_sha256": ("00" * 32, "bad-signature"),
    "selectors": ([{"account": OTHER}], "bad-signature"),
    "targets": (_TARGETS, "bad-signature"),
    "hours": ([HourRange(last_hour(), last_hour() + HOUR).to_fields()], "bad-signature"),
    "urgent": (True, "bad-signature"),
    "nonce": ("00" * 16, "bad-signature"),
    "created": (time_text(utc_now() - timedelta(minutes=5)), "bad-signature"),
}


def test_every_part_is_tried(swapped: Swapped) -> None:
    question = swapped.pair.question()
    assert WARRANT_PARTS.keys() == json.loads(question.warrant.payload).keys()
    assert REQUEST_PARTS.keys() == json.loads(question.request.payload).keys()


@pytest.mark.parametrize("name", WARRANT_PARTS)
def test_it_refuses_a_warrant_altered_in_any_part(swapped: Swapped, name: str) -> None:
    pair, (value, code) = swapped.pair, WARRANT_PARTS[name]
    warrant = altered(pair.warrant(pair.warrant_of()), name, value)
    account = OTHER if name == "selectors" else ACCOUNT
    assert refused(swapped, under(pair, warrant, account)) == code


@pytest.mark.parametrize("name", REQUEST_PARTS)
def test_it_refuses_a_request_altered_in_any_part(swapped: Swapped, name: str) -> None:
    question, (value, code) = swapped.pair.question(), REQUEST_PARTS[name]
    asked = replace(question, request=altered(question.request, name, value))
    assert refused(swapped, asked) == code


def test_what_the_rogue_cosigned_by_itself_releases_nothing(swapped: Swapped) -> None:
    """A lawful commit, but its evidence from the rogue alone, or that of another question."""
    pair = swapped.pair
    question, other = pair.question(), pair.question()
    commits, others = pair.keepers().commit(question), pair.keepers().commit(other)
    for own, peer in ((others, commits), (commits, others)):
        evidence = {
            swapped.honest_role: own[swapped.honest_role].proven.evidence.to_object(),
            swapped.rogue_role: peer[swapped.rogue_role].proven.evidence.to_object(),
        }
        body = {"request_sha256": question.request.sha256.hex(), "evidence": evidence}
        keeper = pair.keeper(swapped.honest_role)
        assert code_of(lambda: keeper.logged("/v1/release", body)) == "evidence-refused"  # noqa: B023
    assert pair.keepers().release(question, commits)
