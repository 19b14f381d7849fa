"""Envelopes: every bit of payload and signature counts, and so do kind and key."""

import json
from dataclasses import replace
from typing import Any

import pytest

from icrstore.warrant.dsse import MOST_SIGNATURES, Envelope, Signature, key_id, pae, raw_public
from icrstore.warrant.strict import dump, encode_base64
from tests.warrant import cast
from tests.warrant.cast import code_of

ENVELOPE = Envelope.sign("grant", {"v": 1, "a": "é"}, cast.APPLICANT, cast.APPROVER)
PUBLIC = raw_public(cast.APPLICANT)


def _bits(value: bytes) -> list[bytes]:
    number = int.from_bytes(value, "big")
    return [(number ^ 1 << bit).to_bytes(len(value), "big") for bit in range(8 * len(value))]


def _read(**changes: Any) -> Envelope:
    return Envelope.parse(dump(ENVELOPE.to_object() | changes), "grant")


def test_an_envelope_comes_back_and_both_signatures_hold() -> None:
    read = Envelope.parse(ENVELOPE.encode(), "grant")
    assert read == ENVELOPE
    read.verify(PUBLIC)
    read.verify(raw_public(cast.APPROVER))


def test_every_flipped_bit_of_the_payload_is_found() -> None:
    for payload in _bits(ENVELOPE.payload):
        changed = replace(ENVELOPE, payload=payload)
        assert code_of(lambda changed=changed: changed.verify(PUBLIC)) == "bad-signature"  # type: ignore[misc]


def test_every_flipped_bit_of_a_signature_is_found() -> None:
    keyid = key_id(PUBLIC)
    for sig in _bits(ENVELOPE.signatures[0].sig):
        changed = replace(ENVELOPE, signatures=(Signature(keyid, sig),))
        assert code_of(lambda changed=changed: changed.verify(PUBLIC)) == "bad-signature"  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["warrant", "request", "gran", "grants", "", "Grant"])
def test_a_statement_of_one_kind_is_none_of_another(kind: str) -> None:
    assert code_of(lambda: replace(ENVELOPE, kind=kind).verify(PUBLIC)) == "bad-signature"
    assert code_of(lambda: Envelope.parse(ENVELOPE.encode(), kind)) == "wrong-kind"


@pytest.mark.parametrize(
    "payload_type",
    ["application/vnd.icr.warrant.v1+json", "application/vnd.icr.grant.v2+json",
     "application/vnd.icr.grant.v1+json ", "application/json", "APPLICATION/vnd.icr.grant.v1+json"],
)  # fmt: skip
def test_another_payload_type_is_refused(payload_type: str) -> None:
    assert code_of(lambda: _read(payloadType=payload_type)) in (
        "wrong-kind",
        "control-character",
    )


def test_a_payload_cut_or_lengthened_is_found() -> None:
    for payload in (b"", ENVELOPE.payload[:-1], ENVELOPE.payload + b" ", b" " + ENVELOPE.payload):
        changed = replace(ENVELOPE, payload=payload)
        assert code_of(lambda changed=changed: changed.verify(PUBLIC)) == "bad-signature"  # type: ignore[misc]


def test_keyids_that_changed_places_verify_nobody() -> None:
    one, other = ENVELOPE.signatures
    swapped = (Signature(one.keyid, other.sig), Signature(other.keyid, one.sig))
    changed = replace(ENVELOPE, signatures=swapped)
    assert code_of(lambda: changed.verify(PUBLIC)) == "bad-signature"
    assert code_of(lambda: changed.verify(raw_public(cast.APPROVER))) == "bad-signature"


def test_a_signature_under_a_strange_keyid_is_nobodys() -> None:
    strange = Signature(key_id(raw_public(cast.STRANGER)), ENVELOPE.signatures[0].sig)
    changed = replace(ENVELOPE, signatures=(strange,))
    assert code_of(lambda: changed.verify(PUBLIC)) == "not-signed"
    assert code_of(lambda: changed.verify(raw_public(cast.STRANGER))) == "bad-signature"


