"""Batches of bindings: opened, checked and sealed as those of connections are, and beside them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa

from icrstore.flow.schema import address_bytes, binding_schema, record_schema
from icrstore.seal.epoch import HOUR
from icrstore.vault.models import Epoch
from icrstore.vault.sealer import seal_waiting
from tests.vault.rooms import Rooms, frame, record, state_of

MINUTE = timedelta(minutes=1)


def binding(rooms: Rooms, **changed: Any) -> dict[str, Any]:
    """A good one, of the last hour."""
    return {
        "observed_at": rooms.hour,
        "observed_until": rooms.hour + MINUTE,
        "protocol": 17,
        "post_nat_source_address": address_bytes("203.0.113.9"),
        "port_range_start": 640,
        "port_range_end": 640,
        "account": "line-1",
        **changed,
    }


def told(rows: Sequence[dict[str, Any]], unit: Any = "us") -> bytes:
    """An Arrow IPC stream of the bindings."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, binding_schema(unit)) as writer:
        writer.write_table(pa.Table.from_pylist(list(rows), binding_schema(unit)))
    return bytes(sink.getvalue().to_pybytes())


def seal(rooms: Rooms) -> int:
    return seal_waiting(rooms.keys, rooms.days, rooms.now)


def test_bindings_and_connections_of_an_hour_are_one_epoch(rooms: Rooms) -> None:
    connections = rooms.take_records([record(rooms.hour, f"line-{n}") for n in range(3)])
    bindings = rooms.take(frame(told([binding(rooms), binding(rooms, account="line-9")])))
    coarse = rooms.take(frame(told([binding(rooms)], "s")))
    assert seal(rooms) == 3
    assert [state_of(each)[:2] for each in (connections, bindings, coarse)] == [
        ("sealed", 3), ("sealed", 2), ("sealed", 1)
    ]  # fmt: skip
    epoch = Epoch.objects.get()
    assert set(epoch.batches.all()) == {connections, bindings, coarse}
    # Three accounts; of the address one chunk of connections, and of each unit one of bindings.
    assert epoch.rows == 3 + 3


def test_of_bindings_alone_the_account_map_has_nothing(rooms: Rooms) -> None:
    lasting = [binding(rooms, observed_at=rooms.hour - HOUR, observed_until=rooms.hour),
               binding(rooms)]  # fmt: skip
    batch = rooms.take(frame(told(lasting)), first_hour=rooms.hour - HOUR)
    assert seal(rooms) == 1
    assert state_of(batch) == ("sealed", 2, {})
    assert [epoch.rows for epoch in Epoch.objects.all()] == [1, 1]


def test_a_batch_keeps_its_good_bindings_and_counts_the_others_by_reason(rooms: Rooms) -> None:
    hour = rooms.hour
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("time-too-old", {"observed_at": rooms.now - 49 * HOUR}),
        ("time-in-future", {"observed_at": rooms.now + HOUR, "observed_until": rooms.now + HOUR}),
        ("outside-scope", {"observed_at": hour - MINUTE}),
        ("outside-scope", {"observed_at": hour + HOUR, "observed_until": hour + HOUR}),
        ("ends-before-it-begins", {"observed_until": hour - MINUTE}),
        ("not-within-one-hour", {"observed_until": hour + HOUR + MINUTE}),
        ("half-a-port-range", {"port_range_end": None}),
        ("port-range-reversed", {"port_range_end": 639}),
        ("port-on-portless-protocol", {"protocol": 1}),
        ("account-missing", {"account": None}),
        ("account-too-long", {"account": "a" * 65}),
    ]
    rows = [binding(rooms), *(binding(rooms, **each) for _, each in wrong), binding(rooms)]
    batch = rooms.take(frame(told(rows)))
    assert seal(rooms) == 1
    reasons = {reason: sum(reason == each for each, _ in wrong) for reason, _ in wrong}
    assert state_of(batch) == ("sealed", 2, reasons)


def test_a_stream_of_neither_is_set_aside(rooms: Rooms) -> None:
    without_its_end = binding_schema("us").remove(1)
    both = record_schema("us").append(binding_schema("us").field(1))
    for schema in (without_its_end, both):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(schema.empty_table())
        batch = rooms.take(frame(sink.getvalue().to_pybytes()))
        assert seal(rooms) == 1
        assert state_of(batch) == ("sealed", 0, {"batch-wrong-columns": 1})


def test_ports_of_every_block_bring_no_more_rows_than_a_few(rooms: Rooms) -> None:
    everything = [
        binding(rooms, port_range_start=n, port_range_end=65_535 - n, account=f"line-{n}")
        for n in range(500)
    ]
    rooms.take(frame(told(everything)))
    assert seal(rooms) == 1
    assert Epoch.objects.get().rows == 1
