"""icr-verify on what a subscriber downloads: every bit of it, for this account and no other."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from icrstore.seal.encode import digest
from icrstore.verify import icr_verify
from icrstore.verify.icr_verify import CheckFailed, read_trust, verify_access
from icrstore.warrant.statements import PURPOSES, Purpose
from icrstore.warrant.strict import dump
from tests.verify import genuine
from tests.verify.genuine import ACCOUNTS, ROLES, Story, story
from tests.verify.test_icr_verify import private_with

ACCOUNT = ACCOUNTS[0]
Proof = dict[str, Any]


def proof_of(made: Story, steps: tuple[str, ...] = ("release", "disclosure")) -> Proof:
    """The leaves of the first account, as its subscriber is given them."""
    package = made.package()
    leaves = []
    for role in ROLES:
        for step in steps:
            evidence = package["keepers"][role][step]
            shown = evidence["leaves"][0]
            salt = hashlib.sha256(f"{role} {step}".encode() + ACCOUNT.encode()).digest()[:16].hex()
            leaves.append({"salt": salt, **shown, "keeper": role,
                           "checkpoint": evidence["checkpoint"]})  # fmt: skip
    request = json.loads(leaves[0]["private"])["request_sha256"]
    return {"v": 1, "tenant": made.warrant.tenant, "request_sha256": request, "leaves": leaves}


def verified(proof: Proof | bytes, account: str = ACCOUNT) -> Any:
    raw = proof if isinstance(proof, bytes) else dump(proof)
    return verify_access(raw, account, read_trust(dump(genuine.trust())))


def refused_by(proof: Proof | bytes, account: str = ACCOUNT) -> str:
    """The name of the check that refuses; the test fails if none does."""
    with pytest.raises(CheckFailed) as refused:
        verified(proof, account)
    return refused.value.name


def steps_of(purpose: Purpose) -> tuple[str, ...]:
    return ("disclosure",) if purpose == "resolve" else ("release", "disclosure")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_honest_proof_passes_every_check_and_says_what_was_logged(purpose: Purpose) -> None:
    checks, said = verified(proof_of(story(purpose, max_candidates=2), steps_of(purpose)))
    about = ("log", "witness", "inclusion", "leaf", "private", "subject")
    names = [f"{role}-{each}" for role in ROLES for each in about]
    assert [each.name for each in checks] == ["proof", *names, "both"]
    assert (said["authority"], said["purpose"]) == ("police", purpose)
    assert said["records"] == (3 if purpose == "services" else 2)


def test_a_release_alone_is_proven_and_counts_nothing() -> None:
    _, said = verified(proof_of(story(), ("release",)))
    assert (said["type"], "records" in said) == ("release", False)


@pytest.mark.parametrize("account", [ACCOUNTS[1], "", ACCOUNT + " ", ACCOUNT.upper(), "\udc80"])
def test_another_account_is_refused(account: str) -> None:
    assert refused_by(proof_of(story()), account) == "operator-subject"


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a key, a signature and a text the same is found each time, so it is looked at once."""
    monkeypatch.setattr(icr_verify, "_is_signature", cache(icr_verify._is_signature))


@pytest.mark.usefixtures("remembered")
def test_no_bit_of_a_proof_may_change() -> None:
    raw = dump(proof_of(story("resolve", max_candidates=2), ("disclosure",)))
    trust = read_trust(dump(genuine.trust()))
    for position in range(len(raw)):
        for bit in range(8):
            spoilt = bytearray(raw)
            spoilt[position] ^= 1 << bit
            with pytest.raises(CheckFailed):
                verify_access(bytes(spoilt), ACCOUNT, trust)


@pytest.mark.usefixtures("remembered")
def test_no_byte_of_the_file_that_is_downloaded_may_change_or_lack() -> None:
    raw = json.dumps(proof_of(story()), indent=2, sort_keys=True, ensure_ascii=False).encode()
    trust = read_trust(dump(genuine.trust()))
    for position in range(0, len(raw), 3):
        changed = raw[:position] + bytes([raw[position] ^ 1 << position % 8]) + raw[position + 1 :]
        for spoilt in (changed, raw[:position] + raw[position + 1 :]):
            # A blank less between two values changes nothing.
            if spoilt is changed or raw[position : position + 1].strip():
                with pytest.raises(CheckFailed):
                    verify_access(spoilt, ACCOUNT, trust)


def edited(name: str, before: str, after: str) -> Callable[[Proof], None]:
    def change(proof: Proof) -> None:
        text = proof["leaves"][-1][name]
        assert before in text
        proof["leaves"][-1][name] = text.replace(before, after)

    return change


def last(**changes: Any) -> Callable[[Proof], None]:
    return lambda proof: proof["leaves"][-1].update(changes)