def test_a_key_that_did_not_sign_is_told_so() -> None:
    assert code_of(lambda: ENVELOPE.verify(raw_public(cast.STRANGER))) == "not-signed"


@pytest.mark.parametrize("public", [b"", b"x", bytes(31), bytes(33), b"\xff" * 32])
def test_what_is_no_key_verifies_nothing(public: bytes) -> None:
    claimed = replace(ENVELOPE, signatures=(Signature(key_id(public), bytes(64)),))
    assert code_of(lambda: claimed.verify(public)) == "bad-signature"


def test_one_key_signs_once() -> None:
    twice = ENVELOPE.add(cast.APPLICANT)
    assert code_of(lambda: Envelope.parse(twice.encode(), "grant")) == "duplicate-signature"
    forged = ENVELOPE.to_object()
    forged["signatures"].append(forged["signatures"][0] | {"sig": encode_base64(bytes(64))})
    assert code_of(lambda: Envelope.parse(dump(forged), "grant")) == "duplicate-signature"


def test_an_envelope_has_1_to_8_signatures() -> None:
    signers = [cast.key(f"signer {number}") for number in range(MOST_SIGNATURES + 1)]
    most = Envelope.sign("grant", {"v": 1}, *signers[:-1])
    assert Envelope.parse(most.encode(), "grant") == most
    assert code_of(lambda: Envelope.parse(most.add(signers[-1]).encode(), "grant")) == "not-a-list"
    assert code_of(lambda: _read(signatures=[])) == "not-a-list"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payload": "e30"}, "not-base64"),
        ({"payload": "e30=\n"}, "not-base64"),
        ({"payload": {}}, "not-base64"),
        ({"more": 1}, "not-supported"),
        ({"signatures": {}}, "not-a-list"),
        ({"signatures": [{"keyid": "00" * 8}]}, "missing-field"),
        ({"signatures": [{"keyid": "00" * 8, "sig": "YWI="}]}, "not-base64"),
        ({"signatures": [{"keyid": "AB" * 8, "sig": encode_base64(bytes(64))}]}, "not-hexadecimal"),
        ({"signatures": [{"keyid": "00" * 7, "sig": encode_base64(bytes(64))}]}, "not-hexadecimal"),
        ({"signatures": [{"keyid": "00" * 8, "sig": encode_base64(bytes(64)), "alg": "none"}]},
         "not-supported"),
        ({"signatures": ["x"]}, "not-an-object"),
    ],
)  # fmt: skip
def test_an_envelope_that_is_not_well_formed_is_refused(changes: Any, code: str) -> None:
    assert code_of(lambda: _read(**changes)) == code


@pytest.mark.parametrize("missing", ["payloadType", "payload", "signatures"])
def test_an_envelope_has_all_its_parts(missing: str) -> None:
    rest = {name: value for name, value in ENVELOPE.to_object().items() if name != missing}
    assert code_of(lambda: Envelope.parse(dump(rest), "grant")) == "missing-field"


def test_the_bytes_that_were_signed_stay_exact_however_they_were_spelled() -> None:
    payload = b' { "a" : "\\u00e9" , "v" : 1 } '
    spelled = Envelope("grant", payload, ()).add(cast.APPLICANT)
    read = Envelope.parse(json.dumps(spelled.to_object(), indent=2).encode(), "grant")
    read.verify(PUBLIC)
    assert read.payload == payload
    assert read.fields().text("a") == "é"
    assert read.sha256 != ENVELOPE.sha256


def test_no_two_kinds_and_payloads_share_what_is_signed() -> None:
    pairs = [("a", b"b"), ("a", b""), ("ab", b""), ("", b"ab"), ("a 1 b", b""), ("a", b" 1 b")]
    assert len({pae(kind, payload) for kind, payload in pairs}) == len(pairs)
