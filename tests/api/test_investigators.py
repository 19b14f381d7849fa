import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accounts.models import Authority, Nonce, Principal
from icrstore.inbox.models import Batch
from icrstore.query.lodge import unseal
from icrstore.query.models import LodgedWarrant, Query
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.strict import dump
from tests.api.web import ENGINE_STORAGE, Caller, Told, Web, serving
from tests.keeper.pair import Pair
from tests.keeper.papers import AUTHORITY, TENANT, utc_now
from tests.vault.rooms import Database, Rooms, add_tenant

OTHER = "another authority"


@dataclass(frozen=True)
class Desk:
    """What people send: by default the investigator, with everyone's grants."""

    rooms: Rooms
    web: Web

    @property
    def pair(self) -> Pair:
        return self.rooms.pair

    def caller(self, name: str = "investigator") -> Caller:
        return Caller(self.web, self.pair.keys[name])

    def lodge(
        self, warrant: Envelope, by: str = "investigator", grants: Sequence[Envelope] | None = None,
        tenant: str = TENANT,
    ) -> Told:  # fmt: skip
        given = self.pair.grants() if grants is None else grants
        return self.caller(by).post("/v1/warrants", content(tenant, "warrant", warrant, given))

    def put(
        self, request: Envelope, by: str = "investigator", grants: Sequence[Envelope] = (),
        tenant: str = TENANT,
    ) -> Told:  # fmt: skip
        return self.caller(by).post("/v1/queries", content(tenant, "request", request, grants))

    def warrant(self, **changes: Any) -> Envelope:
        return self.pair.warrant(self.pair.warrant_of(**changes))

    def request(self, warrant: Envelope, signer: str = "investigator", **changes: Any) -> Envelope:
        return self.pair.request(self.pair.request_of(warrant, **changes), signer)

    def queued(self) -> Query:
        warrant = self.warrant()
        assert self.lodge(warrant).status == 201
        told = self.put(self.request(warrant))
        assert told.status == 202
        return Query.objects.get(sha256=bytes.fromhex(told.value["query"]))


def content(tenant: str, kind: str, statement: Envelope, grants: Sequence[Envelope]) -> bytes:
    shown = [grant.to_object() for grant in grants]
    return dump({"tenant": tenant, kind: statement.to_object(), "grants": shown})


@pytest.fixture
def desk(rooms: Rooms, web: Web) -> Desk:
    return Desk(rooms, web)


def test_a_warrant_is_lodged_once_and_only_the_engine_can_read_it(desk: Desk) -> None:
    warrant, given = desk.warrant(), desk.pair.grants()
    for _ in range(2):
        told = desk.lodge(warrant, grants=given)
        assert (told.status, told.value) == (201, {"warrant_sha256": warrant.sha256.hex()})
    row = LodgedWarrant.objects.get()
    assert row.authority == AUTHORITY
    opened, grants = unseal(ENGINE_STORAGE, TENANT, "warrant", warrant.sha256, bytes(row.sealed))
    assert (opened, grants) == (warrant, given)
    assert warrant.payload not in bytes(row.sealed)


