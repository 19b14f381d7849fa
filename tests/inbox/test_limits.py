"""What is over an inbox's limits is refused whole, exactly, and without harm to what is held."""

import hashlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, connections, transaction
from django.db.backends.utils import CursorWrapper

from accounts.models import Collector
from icrstore.inbox.accept import accept
from icrstore.inbox.limits import COLLECTOR_BYTES, LONGEST_WAIT, TENANT_BYTES, TooMuch
from icrstore.inbox.models import MOST_TRIES, Batch
from icrstore.seal.epoch import HOUR, hour_start
from tests.keeper.pair import Pair
from tests.keeper.papers import TENANT
from tests.vault.rooms import RECEIPT_KEY, Rooms, add_collector, add_tenant

BODY = os.urandom(6000)


def push(rooms: Rooms, collector: Collector | None = None, **changed: Any) -> bool:
    by = collector or rooms.collector
    label, sha256 = rooms.label(**changed), hashlib.sha256(BODY).digest()
    return accept(by, label, BODY, sha256, b"{}", RECEIPT_KEY, rooms.now)[1]


def refusal(rooms: Rooms, collector: Collector | None = None, **changed: Any) -> TooMuch:
    count = Batch.objects.count()
    with pytest.raises(TooMuch) as caught:
        push(rooms, collector, **changed)
    assert Batch.objects.count() == count
    return caught.value


def limit(rooms: Rooms, **quota: int) -> None:
    Collector.objects.filter(id=rooms.collector.id).update(**quota)
    rooms.collector.refresh_from_db()


def spread(rooms: Rooms, **changed: Any) -> None:
    """As if what is there were larger, or older."""
    Batch.objects.update(**changed)


@pytest.mark.parametrize(
    "quota",
    [{"hour_batches": 2}, {"hour_bytes": 2 * len(BODY)}, {"day_batches": 2},
     {"day_bytes": 2 * len(BODY)}],
)  # fmt: skip
def test_a_quota_is_refused_until_its_hour_or_day_is_over(
    rooms: Rooms, quota: dict[str, int]
) -> None:
    rooms.now = hour_start(rooms.now) + timedelta(minutes=20)
    limit(rooms, **quota)
    assert push(rooms)
    assert push(rooms)
    refused = refusal(rooms)
    of_day = "day_batches" in quota or "day_bytes" in quota
    wait = HOUR * (23 - rooms.now.hour if of_day else 0) + timedelta(minutes=40)
    assert (refused.code, refused.retry_after) == ("quota-used", wait)
    Batch.objects.update(accepted_at=rooms.now - (timedelta(days=1) if of_day else HOUR))
    assert push(rooms)


def waiting(cursor: CursorWrapper) -> int:
    """How many wait for a lock of this database."""
    cursor.execute(
        "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON l.database = d.oid"
        " WHERE d.datname = current_database() AND NOT l.granted"
    )
    return int(cursor.fetchone()[0])


def test_of_many_at_once_exactly_as_many_are_taken_as_there_is_room_for(rooms: Rooms) -> None:
    limit(rooms, hour_batches=5)
    names = [secrets.token_bytes(16) for _ in range(8)]

    def once(number: int) -> str:
        try:
            return "new" if push(rooms, batch_id=names[number % 8], sequence=number + 1) else "held"
        except TooMuch as refused:
            return refused.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        # All have looked whether there is room, or wait to look, before the first is in.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE inbox_batch IN EXCLUSIVE MODE")
            results = pool.map(once, range(24))
            while waiting(cursor) < 8:
                pass
        told = list(results)
    assert told.count("new") == Batch.objects.count() == 5
    held = {bytes(batch_id) for batch_id in Batch.objects.values_list("batch_id", flat=True)}
    # Each name came three times: once it was taken, or never.
    assert told.count("quota-used") >= 3 * (8 - len(held))
    assert told.count("held") + told.count("quota-used") == 19


def test_what_is_held_is_answered_though_nothing_more_is_taken(rooms: Rooms) -> None:
    limit(rooms, hour_batches=1)
    name = secrets.token_bytes(16)
    assert push(rooms, batch_id=name)
    assert not push(rooms, batch_id=name)
    refusal(rooms)


def test_a_collector_or_a_provider_of_whom_too_much_waits_is_refused(
    rooms: Rooms, pair: Pair
) -> None:
    other = add_collector(rooms.tenant, "edge-2", Ed25519PrivateKey.generate())
    stranger = add_collector(
        add_tenant("isp-two", pair.public("root")), "edge-1", Ed25519PrivateKey.generate()
    )
    assert push(rooms)
    spread(rooms, body_bytes=COLLECTOR_BYTES - len(BODY) + 1)
    # Of an earlier day: no quota has to do with it.
    spread(rooms, accepted_at=rooms.now - timedelta(days=1))
    assert refusal(rooms).code == "inbox-full"
    assert push(rooms, other)
    Batch.objects.filter(collector=rooms.collector).update(body_bytes=TENANT_BYTES)
    assert refusal(rooms, other).code == "inbox-full"
    assert push(rooms, stranger)
    # What is sealed and logged waits no longer.
    Batch.objects.filter(collector=rooms.collector).update(sealed_receipt=b"{}", state="sealed")
    assert push(rooms)


def test_nothing_more_is_taken_where_nothing_was_sealed_for_days(rooms: Rooms) -> None:
    assert push(rooms)
    old = rooms.now - LONGEST_WAIT - 2 * HOUR
    spread(rooms, accepted_at=old, last_hour=old)
    refused = refusal(rooms)
    assert (refused.code, refused.retry_after) == ("inbox-full", timedelta(minutes=1))
    # One that was set aside keeps nobody else out, nor one that waits while others are sealed.
    spread(rooms, tries=MOST_TRIES)
    assert push(rooms)
    spread(rooms, accepted_at=old, last_hour=old, tries=0)
    assert refusal(rooms).code == "inbox-full"
    Batch.objects.exclude(sequence=1).update(state="sealed")
    refusal(rooms)
    Batch.objects.filter(state="sealed").update(accepted_at=rooms.now)
    assert push(rooms)


def test_a_quota_is_shown_and_set_by_its_operator(
    rooms: Rooms, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("collector", "quota", TENANT, "edge-1", "--day-batches", "7")
    assert "hour batches 20000, hour bytes 17179869184, day batches 7, " in capsys.readouterr().out
    rooms.collector.refresh_from_db()
    assert rooms.collector.day_batches == 7
    for wrong in (["edge-1", "--hour-batches", "0"], ["edge-1", "--day-bytes", "1000"], ["edge-9"]):
        with pytest.raises(CommandError):
            call_command("collector", "quota", TENANT, *wrong)
