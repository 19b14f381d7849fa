"""What stands in the lists: every question, every refusal, every debt and every gap of a tenant."""

import secrets
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Tenant
from api.doors import PAGE
from icrstore.inbox.models import Batch
from icrstore.notices.models import Notice, NoticeLeaf, Pull
from icrstore.query.models import LodgedWarrant, Query
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_empty_hours, seal_waiting
from icrstore.warrant.strict import time_text
from tests.api.web import Web
from tests.keeper.papers import TENANT, utc_now
from tests.ledger.copies import copy_logs
from tests.oversight.bodies import Body, put
from tests.vault.rooms import Database, Rooms, record


class Reader:
    """The tenant's oversight person, who gets 200."""

    def __init__(self, web: Web) -> None:
        self._web, self._body = web, Body().pin(TENANT)

    def read(self, what: str) -> Any:
        told = self._body.get(self._web, TENANT, what)
        assert told.status == 200, told.body
        return told.value


@pytest.fixture
def reader(rooms: Rooms, web: Web) -> Reader:
    return Reader(web)


def test_an_access_says_who_asked_under_what_when_and_what_the_keepers_tell_of_it(
    rooms: Rooms, reader: Reader
) -> None:
    query = put(rooms.tenant, "police", selectors=3)
    at = utc_now() - timedelta(minutes=1)
    for number, (role, is_disclosure) in enumerate((("operator", False), ("oversight", True))):
        owe(rooms, bytes(query.sha256), role, number, is_disclosure=is_disclosure, owed_at=at)
    (row,) = reader.read("accesses")["accesses"]
    assert row == {
        "request_sha256": bytes(query.sha256).hex(),
        "warrant_sha256": bytes(query.warrant.sha256).hex(),
        "authority": "police", "selectors": 3, "state": "answered", "keepers": [],
        "put_at": time_text(query.created_at), "ended_at": time_text(utc_of(query.ended_at)),
        "told": [
            {"keeper": "operator", "leaf": 0, "type": "release", "at": time_text(at)},
            {"keeper": "oversight", "leaf": 1, "type": "disclosure", "at": time_text(at)},
        ],
    }  # fmt: skip


def utc_of(moment: Any) -> Any:
    assert moment is not None
    return moment


def owe(rooms: Rooms, request: bytes, role: str, number: int, **changed: Any) -> NoticeLeaf:
    notice, _ = Notice.objects.get_or_create(
        tenant=rooms.tenant, lookup=b"", request_sha256=request,
        defaults={"newest_leaf_at": utc_now(), "next_attempt_at": utc_now()},
    )  # fmt: skip
    fields = {"owed_at": utc_now(), "is_disclosure": False, "is_proven": True, **changed}
    return notice.leaves.create(
        tenant=rooms.tenant, role=role, number=number, leaf=number, sealed=b"", **fields
    )


def test_a_refusal_says_which_keeper_and_why_and_is_an_access_too(
    rooms: Rooms, reader: Reader
) -> None:
    said = [{"keeper": "operator", "code": "expired"}, {"keeper": "oversight", "code": "expired"}]
    before = rooms.now - timedelta(minutes=1)
    put(rooms.tenant, state="refused", keepers=said, selectors=2, ended_at=before)
    put(rooms.tenant, state="refused", keepers=said[:1])
    put(rooms.tenant, state="failed", keepers=[{"keeper": "oversight", "code": "unreachable"}])
    put(rooms.tenant, selectors=5)
    told = reader.read("refusals")
    assert [row["keepers"] for row in told["refusals"]] == [said, said[:1]]
    assert told["database"] == reader.read("accesses")["database"] == {
        "questions": 4, "states": {"refused": 2, "failed": 1, "answered": 1},
        "selectors": 9, "selectors_answered": 5, "refusals": {"operator": 2, "oversight": 1},
    }  # fmt: skip
    assert len(reader.read("accesses")["accesses"]) == 4


def test_a_long_list_comes_in_pages_each_row_once(rooms: Rooms, reader: Reader) -> None:
    warrant = LodgedWarrant.objects.create(
        tenant=rooms.tenant, sha256=secrets.token_bytes(32), authority="a", sealed=b"",
        valid_from=rooms.now, valid_to=rooms.now,
    )  # fmt: skip
    Query.objects.bulk_create(
        Query(tenant=rooms.tenant, warrant=warrant, sha256=secrets.token_bytes(32), sealed=b"")
        for _ in range(PAGE + 1)
    )
    first, second = reader.read("accesses"), reader.read("accesses?page=2")
    assert (first["more"], second["more"]) == (True, False)
    assert (len(first["accesses"]), len(second["accesses"])) == (PAGE, 1)
    digests = {row["request_sha256"] for row in first["accesses"] + second["accesses"]}
    assert len(digests) == PAGE + 1
    assert reader.read("accesses?page=3")["accesses"] == []


