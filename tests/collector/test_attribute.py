"""Between readers and `cut`: whose each row is, and what is retained of NAT events."""

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from icrstore.collector import cut as cut_module
from icrstore.collector.attribute import Attribute
from icrstore.collector.cut import Cut, cut
from icrstore.collector.leases import LeaseFile, Leases
from icrstore.collector.read import iter_records, iter_retained, ndjson
from icrstore.flow.readers import Tally, open_records
from icrstore.flow.schema import binding_schema, is_of_bindings, record_schema
from tests.collector.events import (
    CREATE,
    DELETE,
    Piece,
    event,
    events,
    moment,
    pieces,
    ports,
    to,
)

HOUR = 3600
AT = "2026-11-20T07:%02d:00Z"
LEASES = (
    "address,account,from,to",
    "10.0.0.1,ann,2026-11-20T07:00:00Z,2026-11-20T07:10:00Z",
    "10.0.0.1,bob,2026-11-20T07:10:00Z,",
    "10.0.0.2,zoe,2026-11-20T00:00:00Z,",
)


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    path = tmp_path / "leases.csv"
    path.write_text("\n".join(LEASES) + "\n")
    return LeaseFile(path).read()


def retained(attribute: Attribute, *rows: Any) -> tuple[list[Any], list[Piece], Tally]:
    """Connections and bindings of some events, to the end of the input."""
    tally = Tally(records=len(rows), events=len(rows))
    made = [*attribute.take(events(*rows), tally), *attribute.end()]
    connections = [row for one in made if not is_of_bindings(one) for row in one.to_pylist()]
    return connections, pieces(one for one in made if is_of_bindings(one)), tally


def test_connections_pass_as_they_are() -> None:
    batch = record_schema("ms").empty_table().to_batches()
    attribute, tally = Attribute(), Tally()
    assert [one for some in batch for one in attribute.take(some, tally)] == batch
    assert list(attribute.end()) == list(attribute.turn(moment(9 * HOUR))) == []


def test_an_event_is_its_inside_addresss_by_the_lease_of_its_time(leases: Leases) -> None:
    nameless: dict[str, Any] = {"account": None}
    connections, bindings, tally = retained(
        Attribute(leases),
        event(599, CREATE, 1, 640, **nameless, **to("192.0.2.1")),
        event(600, CREATE, 1, 641, **nameless, **to("192.0.2.1")),
        event(601, CREATE, 9, 642, **nameless, **to("192.0.2.1")),
        event(602, CREATE, 2, **nameless, **ports(1024, 2047)),
        event(603, CREATE, 9, 643, account="said", **to("192.0.2.1")),
    )
    assert [row["account"] for row in connections] == ["ann", "bob", "said"]
    assert {(one.account, one.first) for one in bindings} == {
        ("ann", 599), ("bob", 600), ("zoe", 602), ("said", 603)
    }  # fmt: skip
    assert (tally.records, tally.not_records) == (4, {"no-lease": 1})


def test_what_is_lent_to_an_address_is_whoever_holds_the_address(leases: Leases) -> None:
    rows = [event(at, kind, 1, 640, account=None) for at, kind in ((10, CREATE), (700, DELETE))]
    _, bindings, tally = retained(Attribute(leases), *rows)
    assert bindings == [Piece("ann", 10, 600, (640, 640)), Piece("bob", 600, 700, (640, 640))]
    assert not tally.not_records


def test_nobodys_time_is_left_out_and_counted(tmp_path: Path) -> None:
    lines = [LEASES[0], *(f"10.0.0.1,{who},{AT % first},{AT % last}" for who, first, last in (
        ("ann", 0, 10), ("bob", 20, 30), ("ann", 30, 31)))]  # fmt: skip
    (tmp_path / "gaps.csv").write_text("\n".join(lines) + "\n")
    attribute = Attribute(LeaseFile(tmp_path / "gaps.csv").read())
    _, bindings, _ = retained(attribute, event(60, CREATE, 1, 640, account=None))
    spans = [("ann", 60, 600), ("bob", 1200, 1800), ("ann", 1800, 1860)]
    assert bindings == [Piece(*each, (640, 640)) for each in spans]
    tally = Tally()
    attribute.tell(tally)
    assert tally.not_records == {"binding-without-lease": 2}


