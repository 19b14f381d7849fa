import json
import secrets
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accounts.models import Collector, Nonce
from icrstore.inbox.clocks import clocks
from icrstore.inbox.models import MOST_TRIES, Batch, IntakeKey
from icrstore.seal.epoch import hour_start
from icrstore.seal.intake import IntakeChain, IntakeKeyGone, hour_number
from icrstore.vault.keyring import write_intake
from icrstore.vault.publish import publish_intake_keys
from icrstore.vault.sealer import seal_waiting
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import IntakeKey as IntakeKeyStatement
from icrstore.warrant.machines import Receipt
from icrstore.wire.digest import content_digest_of
from tests.api.web import Caller, Edge, Web, sha256
from tests.vault.rooms import RECEIPT_KEY, add_collector, arrow, frame, record, state_of

LABEL = ("Idempotency-Key", "Batch-Sequence", "Batch-Scope", "Intake-Key")


def test_the_intake_key_of_this_hour_comes_signed_with_the_servers_time(edge: Edge) -> None:
    told = edge.caller.get("/v1/intake-key")
    assert told.status == 200
    signed = Envelope.read(told.value["intake_key"], "intake-key")
    signed.verify(raw_public(edge.rooms.keys.signing))
    key = IntakeKeyStatement.parse(signed)
    now = datetime.fromisoformat(told.value["server_time"])
    assert key.hour == hour_start(now)
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=30)
    rest = {name: told.value[name] for name in ("shards", "tenant", "collector")}
    assert rest == {"shards": 1, "tenant": edge.rooms.tenant.name, "collector": "edge-1"}


def test_a_batch_is_accepted_once_and_its_receipt_told_again(edge: Edge) -> None:
    headers, body = edge.batch()
    first = edge.push(headers, body)
    assert first.status == 202
    signed = Envelope.read(first.value["receipt"], "receipt")
    signed.verify(raw_public(RECEIPT_KEY))
    assert Receipt.parse(signed).body_sha256.hex() == sha256(body)

    again = edge.push(headers, body[:-1] + b"x")
    assert (again.status, again.value) == (200, first.value)
    batch_id = headers["Idempotency-Key"].strip('"')
    told = edge.caller.get(f"/v1/batches/{batch_id}").value
    assert (told["state"], told["receipt"]) == ("accepted", first.value["receipt"])
    assert (told["sealed_receipt"], told["rejected"], told["batch_id"]) == (None, {}, batch_id)


def test_an_unsigned_call_is_refused_though_its_body_never_comes(edge: Edge, web: Web) -> None:
    headers, _ = edge.batch()
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(["POST /v1/batches HTTP/1.1", f"Host: {web.authority}",
                        "Content-Length: 60000000", *lines, "", ""])  # fmt: skip
    assert web.raw(head.encode()).refusal == (401, "no-signature")


def test_a_caller_without_a_key_here_is_refused_though_the_body_is_large(
    edge: Edge, web: Web
) -> None:
    headers, _ = edge.batch()
    stranger = Caller(web, Ed25519PrivateKey.generate())
    told = stranger.post("/v1/batches", bytes(20 << 20), headers)
    assert told.refusal == (401, "unknown-key")
    assert Batch.objects.count() == Nonce.objects.count() == 0


def test_a_revoked_collector_is_a_stranger(edge: Edge) -> None:
    Collector.objects.update(revoked_at=edge.rooms.now)
    assert edge.caller.get("/v1/intake-key").refusal == (401, "unknown-key")
    assert edge.push(*edge.batch()).refusal == (401, "unknown-key")


def test_an_altered_body_is_refused_and_its_batch_not_held(edge: Edge, web: Web) -> None:
    headers, body = edge.batch()
    signed = edge.caller.signed("POST", "/v1/batches", headers, body)
    altered = body[:-1] + bytes([body[-1] ^ 1])
    assert web.send("POST", "/v1/batches", signed, altered).refusal == (401, "wrong-digest")
    digest = {"Content-Digest": content_digest_of(altered)}
    told = web.send("POST", "/v1/batches", {**signed, **digest}, altered)
    assert told.refusal == (401, "bad-signature")
    assert Batch.objects.count() == 0


def test_a_body_without_a_digest_is_refused(edge: Edge, web: Web) -> None:
    headers, body = edge.batch()
    signed = edge.caller.signed("POST", "/v1/batches", headers)
    assert web.send("POST", "/v1/batches", signed, body).refusal == (401, "wrong-digest")


