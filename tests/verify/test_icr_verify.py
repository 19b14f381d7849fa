"""icr-verify against packages that the other rooms made, honest and spoilt."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from icrstore.seal.encode import digest
from icrstore.tlog.merkle import Tree, leaf_hash
from icrstore.verify import icr_verify
from icrstore.verify.icr_verify import CheckFailed, read_trust, verify_package
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import AccountSelector, HourRange, Selector
from icrstore.warrant.strict import dump
from tests.verify import genuine
from tests.verify.genuine import ACCOUNTS, DAY, HOURS, NOW, ROLES, STEPS, Story, story

Package = dict[str, Any]
ONE_HOUR = timedelta(hours=1)


def failing_check(package: Package | bytes, trust: dict[str, Any] | None = None) -> str:
    """The name of the check that refuses this package; the test fails if none does."""
    raw = package if isinstance(package, bytes) else dump(package)
    with pytest.raises(CheckFailed) as refused:
        verify_package(raw, read_trust(dump(trust or genuine.trust())))
    return refused.value.name


def test_an_honest_package_passes_every_check_in_order() -> None:
    proven = verify_package(genuine.package_bytes(), read_trust(dump(genuine.trust())))
    names = [each.name for each in proven.checks]
    assert names[:6] == ["package", "warrant", "request", "scope", "disclosure", "answer"]
    about = ("keeper", "log", "witness", "inclusion", "leaf", "private", "order", "subjects")
    assert names[6:-1] == [f"{role}-{each}" for role in ROLES for each in about]
    assert names[-1] == "coverage"
    assert proven.answer["accounts"] == list(ACCOUNTS)


def test_every_scalar_matters_and_is_guarded_by_its_own_check() -> None:
    package = genuine.package()
    for path in paths(package):
        spoilt = genuine.package()
        change(spoilt, path)
        assert failing_check(spoilt) in guards(path), path


def test_no_byte_of_the_package_may_change() -> None:
    raw = genuine.package_bytes()
    trust = read_trust(dump(genuine.trust()))
    for position in range(0, len(raw), 97):
        spoilt = bytearray(raw)
        spoilt[position] ^= 1
        with pytest.raises(CheckFailed):
            verify_package(bytes(spoilt), trust)


def test_no_bit_of_a_signature_may_change() -> None:
    for kind, check in (("warrant", "warrant"), ("request", "request"), ("disclosure",) * 2):
        for bit in range(0, 512, 31):
            package = genuine.package()
            signature = package[kind]["signatures"][0]
            signature["sig"] = flipped_base64(signature["sig"], bit)
            assert failing_check(package) == check


@pytest.mark.parametrize("field", sorted(genuine.package()))
def test_it_refuses_a_package_that_lacks_a_field(field: str) -> None:
    package = genuine.package()
    del package[field]
    assert failing_check(package) == "package"


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{} {}", b'{"v":1,"v":1}', b'{"v":1.0}', b'{"v":NaN}', b"\xff", b"[" * 100_000],
)
def test_it_refuses_what_is_not_strict_json(raw: bytes) -> None:
    assert failing_check(raw) == "package"


def test_it_refuses_a_package_cut_short_anywhere() -> None:
    raw = genuine.package_bytes()
    for length in range(0, len(raw), 997):
        assert failing_check(raw[:length]) == "package"


def test_it_refuses_a_field_that_nobody_knows() -> None:
    package = genuine.package()
    package["keepers"]["operator"]["commit"]["also"] = 1
    assert failing_check(package) == "package"


# Attacks by those who hold keys: every signature below is genuine.


def other(account: str = "stranger") -> tuple[Selector, ...]:
    return (AccountSelector(account),)


def with_warrant(made: Story, **changes: Any) -> Story:
    """The story under another warrant, which its request names."""
    warrant = replace(made.warrant, **changes)
    request = replace(made.request, warrant_sha256=genuine.warrant_sha256(warrant))
    return replace(made, warrant=warrant, request=request)


def with_request(made: Story, **changes: Any) -> Story:
    return replace(made, request=replace(made.request, **changes))


def one_person(made: Story) -> Story:
    twice = [genuine.grant(role, "applicant") for role in ("applicant", "approver")]
    return replace(made, grants=[*twice, made.grants[2]], warrant_signers=["applicant"])


def one_person_with_two_keys(made: Story) -> Story:
    twice = [genuine.grant(role, role, name="Ada Hart") for role in ("applicant", "approver")]
    return replace(made, grants=[*twice, made.grants[2]])


def grants_of(made: Story, **changes: Any) -> Story:
    return replace(made, grants=[genuine.grant(g, g, **changes) for g in
                                 ("applicant", "approver", "investigator")])  # fmt: skip


def answer_with(**changes: Any) -> Callable[[Story], Story]:
    return lambda made: replace(made, answer=lambda answer: {**answer, **changes})


def private_with(step: str, **changes: Any) -> Callable[[Story], Story]:
    def change_it(_role: str, at: str, said: dict[str, Any]) -> dict[str, Any]:
        return {**said, **changes} if at == step else said

    return lambda made: replace(made, private=change_it)


def leaf_with(step: str, before: str, after: str) -> Callable[[Story], Story]:
    def change_it(_role: str, at: str, leaf: str) -> str:
        assert at != step or before in leaf
        return leaf.replace(before, after) if at == step else leaf

    return lambda made: replace(made, leaf=change_it)


def origin_of(role: str, origin: str) -> Callable[[Story], Story]:
    return lambda made: replace(made, origins={(role, "release"): origin})


YESTERDAY = (NOW - DAY).date().isoformat()
TODAY = NOW.date().isoformat()

ATTACKS: dict[str, tuple[Callable[[Story], Story], str]] = {
    "one person signs as applicant and approver": (one_person, "warrant"),
    "one person signs with two keys": (one_person_with_two_keys, "warrant"),
    "only the applicant signs": (lambda s: replace(s, warrant_signers=["applicant"]), "warrant"),
    "a stranger approves": (
        lambda s: replace(s, warrant_signers=["applicant", "stranger"]),
        "warrant",
    ),
    "the authority is unknown": (lambda s: with_warrant(s, authority="militia"), "warrant"),
    "another root granted": (lambda s: grants_of(s, root="other root"), "warrant"),
    "another authority granted": (lambda s: grants_of(s, issuer="customs"), "warrant"),
    "the grants had ended": (
        lambda s: with_request(s, created=NOW + DAY + timedelta(seconds=1)),
        "warrant",
    ),
    "the applicant asks": (lambda s: replace(s, request_signer="applicant"), "request"),
    "the request is of another warrant": (
        lambda s: with_request(s, warrant_sha256=bytes(32)),
        "request",
    ),
    "the warrant had ended": (lambda s: with_warrant(s, valid_to=NOW), "request"),
    "the warrant had not begun": (
        lambda s: with_warrant(s, valid_from=NOW + timedelta(hours=1)),
        "request",
    ),
    "another account is asked for": (lambda s: with_request(s, selectors=other()), "scope"),
    "a later hour is asked for": (
        lambda s: with_request(s, hours=(HourRange(HOURS.first, HOURS.end + ONE_HOUR),)),
        "scope",
    ),
    "an earlier hour is asked for": (
        lambda s: with_warrant(s, hours=HourRange(HOURS.first + ONE_HOUR, HOURS.end)),
        "scope",
    ),
    "a strange engine answers": (lambda s: replace(s, engine="stranger"), "disclosure"),
    "the answer is of another tenant": (answer_with(tenant="isp-b"), "answer"),
    "the answer is to another purpose": (answer_with(purpose="reached"), "answer"),
    "the answer names one more": (answer_with(accounts=[*ACCOUNTS, "stranger"]), "answer"),
    "the answer hides a name deep inside": (
        answer_with(limits=[{"more": [{"account": "stranger"}]}]),
        "answer",
    ),
    "the answer uses a name that it does not list": (answer_with(accounts=[]), "answer"),
    "the answer leaves out an hour": (answer_with(hours=[]), "answer"),
    "the disclosure names who was not asked for": (
        lambda s: replace(s, accounts=(*ACCOUNTS, "stranger")),
        "answer",
    ),
    "another log key signs": (
        lambda s: replace(s, log_keys={"operator": "oversight-log"}),
        "operator-log",
    ),
    "the log is not under the keeper's name": (
        origin_of("operator", "demo.icrstore/operator-1x/0123456789abcdef"),
        "operator-log",
    ),
    "the release is in another log": (
        origin_of("oversight", "demo.icrstore/oversight-1/fedcba9876543210"),
        "oversight-log",
    ),
    "a keeper cosigns itself": (
        lambda s: replace(s, witness_keys={"oversight": "oversight-witness"}),
        "oversight-witness",
    ),
    "a commit leaf is of another type": (
        leaf_with("commit", "type=commit", "type=refusal"),
        "operator-leaf",
    ),
    "a leaf has a second type": (
        leaf_with("commit", "type=commit", "type=commit\ntype=release"),
        "operator-leaf",
    ),
    "a notice is never due": (leaf_with("disclosure", f"due={TODAY}", "due=-"), "operator-leaf"),
    "a notice of the release is held": (
        leaf_with("release", f"due={TODAY}", "due=2027-01-01"),
        "operator-leaf",
    ),
    "the commit is of another day": (
        leaf_with("commit", f"day={TODAY}", f"day={YESTERDAY}"),
        "operator-leaf",
    ),
    "the release is of an earlier day": (
        leaf_with("release", TODAY, YESTERDAY),
        "operator-leaf",
    ),
    "the leaf holds another digest": (
        leaf_with("release", "private-sha256=", "private-sha256=" + "0" * 64 + "\nx="),
        "operator-leaf",
    ),
    "the release was before the commit": (
        lambda s: replace(s, order={"operator": ("release", "commit", "disclosure")}),
        "operator-order",
    ),
    "the disclosure was before the release": (
        lambda s: replace(s, order={"oversight": ("commit", "disclosure", "release")}),
        "oversight-order",
    ),
    "the keepers committed to different epochs": (
        lambda s: replace(
            s,
            private=lambda role, step, said: (
                {**said, "epochs_sha256": "00" * 32}
                if (role, step) == ("oversight", "commit")
                else said
            ),
        ),
        "coverage",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_refuses_when(attack: str) -> None:
    make, check = ATTACKS[attack]
    assert failing_check(make(story()).package()) == check


SAID = {
    "v": 2, "type": "refusal", "tenant": "isp-b", "request_sha256": "00" * 32,
    "warrant_sha256": "00" * 32, "hours": [], "purpose": "reached", "authority": "customs",
    "instrument": "another", "also": 1,
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("field", SAID)
def test_it_refuses_a_private_text_that_speaks_of_something_else(step: str, field: str) -> None:
    spoilt = private_with(step, **{field: SAID[field]})(story())
    assert failing_check(spoilt.package()) == "operator-private"


@pytest.mark.parametrize("changes", [{"answer_sha256": "00" * 32}, {"opened_accounts": 1}])
def test_it_refuses_a_logged_disclosure_of_another_answer(changes: dict[str, Any]) -> None:
    spoilt = private_with("disclosure", **changes)(story())
    assert failing_check(spoilt.package()) == "operator-private"


def test_it_refuses_a_logged_subject_that_is_another_account() -> None:
    spoilt = private_with("disclosure", subject="00" * 32)(story())
    assert failing_check(spoilt.package()) == "operator-subjects"


def test_it_refuses_another_count_of_records_than_was_logged() -> None:
    spoilt = private_with("disclosure", records=4)(story())
    assert failing_check(spoilt.package()) == "operator-subjects"


@pytest.mark.parametrize("records", [[3], [3, 0, 0]])
def test_it_refuses_a_disclosure_that_does_not_count_the_records_of_each(
    records: list[int],
) -> None:
    package = genuine.package()
    said = json.loads(base64.b64decode(package["disclosure"]["payload"]))
    signed = Envelope.sign("disclosure", {**said, "records": records}, genuine.key_of("engine"))
    assert failing_check({**package, "disclosure": signed.to_object()}) == "disclosure"


def test_incomplete_hours_may_come_of_different_lists_of_epochs() -> None:
    made = replace(ATTACKS["the keepers committed to different epochs"][0](story()),
                   answer=lambda answer: {**answer, "hours": [
                       {**hour, "coverage": "INCOMPLETE"} for hour in answer["hours"]
                   ]})  # fmt: skip
    verify_package(dump(made.package()), read_trust(dump(genuine.trust())))


# Attacks on the package's arrangement: each part is genuine, in the wrong place.


def test_it_refuses_keepers_in_each_others_place() -> None:
    package = genuine.package()
    keepers = package["keepers"]
    keepers["operator"], keepers["oversight"] = keepers["oversight"], keepers["operator"]
    assert failing_check(package) == "operator-keeper"


def test_it_refuses_one_keeper_in_both_places() -> None:
    package = genuine.package()
    package["keepers"]["oversight"] = package["keepers"]["operator"]
    assert failing_check(package) == "oversight-keeper"


def test_it_refuses_a_trust_file_in_which_one_key_plays_both_witnesses() -> None:
    trust = genuine.trust()
    trust["keepers"][1]["witness_key"] = trust["keepers"][0]["witness_key"]
    assert failing_check(genuine.package(), trust) == "operator-keeper"


def test_it_refuses_a_split_view_at_one_size() -> None:
    package, spoilt = genuine.package(), story()
    spoilt.leaf = lambda _role, _step, leaf: leaf.replace("tag=0a", "tag=0b")
    ours, theirs = package["keepers"]["operator"], spoilt.package()["keepers"]["operator"]
    ours["release"] = theirs["commit"]
    assert failing_check(package) == "operator-log"


def test_it_refuses_accounts_in_each_others_leaves() -> None:
    package = genuine.package()
    package["keepers"]["operator"]["disclosure"]["leaves"].reverse()
    assert failing_check(package) == "operator-subjects"


def test_it_refuses_one_leaf_that_stands_for_two() -> None:
    package = genuine.package()
    leaves = package["keepers"]["operator"]["commit"]["leaves"]
    leaves[1] = leaves[0]
    assert failing_check(package) == "operator-order"


@pytest.mark.parametrize("step", STEPS)
def test_it_refuses_a_missing_leaf(step: str) -> None:
    package = genuine.package()
    package["keepers"]["oversight"][step]["leaves"].pop()
    assert failing_check(package) == "oversight-leaf"


@pytest.mark.parametrize("step", STEPS)
def test_it_refuses_a_proof_too_short_too_long_or_of_another_leaf(step: str) -> None:
    first, second = genuine.package()["keepers"]["operator"][step]["leaves"]
    proof = first["proof"]
    for spoilt in ([], proof[:-1], [*proof, "00" * 32], proof[::-1], second["proof"]):
        package = genuine.package()
        package["keepers"]["operator"][step]["leaves"][0]["proof"] = spoilt
        assert failing_check(package) == "operator-inclusion"


def test_it_refuses_a_checkpoint_without_the_cosignature() -> None:
    package = genuine.package()
    evidence = package["keepers"]["operator"]["commit"]
    evidence["checkpoint"] = "".join(evidence["checkpoint"].splitlines(keepends=True)[:-1])
    assert failing_check(package) == "operator-witness"


def test_it_refuses_a_cosignature_at_another_time() -> None:
    package = genuine.package()
    evidence = package["keepers"]["operator"]["commit"]
    *lines, cosignature = evidence["checkpoint"].splitlines()
    name, signature = cosignature.rsplit(" ", 1)
    changed = flipped_base64(signature, (4 + 7) * 8 + 7)  # After the key id, the last time byte.
    evidence["checkpoint"] = "\n".join([*lines, f"{name} {changed}\n"])
    assert failing_check(package) == "operator-witness"


def test_another_answer_file_than_the_proven_one_is_refused() -> None:
    trust = read_trust(dump(genuine.trust()))
    proven = verify_package(genuine.package_bytes(), trust)
    assert verify_package(genuine.package_bytes(), trust, proven.answer_bytes) == proven
    with pytest.raises(CheckFailed) as refused:
        verify_package(genuine.package_bytes(), trust, proven.answer_bytes + b"\n")
    assert refused.value.name == "answer"


def test_a_refusal_says_nothing_of_what_was_asked_or_found() -> None:
    for make, _ in ATTACKS.values():
        with pytest.raises(CheckFailed) as refused:
            verify_package(dump(make(story()).package()), read_trust(dump(genuine.trust())))
        told = str(refused.value)
        assert not any(secret in told for secret in (*ACCOUNTS, "stranger", "192.0.2.7"))


def test_the_inclusion_check_agrees_with_the_log_in_every_small_tree() -> None:
    for size in range(1, 34):
        tree = Tree(b"leaf %d" % n for n in range(size))
        for index in range(size):
            leaf, path = leaf_hash(b"leaf %d" % index), tree.inclusion_proof(index)
            assert icr_verify.root_of(leaf, index, size, path) == tree.root()


def test_a_subject_is_committed_as_the_keepers_do() -> None:
    salt = hashlib.sha256(b"salt").digest()[:16]
    assert icr_verify.subject(salt, "müller") == digest("subject", salt, "müller".encode())


# How a package is spoilt, scalar by scalar.

Path = tuple[str | int, ...]


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in items:
            yield from paths(each, (*path, key))
    else:
        yield path


def change(package: Package, path: Path) -> None:
    """Change one scalar so that it stays of its form where that can be."""
    parent: Any = package
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = changed(parent[path[-1]])


def changed(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    middle = len(value) // 2
    return value[:middle] + ("1" if value[middle] != "1" else "2") + value[middle + 1 :]


def guards(path: Path) -> set[str]:
    """The checks that may refuse a change at this path."""
    if path[0] in ("v", "answer"):
        return {"package", "disclosure"}
    if path[0] in ("warrant", "request", "disclosure"):
        return {"package", str(path[0])}
    if path[0] == "grants":
        return {"package", "warrant"}
    role = path[1]
    if path[2] == "name":
        return {f"{role}-keeper"}
    last = path[5] if path[3] == "leaves" else "checkpoint"
    return {
        "checkpoint": {f"{role}-log"},
        "index": {f"{role}-inclusion"},
        "proof": {f"{role}-inclusion", "package"},
        "leaf": {f"{role}-inclusion"},
        "private": {f"{role}-leaf"},
        "salt": {f"{role}-subjects", "package"},
    }[str(last)]


def flipped_base64(text: str, bit: int) -> str:
    raw = bytearray(base64.b64decode(text))
    raw[bit // 8] ^= 0x80 >> bit % 8
    return base64.b64encode(raw).decode()


def test_the_package_here_is_what_json_readers_everywhere_read() -> None:
    assert json.loads(genuine.package_bytes()) == story().package()
