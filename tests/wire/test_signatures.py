"""Signed requests: what verifies is exactly what was sent, to us, now."""

import base64
import datetime
import email.message
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ED25519, HMAC_SHA256

from icrstore.wire.digest import content_digest_of
from icrstore.wire.errors import SignatureRefused
from icrstore.wire.signatures import (
    DERIVED,
    MEANINGFUL,
    TAG,
    Verified,
    new_nonce,
    sign_request,
    verify_request,
)

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "wire.json").read_text(encoding="utf-8")
)
KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["seed"]))
KEYID: str = VECTORS["keyid"]
NOW: int = 1_767_225_600
AUTHORITY = "icr.example"
TARGET = "/v1/batches?stream=main"
BODY = b"sealed bytes"
HEADERS = {
    "Content-Type": "application/vnd.icr.batch.v1",
    "Content-Digest": content_digest_of(BODY),
    "Idempotency-Key": "0011",
    "Batch-Sequence": "main, 7",
}
NONCE = "an-unlikely-nonce-22ch"


def resolve(keyid: str) -> Ed25519PublicKey | None:
    return KEY.public_key() if keyid == KEYID else None


def _signed(
    method: str = "POST", target: str = TARGET, headers: dict[str, str] = HEADERS, **changed: Any
) -> dict[str, str]:
    parameters: dict[str, Any] = {
        "key": KEY,
        "keyid": KEYID,
        "created_unix_seconds": NOW,
        "nonce": NONCE,
        **changed,
    }
    return {**headers, **sign_request(method, AUTHORITY, target, headers, **parameters)}


def _verify(
    headers: Any,
    method: str = "POST",
    target: str = TARGET,
    authority: str = AUTHORITY,
    now: int = NOW,
    required: Collection[str] = (),
) -> Verified:
    return verify_request(
        method,
        authority,
        target,
        headers,
        resolve_key=resolve,
        now_unix_seconds=now,
        required=required,
    )


def _reason(headers: Any, **changed: Any) -> str:
    with pytest.raises(SignatureRefused) as refused:
        _verify(headers, **changed)
    return refused.value.reason


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: vector["what"])
def test_our_vectors_are_signed_and_verified(vector: dict[str, Any]) -> None:
    place = vector["method"], vector["authority"], vector["target"]
    added = sign_request(
        *place,
        vector["headers"],
        key=KEY,
        keyid=KEYID,
        created_unix_seconds=vector["created"],
        nonce=vector["nonce"],
    )
    assert added == {
        "Signature-Input": vector["signature_input"],
        "Signature": vector["signature"],
    }
    verified = verify_request(
        *place, {**vector["headers"], **added}, resolve_key=resolve, now_unix_seconds=NOW
    )
    assert (verified.keyid, verified.nonce) == (KEYID, vector["nonce"])
    assert verified.created_unix_seconds == vector["created"]
    lines = [f'"{name}": {value}' for name, value in verified.covered.items()]
    assert lines == vector["signature_base"].split("\n")[:-1]
    verified.check_body(hashlib.sha256(bytes.fromhex(vector["body"])).digest())


def test_a_request_verifies_and_tells_what_was_signed() -> None:
    verified = _verify(_signed(), required=["idempotency-key"])
    assert (verified.keyid, verified.nonce, verified.created_unix_seconds) == (KEYID, NONCE, NOW)
    assert verified.covered["idempotency-key"] == "0011"
    assert set(verified.covered) == {*DERIVED, *(name.lower() for name in HEADERS)}


def test_a_header_that_nobody_acts_on_may_be_added_on_the_way() -> None:
    assert _verify({**_signed(), "X-Forwarded-For": "192.0.2.1", "User-Agent": "x"})


def test_the_case_of_header_names_does_not_matter() -> None:
    assert _verify({name.upper(): value for name, value in _signed().items()})


def test_nothing_of_the_request_can_be_changed() -> None:
    headers = _signed()
    assert _reason(headers, method="PUT") == "bad-signature"
    assert _reason(headers, target="/v1/batches?stream=other") == "bad-signature"
    assert _reason(headers, target="/v1/batches") == "bad-signature"
    assert _reason(headers, target="/v1/Batches?stream=main") == "bad-signature"
    assert _reason(headers, authority="other.example") == "bad-signature"
    assert _reason(headers, authority="icr.example:8443") == "bad-signature"
    for name in HEADERS:
        assert _reason({**headers, name: HEADERS[name] + "x"}) == "bad-signature"
        assert _reason({k: v for k, v in headers.items() if k != name}) == "bad-signature"


