"""Vectors of the fixed formulas (deploy/DESIGN.md, suite 1), computed a second time.

Imports no room: only hashes, HMAC, JSON and `cryptography`, so that a mistake in the rooms cannot
repeat itself here. Run it to write seal.json and warrant.json beside this file. Bytes are hex.
"""

import base64
import hashlib
import hmac
import json
import struct
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

HERE = Path(__file__).parent
ROLES = ("operator", "oversight")
Json = dict[str, Any]


def fixed(name: str, size: int) -> bytes:
    """An input that looks random and is the same on every run."""
    return hashlib.shake_256(b"icr vector " + name.encode()).digest(size)


def enc(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def prf(key: bytes, label: str, *parts: bytes) -> bytes:
    return hmac.new(key, enc(b"icr/v1/" + label.encode(), *parts), hashlib.sha256).digest()


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def nfc(value: str) -> bytes:
    return unicodedata.normalize("NFC", value).encode()


# Epochs and rows


def epoch(tenant: str, day: str, hour: int, shard: int) -> Json:
    nonce = fixed(f"nonce {tenant} {hour}", 16)
    number = struct.pack(">H", shard)
    encoded = enc(b"\x01", nfc(tenant), day.encode(), bytes([hour]), number, nonce)
    atoms = {role: fixed(f"atom {tenant} {hour} {role}", 32) for role in ROLES}
    return {
        "tenant": tenant,
        "day": day,
        "hour": hour,
        "shard": shard,
        "nonce": nonce,
        "E": encoded,
        "eid": sha256(enc(b"icr/v1/epoch", encoded))[:16],
        "atoms": atoms,
        "com": {
            role: sha256(enc(b"icr/v1/atom-commit", encoded, role.encode(), atom))
            for role, atom in atoms.items()
        },
        "seal_info_of_instance_7": {
            role: enc(b"icr/v1/epoch-seal", encoded, role.encode(), b"\x07") for role in ROLES
        },
    }


def selector_rows(of: Json, kind: str, selector: bytes, chunks: list[tuple[int, bytes]]) -> Json:
    """The rows of one selector from its chunks (records, columns)."""
    shares = {r: prf(of["atoms"][r], "share", kind.encode(), selector) for r in ROLES}
    last = len(chunks) - 1
    rows = [
        row(of["eid"], shares, kind, selector, struct.pack(">III", c, last, records) + columns, c)
        for c, (records, columns) in enumerate(chunks)
    ]
    return {"eid": of["eid"], "kind": kind, "selector": selector, "shares": shares, "rows": rows}


def row(
    eid: bytes, shares: dict[str, bytes], kind: str, selector: bytes, segment: bytes, chunk: int
) -> Json:
    named = enc(b"icr/v1/row", eid, kind.encode(), selector, struct.pack(">I", chunk))
    made = hmac.new(shares["operator"] + shares["oversight"], named, hashlib.sha512).digest()
    label, key = made[:16], made[16:48]
    padded = struct.pack(">I", len(segment)) + segment
    padded += bytes(padme(len(padded)) - len(padded))
    aad = enc(b"icr/v1/seg", eid, label)
    body = b"\x01" + AESGCMSIV(key).encrypt(bytes(12), padded, aad)
    return {
        "chunk": chunk,
        "segment": segment,
        "T": made,
        "label": label,
        "key": key,
        "padded": padded,
        "aad": aad,
        "body": body,
        "entry": label + sha256(body)[:16],
    }


def padme(length: int) -> int:
    """Algorithm 1 of the PURBs paper, with its logarithms as exact integers."""
    if length < 2:
        return length
    exponent = len(bin(length)) - 3
    mantissa_bits = len(bin(exponent)) - 2
    step = 1 << (exponent - mantissa_bits)
    return -(-length // step) * step


def packed16(address: str) -> bytes:
    if "." in address:
        return bytes(10) + b"\xff\xff" + bytes(int(part) for part in address.split("."))
    head, _, tail = address.partition("::")
    left, right = ([int(g, 16) for g in half.split(":") if g] for half in (head, tail))
    groups = left + [0] * (8 - len(left) - len(right)) + right
    return struct.pack(">8H", *groups)


def address_selector(address: str, port: int | None, *pools: Json) -> Json:
    """By the pools; else IPv4 /32, IPv6 /64, one block of 65,536 ports. No port: of all ports."""
    packed, spare = packed16(address), 96 if "." in address else 0
    number = int.from_bytes(packed, "big")
    best, prefix, block = -1, 128 - 96 if spare else 64, 65_536
    for pool in pools:
        network, _, length = pool["cidr"].partition("/")
        if ("." in network) != ("." in address) or int(length) < best:
            continue
        below = 128 - spare - int(length)
        if number >> below == int.from_bytes(packed16(network), "big") >> below:
            best, prefix, block = int(length), pool["prefix"], pool["block"]
    below = 128 - spare - prefix
    masked = (number >> below << below).to_bytes(16, "big")
    first, size = (0, 65_536) if port is None else (port // block, block)
    log2 = bytes([len(bin(size)) - 3])
    selector = enc(masked, bytes([prefix]), log2, struct.pack(">H", first))
    return {"address": address, "address16": packed, "port": port, "selector": selector}


POOLS: list[Json] = [
    {"cidr": "198.51.100.0/24", "prefix": 32, "block": 512},
    {"cidr": "198.51.100.64/26", "prefix": 32, "block": 1},
    {"cidr": "198.51.100.0/24", "prefix": 32, "block": 1024},
    {"cidr": "203.0.113.0/24", "prefix": 29, "block": 65_536},
    {"cidr": "2001:db8::/32", "prefix": 56, "block": 65_536},
    {"cidr": "2001:db8:ffff::/48", "prefix": 48, "block": 65_536},
    {"cidr": "::/0", "prefix": 128, "block": 4096},
]


def shard(account: str, shards: int) -> Json:
    two = sha256(enc(b"icr/v1/shard", nfc(account)))[:2]
    return {"account": account, "shards": shards, "shard": (two[0] * 256 + two[1]) % shards}


# Manifests


def tree_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + tree_root(leaves[:k]) + tree_root(leaves[k:]))


def manifest(count: int) -> Json:
    rows = [(fixed(f"label {n}", 16), fixed(f"body {n}", 40)) for n in range(count)]
    entries = sorted(label + sha256(body)[:16] for label, body in rows)
    buckets = [entries[at : at + 64] for at in range(0, count, 64)]
    next_labels = [after[0][:16] for _, after in pairwise(buckets)] + [b"\xff" * 16]
    leaves = [b"".join(b) + following for b, following in zip(buckets, next_labels, strict=False)]
    return {
        "rows": [{"label": label, "body": body} for label, body in rows],
        "buckets": [b"".join(bucket) for bucket in buckets],
        "next_labels": next_labels[: len(buckets)],
        "leaf_hashes": [sha256(b"\x00" + leaf) for leaf in leaves],
        "root": tree_root(leaves),
    }


# Intake keys, batches, what keepers make


def intake(hours: int) -> Json:
    first = fixed("intake link", 32)
    links = [first]
    for _ in range(hours):
        links.append(prf(links[-1], "intake"))
    pairs = [key_pair(link) for link in links]
    return {"first_hour": "2026-11-22T20:00:00Z", "hours": pairs}


def key_pair(link: bytes) -> Json:
    stream = b"".join(
        hmac.new(link, enc(b"icr/v1/intake-pair", bytes([part])), hashlib.sha512).digest()
        for part in (0, 1)
    )
    seed, scalar = stream[:64], stream[64:96]
    ml_kem = MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
    x25519 = X25519PrivateKey.from_private_bytes(scalar).public_key().public_bytes_raw()
    return {"link": link, "ml_kem_seed": seed, "x25519": scalar, "public": ml_kem + x25519}


def batch() -> Json:
    secret, digest = fixed("collector secret", 32), sha256(b"the Arrow bytes of a batch")
    batch_id = prf(secret, "batch", digest)[:16]
    return {"collector_secret": secret, "arrow_sha256": digest, "batch_id": batch_id}


def subject() -> Json:
    salt, account = fixed("salt", 16), "17-Zoë"
    tag_key, due = fixed("tag key", 32), "2026-11"
    k_sub = prf(tag_key, "sub", b"demo", nfc(account), due.encode())
    return {
        "salt": salt,
        "account": account,
        "commitment": sha256(enc(b"icr/v1/subject", salt, nfc(account))),
        "tag_key": tag_key,
        "tenant": "demo",
        "month_due": due,
        "k_sub": k_sub,
        "tags": [prf(k_sub, "tag", struct.pack(">I", n))[:16] for n in range(3)],
    }


def kek_chain() -> list[bytes]:
    chain = [fixed("kek", 32)]
    for _ in range(3):
        chain.append(prf(chain[-1], "kek"))
    return chain


def seal_vectors() -> Json:
    day = epoch("demo", "2026-11-22", 20, 0)
    other = epoch("Café e\u0301", "2028-02-29", 0, 0xFFFF)
    address = address_selector("203.0.113.9", 40001)["selector"]
    many = [(4096, fixed("many", 900)), (1, b"")]
    addresses = ("203.0.113.9", "1.0.0.0", "255.255.255.255", "10.1.2.3", "::", "::1",
                 "2001:db8:1:2:3:4:5:6", "2001:db8::ffff:1")  # fmt: skip
    accounts = ("17-zoe", "e\u0301", "\u00e9", "0" * 64)
    lists: list[list[bytes]] = [[], [b""], [b"", b""], [b"ab", b"c"], [b"a", b"bc"], [bytes(300)]]
    return {
        "enc": [{"parts": parts, "out": enc(*parts)} for parts in lists],
        "prf": [
            {"key": fixed("prf", 32), "label": "share", "parts": parts,
             "out": prf(fixed("prf", 32), "share", *parts)} for parts in lists
        ],
        "padme": [[n, padme(n)] for n in (*range(65), 1000, 4095, 4096, 4097, 65_537, 1_000_001)],
        "epochs": [day, other],
        "selectors": [
            selector_rows(day, "account", b"17-zoe", [(3, b"opaque columns of three records")]),
            selector_rows(day, "address", address, [(1, fixed("columns", 60))]),
            selector_rows(other, "account", nfc("Zoe\u0308"), many),
        ],
        "address_selectors": [
            address_selector(address, port)
            for address in addresses
            for port in (0, 443, 65535)
        ],
        "pools": POOLS,
        "selectors_by_pools": [
            address_selector(address, port, *POOLS)
            for address in ("198.51.100.7", "198.51.100.127", "203.0.113.9", "192.0.2.1",
                            "2001:db8:1:2ff::1", "2001:db8:ffff:1::1", "2001:db9::1")
            for port in (None, 0, 1023, 1024, 65535)
        ],
        "shards": [shard(a, s) for a in accounts for s in (1, 7, 256)],
        "manifests": [manifest(count) for count in (0, 1, 64, 65, 130)],
        "intake": intake(3),
        "batch": batch(),
        "subject": subject(),
        "kek": kek_chain(),
    }  # fmt: skip


# Statements


def dsse(kind: str, value: Json, *seeds: bytes) -> Json:
    payload = canonical(value)
    signed = dsse_pae(kind, payload)
    keys = [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]
    envelope = {
        "payloadType": f"application/vnd.icr.{kind}.v1+json",
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": key_id(key.public_key().public_bytes_raw()),
                "sig": base64.b64encode(key.sign(signed)).decode(),
            }
            for key in keys
        ],
    }
    return {
        "kind": kind,
        "payload": payload,
        "pae": signed,
        "sha256": sha256(payload),
        "envelope": envelope,
    }