def test_a_call_that_is_sent_twice_counts_once(edge: Edge, web: Web) -> None:
    headers, body = edge.batch()
    signed = edge.caller.signed("POST", "/v1/batches", headers, body)
    assert web.send("POST", "/v1/batches", signed, body).status == 202
    assert web.send("POST", "/v1/batches", signed, body).refusal == (401, "replayed")
    signed = edge.caller.signed("GET", "/v1/intake-key", {})
    assert web.send("GET", "/v1/intake-key", signed).status == 200
    assert web.send("GET", "/v1/intake-key", signed).refusal == (401, "replayed")


@pytest.mark.parametrize("header", LABEL)
def test_each_header_that_means_something_must_be_signed(edge: Edge, web: Web, header: str) -> None:
    headers, body = edge.batch()
    kept = {name: value for name, value in headers.items() if name != header}
    signed = edge.caller.signed("POST", "/v1/batches", kept, body)
    added = {**signed, header: headers[header]}
    assert web.send("POST", "/v1/batches", added, body).refusal == (401, "not-covered")
    assert web.send("POST", "/v1/batches", signed, body).refusal == (401, "not-covered")


@pytest.mark.parametrize("header", LABEL)
def test_a_header_changed_on_the_way_is_refused(edge: Edge, web: Web, header: str) -> None:
    headers, body = edge.batch()
    other, _ = edge.batch(stream="b", shard=1, last_hour=edge.rooms.hour + timedelta(hours=1),
                          intake_hour=edge.rooms.hour + timedelta(hours=2))  # fmt: skip
    signed = edge.caller.signed("POST", "/v1/batches", headers, body)
    changed = {**signed, header: other[header]}
    assert web.send("POST", "/v1/batches", changed, body).refusal == (401, "bad-signature")


def test_a_signature_is_of_one_method_path_query_and_server(edge: Edge, web: Web) -> None:
    signed = edge.caller.signed("GET", "/v1/intake-key", {})
    assert web.send("GET", "/v1/intake-key?x=1", signed).refusal == (401, "bad-signature")
    target = f"/v1/batches/{'00' * 16}"
    assert web.send("GET", target, signed).refusal == (401, "bad-signature")
    elsewhere = Caller(Web(1, web.printed), edge.caller.key).signed("GET", "/v1/intake-key", {})
    assert web.send("GET", "/v1/intake-key", elsewhere).refusal == (401, "bad-signature")


@pytest.mark.parametrize("days", [1, -1])
@pytest.mark.parametrize("target", ["/v1/intake-key", f"/v1/batches/{'00' * 16}"])
def test_a_clock_that_is_a_day_off_is_told_the_servers_time(
    edge: Edge, web: Web, days: int, target: str
) -> None:
    wrong = Caller(web, edge.caller.key, ahead_seconds=days * 86_400)
    told = wrong.get(target)
    assert told.refusal == (401, "wrong-time")
    said = datetime.fromisoformat(told.value["detail"].split()[-1])
    assert abs(said - datetime.now(UTC)) < timedelta(seconds=30)


def test_another_media_type_is_refused(edge: Edge) -> None:
    headers, body = edge.batch()
    told = edge.push({**headers, "Content-Type": "application/octet-stream"}, body)
    assert told.refusal == (415, "wrong-media-type")


def test_a_body_too_large_is_refused_by_its_length_alone(edge: Edge, web: Web) -> None:
    headers, body = edge.batch()
    signed = edge.caller.signed("POST", "/v1/batches", headers, body)
    lines = [f"{name}: {value}" for name, value in signed.items()]
    head = "\r\n".join(["POST /v1/batches HTTP/1.1", f"Host: {web.authority}",
                        f"Content-Length: {(64 << 20) + 1}", *lines, "", ""])  # fmt: skip
    assert web.raw(head.encode()).refusal == (413, "too-large")


def test_a_body_of_unknown_length_is_refused(edge: Edge, web: Web) -> None:
    headers, body = edge.batch()
    signed = edge.caller.signed("POST", "/v1/batches", headers, body)
    told = web.send("POST", "/v1/batches", signed, iter([body]))
    assert told.refusal == (411, "no-length")
    assert Batch.objects.count() == 0


