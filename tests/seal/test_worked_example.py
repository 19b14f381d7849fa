"""Every hex value of deploy/worked-example.md, derived again from the code."""

import hmac
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from icrstore.flow.schema import address_bytes, record_schema
from icrstore.seal import account_map
from icrstore.seal.encode import enc, u8, u32
from icrstore.seal.epoch import ROLES, Epoch, commitment, open_seal, share
from icrstore.seal.group import by_hour
from icrstore.seal.manifest import Manifest, check, entry
from icrstore.seal.pools import Pool, Pools
from icrstore.seal.rows import Segment, SelectorKeys, pad
from icrstore.wire import hpke
from tests.seal.proving import prove

PAGE = Path(__file__).parents[2] / "deploy" / "worked-example.md"
TEXT = PAGE.read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_VALUE = re.compile(r"^(\S.*?) =((?:\s+[0-9a-f]+)+)$", re.MULTILINE)


def _values() -> dict[str, bytes]:
    found = [pair for block in _BLOCK.findall(TEXT) for pair in _VALUE.findall(block)]
    assert len({name for name, _ in found}) == len(found)
    return {name: bytes.fromhex("".join(value.split())) for name, value in found}


SHOWN = _values()
INPUTS = {"nonce", "a[operator]", "a[oversight]", "columns", "selector"}
EPOCH = Epoch("demo", datetime(2026, 11, 22, 20, tzinfo=UTC), 0, SHOWN["nonce"])


POOLS = Pools(bytes(32), (Pool("198.51.100.0/24", 32, 9), Pool("2001:db8::/32", 56)))


def _columns() -> dict[str, bytes]:
    """What part 9 shows, from its three records."""
    start, source, public = int(EPOCH.hour.timestamp()) * 1000, "192.168.1.7", "203.0.113.9"
    records = [
        (1500, 17, source, 40001, "8.8.8.8", 53, public, 5000),
        (1750, 6, source, 40002, "17.253.4.125", 993, public, 5001),
        (2000, 17, source, 40003, "8.8.8.8", 53, public, 5002),
    ]
    schema = record_schema("ms")
    columns = list(zip(*(
        (start + time, protocol, address_bytes(one), sport, address_bytes(two), dport,
         address_bytes(three), pport, "17-zoe")
        for time, protocol, one, sport, two, dport, three, pport in records
    ), strict=True))  # fmt: skip
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
    ((_, group),) = by_hour(table)
    (piece,) = account_map.pieces(group)
    ends = {"header": 6, "plain": 12, "packed": 18, "address planes": 42, "service planes": 50,
            "row planes": 80}  # fmt: skip
    parts = {
        name: piece.columns[start:end]
        for (name, end), start in zip(ends.items(), [0, *ends.values()], strict=False)
    }
    return {**parts, "columns of three records": piece.columns}


def _derived() -> dict[str, bytes]:
    account = SHOWN["selector"]
    atoms = {role: SHOWN[f"a[{role}]"] for role in ROLES}
    shares = {role: share(atom, "account", account) for role, atom in atoms.items()}
    keys = SelectorKeys(shares["operator"], shares["oversight"], EPOCH.eid, "account", account)
    label, key = keys.label_and_key(0)
    row_message = enc(b"icr/v1/row", EPOCH.eid, b"account", account, u32(0))
    segment = Segment(0, 0, 3, SHOWN["columns"])
    row = keys.seal(segment)
    made = Manifest.of([row])
    proof = prove(made, row.label)
    check(proof, made.root, row.label, row.body)
    return {
        "E": EPOCH.encode(),
        "eid": EPOCH.eid,
        **{f"com[{role}]": commitment(EPOCH, role, atoms[role]) for role in ROLES},
        "seal info[operator, 7]": enc(b"icr/v1/epoch-seal", EPOCH.encode(), b"operator", u8(7)),
        "share message": enc(b"icr/v1/share", b"account", account),
        **{f"share[{role}]": shares[role] for role in ROLES},
        "row message": row_message,
        "T_0": hmac.digest(shares["operator"] + shares["oversight"], row_message, "sha512"),
        "label": label,
        "key": key,
        "segment": segment.encode(),
        "padded": pad(segment.encode()),
        "aad": enc(b"icr/v1/seg", EPOCH.eid, label),
        "body": row.body,
        "entry": entry(row.label, row.body),
        "leaf": proof.bucket + proof.next_label,
        "manifest root": made.root,
        **_columns(),
        **{
            f"selector of {address}, {f'port {port}' if port else 'no port'}": POOLS.selector(
                address_bytes(address), port
            )
            for address, port in (
                ("198.51.100.7", 5000), ("198.51.100.7", None), ("2001:db8:1:2ff::9", 443),
                ("203.0.113.9", 443),
            )
        },
    }  # fmt: skip


DERIVED = _derived()


@pytest.mark.parametrize("name", DERIVED)
def test_a_value_on_the_page_is_the_codes(name: str) -> None:
    assert SHOWN[name].hex() == DERIVED[name].hex()


def test_the_messages_on_the_page_are_what_makes_the_shares_the_label_and_the_key() -> None:
    for role in ROLES:
        made = hmac.digest(SHOWN[f"a[{role}]"], SHOWN["share message"], "sha256")
        assert made == SHOWN[f"share[{role}]"]
    assert SHOWN["T_0"][:48] == SHOWN["label"] + SHOWN["key"]


def test_every_value_on_the_page_is_derived_or_an_input() -> None:
    assert set(SHOWN) == set(DERIVED) | INPUTS
    assert SHOWN["selector"] == b"17-zoe"
    assert f"`{SHOWN['columns'].decode()}`" in TEXT


def test_no_hex_stands_outside_the_blocks() -> None:
    prose = _BLOCK.sub("", TEXT)
    assert re.findall(r"\b[0-9a-f]{8,}\b", prose) == []
    lines = [line for block in _BLOCK.findall(TEXT) for line in block.splitlines()]
    assert all(re.fullmatch(r"(\S.*? =)?(\s*[0-9a-f]+)?", line) for line in lines)


def test_the_seals_info_on_the_page_is_the_one_that_opens() -> None:
    key = hpke.PrivateKey(bytes(range(96)))
    sealed = hpke.seal(key.public_bytes(), SHOWN["seal info[operator, 7]"], SHOWN["a[operator]"])
    assert open_seal(key, EPOCH, "operator", 7, sealed) == SHOWN["a[operator]"]
