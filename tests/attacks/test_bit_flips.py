"""Whatever is signed or proven, with one bit of it flipped, is refused by who relies on it; and so
is what the right key signed in a form that two readers could read in two ways.

Of what is long the tests take every seventh bit, which comes to each bit of a byte in turn; every
bit is flipped by `python -m tests.attacks.test_bit_flips`.
"""

import dataclasses
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from icrstore.keeper import commit as keeper_commit
from icrstore.keeper import queries
from icrstore.keeper.errors import Refused
from icrstore.keeper.evidence import (
    Evidence,
    EvidenceError,
    LogKeys,
    ProvenLeaf,
    check_cosigned,
    check_leaves,
)
from icrstore.keeper.leaves import LeafText
from icrstore.keeper.names import origin_of, witness_key_name
from icrstore.seal.epoch import ROLES, Epoch, Role
from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint
from icrstore.tlog.errors import LogError
from icrstore.tlog.merkle import Tree, consistency_proof
from icrstore.tlog.note import ED25519, SigningKey
from icrstore.tlog.witness import decide, format_request, parse_request
from icrstore.warrant.authority import check_engine_key, check_request, check_warrant
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import Disclosure, EngineKey, EpochStatement
from icrstore.warrant.machines import Notice as NoticeStatement
from icrstore.warrant.strict import StatementError, dump, encode_base64, parse_object
from tests.keeper.pair import Pair
from tests.keeper.papers import TENANT
from tests.warrant import cast
from tests.warrant.cast import NOW, SERVICES

Accept = Callable[[bytes], object]


def flipped(content: bytes, stride: int = 1) -> Iterator[bytes]:
    """The content with one bit flipped, each in turn or every so many."""
    for bit in range(0, 8 * len(content), stride):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def passed(contents: Iterator[bytes], accept: Accept) -> list[bytes]:
    """Those that are not refused. Anything but a refusal is raised."""
    return [each for each in contents if not is_refused(each, accept)]


def is_refused(content: bytes, accept: Accept) -> bool:
    try:
        accept(content)
    except (StatementError, LogError, EvidenceError, Refused):
        return True
    return False


# Statements, and who relies on each.


@dataclass(frozen=True)
class Signed:
    """A genuine envelope, who signs such, and what takes one."""

    envelope: Envelope
    signers: tuple[Any, ...]
    accept: Accept

    def resigned(self, payload: bytes) -> bytes:
        """Other bytes by the right keys."""
        made = dataclasses.replace(self.envelope, payload=payload, signatures=())
        for key in self.signers:
            made = made.add(key)
        return made.encode()


def by(kind: str, signer: Any, parse: Callable[[Envelope], object]) -> Accept:
    def accept(encoded: bytes) -> object:
        envelope = Envelope.parse(encoded, kind)
        envelope.verify(raw_public(signer))
        return parse(envelope)

    return accept


def statements() -> dict[str, Signed]:
    """One of each kind that a keeper goes by."""
    engine, sealer, notifier = cast.key("engine"), cast.key("sealer"), cast.key("notifier")
    engine_key = EngineKey("demo", "engine-1", cast.RECIPIENT, NOW + timedelta(hours=12))
    epoch = EpochStatement(
        epoch=Epoch.new("demo", cast.DAY, 0), commitments=dict.fromkeys(ROLES, bytes(32)),
        seal_sha256={(role, 1): bytes(32) for role in ROLES}, rows=1, manifest_root=bytes(32),
        batches=(), pools_sha256=bytes(32), sealed_at=NOW,
    )  # fmt: skip
    disclosure = Disclosure(bytes(32), ("17-zoe",), (3,), 1, bytes(32))
    notice = NoticeStatement("demo", 7, bytes(32), "email", NOW)
    warrant, request = cast.warrant(), cast.request(cast.request_of())
    return {
        "warrant": Signed(
            warrant, (cast.APPLICANT, cast.APPROVER),
            lambda e: check_warrant(Envelope.parse(e, "warrant"), cast.granted(), NOW)),
        "request": Signed(
            request, (cast.INVESTIGATOR,),
            lambda e: check_request(Envelope.parse(e, "request"), SERVICES, warrant.sha256,
                                    cast.granted(), NOW)),
        "grant": Signed(
            cast.GRANTS[0], (cast.ROOT,), lambda e: cast.granted(Envelope.parse(e, "grant"))),
        "engine-key": Signed(
            Envelope.sign("engine-key", engine_key.to_fields(), engine), (engine,),
            lambda e: check_engine_key(Envelope.parse(e, "engine-key"),
                                       {"engine-1": raw_public(engine)}, "demo", NOW)),
        "epoch": Signed(Envelope.sign("epoch", epoch.to_fields(), sealer), (sealer,),
                        by("epoch", sealer, EpochStatement.parse)),
        "disclosure": Signed(Envelope.sign("disclosure", disclosure.to_fields(), engine),
                             (engine,), by("disclosure", engine, Disclosure.parse)),
        "notice": Signed(Envelope.sign("notice", notice.to_fields(), notifier), (notifier,),
                         by("notice", notifier, NoticeStatement.parse)),
    }  # fmt: skip