def test_no_bit_of_the_signature_headers_can_be_flipped() -> None:
    headers = _signed()
    for name in ("Signature", "Signature-Input"):
        value = headers[name]
        for position in range(len(value)):
            flipped = chr(ord(value[position]) ^ 1)
            broken = {**headers, name: value[:position] + flipped + value[position + 1 :]}
            # The last letter of 64 bytes in base64 has four bits that say nothing.
            if name == "Signature" and position == len(value) - 4:
                continue
            assert _reason(broken) in ("bad-signature", "unknown-key"), (name, position)


def test_a_request_meant_for_one_machine_is_worthless_at_another() -> None:
    # The Host header still names the first: it is our own name that counts.
    headers = {**_signed(), "Host": AUTHORITY}
    assert _reason(headers, authority="oversight.example") == "bad-signature"


# The library's traps, each shown to be open there or closed here.


def test_trap_a_swapped_body_does_not_pass() -> None:
    verified = _verify(_signed())
    verified.check_body(hashlib.sha256(BODY).digest())
    for body in (b"", b"another", BODY + b"\0"):
        with pytest.raises(SignatureRefused, match="wrong-digest"):
            verified.check_body(hashlib.sha256(body).digest())


def test_trap_a_body_smuggled_into_a_request_without_one_does_not_pass() -> None:
    verified = _verify(_signed("GET", headers={}), method="GET")
    verified.check_body(hashlib.sha256().digest())
    with pytest.raises(SignatureRefused, match="wrong-digest"):
        verified.check_body(hashlib.sha256(BODY).digest())


def test_trap_a_swapped_body_with_its_own_digest_beside_the_signature_does_not_pass() -> None:
    headers = {**_signed(), "Content-Digest": content_digest_of(b"another")}
    assert _reason(headers) == "bad-signature"
    uncovered = {**_signed("GET", headers={}), "Content-Digest": content_digest_of(b"another")}
    assert _reason(uncovered, method="GET") == "not-covered"


def _by_library(covered: Collection[str], **changed: Any) -> dict[str, str]:
    """A request signed by the library alone, which has no rules."""
    request = SimpleNamespace(
        method="POST", url=f"http://{AUTHORITY}{TARGET}", headers=dict(HEADERS)
    )
    keys = MappingKeyResolver(public_keys={}, private_keys={KEYID: KEY})
    signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=keys)
    parameters: dict[str, Any] = {
        "created": datetime.datetime.fromtimestamp(NOW, datetime.UTC),
        "nonce": NONCE,
        "tag": TAG,
        **changed,
    }
    signer.sign(
        request,
        key_id=KEYID,
        covered_component_ids=tuple(covered),
        use_existing_digest=True,
        **parameters,
    )
    signed: dict[str, str] = request.headers
    return signed


EVERYTHING = (*DERIVED, *(name.lower() for name in HEADERS))


def test_the_librarys_own_signature_over_everything_verifies() -> None:
    assert _verify(_by_library(EVERYTHING))


def test_trap_a_signature_over_nothing_does_not_pass() -> None:
    assert _reason(_by_library([])) == "not-covered"


@pytest.mark.parametrize("left_out", EVERYTHING)
def test_trap_each_thing_that_counts_must_be_covered(left_out: str) -> None:
    covered = [name for name in EVERYTHING if name != left_out]
    assert _reason(_by_library(covered)) == "not-covered"


def test_every_meaningful_header_must_be_covered_where_present() -> None:
    for name in MEANINGFUL:
        headers = {**_signed("GET", headers={}), name: content_digest_of(b"")}
        assert _reason(headers, method="GET") == "not-covered"


def test_a_content_type_that_a_server_made_up_for_no_body_is_no_matter() -> None:
    assert _verify({**_signed("GET", headers={}), "Content-Type": "text/plain"}, method="GET")


def test_required_headers_must_be_present_and_covered() -> None:
    assert _reason(_signed(), required=["batch-scope"]) == "not-covered"
    loose = {**_signed(), "X-Request": "1"}
    assert _reason(loose, required=["x-request"]) == "not-covered"
    bound = _signed(headers={**HEADERS, "X-Request": "1"})
    assert _verify(bound, required=["x-request"]).covered["x-request"] == "1"