def test_an_account_that_an_event_says_needs_no_lease(leases: Leases) -> None:
    rows = [event(at, kind, 1, 640, account="said") for at, kind in ((10, CREATE), (700, DELETE))]
    assert retained(Attribute(leases), *rows)[1] == [Piece("said", 10, 700, (640, 640))]


def test_beyond_what_is_known_of_leases_it_goes_on_as_it_began(leases: Leases) -> None:
    known = replace(leases, until=moment(300))
    attribute = Attribute(known)
    list(attribute.take(events(event(10, CREATE, 1, 640, account=None)), Tally()))
    assert pieces(attribute.turn(moment(HOUR))) == [Piece("ann", 10, HOUR, (640, 640))]
    attribute.learn(leases)
    assert pieces(attribute.turn(moment(2 * HOUR))) == [Piece("bob", HOUR, 2 * HOUR, (640, 640))]


def test_a_delete_of_nobodys_ends_what_somebody_began(leases: Leases) -> None:
    begun = event(10, CREATE, 9, 640, account="said")
    ended = event(20, DELETE, 9, 640, account=None)
    assert retained(Attribute(leases), begun, ended)[1] == [Piece("said", 10, 20, (640, 640))]


def test_an_account_that_is_given_is_everyones_who_does_not_say() -> None:
    connections, bindings, _ = retained(
        Attribute(account="line-7"),
        event(1, CREATE, 1, 640, account=None, **to("192.0.2.1")), event(2, CREATE, 2, 641),
    )  # fmt: skip
    assert [row["account"] for row in connections] == ["line-7"]
    assert sorted(one.account or "" for one in bindings) == ["a2", "line-7"]


def test_an_event_that_nobody_claims_is_counted_when_it_is_cut() -> None:
    attribute, refused = Attribute(), Counter[str]()
    unknown = events(event(1, CREATE, 1, 640, account=None, **to("192.0.2.1")))
    made = [*attribute.take(unknown, Tally()), *attribute.end()]
    assert list(cut(made, refused)) == []
    assert refused == {"account-missing": 2}


def test_what_is_open_survives_a_restart() -> None:
    first, second = Attribute(), Attribute()
    list(first.take(events(event(10, CREATE, 1, **ports(1024, 2047))), Tally()))
    second.restore(first.state())
    assert pieces(second.turn(moment(2 * HOUR))) == pieces(first.turn(moment(2 * HOUR)))


# Cut into batches.


def of_kinds(count: int) -> list[Any]:
    return [event(n * 700, CREATE, n % 5, 640 + n, **to("192.0.2.1")) for n in range(count)]


def read(made: Cut) -> pa.Table:
    return pa.ipc.open_stream(io.BytesIO(made.arrow)).read_all()


def test_a_batch_is_of_connections_or_of_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_module, "BATCH_RECORDS", 25)
    attribute = Attribute()
    made = [*attribute.take(events(*of_kinds(60)), Tally()), *attribute.end()]
    cuts = list(cut(made, Counter()))
    of_bindings = [is_of_bindings(read(each)) for each in cuts]
    assert {True, False} == set(of_bindings)
    assert sum(each.records for each, is_one in zip(cuts, of_bindings, strict=True)
               if not is_one) == 60  # fmt: skip
    for each, is_one in zip(cuts, of_bindings, strict=True):
        table = read(each)
        schema = binding_schema if is_one else record_schema
        # Whole seconds: in the coarsest unit that says all.
        assert table.schema.equals(schema("s"))
        begins = [row["observed_at"] for row in table.to_pylist()]
        assert (each.first, each.last) == (min(begins), max(begins))
        assert each.first_hour <= each.last_hour
        assert each.first.date() == each.last.date()


def test_bindings_are_cut_in_the_finest_unit_of_either_time() -> None:
    attribute = Attribute()
    rows = events(event(1, CREATE, 1, 640), event(2.25, DELETE, 1, 640))
    (made,) = cut([*attribute.take(rows, Tally()), *attribute.end()], Counter())
    assert read(made).schema.equals(binding_schema("ms"))


