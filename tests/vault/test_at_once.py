"""All that locks batches' rows at once: nobody waits in a circle, and each batch is sealed once."""

import random
import secrets
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from datetime import datetime, timedelta
from threading import Barrier, Event

import pytest
from django.db import connections

from accounts.tenancy import of_tenant
from icrstore.inbox.accept import hurry
from icrstore.inbox.models import Batch
from icrstore.retention.forget import forget
from icrstore.retention.models import Certificate
from icrstore.seal.epoch import ROLES, hour_start
from icrstore.vault import trying
from icrstore.vault.models import Epoch
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_waiting
from icrstore.vault.trying import claimed
from tests.keeper.papers import TENANT
from tests.vault.rooms import Database, Rooms, record
from tests.vault.test_sealer import is_awaited, statement_of

ROUNDS, GOOD, OTHERS = 3, 4, 200
LONG = timedelta(days=400)
# Numbers that no batch has that came in a usual way.
FAR = 1_000_000


def test_sealers_an_urgent_question_and_janitors_wait_in_no_circle(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    certify(rooms)
    for number in range(ROUNDS):
        first = lay_down(rooms, number)
        # One claim takes an eighth of what it locks.
        monkeypatch.setattr(trying, "CLAIM_BYTES", OTHERS // 8 * first.body_bytes)
        assert sum(all_at_once(rooms)) == GOOD + OTHERS
    named = Counter(b for epoch in Epoch.objects.all() for b in statement_of(epoch).batches)
    assert set(named.values()) == {1}
    assert len(named) == ROUNDS * GOOD


def test_what_is_let_go_is_locked_in_the_order_of_claims(rooms: Rooms, database: Database) -> None:
    low, high = (rooms.take_records([record(rooms.hour)]) for _ in range(2))
    with database.connect("sealer") as other, ThreadPoolExecutor(1) as pool:
        locks, is_locked = "SELECT id FROM inbox_batch WHERE id = %s FOR UPDATE NOWAIT", Event()

        def lock_both() -> None:
            with other.transaction():
                other.execute("SELECT set_config('icr.tenant', %s, true)", [TENANT])
                other.execute(locks, [low.id])
                is_locked.set()
                while not is_awaited(other):
                    pass
                other.execute(locks, [high.id])

        with claimed(rooms.tenant, 0, rooms.now, set(), rooms.now) as (_, batches):
            assert [batch.id for batch in batches] == [low.id, high.id]
            # From here it lies after the other.
            Batch.objects.filter(id=low.id).update(urgent=True)
            locking = pool.submit(lock_both)
            is_locked.wait()
        locking.result()


def all_at_once(rooms: Rooms) -> list[int]:
    """How many batches each has sealed. Who fails ends the work of all."""
    over = Event()

    def seal() -> int:
        sealed = seal_waiting(rooms.keys, rooms.days, rooms.now)
        register_epochs(rooms.keys, rooms.keepers, rooms.now)
        give_receipts(rooms.keys, rooms.keepers, rooms.now)
        return sealed

    def again_and_again(work: Callable[[], int | None]) -> int:
        count = 0
        try:
            begin.wait()
            while not over.is_set() and Batch.objects.filter(state=Batch.ACCEPTED).exists():
                count += work() or 0
        finally:
            over.set()
            connections.close_all()
        return count

    works = [seal, seal, lambda: hurry(TENANT), lambda: forget() * 0, lambda: forget() * 0]
    begin = Barrier(len(works))
    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(again_and_again, works))


def lay_down(rooms: Rooms, number: int) -> Batch:
    """Good ones of this hour, which wait until somebody hurries them, and many that nobody signed:
    every other of an hour that has expired. They lie in another order than that of their numbers,
    as do those that were tried."""
    hour = hour_start(rooms.now)
    for n in range(GOOD):
        made = rooms.take_records([record(hour, f"line-{n}")], first_hour=hour, last_hour=hour)
    numbers = range(FAR * (number + 1), FAR * (number + 1) + OTHERS)
    Batch.objects.bulk_create(
        other(made, n, hour - LONG * (n % 2)) for n in random.Random(8).sample(numbers, OTHERS)
    )
    return made


def other(batch: Batch, number: int, hour: datetime) -> Batch:
    """A copy, which is therefore none that its collector signed."""
    made = copy(batch)
    made.pk = made.sequence = number
    made.batch_id, made.stream = secrets.token_bytes(16), "other"
    made.first_hour = made.last_hour = hour
    return made


def certify(rooms: Rooms) -> None:
    """The expired day, by both keepers."""
    day = (hour_start(rooms.now) - LONG).date()
    with of_tenant(TENANT):
        for role in ROLES:
            Certificate.objects.create(
                tenant_id=TENANT, role=role, instance=1, day=day, epochs=1, evidence=b"{}"
            )