GUARDS: dict[str, tuple[Callable[[Proof], Any], str]] = {
    "its place": (last(index=1), "oversight-inclusion"),
    "its path": (lambda p: p["leaves"][-1]["proof"].reverse(), "oversight-inclusion"),
    "its tag": (edited("leaf", "tag=0a", "tag=0b"), "oversight-inclusion"),
    "its day": (edited("leaf", "day=2026-11-22", "day=2026-11-23"), "oversight-inclusion"),
    "its nonce": (edited("private", "0f0f", "0f0e"), "oversight-leaf"),
    "its count of records": (edited("private", '"records":3', '"records":2'), "oversight-leaf"),
    "its salt": (last(salt="00" * 16), "oversight-subject"),
    "the size of its log": (edited("checkpoint", "\n12\n", "\n11\n"), "oversight-log"),
    "its cosigner": (edited("checkpoint", "operator-1/", "operator-2/"), "oversight-witness"),
}


@pytest.mark.parametrize("part", GUARDS)
def test_each_part_of_a_leaf_is_guarded_by_its_own_check(part: str) -> None:
    change, check = GUARDS[part]
    proof = proof_of(story())
    change(proof)
    assert refused_by(proof) == check


# Attacks by those who hold keys, or hand out parts of what is true.


def without(role: str, step: str) -> Callable[[Proof], None]:
    def change(proof: Proof) -> None:
        proof["leaves"] = [
            each for each in proof["leaves"]
            if (each["keeper"], icr_verify.read_leaf(each["leaf"]).type) != (role, step)
        ]  # fmt: skip

    return change


def only(role: str) -> Callable[[Proof], None]:
    def change(proof: Proof) -> None:
        proof["leaves"] = [each for each in proof["leaves"] if each["keeper"] == role]

    return change


def swapped(proof: Proof) -> None:
    for each in proof["leaves"]:
        each["keeper"] = ROLES[1 - ROLES.index(each["keeper"])]


def moved(role: str) -> Callable[[Proof], None]:
    def change(proof: Proof) -> None:
        for each in proof["leaves"]:
            each["keeper"] = role

    return change


ATTACKS: dict[str, tuple[Callable[[Proof], Any], str]] = {
    "nothing is shown": (lambda proof: proof["leaves"].clear(), "operator-log"),
    "one keeper's leaves are left out": (only("operator"), "oversight-log"),
    "the other's are": (only("oversight"), "operator-log"),
    "one keeper's disclosure is left out": (without("oversight", "disclosure"), "both"),
    "one keeper's release is left out": (without("operator", "release"), "operator-private"),
    "a leaf stands twice": (lambda p: p["leaves"].append(p["leaves"][0]), "operator-private"),
    "one keeper stands for both": (moved("operator"), "operator-log"),
    "the keepers are exchanged": (swapped, "operator-log"),
    "another tenant": (lambda proof: proof.update(tenant="isp-b"), "operator-private"),
    "another request": (lambda proof: proof.update(request_sha256="00" * 32), "operator-private"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_refuses_a_proof_when(attack: str) -> None:
    change, check = ATTACKS[attack]
    proof = proof_of(story())
    change(proof)
    assert refused_by(proof) == check


OTHERWISE = {
    "authority": "customs", "instrument": "another", "purpose": "reached", "hours": [],
    "warrant_sha256": "00" * 32, "answer_sha256": "00" * 32, "opened_accounts": 9, "records": 9,
}  # fmt: skip


@pytest.mark.parametrize("field", OTHERWISE)
def test_it_refuses_keepers_that_do_not_say_the_same(field: str) -> None:
    def changed(role: str, step: str, said: dict[str, Any]) -> dict[str, Any]:
        differs = role == "oversight" and field in said
        return {**said, field: OTHERWISE[field]} if differs else said

    assert refused_by(proof_of(replace(story(), private=changed))) == "both"


def test_it_refuses_a_text_that_was_not_logged_as_such() -> None:
    """Both keepers' logs hold it, and it is no release or disclosure of the account."""
    commits = proof_of(story(), ("commit",))
    assert refused_by(commits) == "operator-private"
    disguised = proof_of(private_with("release", type="commit")(story()))
    assert refused_by(disguised) == "operator-leaf"
    foreign = private_with("disclosure", request_sha256="00" * 32)(story())
    assert refused_by(proof_of(foreign)) == "operator-private"
    more = private_with("disclosure", also=1)(story())
    assert refused_by(proof_of(more)) == "operator-leaf"


def test_it_refuses_what_no_witness_cosigned_and_keys_that_are_not_trusted() -> None:
    for role in ROLES:
        keys = {role: "stranger"}
        assert refused_by(proof_of(replace(story(), log_keys=keys))) == f"{role}-log"
        assert refused_by(proof_of(replace(story(), witness_keys=keys))) == f"{role}-witness"
    assert digest("subject", bytes(16), b"a") == icr_verify.subject(bytes(16), "a")
