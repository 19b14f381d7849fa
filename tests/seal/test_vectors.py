"""Every vector of tests/vectors/seal.json against the room, and the file against its maker."""

import ipaddress
import json
import struct
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from icrstore.seal import encode, intake, pools
from icrstore.seal.epoch import ROLES, Epoch, commitment, open_seal, seal_atom, shard_of, share
from icrstore.seal.manifest import BUCKET, Manifest, check, entry
from icrstore.seal.rows import Row, Segment, SelectorKeys, pad, padme, unpad
from icrstore.tlog.merkle import leaf_hash
from icrstore.warrant.statements import read_pool
from icrstore.wire import hpke
from tests.seal.proving import prove
from tests.vectors import make_vectors

Vector = dict[str, Any]
VECTORS: Vector = json.loads((make_vectors.HERE / "seal.json").read_text(encoding="utf-8"))
unhex = bytes.fromhex


def test_the_file_is_what_its_maker_writes() -> None:
    for name, made in (
        ("seal.json", make_vectors.seal_vectors),
        ("warrant.json", make_vectors.warrant_vectors),
    ):
        kept = (make_vectors.HERE / name).read_text(encoding="utf-8")
        assert kept == make_vectors.written(made())


@pytest.mark.parametrize("vector", VECTORS["enc"])
def test_enc(vector: Vector) -> None:
    assert encode.enc(*map(unhex, vector["parts"])).hex() == vector["out"]


def test_no_two_lists_of_the_vectors_share_an_encoding() -> None:
    outs = [vector["out"] for vector in VECTORS["enc"]]
    assert len(set(outs)) == len(outs)


@pytest.mark.parametrize("vector", VECTORS["prf"])
def test_prf(vector: Vector) -> None:
    made = encode.prf(unhex(vector["key"]), vector["label"], *map(unhex, vector["parts"]))
    assert made.hex() == vector["out"]


def test_padme() -> None:
    assert [[length, padme(length)] for length, _ in VECTORS["padme"]] == VECTORS["padme"]


def _epoch(vector: Vector) -> Epoch:
    midnight = datetime.fromisoformat(vector["day"]).replace(tzinfo=UTC)
    return Epoch(
        vector["tenant"],
        midnight.replace(hour=vector["hour"]),
        vector["shard"],
        unhex(vector["nonce"]),
    )


@pytest.mark.parametrize("vector", VECTORS["epochs"], ids=lambda v: v["day"])
def test_epochs(vector: Vector) -> None:
    epoch = _epoch(vector)
    assert epoch.encode().hex() == vector["E"]
    assert epoch.eid.hex() == vector["eid"]
    for role in ROLES:
        atom = unhex(vector["atoms"][role])
        assert commitment(epoch, role, atom).hex() == vector["com"][role]


@pytest.mark.parametrize("vector", VECTORS["epochs"], ids=lambda v: v["day"])
def test_an_atom_is_sealed_under_the_info_of_the_vector(vector: Vector) -> None:
    key, atom = hpke.PrivateKey.generate(), unhex(vector["atoms"]["operator"])
    info = unhex(vector["seal_info_of_instance_7"]["operator"])
    sealed = seal_atom(key.public_bytes(), _epoch(vector), "operator", 7, atom)
    assert hpke.open_(key, info, sealed) == atom
    ours = hpke.seal(key.public_bytes(), info, atom)
    assert open_seal(key, _epoch(vector), "operator", 7, ours) == atom


@pytest.mark.parametrize("vector", VECTORS["selectors"])
def test_shares(vector: Vector) -> None:
    of = next(epoch for epoch in VECTORS["epochs"] if epoch["eid"] == vector["eid"])
    for role in ROLES:
        made = share(unhex(of["atoms"][role]), vector["kind"], unhex(vector["selector"]))
        assert made.hex() == vector["shares"][role]


def _keys(vector: Vector) -> SelectorKeys:
    operator, oversight = (unhex(vector["shares"][role]) for role in ROLES)
    eid, selector = unhex(vector["eid"]), unhex(vector["selector"])
    return SelectorKeys(operator, oversight, eid, vector["kind"], selector)