def test_trap_a_component_with_parameters_is_not_the_header_itself() -> None:
    covered = ["content-digest", *(each for each in EVERYTHING if each != "content-digest")]
    assert _verify(_by_library(covered))
    for parameter in (";sf", ';key="sha-256"', ";bs"):
        covered[0] = f'"content-digest"{parameter}'
        assert _reason(_by_library(covered)) == "not-covered"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"nonce": None}, "missing-parameter"),
        ({"nonce": ""}, "missing-parameter"),
        ({"nonce": "n" * 129}, "missing-parameter"),
        ({"include_alg": False}, "missing-parameter"),
        ({"tag": None}, "bad-signature"),
        ({"tag": "icrstore-v2"}, "bad-signature"),
    ],
)
def test_trap_parameters_that_the_library_lets_be_absent(
    changed: dict[str, Any], reason: str
) -> None:
    assert _reason(_by_library(EVERYTHING, **changed)) == reason


def test_trap_a_signature_without_a_time_does_not_pass() -> None:
    path = TARGET.partition("?")[0]
    parameters = f'("@path");keyid="{KEYID}";alg="ed25519";nonce="{NONCE}";tag="{TAG}"'
    base = f'"@path": {path}\n"@signature-params": {parameters}'
    signature = base64.b64encode(KEY.sign(base.encode())).decode()
    headers = {"Signature-Input": f"icr={parameters}", "Signature": f"icr=:{signature}:"}
    assert _reason(headers) == "missing-parameter"


def test_trap_a_public_key_is_not_used_as_a_shared_secret() -> None:
    secret = KEY.public_key().public_bytes_raw()
    request = SimpleNamespace(
        method="POST", url=f"http://{AUTHORITY}{TARGET}", headers=dict(HEADERS)
    )
    keys = MappingKeyResolver(public_keys={}, private_keys={KEYID: secret})
    HTTPMessageSigner(signature_algorithm=HMAC_SHA256, key_resolver=keys).sign(
        request,
        key_id=KEYID,
        created=datetime.datetime.fromtimestamp(NOW, datetime.UTC),
        nonce=NONCE,
        tag=TAG,
        covered_component_ids=EVERYTHING,
        use_existing_digest=True,
    )
    assert _reason(request.headers) == "bad-signature"


def test_trap_the_same_request_twice_is_for_the_caller_to_tell_by_its_nonce() -> None:
    headers = _signed()
    first, again = _verify(headers), _verify(headers)
    assert (first.keyid, first.nonce) == (again.keyid, again.nonce)
    assert len({new_nonce() for _ in range(100)}) == 100
    assert len(new_nonce()) == 22