def dsse_pae(kind: str, payload: bytes) -> bytes:
    """The DSSE protocol's own wording: "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body."""
    name = b"application/vnd.icr." + kind.encode() + b".v1+json"
    return b"DSSEv1 " + f"{len(name)} ".encode() + name + f" {len(payload)} ".encode() + payload


def canonical(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key_id(public: bytes) -> str:
    return sha256(public)[:8].hex()


def public_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def grant(role: str, seed: bytes, root: bytes) -> Json:
    key = base64.b64encode(public_of(seed)).decode()
    value = {
        "v": 1, "issuer": "Avon Constabulary", "role": role, "key": key, "holder": f"the {role}",
        "not_before": "2026-11-01T00:00:00Z", "not_after": "2027-11-01T00:00:00Z",
    }  # fmt: skip
    return dsse("grant", value, root)


def warrant_value() -> Json:
    recipient = base64.b64encode(key_pair(fixed("recipient", 32))["public"]).decode()
    return {
        "v": 1, "id": "2026/117", "nonce": fixed("warrant nonce", 16).hex(), "tenant": "demo",
        "instrument": "authorisation", "authority": "Avon Constabulary", "purpose": "reached",
        "basis": "IPA 2016 s. 61A: Zoë and others", "selectors": [{"account": "17-Zoë"}],
        "targets": [{"cidr": "198.51.100.0/24", "from": "2026-11-01T00:00:00Z",
                     "to": "2026-12-01T00:00:00.500000Z"}],
        "from": "2026-11-22T00:00:00Z", "to": "2026-11-23T00:00:00Z",
        "valid_from": "2026-11-22T08:00:00Z", "valid_to": "2026-12-22T08:00:00Z",
        "max_requests": 3, "max_candidates": 1, "recipient_keys": [recipient], "notify": "at-once",
    }  # fmt: skip


def request_value(warrant_sha256: bytes) -> Json:
    value = warrant_value()
    return {
        "v": 1, "request_id": fixed("request id", 16).hex(), "warrant_sha256": warrant_sha256.hex(),
        "selectors": value["selectors"], "targets": value["targets"],
        "hours": [{"from": "2026-11-22T19:00:00Z", "to": "2026-11-22T21:00:00Z"}],
        "urgent": False, "nonce": fixed("request nonce", 16).hex(),
        "created": "2026-11-23T09:30:00Z",
    }  # fmt: skip


def policy_value() -> Json:
    return {
        "v": 1, "about": "pools", "tenant": "demo", "effective": "2026-12-01T00:00:00Z",
        "pools": POOLS,
    }  # fmt: skip


def warrant_vectors() -> Json:
    names = ("root", "applicant", "approver", "investigator")
    seeds = {name: fixed(f"ed25519 {name}", 32) for name in names}
    warrant = dsse("warrant", warrant_value(), seeds["applicant"], seeds["approver"])
    request = dsse("request", request_value(warrant["sha256"]), seeds["investigator"])
    return {
        "keys": {
            name: {"seed": seed, "public": public_of(seed), "keyid": key_id(public_of(seed))}
            for name, seed in seeds.items()
        },
        "issuer": "Avon Constabulary",
        "now": "2026-11-23T09:31:00Z",
        "pae": [
            {"kind": kind, "payload": payload, "pae": dsse_pae(kind, payload)}
            for kind, payload in (("warrant", b"{}"), ("epoch", b""), ("grant", b"\x00 1 \xff"))
        ],
        "grants": [grant(name, seeds[name], seeds["root"]) for name in names[1:]],
        "warrant": warrant,
        "request": request,
        "policy": dsse("policy", policy_value(), seeds["root"]),
    }


def hexed(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: hexed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [hexed(each) for each in value]
    return value


def written(vectors: Json) -> str:
    return json.dumps(hexed(vectors), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (HERE / "seal.json").write_text(written(seal_vectors()), encoding="utf-8")
    (HERE / "warrant.json").write_text(written(warrant_vectors()), encoding="utf-8")