@pytest.mark.parametrize("vector", VECTORS["selectors"])
def test_rows_are_sealed_and_opened_as_in_the_vectors(vector: Vector) -> None:
    keys = _keys(vector)
    for row in vector["rows"]:
        encoded = unhex(row["segment"])
        chunk, last, records = struct.unpack_from(">III", encoded)
        segment = Segment(chunk, last, records, encoded[12:])
        label, key = keys.label_and_key(row["chunk"])
        assert (label.hex(), key.hex()) == (row["label"], row["key"])
        assert (label + key).hex() == row["T"][:96]
        assert pad(encoded).hex() == row["padded"]
        assert unpad(unhex(row["padded"])) == encoded
        assert keys.seal(segment) == Row(label, unhex(row["body"]))
        assert keys.open(row["chunk"], unhex(row["body"])) == segment
        assert entry(label, unhex(row["body"])).hex() == row["entry"]


@pytest.mark.parametrize("vector", VECTORS["address_selectors"])
def test_address_selectors(vector: Vector) -> None:
    address = unhex(vector["address16"])
    parsed = ipaddress.ip_address(vector["address"])
    assert parsed.packed == (address[12:] if parsed.version == 4 else address)
    assert pools.DEFAULT.selector(address, vector["port"]).hex() == vector["selector"]


@pytest.mark.parametrize("vector", VECTORS["selectors_by_pools"])
def test_selectors_by_pools(vector: Vector) -> None:
    listed = tuple(read_pool(pool, "pool") for pool in VECTORS["pools"])
    by = pools.Pools(bytes(32), listed)
    assert by.selector(unhex(vector["address16"]), vector["port"]).hex() == vector["selector"]


@pytest.mark.parametrize("vector", VECTORS["shards"])
def test_shards(vector: Vector) -> None:
    assert shard_of(vector["account"], vector["shards"]) == vector["shard"]


@pytest.mark.parametrize("vector", VECTORS["manifests"], ids=lambda v: len(v["rows"]))
def test_manifests(vector: Vector) -> None:
    rows = [Row(unhex(row["label"]), unhex(row["body"])) for row in vector["rows"]]
    manifest = Manifest.of(rows)
    root = unhex(vector["root"])
    assert (manifest.rows, manifest.root) == (len(rows), root)
    assert manifest.entries.hex() == "".join(vector["buckets"])
    for row in rows:
        proof = prove(manifest, row.label)
        check(proof, root, row.label, row.body)
        assert proof.bucket.hex() == vector["buckets"][proof.index]
        assert proof.next_label.hex() == vector["next_labels"][proof.index]
        leaf = leaf_hash(proof.bucket + proof.next_label)
        assert leaf.hex() == vector["leaf_hashes"][proof.index]
    assert len(vector["buckets"]) == -(-len(rows) // BUCKET)


def test_intake_keys() -> None:
    vector = VECTORS["intake"]
    first = intake.hour_number(datetime.fromisoformat(vector["first_hour"]))
    oldest = intake.IntakeChain(first, unhex(vector["hours"][0]["link"]))
    for number, hour in enumerate(vector["hours"], first):
        assert oldest.advance(number).link.hex() == hour["link"]
        pair = oldest.key_pair(number)
        assert pair.private_bytes().hex() == hour["ml_kem_seed"] + hour["x25519"]
        assert pair.public_bytes().hex() == hour["public"]


def test_batch_ids() -> None:
    vector = VECTORS["batch"]
    secret, digest = unhex(vector["collector_secret"]), unhex(vector["arrow_sha256"])
    assert intake.batch_id(secret, digest).hex() == vector["batch_id"]


def test_what_keepers_make_is_written_with_the_same_two_primitives() -> None:
    vector = VECTORS["subject"]
    account = encode.text(vector["account"])
    subject = encode.digest("subject", unhex(vector["salt"]), account)
    assert subject.hex() == vector["commitment"]
    tenant, month = encode.text(vector["tenant"]), vector["month_due"].encode("ascii")
    k_sub = encode.prf(unhex(vector["tag_key"]), "sub", tenant, account, month)
    assert k_sub.hex() == vector["k_sub"]
    tags = [encode.prf(k_sub, "tag", encode.u32(n))[:16].hex() for n in range(3)]
    assert tags == vector["tags"]


def test_the_chain_of_key_encryption_keys() -> None:
    chain = [unhex(link) for link in VECTORS["kek"]]
    for today, tomorrow in pairwise(chain):
        assert encode.prf(today, "kek") == tomorrow