def _joined(one: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    both = {name: f"{one[name]}, {other[name]}" for name in ("Signature", "Signature-Input")}
    return {**HEADERS, **both}


def _relabelled(headers: dict[str, str], label: str) -> dict[str, str]:
    return {
        name: f"{label}{value.removeprefix('icr')}" if name.startswith("Signature") else value
        for name, value in headers.items()
    }


def test_trap_two_signatures_with_our_tag_are_refused() -> None:
    second = _relabelled(_signed(nonce="another-nonce"), "two")
    assert _verify(second).nonce == "another-nonce"
    assert _reason(_joined(_signed(), second)) == "ambiguous-signature"


def test_trap_two_signatures_under_one_label_are_refused() -> None:
    assert _reason(_joined(_signed(), _signed(nonce="another-nonce"))) == "bad-signature"


def test_a_signature_by_a_proxy_under_its_own_tag_is_no_matter() -> None:
    proxy = _by_library(["@method"], label="proxy", tag="proxy")
    assert _verify(_joined(_signed(), proxy)).nonce == NONCE
    assert _reason(_joined(proxy, _relabelled(proxy, "other"))) == "bad-signature"


def test_labels_that_differ_between_the_two_headers_are_refused() -> None:
    headers = _signed()
    moved = {**headers, "Signature": _relabelled(headers, "two")["Signature"]}
    assert _reason(moved) == "bad-signature"


@pytest.mark.parametrize("name", [*HEADERS, "Signature", "Signature-Input", "content-type"])
def test_trap_a_header_that_came_twice_is_refused(name: str) -> None:
    headers = email.message.Message()
    for each, value in _signed().items():
        headers[each] = value
    assert _verify(headers)
    headers[name.lower()] = "another"
    assert _reason(headers) == "duplicate-header"


def test_a_required_header_that_came_twice_is_refused_even_if_both_are_alike() -> None:
    headers = email.message.Message()
    for each, value in _signed(headers={**HEADERS, "X-Request": "1"}).items():
        headers[each] = value
    headers["x-request"] = "1"
    assert _reason(headers, required=["x-request"]) == "duplicate-header"


@pytest.mark.parametrize("seconds", [-121, 121, -86_400, 10**9])
def test_it_refuses_a_request_from_another_time(seconds: int) -> None:
    assert _reason(_signed(), now=NOW + seconds) == "wrong-time"


@pytest.mark.parametrize("seconds", [-120, -1, 0, 1, 120])
def test_it_accepts_a_clock_within_the_skew(seconds: int) -> None:
    assert _verify(_signed(), now=NOW + seconds)


def test_it_honours_an_expiry() -> None:
    at = datetime.datetime.fromtimestamp(NOW + 10, datetime.UTC)
    headers = _by_library(EVERYTHING, expires=at)
    assert _verify(headers, now=NOW + 9)
    assert _reason(headers, now=NOW + 10) == "wrong-time"
    assert _reason(headers, now=NOW + 11) == "wrong-time"


def test_it_refuses_keys_that_it_does_not_know() -> None:
    assert _reason(_signed(keyid="0000000000000000")) == "unknown-key"
    assert _reason(_signed(keyid="k" * 129)) == "unknown-key"
    stranger = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    assert _reason(_signed(key=stranger)) == "bad-signature"


def test_a_look_up_that_fails_is_no_forgery() -> None:
    def broken(keyid: str) -> Ed25519PublicKey | None:
        raise ConnectionError("the database is away")

    with pytest.raises(ConnectionError):
        verify_request(
            "POST", AUTHORITY, TARGET, _signed(), resolve_key=broken, now_unix_seconds=NOW
        )


def test_it_refuses_a_request_that_is_not_signed() -> None:
    headers = _signed()
    for name in ("Signature", "Signature-Input"):
        without = {each: value for each, value in headers.items() if each != name}
        assert _reason(without) == "no-signature"
    assert _reason(HEADERS) == "no-signature"


@pytest.mark.parametrize(
    "value", ["", "icr", "icr=1", "icr=()", "icr=:AA==:", "\xff", "=", "icr=:"]
)
def test_it_refuses_signature_headers_that_are_none(value: str) -> None:
    for name in ("Signature", "Signature-Input"):
        assert _reason({**_signed(), name: value}) == "bad-signature"


@pytest.mark.parametrize(
    "target", ["", "v1", "*", "http://icr.example/v1", "/v1#part", "/v1?a#b", "/v1 ", "/\xe9"]
)
def test_it_refuses_targets_that_would_be_read_in_two_ways(target: str) -> None:
    headers = _signed(target="/v1", headers={})
    assert _reason(headers, target=target) in ("malformed-target", "bad-signature")


@pytest.mark.parametrize("authority", ["icr.example/v1", "me@icr.example", "a?b", "a#b"])
def test_it_refuses_an_authority_that_is_more_than_one(authority: str) -> None:
    assert _reason(_signed(), authority=authority) == "malformed-target"
    with pytest.raises(SignatureRefused, match="malformed-target"):
        sign_request(
            "GET", authority, "/", {}, key=KEY, keyid=KEYID, created_unix_seconds=NOW, nonce=NONCE
        )


def test_a_digest_in_a_spelling_that_is_not_ours_is_refused_though_signed() -> None:
    sha512 = f"sha-512=:{base64.b64encode(hashlib.sha512(BODY).digest()).decode()}:"
    for value in (sha512, f"{HEADERS['Content-Digest']}, {sha512}"):
        headers = _signed(headers={**HEADERS, "Content-Digest": value})
        assert _reason(headers) == "malformed-digest"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("post", {}),
        ("POST", {"x-note": "two\nlines"}),
        ("POST", {"x-note": "vj\u00e4tte"}),
        ("POST", {"@path": "/other"}),
        ("POST", {"content-digest": "md5=:AA==:"}),
    ],
)
def test_it_does_not_sign_what_could_not_be_verified(method: str, headers: dict[str, str]) -> None:
    with pytest.raises(SignatureRefused, match="unsignable"):
        _signed(method, headers=headers)


def test_a_refusal_carries_no_header_and_no_key() -> None:
    for headers in (_signed(keyid="unknown"), {**_signed(), "Idempotency-Key": "0012"}):
        with pytest.raises(SignatureRefused) as refused:
            _verify(headers)
        assert str(refused.value) == refused.value.reason
        assert refused.value.__cause__ is None