STATEMENTS = statements()
each_kind = pytest.mark.parametrize("kind", STATEMENTS)


@each_kind
def test_no_bit_of_a_statement_may_change(kind: str) -> None:
    made = STATEMENTS[kind]
    encoded = made.envelope.encode()
    made.accept(encoded)
    assert passed(flipped(encoded, 1 if len(encoded) < 1500 else 7), made.accept) == []


@each_kind
def test_what_two_readers_could_read_in_two_ways_is_refused_though_it_is_signed(kind: str) -> None:
    made = STATEMENTS[kind]
    payload = made.envelope.payload
    made.accept(made.resigned(payload))
    name = payload[1:].partition(b":")[0]
    for spelled in (
        b"{" + name + b":0," + payload[1:],  # the first key twice: which one counts?
        payload + b" {}", payload + b"\x00", payload[:-1], b"\xef\xbb\xbf" + payload,
        payload[:-1] + b',"more":1}', payload.replace(b'"v":1', b'"v":1.0'),
        payload.replace(b'"v":1', b'"v":2'),
    ):  # fmt: skip
        assert is_refused(made.resigned(spelled), made.accept), spelled[:40]
    whole = made.envelope.encode()
    for spelled in (
        whole + b"{}", whole + b"\n0", whole[:-1] + b',"alg":"none"}',
        b'{"payload":"e30=",' + whole[1:], whole[:-1] + b',"payloadType":"x"}',
        whole.replace(b'"signatures":[', b'"signatures":[],"signatures":['),
    ):  # fmt: skip
        assert is_refused(spelled, made.accept), spelled[-40:]


@each_kind
def test_a_time_without_its_offset_is_refused_though_it_is_signed(kind: str) -> None:
    made = STATEMENTS[kind]
    said = parse_object(made.envelope.payload)
    times = [name for name, value in said.items() if str(value).endswith("Z") and "T" in str(value)]
    assert times or kind in ("disclosure", "epoch")
    for name in times:
        for value in (said[name][:-1], said[name][:-1] + "z", said[name].replace("T", " ")):
            assert is_refused(made.resigned(dump({**said, name: value})), made.accept)


@each_kind
@pytest.mark.parametrize("other", STATEMENTS)
def test_a_statement_of_one_kind_is_taken_as_no_other(kind: str, other: str) -> None:
    if kind == other:
        return
    told = STATEMENTS[kind].envelope.to_object()
    named = STATEMENTS[other].envelope.to_object()["payloadType"]
    for value in (told, {**told, "payloadType": named}):
        assert is_refused(dump(value), STATEMENTS[other].accept)


@each_kind
def test_a_signature_under_anothers_key_id_is_refused(kind: str) -> None:
    made = STATEMENTS[kind]
    whole = made.envelope.to_object()
    stranger = Envelope.sign(kind, {"v": 1}, cast.STRANGER).to_object()["signatures"][0]
    for at, signature in enumerate(whole["signatures"]):
        for forged in (
            {**signature, "keyid": stranger["keyid"]}, {**signature, "sig": stranger["sig"]},
            stranger, {**signature, "sig": encode_base64(bytes(64))},
        ):  # fmt: skip
            signatures = [*whole["signatures"][:at], forged, *whole["signatures"][at + 1 :]]
            assert is_refused(dump({**whole, "signatures": signatures}), made.accept)