def test_a_body_that_is_cut_off_is_refused(edge: Edge, web: Web) -> None:
    headers, body = edge.batch()
    signed = edge.caller.signed("POST", "/v1/batches", headers, body)
    lines = [f"{name}: {value}" for name, value in signed.items()]
    head = "\r\n".join(["POST /v1/batches HTTP/1.1", f"Host: {web.authority}",
                        f"Content-Length: {len(body)}", *lines, "", ""])  # fmt: skip
    assert web.raw(head.encode() + body[:-1]).refusal == (400, "cut-off")
    assert Batch.objects.count() == Nonce.objects.count() == 0


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("Idempotency-Key", '"nothing"', "bad-header"),
        ("Batch-Sequence", 'stream="main", n=1.5', "bad-header"),
        ("Batch-Scope", "shard=0;", "bad-header"),
        ("Intake-Key", 'hour="9999-12-31T23:00:00Z"', "bad-header"),
    ],
)
def test_a_malformed_header_is_named(edge: Edge, header: str, value: str, code: str) -> None:
    headers, body = edge.batch()
    told = edge.push({**headers, header: value}, body)
    assert told.refusal == (400, code)
    assert told.value["detail"].startswith(header)
    assert value not in told.value["detail"]


def test_what_a_collector_can_mend_is_a_conflict(edge: Edge) -> None:
    headers, body = edge.batch()
    edge.push(headers, body)
    other, other_body = edge.batch(sequence=edge.rooms.sequence)
    other["Batch-Sequence"] = headers["Batch-Sequence"]
    assert edge.push(other, other_body).refusal == (409, "sequence-used")
    IntakeKey.objects.all().delete()
    assert edge.push(*edge.batch()).refusal == (409, "intake-key-gone")
    assert edge.caller.get("/v1/intake-key").refusal == (503, "no-intake-key")


@pytest.mark.parametrize(
    "name", ["00" * 16, "0", "zz" * 16, "00" * 17, "%00", "..", "A%20B", "%C3%A9"]
)
def test_what_is_no_batch_of_this_collector_is_not_found(edge: Edge, name: str) -> None:
    assert edge.caller.get(f"/v1/batches/{name}").status in (401, 404)
    if name.isalnum():
        assert edge.caller.get(f"/v1/batches/{name}").refusal == (404, "no-such-batch")


def test_one_spelling_of_a_batch_id_is_found(edge: Edge) -> None:
    headers, body = edge.batch(batch_id=b"\xab" * 16)
    edge.push(headers, body)
    batch_id = "ab" * 16
    assert edge.caller.get(f"/v1/batches/{batch_id}").status == 200
    assert edge.caller.get(f"/v1/batches/{batch_id.upper()}").status == 404
    assert edge.caller.get(f"/v1/batches/{batch_id}%20").status in (401, 404)


def test_another_collectors_batch_is_not_found(edge: Edge, web: Web) -> None:
    headers, body = edge.batch()
    edge.push(headers, body)
    batch_id = headers["Idempotency-Key"].strip('"')
    key = Ed25519PrivateKey.generate()
    add_collector(edge.rooms.tenant, "edge-2", key)
    told = Caller(web, key).get(f"/v1/batches/{batch_id}")
    assert told.refusal == (404, "no-such-batch")


def test_the_sealed_receipt_is_told_once_it_is_there(edge: Edge) -> None:
    headers, body = edge.batch()
    receipt = edge.push(headers, body).value["receipt"]
    batch_id = headers["Idempotency-Key"].strip('"')
    Batch.objects.update(state=Batch.SEALED, rejected={"time-too-old": 3})
    # Sealed, but a keeper has not logged it: for its collector that is not sealed.
    assert edge.caller.get(f"/v1/batches/{batch_id}").value["state"] == "accepted"
    Batch.objects.update(sealed_receipt=json.dumps(receipt).encode())
    told = edge.caller.get(f"/v1/batches/{batch_id}").value
    assert (told["state"], told["sealed_receipt"]) == ("sealed", receipt)
    assert told["rejected"] == {"time-too-old": 3}


def test_what_else_a_collector_signs_is_kept_with_it_and_the_sealer_finds_it_whole(
    edge: Edge,
) -> None:
    rooms = edge.rooms
    headers, body = edge.batch(frame(arrow([record(rooms.hour)])))
    assert edge.push({**headers, "X-Edge": "7", "Date": "today"}, body).status == 202
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    assert state_of(Batch.objects.get()) == ("sealed", 1, {})


