"""Every vector of tests/vectors/warrant.json against the room."""

import json
from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.warrant.authority import Granted, check_request, check_warrant
from icrstore.warrant.dsse import Envelope, key_id, pae, raw_public
from icrstore.warrant.statements import Grant, PoolPolicy, Request, Warrant
from icrstore.warrant.strict import dump
from tests.vectors.make_vectors import HERE

VECTORS: dict[str, Any] = json.loads((HERE / "warrant.json").read_text(encoding="utf-8"))
SIGNED = [*VECTORS["grants"], VECTORS["warrant"], VECTORS["request"], VECTORS["policy"]]
READERS: dict[str, type[Grant | Warrant | Request | PoolPolicy]] = {
    "grant": Grant, "warrant": Warrant, "request": Request, "policy": PoolPolicy
}  # fmt: skip
KEYS = {
    name: Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed"]))
    for name, key in VECTORS["keys"].items()
}


def _envelope(vector: dict[str, Any]) -> Envelope:
    return Envelope.parse(json.dumps(vector["envelope"]).encode(), vector["kind"])


@pytest.mark.parametrize("name", KEYS)
def test_keys_and_their_ids(name: str) -> None:
    public, vector = raw_public(KEYS[name]), VECTORS["keys"][name]
    assert (public.hex(), key_id(public)) == (vector["public"], vector["keyid"])


@pytest.mark.parametrize("vector", VECTORS["pae"])
def test_what_is_signed(vector: dict[str, str]) -> None:
    assert pae(vector["kind"], bytes.fromhex(vector["payload"])).hex() == vector["pae"]


@pytest.mark.parametrize("vector", SIGNED)
def test_statements_are_read_and_written_to_the_byte(vector: dict[str, Any]) -> None:
    envelope = _envelope(vector)
    signers = {key_id(raw_public(key)): key for key in KEYS.values()}
    value = READERS[vector["kind"]].parse(envelope)
    signed = [signers[signature.keyid] for signature in envelope.signatures]
    assert Envelope.sign(vector["kind"], value.to_fields(), *signed) == envelope
    assert envelope.to_object() == vector["envelope"]
    assert envelope.payload.hex() == vector["payload"]
    assert envelope.sha256.hex() == vector["sha256"]
    assert pae(envelope.kind, envelope.payload).hex() == vector["pae"]
    assert dump(value.to_fields()) == envelope.payload


def test_the_warrant_and_the_request_of_the_vectors_hold() -> None:
    now = datetime.fromisoformat(VECTORS["now"])
    grants = [_envelope(grant) for grant in VECTORS["grants"]]
    granted = Granted.check(grants, VECTORS["issuer"], raw_public(KEYS["root"]), now)
    envelope = _envelope(VECTORS["warrant"])
    warrant = check_warrant(envelope, granted, now)
    request = check_request(_envelope(VECTORS["request"]), warrant, envelope.sha256, granted, now)
    assert request.selectors == warrant.selectors