def test_a_broker_that_hangs_holds_up_no_request(
    rooms: Rooms, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "b"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen(100)
        with serving(tmp_path, database.url("web"), f"redis+socket://{path}") as web:
            started = time.monotonic()
            Desk(rooms, web).queued()
            assert time.monotonic() - started < 6


def test_a_request_is_queued_once_and_only_the_engine_can_read_it(desk: Desk) -> None:
    warrant = desk.warrant()
    desk.lodge(warrant)
    request = desk.request(warrant)
    for _ in range(2):
        told = desk.put(request)
        assert (told.status, told.value) == (202, {"query": request.sha256.hex()})
    row = Query.objects.get()
    assert (row.state, row.urgent) == ("queued", False)
    opened, _ = unseal(ENGINE_STORAGE, TENANT, "request", request.sha256, bytes(row.sealed))
    assert opened == request
    told = desk.caller().get(f"/v1/queries/{request.sha256.hex()}")
    assert told.value == {"query": request.sha256.hex(), "state": "queued", "keepers": []}


def test_an_urgent_request_hurries_what_waits(desk: Desk) -> None:
    desk.rooms.take_records([])
    warrant = desk.warrant()
    desk.lodge(warrant)
    assert desk.put(desk.request(warrant)).status == 202
    assert not Batch.objects.get().urgent
    assert desk.put(desk.request(warrant, urgent=True)).status == 202
    assert Batch.objects.get().urgent


@pytest.mark.parametrize("signer", ["applicant", "approver", "stranger"])
def test_a_request_that_no_investigator_signed_queues_and_hurries_nothing(
    desk: Desk, signer: str
) -> None:
    desk.rooms.take_records([])
    warrant = desk.warrant()
    desk.lodge(warrant)
    told = desk.put(desk.request(warrant, signer, urgent=True))
    assert told.refusal == (422, "no-investigator")
    assert not Query.objects.exists()
    assert not Batch.objects.get().urgent


def test_a_request_whose_signature_is_not_of_its_bytes_is_refused(desk: Desk) -> None:
    warrant = desk.warrant()
    desk.lodge(warrant)
    one, other = desk.request(warrant), desk.request(warrant, urgent=True)
    mixed = Envelope("request", other.payload, one.signatures)
    assert desk.put(mixed).refusal == (422, "bad-signature")


def test_strangers_and_those_without_a_grant_store_nothing(desk: Desk) -> None:
    warrant = desk.warrant()
    told = desk.lodge(warrant, by="stranger")
    assert told.refusal == (401, "unknown-key")
    assert desk.lodge(warrant, grants=()).refusal == (401, "unknown-key")
    for rows in (Principal, LodgedWarrant, Nonce):
        assert not rows.objects.exists()


def test_the_same_grant_twice_is_one_row(desk: Desk) -> None:
    grants = [*desk.pair.grants(), *desk.pair.grants(), desk.pair.grant("investigator")]
    assert desk.lodge(desk.warrant(), grants=grants).status == 201
    assert Principal.objects.count() == 3


def test_grants_are_remembered_for_later_calls_until_they_end(desk: Desk) -> None:
    assert desk.lodge(desk.warrant()).status == 201
    assert desk.lodge(desk.warrant(), by="approver", grants=desk.pair.grants()[:2]).status == 201
    path = f"/v1/queries/{'00' * 32}"
    assert desk.caller().get(path).refusal == (404, "no-such-query")
    Principal.objects.update(not_after=utc_now())
    assert desk.caller().get(path).refusal == (401, "unknown-key")


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"not_after": -1}, "unknown-key"), ({"not_before": 1}, "unknown-key")],
)
def test_a_grant_that_is_not_in_force_makes_nobody_known(
    desk: Desk, changes: dict[str, int], code: str
) -> None:
    moments: dict[str, Any] = {
        name: utc_now() + timedelta(hours=hours) for name, hours in changes.items()
    }
    grants = [*desk.pair.grants()[:2], desk.pair.grant("investigator", **moments)]
    assert desk.lodge(desk.warrant(), grants=grants).refusal == (401, code)


def test_grants_of_an_unknown_authority_are_refused_alike_at_every_tenant(desk: Desk) -> None:
    strange = [desk.pair.grant(role, issuer=OTHER) for role in ("applicant", "approver")]
    warrant = desk.warrant()
    here = desk.lodge(warrant, grants=strange)
    nowhere = desk.lodge(warrant, grants=strange, tenant="no-such-isp")
    assert here.refusal == nowhere.refusal == (422, "unknown-authority")
    assert here.value == nowhere.value


def test_grants_that_another_root_signed_are_refused(desk: Desk) -> None:
    Authority.objects.update(root_key=desk.pair.public("stranger"))
    assert desk.lodge(desk.warrant()).refusal == (422, "not-signed")