def test_the_same_events_are_the_same_batches_however_they_come() -> None:
    rows = sorted(
        [*of_kinds(50), *(event(9 + n * 701, DELETE, n % 5, 640 + n, **to("192.0.2.1"))
                          for n in range(50))],
        key=lambda row: row["observed_at"],
    )  # fmt: skip

    def batches(size: int) -> list[bytes]:
        attribute = Attribute()
        parts = [events(*rows[at : at + size]) for at in range(0, len(rows), size)]
        came = [made for part in parts for made in attribute.take(part, Tally())]
        return [each.arrow for each in cut([*came, *attribute.end()], Counter())]

    once = batches(1000)
    assert len(once) == 2
    assert all(batches(size) == once for size in (1, 3, 17))


# As lines of JSON and as Arrow.


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


CREATED = {
    "observed_at": "2026-11-20T07:00:01.500Z", "nat_event": "create", "protocol": 17,
    "source_address": "10.0.0.1", "source_port": 123, "destination_address": "192.0.2.1",
    "destination_port": 123, "post_nat_source_address": "198.51.100.1",
    "post_nat_source_port": 640, "account": "ann",
}  # fmt: skip
ENDED = {
    "observed_at": "2026-11-20T07:00:02.000Z", "nat_event": "delete",
    "source_address": "10.0.0.2", "post_nat_source_address": "198.51.100.1",
    "port_range_start": 1024, "port_range_end": 2047,
}  # fmt: skip
CONNECTION = {
    "observed_at": "2026-11-20T07:00:03Z", "protocol": 6, "source_address": "192.0.2.7",
    "source_port": 9, "destination_address": "192.0.2.1", "destination_port": 443,
}  # fmt: skip


def shown(path: Path) -> list[dict[str, Any]]:
    batches = iter_records([str(path)], None, None, Tally())
    return [json.loads(line) for batch in batches for line in ndjson(batch)]


def test_what_is_printed_of_events_is_read_again_exactly(tmp_path: Path) -> None:
    first = lines(tmp_path / "first.ndjson", CREATED, CONNECTION, ENDED)
    told = shown(first)
    assert told == [CONNECTION, CREATED, ENDED]
    again = lines(tmp_path / "again.ndjson", *told)
    assert shown(again) == told
    retained = [
        [batch.to_pylist() for batch in iter_retained(str(path), None, None, Tally())]
        for path in (first, again)
    ]
    assert retained[0] == retained[1]
    assert [len(rows) for rows in retained[0]] == [1, 1, 1, 1]


@pytest.mark.parametrize("count", [1, 200])
def test_events_alone_are_read_a_block_at_a_time_as_line_by_line(
    tmp_path: Path, count: int
) -> None:
    path = lines(tmp_path / "events.ndjson", *[CREATED, ENDED] * count)
    assert shown(path) == [CREATED, ENDED] * count


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"nat_event": "begin"}, "unknown-event"),
        ({"nat_event": 1}, "unknown-event"),
        ({"nat_event": None}, "unknown-event"),
        ({"url": "x"}, "unknown-field"),
        ({"protocol": 256}, "unknown-protocol"),
        ({"protocol": "udp"}, "unknown-protocol"),
        ({"observed_at": "yesterday"}, "bad-time"),
        ({"source_address": None}, "bad-address"),
        ({"post_nat_source_address": None}, "bad-address"),
        ({"destination_address": "x"}, "bad-address"),
        ({"port_range_start": 65_536}, "port-out-of-range"),
        ({"port_range_end": "9"}, "bad-port"),
        ({"account": 7}, "bad-account"),
    ],
)
def test_a_line_that_is_no_event_is_counted(changed: dict[str, Any], reason: str) -> None:
    content = b"".join(json.dumps(row).encode() + b"\n" for row in ({**CREATED, **changed}, ENDED))
    tally = Tally()
    (batch,) = [one for one in open_records(io.BytesIO(content), None, tally) if one.num_rows]
    assert batch.num_rows == tally.events == 1
    assert (tally.not_records, tally.first_lines) == ({reason: 1}, {reason: 1})


def test_events_as_arrow_are_read_and_other_kinds_of_event_counted() -> None:
    rows = events(event(1, CREATE, 1, 640), event(2, 3, 1, 640), event(3, DELETE, 1, 640))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    tally = Tally()
    (batch,) = open_records(io.BytesIO(sink.getvalue().to_pybytes()), None, tally)
    assert batch.column("nat_event").to_pylist() == [CREATE, DELETE]
    assert (tally.events, tally.not_records) == (2, {"unknown-event": 1})
