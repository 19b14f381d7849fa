"""Whose connection it was: what the vectorised join says, and what a slow reading says."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.collector import whose
from icrstore.collector.leases import LeaseFile, Leases
from icrstore.collector.whose import Attribution
from icrstore.flow.readers import Tally
from icrstore.flow.schema import Unit, address_bytes, record_schema
from tests.collector.fake_store import FakeStore
from tests.collector.household import Site, run
from tests.collector.household import write as write_records
from tests.collector.test_leases import at
from tests.collector.test_leases import write as write_leases

START = datetime(2026, 11, 22, tzinfo=UTC)
ANN, BOB, OUT = "192.0.2.1", "192.0.2.2", "198.51.100.7"
# Ann holds her address for three hours, Bob his from the second on; nobody ever holds OUT.
LEASES = ((ANN, "ann", 0, 180), (BOB, "bob", 60, 180))


@dataclass(frozen=True)
class Packet:
    minute: float
    source: str
    destination: str
    source_port: int | None = 50000
    destination_port: int | None = 443
    protocol: int = 17
    account: str | None = None

    def reversed(self, minute: float) -> "Packet":
        return replace(
            self, minute=minute, source=self.destination, destination=self.source,
            source_port=self.destination_port, destination_port=self.source_port,
        )  # fmt: skip

    def row(self) -> dict[str, object]:
        return {
            "observed_at": START + timedelta(minutes=self.minute),
            "protocol": self.protocol,
            "source_address": address_bytes(self.source),
            "source_port": self.source_port,
            "destination_address": address_bytes(self.destination),
            "destination_port": self.destination_port,
            "account": self.account,
        }


@pytest.fixture(scope="module")
def leases(tmp_path_factory: pytest.TempPathFactory) -> Leases:
    lines = [f"{address},{who},{at(first)},{at(end)}" for address, who, first, end in LEASES]
    return LeaseFile(write_leases(tmp_path_factory.mktemp("leases") / "l.csv", *lines)).read()


def batch(packets: Sequence[Packet], unit: Unit = "us") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([p.row() for p in packets], record_schema(unit))


def attribute(
    leases: Leases, pieces: Sequence[Sequence[Packet]]
) -> tuple[list[tuple[float, str | None]], Counter[str], int]:
    """The kept packets by (minute, account), what was withdrawn, and the records left."""
    made, tally, kept = Attribution(leases), Tally(), []
    for piece in pieces:
        tally.records += len(piece)
        for row in made.of(batch(piece), tally).to_pylist():
            kept.append(((row["observed_at"] - START) / timedelta(minutes=1), row["account"]))
    return kept, tally.not_records, tally.records


def slowly(
    packets: Sequence[Packet],
) -> tuple[list[tuple[float, str | None]], Counter[str], int]:
    """The rules of `whose`, one packet after the other."""
    opened: dict[frozenset[object], tuple[object, float]] = {}
    kept: list[tuple[float, str | None]] = []
    why: Counter[str] = Counter()
    for packet in packets:
        near, far = (packet.source, packet.source_port), (
            packet.destination, packet.destination_port
        )  # fmt: skip
        key = frozenset([near, far, packet.protocol])
        who = packet.account or _holder(packet.source, packet.minute)
        first, last = opened.get(key, (None, 0.0))
        if first is not None and packet.minute - last > 60:
            first = None
        if first is None and who:
            first = near
        opened[key] = (first, packet.minute)
        if first is not None and first != near:
            why["reply"] += 1
        elif who:
            kept.append((packet.minute, who))
        else:
            why["inbound" if _holder(packet.destination, packet.minute) else "no-lease"] += 1
    return kept, why, len(kept)


def _holder(address: str, minute: float) -> str | None:
    held = (who for where, who, first, end in LEASES if where == address and first <= minute < end)
    return next(held, None)


packets = st.lists(
    st.builds(
        Packet,
        st.integers(0, 240).map(float),
        st.sampled_from((ANN, BOB, OUT)), st.sampled_from((ANN, BOB, OUT)),
        st.sampled_from((None, 0, 443, 50000)), st.sampled_from((None, 443)),
        st.sampled_from((6, 17)), st.sampled_from((None, None, None, "carl")),
    ), max_size=40,
).map(lambda some: sorted(some, key=lambda packet: packet.minute))  # fmt: skip


@settings(deadline=None)  # a busy machine is no fault of ours
@given(packets, st.integers(1, 7))
def test_the_join_says_what_a_slow_reading_says(
    leases: Leases, listed: list[Packet], size: int
) -> None:
    pieces = [listed[start : start + size] for start in range(0, len(listed), size)]
    assert attribute(leases, pieces) == slowly(listed)
    assert attribute(leases, [listed]) == slowly(listed)


def test_the_side_with_a_lease_is_the_subscriber_and_its_reply_is_dropped(leases: Leases) -> None:
    out = Packet(1, ANN, OUT)
    kept, why, records = attribute(leases, [[out, out.reversed(1.1), out.reversed(1.2)]])
    assert kept == [(1, "ann")]
    assert (dict(why), records) == ({"reply": 2}, 1)


def test_what_only_comes_in_and_what_is_nobodys_is_counted(leases: Leases) -> None:
    coming, passing = Packet(1, OUT, ANN), Packet(2, OUT, "203.0.113.1")
    kept, why, records = attribute(leases, [[coming, passing]])
    assert (kept, dict(why), records) == ([], {"inbound": 1, "no-lease": 1}, 0)


def test_a_lease_that_is_over_makes_nobody_a_subscriber(leases: Leases) -> None:
    kept, why, _ = attribute(leases, [[Packet(59.9, BOB, OUT), Packet(180, ANN, OUT)]])
    assert (kept, dict(why)) == ([], {"no-lease": 2})


def test_between_two_subscribers_the_one_who_spoke_first_is_retained(leases: Leases) -> None:
    call = Packet(61, BOB, ANN, 5060, 5060)
    kept, why, _ = attribute(leases, [[call], [call.reversed(61.5)], [call.reversed(190)]])
    assert kept == [(61, "bob")]
    # After an hour of silence it is a new connection, though by then nobody held an address.
    assert dict(why) == {"reply": 1, "no-lease": 1}


def test_an_answer_before_its_question_is_inbound(leases: Leases) -> None:
    out = Packet(1, ANN, OUT)
    kept, why, _ = attribute(leases, [[out.reversed(0.9), out]])
    assert (kept, dict(why)) == ([(1, "ann")], {"inbound": 1})


def test_the_pairs_seen_longest_ago_are_forgotten_first(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whose, "MOST_PAIRS", 10)
    out = [Packet(n / 10, ANN, OUT, 1000 + n) for n in range(20)]
    back = [packet.reversed(3) for packet in out]
    _, why, _ = attribute(leases, [*([packet] for packet in out), back])
    assert dict(why) == {"reply": 10, "inbound": 10}


def test_one_false_clock_forgets_no_pair(leases: Leases) -> None:
    out = Packet(1, ANN, OUT)
    others = [Packet(2, ANN, OUT, n) for n in range(10)]
    far = Packet(100_000, ANN, OUT, 11, account="carl")
    _, why, _ = attribute(leases, [[out], [*others, far], [out.reversed(3)]])
    assert (why["reply"], why["inbound"]) == (1, 0)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_any_precision_is_joined(leases: Leases, unit: Unit) -> None:
    tally = Tally()
    made = Attribution(leases).of(batch([Packet(1, ANN, OUT)], unit), tally)
    assert made.schema.equals(record_schema(unit))
    assert made.column("account").to_pylist() == ["ann"]


def test_a_record_that_lacks_what_it_needs_is_left_for_the_check(leases: Leases) -> None:
    row = Packet(1, ANN, OUT).row()
    schema = pa.schema([field.with_nullable(True) for field in record_schema("us")])
    rows = [{**row, name: None} for name in ("observed_at", "protocol", "source_address")]
    far = {**row, "observed_at": datetime(9000, 1, 1, tzinfo=UTC)}
    tally = Tally(records=4)
    made = Attribution(leases).of(pa.RecordBatch.from_pylist([*rows, far], schema), tally)
    assert made.num_rows == 3
    assert made.column("account").null_count == 3
    assert dict(tally.not_records) == {"time-in-future": 1}


def test_read_shows_subscribers_and_counts_the_others(tmp_path: Path) -> None:
    out = Packet(1, ANN, OUT)
    some = (out, out.reversed(1.1), Packet(2, OUT, BOB, 1, 2), Packet(3, "203.0.113.1", OUT))
    flows = write_records(tmp_path / "flows.ndjson", [line(packet) for packet in some])
    lines = [f"{address},{who},{at(0)},{at(end)}" for address, who, _, end in LEASES]
    held = write_leases(tmp_path / "l.csv", *lines)
    ran = run("read", str(flows), "--leases", str(held))
    assert [json.loads(line)["account"] for line in ran.out.splitlines()] == ["ann"]
    for words in ("1 records", "1 reply", "1 inbound", "1 no-lease"):
        assert words in ran.err
    assert run("read", str(flows), "--leases", str(held), "--account", "ann").status == 64
    assert run("read", str(flows), "--leases", str(tmp_path / "no.csv")).status == 66


def test_push_with_leases_pushes_the_subscribers_and_twice_is_once(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    first = (now - START) / timedelta(minutes=1) - 120
    some = [Packet(first + n, ANN, OUT, 1000 + n) for n in range(5)]
    flows = write_records(
        tmp_path / "flows.ndjson",
        [line(one) for packet in some for one in (packet, packet.reversed(packet.minute))],
    )
    held = write_leases(tmp_path / "l.csv", f"{ANN},ann,{at(first - 1)},")
    site = Site.make(tmp_path)
    with FakeStore(site.key.public) as store:
        once = site.push(store, str(flows), "--leases", str(held)).summary
        again = site.push(store, str(flows), "--leases", str(held)).summary
        assert (once["read"], once["sealed"], once["not_records"]) == (5, 5, {"reply": 5})
        assert again["batches"] == 1
        assert len(store.held) == 1


def line(packet: Packet) -> dict[str, object]:
    row = packet.row()
    return {
        **{name: value for name, value in row.items() if value is not None},
        "observed_at": at(packet.minute),
        "source_address": packet.source,
        "destination_address": packet.destination,
    }
