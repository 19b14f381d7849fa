"""Nothing asked, looked for or taken in touches more of the database the more is kept there.

By counts, which no clock moves: blocks of PostgreSQL and statements, at some history and at four
times as much.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

import pytest
from django.db import connection, connections

from accounts.tenancy import of_tenant
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.vault.accepted import unsealed
from icrstore.vault.models import Epoch
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_empty_hours, seal_waiting
from icrstore.warrant.statements import HourRange
from tests.bench import asking, targets
from tests.bench.bulk import KeptEpoch, sealed
from tests.bench.generate import Shape, records
from tests.keeper.pair import Pair
from tests.vault.blocks import Touched, touched
from tests.vault.rooms import Database, Rooms, make_rooms, record

FEW, MANY = 500, 2000
# An index may become a block deeper, and PostgreSQL looks at its ends when it plans.
DEEPER = 1.4
ASKED_HOURS = 10
# Of this hour, in a stream of their own. What is measured hands in some more.
RECENT = 30
ACCOUNTS, RECORDS = 4, 12  # each hour
WORKS = (
    "services", "reached", "resolve", "what waits", "what waited", "an idle look", "a batch",
)  # fmt: skip


@pytest.fixture(scope="module")
def grown(
    database: Database, pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, tuple[Touched, Touched]]:
    """What each work touches with little kept and with much."""
    rooms = make_rooms(pair, tmp_path_factory.mktemp("grown"))
    kept = history(rooms, 0, FEW)
    hand_in(rooms, RECENT)
    works = works_of(rooms, kept)
    vacuum()
    before = {name: touched(work) for name, work in works.items()}
    before["what waited"] = touched(lambda: waiting(rooms, FEW - 50))
    history(rooms, FEW, MANY)
    vacuum()
    after = {name: touched(work) for name, work in works.items()}
    after["what waited"] = touched(lambda: waiting(rooms, MANY - 50))
    connections.close_all()
    return {name: (before[name], after[name]) for name in WORKS}


@pytest.mark.parametrize("name", WORKS)
def test_it_touches_no_more_of_much_than_of_little(
    name: str, grown: Mapping[str, tuple[Touched, Touched]]
) -> None:
    little, much = grown[name]
    assert much.statements == little.statements
    assert much.blocks <= little.blocks * DEEPER, (little, much)


def works_of(rooms: Rooms, kept: list[KeptEpoch]) -> dict[str, Callable[[], object]]:
    end, tenant = hour_start(rooms.now), rooms.tenant.name
    hours = HourRange(end - ASKED_HOURS * HOUR, end)
    shape = Shape("history", ACCOUNTS, FEW)
    ours = asking.Ours(tenant)
    asked = {
        "services": next(targets.services(shape, hours, 1)),
        "reached": next(targets.reached(shape, hours, 1)),
        "resolve": next(targets.resolve(
            Shape("history", ACCOUNTS, FEW), FEW * RECORDS, end, 1
        )),
    }  # fmt: skip
    questions = {name: asking.prepare(tenant, one, kept) for name, one in asked.items()}
    return {
        **{name: partial(asking.once, ours, one) for name, one in questions.items()},
        "what waits": lambda: waiting(rooms, 0),
        "an idle look": lambda: look(rooms),
        "a batch": lambda: hand_in(rooms, 1),
    }


def waiting(rooms: Rooms, ago: int) -> object:
    """Of some hours that ended so many ago."""
    last = hour_start(rooms.now) - (ago + 1) * HOUR
    return unsealed(rooms.tenant.name, last - ASKED_HOURS * HOUR, last, rooms.trust, rooms.now)


def look(rooms: Rooms) -> int:
    """A sealer's; how many receipts were given."""
    seal_waiting(rooms.keys, rooms.days, rooms.now)
    seal_empty_hours(rooms.keys, rooms.days, rooms.now)
    register_epochs(rooms.keys, rooms.keepers, rooms.now)
    return give_receipts(rooms.keys, rooms.keepers, rooms.now)


def hand_in(rooms: Rooms, count: int) -> None:
    """Batches, from their push to their receipts."""
    for _ in range(count):
        rooms.take_records([record(rooms.hour)], first_hour=rooms.hour, last_hour=rooms.hour)
    assert look(rooms) == count


def history(rooms: Rooms, first: int, last: int) -> list[KeptEpoch]:
    """Epochs of the hours from ``last`` to ``first`` hours ago, each of a batch that came within
    the hour after; all is logged, and has its receipt."""
    shape = Shape("history", ACCOUNTS, last - first)
    end = hour_start(rooms.now) - HOUR * first
    table = records(shape, (last - first) * RECORDS, end, seed=last)
    made = [one for part in sealed(rooms.tenant.name, [table], rooms.now) for one in part]
    with of_tenant(rooms.tenant.name):
        hours = Epoch.objects.filter(hour__lt=end).values_list("hour", flat=True)
        came(rooms, sorted(hours)[: len(made)])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE vault_epochseal SET acknowledged_at = now()")
        cursor.execute(
            "INSERT INTO vault_epoch_batches (epoch_id, batch_id) SELECT e.id, b.id"
            " FROM vault_epoch AS e JOIN inbox_batch AS b ON b.first_hour = e.hour"
            " WHERE b.stream = 'kept' ON CONFLICT DO NOTHING"
        )
    return made


def vacuum() -> None:
    """What PostgreSQL does by itself once a minute."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def came(rooms: Rooms, hours: list[datetime]) -> None:
    """A sealed batch of each hour. Its receipts are none: that costs nothing of the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO inbox_batch (
                tenant_id, collector_id, batch_id, stream, sequence, shard, first_hour, last_hour,
                intake_hour, body_bytes, body_sha256, accepted_at, receipt, state, urgent, tries,
                records, rejected, gaps, sealed_receipt)
            SELECT %s, %s, decode(md5(at::text), 'hex'), 'kept', extract(epoch FROM at) / 3600, 0,
                   at, at, at, 9, '', at + interval '1 hour', repeat('x', 500)::bytea, 'sealed',
                   false, 0, 1, '{}', '[]', repeat('x', 700)::bytea
            FROM unnest(%s::timestamptz[]) AS at""",
            [rooms.tenant.name, rooms.collector.id, hours],
        )