def test_a_debt_is_listed_with_since_when_and_why_until_it_is_told(
    rooms: Rooms, reader: Reader
) -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    leaf = owe(rooms, old, "operator", 1, owed_at=utc_now() - timedelta(hours=25))
    owe(rooms, new, "operator", 2)
    owe(rooms, secrets.token_bytes(32), "oversight", 1, logged=True)
    Notice.objects.filter(request_sha256=old).update(why="no-contact", attempts=4)
    Pull.objects.create(tenant=rooms.tenant, role="operator", complete_at=rooms.now)
    told = reader.read("notices")
    assert [(row["request_sha256"], row["is_overdue"], row["why"], row["attempts"])
            for row in told["notices"]] == [
        (old.hex(), True, "no-contact", 4), (new.hex(), False, "waiting", 0),
    ]  # fmt: skip
    assert told["database"] == {
        "owed": 2, "overdue": 1, "why": {"no-contact": 1, "waiting": 1},
        "keepers": {
            "operator": {"asked_at": time_text(rooms.now), "debts": 2, "told": 0},
            "oversight": {"asked_at": None, "debts": 1, "told": 1},
        },
    }  # fmt: skip
    NoticeLeaf.objects.filter(id=leaf.id).update(logged=True)
    assert [row["request_sha256"] for row in reader.read("notices")["notices"]] == [new.hex()]


def test_missing_numbers_are_told_by_collector_and_stream(rooms: Rooms, reader: Reader) -> None:
    for sequence in (1, 2, 5):
        rooms.take(b"x", sequence=sequence)
    assert reader.read("gaps")["missing"] == [
        {"collector": "edge-1", "stream": "main", "first": 3, "last": 4}
    ]


def since(rooms: Rooms, hours: int) -> None:
    """The tenant is there for so many whole hours."""
    Tenant.objects.filter(name=TENANT).update(created_at=hour_start(rooms.now) - hours * HOUR)


def test_an_ended_hour_is_unsealed_until_every_keeper_has_logged_an_epoch_of_each_shard(
    rooms: Rooms, reader: Reader
) -> None:
    since(rooms, 3)
    hours = [time_text(rooms.hour - n * HOUR) for n in (2, 1, 0)]
    assert reader.read("gaps")["unsealed"] == [
        {"hour": hour, "shard": 0, "why": "no-epoch"} for hour in hours
    ]
    seal_empty_hours(rooms.keys, rooms.days, rooms.now)
    register_epochs(rooms.keys, rooms.keepers[:1], rooms.now)
    assert len(reader.read("gaps")["unsealed"]) == 3
    register_epochs(rooms.keys, rooms.keepers, rooms.now)
    told = reader.read("gaps")
    assert told["unsealed"] == []
    epochs = told["database"]["epochs"]
    assert epochs["operator"] == epochs["oversight"] > 90
    Tenant.objects.filter(name=TENANT).update(shards=2)
    assert [(row["hour"], row["shard"]) for row in reader.read("gaps")["unsealed"]] == [
        (hour, 1) for hour in hours
    ]


def test_no_hour_of_an_expired_day_lacks_anything(rooms: Rooms, reader: Reader) -> None:
    """From 00:00Z of D+365 on nothing of D is kept, and so not from the same time of day on."""
    since(rooms, 24 * 400)
    (first, *_) = reader.read("gaps")["unsealed"]
    day = utc_now().date() - timedelta(days=364)
    assert first["hour"] == f"{day}T00:00:00Z"


def test_an_hour_that_a_batch_still_reaches_is_unsealed_and_the_batch_is_late_after_an_hour(
    rooms: Rooms, reader: Reader
) -> None:
    since(rooms, 3)
    seal_empty_hours(rooms.keys, rooms.days, rooms.now)
    register_epochs(rooms.keys, rooms.keepers, rooms.now)
    first = rooms.hour - 2 * HOUR
    batch = rooms.take_records([record(first)], first_hour=first, last_hour=first)
    told = reader.read("gaps")
    assert told["unsealed"] == [{"hour": time_text(first), "shard": 0, "why": "batch-waits"}]
    assert told["late"] == []
    came = utc_now() - timedelta(minutes=61)
    Batch.objects.filter(id=batch.id).update(accepted_at=came)
    late = {
        "collector": "edge-1", "batch_id": bytes(batch.batch_id).hex(), "stream": "main",
        "sequence": 1, "shard": 0, "accepted_at": time_text(came), "why": "not-sealed",
    }  # fmt: skip
    assert reader.read("gaps")["late"] == [late]
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    assert reader.read("gaps")["late"] == [{**late, "why": "not-logged"}]
    register_epochs(rooms.keys, rooms.keepers, rooms.now)
    assert give_receipts(rooms.keys, rooms.keepers, rooms.now) == 1
    told = reader.read("gaps")
    assert (told["unsealed"], told["late"]) == ([], [])
    # As a sealer sets aside what somebody meddled with: its answers are not complete either.
    Batch.objects.filter(id=batch.id).update(rejected={"batch-not-signed": 1})
    told = reader.read("gaps")
    assert [hour["why"] for hour in told["unsealed"]] == ["batch-waits"]
    assert told["late"] == [{**late, "why": "set-aside"}]


def test_beside_each_list_stands_what_both_logs_count(
    rooms: Rooms, reader: Reader, database: Database
) -> None:
    assert reader.read("accesses")["logs"] == []
    rooms.pair.run(rooms.pair.question())
    copy_logs(database, rooms.pair)
    logs = {log["keeper"]: log for log in reader.read("accesses")["logs"]}
    for role, log in logs.items():
        assert log["size"] == rooms.pair.show(role)["tenants"][0]["leaves"]
        assert log["origin"] == rooms.pair.show(role)["tenants"][0]["origin"]
        assert sum(log["leaves"].values()) == log["size"]
        assert log["leaves"]["commit"] > 0
        assert log["due"] >= log["leaves"]["release"] > 0
    assert set(logs) == {"operator", "oversight"}