def test_a_warrant_half_signed_is_refused(desk: Desk) -> None:
    value = desk.pair.warrant_of()
    assert desk.lodge(desk.pair.warrant(value, "applicant")).refusal == (422, "no-approver")
    assert desk.lodge(desk.pair.warrant(value, "approver")).refusal == (422, "no-applicant")
    alone = [desk.pair.grant("applicant"), desk.pair.grant("approver", "applicant"),
             desk.pair.grant("investigator")]  # fmt: skip
    told = desk.lodge(desk.pair.warrant(value, "applicant"), grants=alone)
    assert told.refusal == (422, "applicant-is-approver")
    forged = Envelope("warrant", value_bytes(desk), desk.pair.warrant(value).signatures)
    assert desk.lodge(forged).refusal == (422, "bad-signature")
    assert not LodgedWarrant.objects.exists()


def value_bytes(desk: Desk) -> bytes:
    return dump(desk.pair.warrant_of(max_requests=10_000).to_fields())


def test_a_warrant_out_of_its_time_or_place_is_refused(desk: Desk) -> None:
    now = utc_now()
    ended = desk.warrant(valid_from=now - timedelta(days=2), valid_to=now - timedelta(seconds=1))
    assert desk.lodge(ended).refusal == (422, "expired")
    early = desk.warrant(valid_from=now + timedelta(hours=1))
    assert desk.lodge(early).refusal == (422, "not-yet-valid")
    elsewhere = desk.warrant(tenant="isp-two")
    assert desk.lodge(elsewhere).refusal == (422, "wrong-tenant")
    assert desk.lodge(desk.warrant(authority=OTHER)).refusal == (403, "not-yours")
    assert not LodgedWarrant.objects.exists()


def test_a_request_needs_its_warrant_lodged_at_the_same_tenant(desk: Desk) -> None:
    warrant = desk.warrant()
    request = desk.request(warrant)
    told = desk.put(request, grants=desk.pair.grants())
    assert told.refusal == (404, "no-such-warrant")
    desk.lodge(warrant)
    add_tenant("isp-two", desk.pair.public("root"))
    told = desk.put(request, tenant="isp-two", grants=desk.pair.grants())
    assert told.refusal == (404, "no-such-warrant")
    assert desk.put(request, tenant="no-such-isp").refusal == (403, "not-yours")


def other_investigator(desk: Desk) -> Caller:
    """Of another authority at the same tenant."""
    key = Ed25519PrivateKey.generate()
    Authority.objects.create(
        tenant=desk.rooms.tenant, name=OTHER, root_key=desk.pair.public("root")
    )
    desk.pair.keys["other"] = key
    grants = [desk.pair.grant("investigator", "other", issuer=OTHER)]
    told = desk.lodge(desk.warrant(), by="other", grants=grants)
    assert told.refusal == (403, "not-yours")
    return desk.caller("other")


def test_another_authoritys_query_is_not_found(desk: Desk) -> None:
    query = desk.queued()
    Query.objects.update(state="answered", disclosure=b'{"sealed":[]}')
    stranger = other_investigator(desk)
    path = f"/v1/queries/{bytes(query.sha256).hex()}"
    for target in (path, f"{path}/disclosure"):
        assert desk.caller().get(target).status == 200
        mine, none = stranger.get(target), stranger.get(f"/v1/queries/{'00' * 32}")
        assert mine.refusal == none.refusal == (404, "no-such-query")
        assert mine.value == none.value
    request = desk.request(desk.warrant(), warrant_sha256=bytes(32))
    assert desk.put(request, by="other").refusal == (404, "no-such-warrant")


def test_another_authority_cannot_ask_under_a_warrant_that_is_not_its_own(desk: Desk) -> None:
    warrant = desk.warrant()
    desk.lodge(warrant)
    other_investigator(desk)
    told = desk.put(desk.request(warrant, "other"), by="other")
    assert told.refusal == (404, "no-such-warrant")