# Logs: what a keeper shows the other, and what anyone is shown.

LOG, WITNESS = cast.key("log"), cast.key("witness")
NAME, PEER = "demo.icrstore/operator-1", "demo.icrstore/oversight-1"
ORIGIN = origin_of(NAME, "0123456789abcdef")
KEYS = LogKeys(NAME, raw_public(LOG), PEER, raw_public(WITNESS))
LEAVES = [
    LeafText("commit", "2026-11-22", "-", bytes([n]) * 16, bytes([n]) * 32).encode()
    for n in range(13)
]
TREE = Tree(LEAVES)


def note_of(size: int) -> bytes:
    made = Checkpoint(ORIGIN, size, Tree(LEAVES[:size]).root())
    note = sign_checkpoint(made, SigningKey(ORIGIN, LOG))
    witness = SigningKey(witness_key_name(PEER), WITNESS)
    return note.with_signatures([witness.cosign(note.body, int(NOW.timestamp()))]).encode()


def test_no_bit_of_a_cosigned_checkpoint_may_change() -> None:
    check_cosigned(note_of(13), KEYS)
    assert passed(flipped(note_of(13)), lambda note: check_cosigned(note, KEYS)) == []


def test_no_bit_of_a_proven_leaf_may_change() -> None:
    """But for its private text, which `check_told` holds against the leaf."""
    leaf = ProvenLeaf(5, LEAVES[5].decode(), "-", tuple(TREE.inclusion_proof(5)))
    shown = dump(Evidence(note_of(13).decode(), (leaf,)).to_object())

    def accept(encoded: bytes) -> object:
        return check_leaves(Evidence.read(parse_object(encoded)), KEYS, 1)

    accept(shown)
    said = b'"private":"-"'
    told = [each for each in flipped(shown) if _without(each, said) != _without(shown, said)]
    assert len(told) == 8 * len(shown) - 8
    assert [each for each in passed(iter(told), accept) if _private(each) == "-"] == []


def _without(encoded: bytes, said: bytes) -> bytes:
    at = encoded.find(said[:-2])
    return encoded[:at] + encoded[at + len(said) - 2 :][1:]


def _private(encoded: bytes) -> str:
    return str(json.loads(encoded)["leaves"][0]["private"])


def test_no_bit_of_a_request_to_a_witness_may_change() -> None:
    """Old size, consistency proof, checkpoint, and the log's signature."""
    older = Checkpoint(ORIGIN, 5, Tree(LEAVES[:5]).root())
    note = sign_checkpoint(Checkpoint(ORIGIN, 13, TREE.root()), SigningKey(ORIGIN, LOG))
    body = format_request(5, consistency_proof(TREE.node, 5, 13), note)
    key = SigningKey(ORIGIN, LOG).verifier(ED25519)

    def accept(encoded: bytes) -> object:
        return decide(parse_request(encoded), key, older)

    accept(body)
    assert passed(flipped(body), accept) == []


# The keeper itself: all of it again through the call that an engine makes.


@pytest.mark.parametrize("role", ROLES)
def test_no_bit_of_a_question_may_change_at_a_keeper(still_pair: Pair, role: Role) -> None:
    """Every bit would take minutes; a stride that no length here divides meets every part."""
    question = still_pair.question()
    body = dump({
        "tenant": question.tenant,
        "warrant": question.warrant.to_object(),
        "request": question.request.to_object(),
        "grants": [grant.to_object() for grant in question.grants],
        "engine_key": question.engine_key.to_object(),
    })  # fmt: skip
    caller = still_pair.public("engine")
    with still_pair.owner(role) as keeper:

        def accept(content: bytes) -> object:
            return keeper_commit.commit(keeper, caller, content)

        assert passed(flipped(body, 401 + secrets.randbelow(50)), accept) == []
        with keeper.store.read() as tx:
            size = queries.tenant(tx, TENANT).size
            logged = queries.leaf_texts(tx, TENANT, 0, size)
        assert not any(b"type=commit" in leaf for leaf in logged)
        accept(body)


if __name__ == "__main__":
    for name, signed in STATEMENTS.items():
        whole = signed.envelope.encode()
        print(name, 8 * len(whole), "bits;", len(passed(flipped(whole), signed.accept)), "passed")
