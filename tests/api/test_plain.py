"""Plain bodies: what senders that cannot seal push, which web seals and the sealer checks."""

import csv
import gzip
import hashlib
import io
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accounts.models import Tenant
from icrstore.flow.schema import address_text
from icrstore.inbox.authorship import NotSigned, check_author
from icrstore.inbox.models import Batch, IntakeKey
from icrstore.seal.epoch import hour_start
from icrstore.seal.intake import batch_info
from icrstore.shell.keyfile import KeyFile
from icrstore.vault.sealer import seal_waiting
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import IntakeKey as IntakeKeyStatement
from icrstore.wire import hpke
from tests.api.web import Caller, Edge, Told, Web, sha256, write_trust
from tests.vault.rooms import Rooms, arrow, record, state_of

NDJSON, CSV = "application/x-ndjson", "text/csv"
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def plain(edge: Edge, web: Web) -> Edge:
    """A tenant that allows it, and the trust file by which web knows the sealer host."""
    write_trust(web, edge.rooms)
    Tenant.objects.update(takes_plain=True)
    return edge


def rows(rooms: Rooms, count: int = 3, **changed: Any) -> list[dict[str, Any]]:
    return [
        record(rooms.hour + timedelta(seconds=n), source_port=40_000 + n, **changed)
        for n in range(count)
    ]