def test_a_disclosure_before_the_answer_is_a_conflict(desk: Desk) -> None:
    path = f"/v1/queries/{bytes(desk.queued().sha256).hex()}/disclosure"
    told = desk.caller().get(path)
    assert told.refusal == (409, "not-answered")
    assert told.value["detail"] == "the query is queued"
    Query.objects.update(state="answered", disclosure=b'{"sealed":[]}')
    assert desk.caller().get(path).value == {"sealed": []}
    # As it is thirty days later (`icrstore.retention`).
    Query.objects.update(disclosure=None)
    assert desk.caller().get(path).refusal == (410, "answer-gone")


@pytest.mark.parametrize("name", ["0", "zz", "AB" * 32, "00" * 31, "00" * 33])
def test_what_is_no_id_is_not_found(desk: Desk, name: str) -> None:
    desk.lodge(desk.warrant())
    assert desk.caller().get(f"/v1/queries/{name}").refusal == (404, "no-such-query")


BODIES = {
    "not-json": [b"", b"x", b"{", b'{"tenant":NaN}', b'{"a":1}{"a":2}', b"\xff", b"[" * 100_000,
                 b'{"tenant":"a","tenant":"b"}', b'{"x":1.5}', b'{"x":1e400}',
                 b'{"x":' + b"9" * 5000],
    "not-an-object": [b"[]", b"1", b"null", b'"text"'],
    "missing-field": [b"{}", b'{"tenant":"demo"}'],
    "not-a-text": [b'{"tenant":1}', b'{"tenant":""}', b'{"tenant":"' + b"a" * 65 + b'"}'],
    "control-character": [b'{"tenant":"a\\u0000b"}', b'{"tenant":"\\ud800"}'],
    "not-nfc": ['{"tenant":"e\u0301"}'.encode()],
}  # fmt: skip


@pytest.mark.parametrize("code", BODIES)
@pytest.mark.parametrize("path", ["/v1/warrants", "/v1/queries"])
def test_a_body_that_could_be_read_in_two_ways_is_refused(desk: Desk, code: str, path: str) -> None:
    for body in BODIES[code]:
        assert desk.caller().post(path, body).refusal == (422, code), body[:40]


def test_a_field_that_nobody_asked_for_is_refused(desk: Desk) -> None:
    value = json.loads(content(TENANT, "warrant", desk.warrant(), desk.pair.grants()))
    for place in (value, value["warrant"], value["grants"][0], value["warrant"]["signatures"][0]):
        place["extra"] = True
        told = desk.caller().post("/v1/warrants", dump(value))
        assert told.refusal == (422, "not-supported")
        del place["extra"]
    many = {**value, "grants": value["grants"] * 7}
    assert desk.caller().post("/v1/warrants", dump(many)).refusal == (422, "not-a-list")


def test_a_body_of_two_megabytes_is_refused_unread(desk: Desk) -> None:
    assert desk.caller().post("/v1/warrants", bytes(2 << 20)).refusal == (413, "too-large")
    told = desk.caller().post("/v1/warrants", b"{}", {"Content-Type": "text/plain"})
    assert told.refusal == (415, "wrong-media-type")


def test_a_lodging_sent_twice_counts_once(desk: Desk) -> None:
    body = content(TENANT, "warrant", desk.warrant(), desk.pair.grants())
    headers = {"Content-Type": "application/json"}
    signed = desk.caller().signed("POST", "/v1/warrants", headers, body)
    assert desk.web.send("POST", "/v1/warrants", signed, body).status == 201
    assert desk.web.send("POST", "/v1/warrants", signed, body).refusal == (401, "replayed")


def test_a_collectors_key_opens_no_door_of_investigators_nor_the_other_way(desk: Desk) -> None:
    desk.lodge(desk.warrant())
    collector = Caller(desk.web, desk.rooms.collector_key)
    assert collector.get(f"/v1/queries/{'00' * 32}").refusal == (401, "unknown-key")
    assert desk.caller().get("/v1/intake-key").refusal == (401, "unknown-key")