def test_a_collector_that_was_cut_off_for_a_week_pushes_again(edge: Edge) -> None:
    """What it sealed then opens for nobody any more; sealed anew, what is not too old is taken."""
    rooms, minute = edge.rooms, timedelta(minutes=1)
    week_ago = hour_start(rooms.now) - timedelta(days=7)
    IntakeKey.objects.all().delete()
    write_intake(rooms.folder, IntakeChain(hour_number(week_ago) - 9, secrets.token_bytes(32)))
    publish_intake_keys(rooms.keys, week_ago)
    edge_of_time = rooms.now - timedelta(hours=48)
    times = [edge_of_time - 2 * minute, edge_of_time + 2 * minute, rooms.hour]
    content = frame(arrow([record(at) for at in times]))
    changed = {"batch_id": secrets.token_bytes(16), "sequence": 1, "last_hour": rooms.hour,
               "first_hour": hour_start(times[0])}  # fmt: skip
    old = edge.batch(content, intake_hour=week_ago, **changed)

    rooms.keepers_log(rooms.hour)
    publish_intake_keys(rooms.keys, rooms.now)
    with pytest.raises(IntakeKeyGone):
        rooms.keys.intake().key_pair(hour_number(week_ago))
    assert edge.push(*old).refusal == (409, "intake-key-gone")
    told = edge.caller.get("/v1/intake-key").value["intake_key"]
    hour = IntakeKeyStatement.parse(Envelope.read(told, "intake-key")).hour
    assert edge.push(*edge.batch(content, intake_hour=hour, **changed)).status == 202
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    assert state_of(Batch.objects.get()) == ("sealed", 2, {"time-too-old": 1})


def test_every_answer_has_the_servers_time_and_a_new_receipt_has_it_signed(edge: Edge) -> None:
    for _ in range(2):
        told = edge.push(*edge.batch())
        shown = parsedate_to_datetime(told.headers["date"])
        signed = Receipt.parse(Envelope.read(told.value["receipt"], "receipt")).at
        assert told.status == 202
        assert abs(shown - signed) < timedelta(seconds=2)
    refused = edge.push({**edge.batch()[0], "Batch-Scope": "?"}, b"x")
    assert refused.refusal == (400, "bad-header")
    assert abs(parsedate_to_datetime(refused.headers["date"]) - signed) < timedelta(seconds=5)


def test_each_collectors_clock_is_measured_at_each_batch(edge: Edge) -> None:
    rooms, key = edge.rooms, Ed25519PrivateKey.generate()
    second = Edge(rooms, Caller(edge.caller.web, key, ahead_seconds=-20))
    add_collector(rooms.tenant, "edge-2", key)
    edge.caller.ahead_seconds = 25
    assert edge.push(*edge.batch()).status == 202
    edge.caller.ahead_seconds = 0
    assert [e.push(*e.batch()).status for e in (edge, second)] == [202] * 2
    found = [(one.collector, one.ahead, one.worst) for one in clocks(rooms.tenant.name)]
    assert [name for name, *_ in found] == ["edge-1", "edge-2"]
    seconds = [[by.total_seconds() for by in times] for _, *times in found]
    assert seconds == [[pytest.approx(0, abs=3), pytest.approx(25, abs=3)],
                       [pytest.approx(-20, abs=3)] * 2]  # fmt: skip


def test_over_its_quota_a_collector_is_told_when_to_come_back(edge: Edge) -> None:
    Collector.objects.filter(id=edge.rooms.collector.id).update(hour_batches=1)
    first = edge.batch()
    assert edge.push(*first).status == 202
    over = edge.push(*edge.batch())
    assert over.refusal == (429, "quota-used")
    assert 0 < int(over.headers["retry-after"]) <= 3600
    assert edge.push(*first).status == 200
    assert Batch.objects.count() == 1


def test_a_batch_that_is_set_aside_is_shown_to_its_collector(edge: Edge) -> None:
    headers, body = edge.batch()
    assert edge.push(headers, body).status == 202
    place = f"/v1/batches/{headers['Idempotency-Key'].strip(chr(34))}"
    Batch.objects.update(tries=MOST_TRIES - 1)
    assert edge.caller.get(place).value["state"] == "accepted"
    Batch.objects.update(tries=MOST_TRIES)
    told = edge.caller.get(place).value
    assert (told["state"], told["rejected"]) == ("set-aside", {"batch-poison": 1})
    assert told["sealed_receipt"] is None