def texts(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As `icr-collect read` prints them."""
    return [
        {
            name: value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if name == "observed_at"
            else address_text(value) if name.endswith("_address") else value
            for name, value in each.items() if value is not None
        }
        for each in records
    ]  # fmt: skip


def ndjson(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in texts(records))


def as_csv(records: list[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(texts(records))
    return out.getvalue().encode()


def headers(edge: Edge, media_type: str, encoding: str | None = None, **changed: Any) -> Any:
    label = edge.rooms.label(**changed)
    hours = [f"{hour:%Y-%m-%dT%H}:00:00Z" for hour in (label.first_hour, label.last_hour)]
    return {
        "Content-Type": media_type,
        **({"Content-Encoding": encoding} if encoding else {}),
        "Idempotency-Key": f'"{label.batch_id.hex()}"',
        "Batch-Sequence": f'stream="{label.stream}", n={label.sequence}',
        "Batch-Scope": f'shard=0, first="{hours[0]}", last="{hours[1]}"',
    }


def push(edge: Edge, content: bytes, media_type: str = NDJSON, encoding: str | None = None) -> Told:
    return edge.push(headers(edge, media_type, encoding), content)


def sealed(edge: Edge) -> tuple[str, int, dict[str, int]]:
    """What the sealer makes of the one batch there is, once its hour has ended."""
    seal_waiting(edge.rooms.keys, edge.rooms.days, edge.rooms.now)
    return state_of(Batch.objects.get())


FORMS: dict[str, tuple[str, Callable[[list[dict[str, Any]]], bytes]]] = {
    "ndjson": (NDJSON, ndjson), "csv": (CSV, as_csv), "arrow": (ARROW, arrow),
}  # fmt: skip
ENCODED: dict[str | None, Callable[[bytes], bytes]] = {
    None: lambda content: content,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", list(ENCODED))
@pytest.mark.parametrize("form", list(FORMS))
def test_each_form_in_each_encoding_is_sealed(plain: Edge, form: str, encoding: str | None) -> None:
    media_type, written = FORMS[form]
    content = ENCODED[encoding](written(rows(plain.rooms)))
    told = push(plain, content, media_type, encoding)
    assert told.status == 202
    batch = Batch.objects.get()
    # What lies there is ciphertext, and what the receipt names are the bytes that were sent.
    assert b"203.0.113" not in bytes(batch.body or b"")
    assert bytes(batch.body_sha256).hex() == sha256(content)
    assert sealed(plain) == ("sealed", 3, {})


def test_a_streamed_frame_that_does_not_say_its_size_is_sealed(plain: Edge) -> None:
    stream = zstandard.ZstdCompressor().compressobj()
    content = stream.compress(ndjson(rows(plain.rooms))) + stream.flush()
    assert push(plain, content, NDJSON, "zstd").status == 202
    assert sealed(plain) == ("sealed", 3, {})


def test_a_tenant_that_does_not_allow_it_takes_nothing_plain(edge: Edge) -> None:
    for media_type, written in FORMS.values():
        told = push(edge, written(rows(edge.rooms)), media_type)
        assert told.refusal == (403, "not-allowed-plain")
    assert Batch.objects.count() == 0


def test_other_types_and_encodings_are_refused(plain: Edge) -> None:
    content = ndjson(rows(plain.rooms))
    kept, _ = plain.batch()
    told = plain.push({**kept, "Content-Type": "application/json"}, content)
    assert told.refusal == (415, "wrong-media-type")
    for encoding in ("br", "identity", "gzip, gzip"):
        told = push(plain, content, NDJSON, encoding)
        assert told.refusal == (415, "wrong-content-encoding")
    kept, body = plain.batch()
    # Some readers see a type here, and the signature's another: it would lie there plain.
    told = plain.push({**kept, "Content-Type": "text/csv=;"}, secrets.token_bytes(5000))
    assert told.refusal == (415, "wrong-media-type")
    told = plain.push({**kept, "Content-Encoding": "gzip"}, body)
    assert told.refusal == (415, "wrong-content-encoding")


def test_a_stranger_a_replay_and_another_body_are_refused(plain: Edge, web: Web) -> None:
    content = ndjson(rows(plain.rooms))
    given = headers(plain, NDJSON)
    stranger = Caller(web, Ed25519PrivateKey.generate())
    assert stranger.post("/v1/batches", content, given).refusal == (401, "unknown-key")
    signed = plain.caller.signed("POST", "/v1/batches", given, content)
    told = web.send("POST", "/v1/batches", signed, content.replace(b"line-1", b"line-2"))
    assert told.refusal == (401, "wrong-digest")
    other = {**signed, "Content-Type": CSV}
    assert web.send("POST", "/v1/batches", other, content).refusal == (401, "bad-signature")
    other = {**signed, "Content-Encoding": "gzip"}
    assert web.send("POST", "/v1/batches", other, content).refusal == (401, "not-covered")
    assert web.send("POST", "/v1/batches", signed, content).status == 202
    assert web.send("POST", "/v1/batches", signed, content).refusal == (401, "replayed")


def test_an_id_that_is_held_gets_its_first_receipt(plain: Edge) -> None:
    content, given = ndjson(rows(plain.rooms)), headers(plain, NDJSON)
    first, again = plain.push(given, content), plain.push(given, content + b"\n")
    assert (first.status, again.status, first.value) == (202, 200, again.value)


def test_a_body_over_the_limit_is_refused_by_its_length(plain: Edge, web: Web) -> None:
    signed = plain.caller.signed("POST", "/v1/batches", headers(plain, NDJSON), b"x")
    lines = [f"{name}: {value}" for name, value in signed.items()]
    head = "\r\n".join(["POST /v1/batches HTTP/1.1", f"Host: {web.authority}",
                        f"Content-Length: {(64 << 20) + 1}", *lines, "", ""])  # fmt: skip
    assert web.raw(head.encode()).refusal == (413, "too-large")


def test_bad_lines_are_counted_and_good_ones_sealed(plain: Edge) -> None:
    hour = plain.rooms.hour
    good, other = ndjson(rows(plain.rooms)), texts(rows(plain.rooms, 1))[0]
    outside = rows(plain.rooms, 1)[0] | {"observed_at": hour - timedelta(hours=1)}
    lines = [
        b"needle", b"", b'{"observed_at": 7}', json.dumps({**other, "x": 1}).encode(),
        json.dumps({**other, "source_address": "needle"}).encode(),
        json.dumps({**other, "source_port": 70_000}).encode(),
        json.dumps({**other, "account": None}).encode(), b"[" * 30_000, b"x" * 70_000,
    ]  # fmt: skip
    content = good + b"\n".join(lines) + b"\n" + ndjson([outside]) + good[:40]
    assert push(plain, content).status == 202
    state, records, rejected = sealed(plain)
    assert (state, records) == ("sealed", 3)
    assert rejected == {
        "not-json": 2, "unknown-protocol": 1, "unknown-field": 1, "bad-address": 1,
        "port-out-of-range": 1,
        "account-missing": 1, "outside-scope": 1, "line-too-long": 1, "truncated-line": 1,
    }  # fmt: skip


def test_a_nat_event_is_counted_and_not_retained(plain: Edge) -> None:
    event = {"observed_at": texts(rows(plain.rooms, 1))[0]["observed_at"], "nat_event": "create",
             "source_address": "10.0.0.1", "post_nat_source_address": "203.0.113.9",
             "account": "line-1"}  # fmt: skip
    assert push(plain, ndjson(rows(plain.rooms)) + json.dumps(event).encode() + b"\n").status == 202
    assert sealed(plain) == ("sealed", 3, {"nat-event": 1})


def bomb(size: int) -> bytes:
    """Of zstd, in blocks that repeat one byte, without a word of its size (RFC 8878)."""
    block = (128 << 10 << 3 | 1 << 1).to_bytes(3, "little") + b"\n"
    last = (1 | 1 << 1 | 1 << 3).to_bytes(3, "little") + b"\n"
    return b"\x28\xb5\x2f\xfd\x00\x58" + block * (size >> 17) + last


WHOLLY_WRONG = {
    "garbage": (NDJSON, None, b"needle\n" * 5, "batch-not-ndjson"),
    "a header of other names": (CSV, None, b"time,who\n1,needle\n", "batch-wrong-columns"),
    "no arrow": (ARROW, None, b"needle" * 50, "batch-not-arrow"),
    "no gzip": (NDJSON, "gzip", b"needle" * 50, "batch-wrong-encoding"),
    "no zstd": (NDJSON, "zstd", b"needle" * 50, "batch-wrong-encoding"),
    "half a gzip": (NDJSON, "gzip", gzip.compress(secrets.token_bytes(999))[:-9],
                    "batch-wrong-encoding"),
    "two members": (NDJSON, "gzip", gzip.compress(b"a\n") * 2, "batch-wrong-encoding"),
    "half a frame": (NDJSON, "zstd", zstandard.compress(secrets.token_bytes(999))[:-9],
                     "batch-wrong-encoding"),
    "two frames": (NDJSON, "zstd", zstandard.compress(b"a\n") * 2, "batch-wrong-encoding"),
    "nothing, and more": (NDJSON, "zstd", zstandard.compress(b"") + b"x", "batch-wrong-encoding"),
    "a gzip bomb": (NDJSON, "gzip", gzip.compress(bytes((512 << 20) + 1), 1), "batch-too-large"),
    "a zstd bomb": (NDJSON, "zstd", bomb(513 << 20), "batch-too-large"),
    "a zstd bomb that says so": (NDJSON, "zstd", zstandard.compress(bytes((512 << 20) + 1)),
                                 "batch-too-large"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", list(WHOLLY_WRONG))
def test_what_is_wholly_wrong_is_set_aside_by_reason(plain: Edge, wrong: str) -> None:
    media_type, encoding, content, reason = WHOLLY_WRONG[wrong]
    assert push(plain, content, media_type, encoding).status == 202
    assert sealed(plain) == ("sealed", 0, {reason: 1})


def test_a_million_records_and_one_are_too_many(plain: Edge) -> None:
    line = ndjson(rows(plain.rooms, 1))
    content = zstandard.compress(line * 1_000_001)
    assert push(plain, content, NDJSON, "zstd").status == 202
    assert sealed(plain) == ("sealed", 0, {"batch-too-many-records": 1})


@pytest.mark.parametrize("place", [5, 1200, -1])
def test_one_bit_flipped_where_it_lies_is_found_out(plain: Edge, place: int) -> None:
    assert push(plain, ndjson(rows(plain.rooms))).status == 202
    batch = Batch.objects.get()
    body = bytearray(batch.body or b"")
    body[place] ^= 1
    Batch.objects.update(body=bytes(body))
    assert sealed(plain) == ("sealed", 0, {"batch-not-signed": 1})


def replanted(edge: Edge, held: bytes) -> None:
    """Other content, sealed as web would, under the same signature."""
    batch = Batch.objects.get()
    info = batch_info(batch.tenant_id, "edge-1", bytes(batch.batch_id))
    told = edge.caller.get("/v1/intake-key").value["intake_key"]
    key = IntakeKeyStatement.parse(Envelope.read(told, "intake-key")).key
    Batch.objects.update(body=hpke.seal(key, info, held))


def test_what_web_changes_before_it_seals_is_found_out(plain: Edge) -> None:
    content = ndjson(rows(plain.rooms))
    assert push(plain, content).status == 202
    replanted(plain, zstandard.compress(content.replace(b"line-1", b"line-2")))
    assert sealed(plain) == ("sealed", 0, {"batch-not-signed": 1})


@pytest.mark.parametrize("held", [b"", b"needle", bomb(70 << 20)])
def test_what_web_would_never_seal_is_nobodys(plain: Edge, held: bytes) -> None:
    assert push(plain, ndjson(rows(plain.rooms))).status == 202
    replanted(plain, held)
    assert sealed(plain) == ("sealed", 0, {"batch-not-signed": 1})


def test_the_same_bytes_sealed_anew_are_the_senders(plain: Edge) -> None:
    content = ndjson(rows(plain.rooms))
    assert push(plain, content).status == 202
    replanted(plain, zstandard.compress(content))
    assert sealed(plain) == ("sealed", 3, {})


@pytest.mark.parametrize("hours", [-3, 3, 24 * 365 * 900])
def test_a_sealer_looks_for_the_key_of_no_other_hour(plain: Edge, hours: int) -> None:
    """It works the chain out hour by hour: who writes the row would have it work for minutes."""
    assert push(plain, ndjson(rows(plain.rooms))).status == 202
    batch = Batch.objects.get()
    root, body = plain.rooms.keys.roots[batch.tenant_id], hashlib.sha256(batch.body or b"")
    assert check_author(batch, body.digest(), root).plain
    batch.intake_hour += timedelta(hours=hours)
    with pytest.raises(NotSigned):
        check_author(batch, body.digest(), root)


@pytest.mark.parametrize("is_plain", [True, False])
def test_no_receipt_names_another_digest_than_was_signed(plain: Edge, is_plain: bool) -> None:
    told = push(plain, ndjson(rows(plain.rooms))) if is_plain else plain.push(*plain.batch())
    assert told.status == 202
    Batch.objects.update(body_sha256=hashlib.sha256(b"another").digest())
    assert sealed(plain) == ("sealed", 0, {"batch-not-signed": 1})


def test_web_seals_to_no_key_but_a_sealer_hosts(plain: Edge) -> None:
    """Who writes the table of intake keys would read what web seals."""
    thief = hpke.PrivateKey.generate().public_bytes()
    hour = hour_start(plain.rooms.now)
    forged = IntakeKeyStatement(hour, thief).to_fields()
    signed = Envelope.sign("intake-key", forged, Ed25519PrivateKey.generate())
    IntakeKey.objects.update(envelope=signed.encode())
    told = push(plain, ndjson(rows(plain.rooms)))
    assert told.refusal == (503, "no-intake-key")
    assert Batch.objects.count() == 0


def test_nothing_of_a_plain_body_is_in_webs_log(plain: Edge, web: Web) -> None:
    needle = b"needle" + secrets.token_hex(8).encode()
    for encoding in (None, "gzip"):
        assert push(plain, needle, NDJSON, encoding).status == 202
    assert push(plain, needle, CSV, "br").status == 415
    assert needle.decode() not in web.log()


def test_the_script_that_the_docs_teach_pushes_a_table(
    plain: Edge, web: Web, tmp_path: Path
) -> None:
    text = (Path(__file__).parents[2] / "deploy" / "COLLECTING.md").read_text()
    (script,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "push.py").write_text(script)
    (tmp_path / "day.csv").write_bytes(as_csv(rows(plain.rooms)))
    key = plain.caller.key
    KeyFile("signing", "edge-1", raw_public(key), key.private_bytes_raw()).write(
        tmp_path / "edge-1.key"
    )
    hour = f"{plain.rooms.hour:%Y-%m-%dT%H}:00:00Z"
    arguments = [f"http://{web.authority}", "edge-1.key", "day.csv", CSV, "1", hour, hour]
    told = subprocess.run(
        [sys.executable, "push.py", *arguments], cwd=tmp_path, check=True, capture_output=True
    )
    assert "receipt" in json.loads(told.stdout)
    assert sealed(plain) == ("sealed", 3, {})
