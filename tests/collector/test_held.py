"""What leases do not reach yet waits for them, and is neither guessed nor counted twice."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.collector.held import Held
from icrstore.collector.leases import LeaseFile, Leases
from icrstore.collector.whose import Attribution
from icrstore.flow.readers import Tally
from tests.collector.fake_store import FakeStore
from tests.collector.household import Site, run
from tests.collector.household import write as write_records
from tests.collector.test_leases import at
from tests.collector.test_leases import write as write_leases
from tests.collector.test_whose import ANN, BOB, OUT, START, Packet, batch, line, packets

MINUTE = 60 * 10**9


def nanosecond(minute: float) -> int:
    return round((START + timedelta(minutes=minute)).timestamp()) * 10**9


def known(folder: Path, until: float, *lines: str) -> Leases:
    path = write_leases(folder / "l.csv", *lines)
    os.utime(path, ns=(nanosecond(until), nanosecond(until)))
    return LeaseFile(path).read()


@pytest.fixture(scope="module")
def leases(tmp_path_factory: pytest.TempPathFactory) -> Leases:
    return known(
        tmp_path_factory.mktemp("leases"), 10**6,
        f"{ANN},ann,{at(0)},{at(180)}", f"{BOB},bob,{at(60)},{at(180)}",
    )  # fmt: skip


def until(leases: Leases, minute: float) -> Leases:
    return Leases(leases.tables, leases.accounts, nanosecond(minute))


def minutes(rows: Sequence[dict[str, object]]) -> list[tuple[object, object]]:
    return [
        ((row["observed_at"] - START) / timedelta(minutes=1), row["account"])  # type: ignore[operator]
        for row in rows
    ]


def test_a_record_after_what_is_known_waits_and_is_named_when_it_is_known(leases: Leases) -> None:
    """Between a flow and its RADIUS entry; at the time an open lease may have ended already."""
    held, tally = Held(), Tally(records=3)
    whose = Attribution(until(leases, 10), None, held)
    some = batch([Packet(5, ANN, OUT, 1), Packet(10, ANN, OUT, 2), Packet(11, ANN, OUT, 3)])
    assert minutes(whose.of(some, tally).to_pylist()) == [(5, "ann"), (10, "ann")]
    assert (tally.records, dict(tally.not_records)) == (2, {"held": 1})
    assert (tally.latest_held, held.records) == (nanosecond(11), 1)
    assert list(whose.again(tally, 0)) == []
    whose.leases = until(leases, 11)
    (again,) = whose.again(tally, 0)
    assert minutes(whose.of(again, tally).to_pylist()) == [(11, "ann")]
    assert (tally.records, dict(tally.not_records), held.records) == (3, {}, 0)


def test_who_names_an_account_waits_for_nothing(leases: Leases) -> None:
    tally = Tally(records=1)
    whose = Attribution(until(leases, 10), None, Held())
    assert whose.of(batch([Packet(11, ANN, OUT, account="carl")]), tally).num_rows == 1


def test_what_waited_too_long_is_counted_and_never_guessed(leases: Leases) -> None:
    held, tally = Held(), Tally(records=2)
    whose = Attribution(until(leases, 10), None, held)
    whose.of(batch([Packet(11, ANN, OUT), Packet(20, ANN, OUT, 2)]), tally)
    assert list(whose.again(tally, nanosecond(20))) == []
    assert (tally.records, dict(tally.not_records)) == (0, {"no-lease": 1, "held": 1})
    assert held.records == 1


def test_what_no_clock_can_have_seen_does_not_wait_for_ever(leases: Leases) -> None:
    far = Packet((datetime.now(UTC) + timedelta(days=2) - START) / timedelta(minutes=1), ANN, OUT)
    held, tally = Held(), Tally(records=1)
    assert not Attribution(until(leases, 10), None, held).of(batch([far]), tally).num_rows
    assert (held.records, dict(tally.not_records)) == (0, {"time-in-future": 1})


def test_what_is_held_survives_as_bytes(leases: Leases) -> None:
    held, again = Held(), Held()
    for unit in ("s", "us"):
        held.put(batch([Packet(1, ANN, OUT), Packet(2, BOB, OUT)], unit))  # type: ignore[arg-type]
    again.unpack(held.pack())
    assert [each.to_pylist() for each in again.take(nanosecond(1))] == [
        each.to_pylist() for each in held.take(nanosecond(1))
    ]
    assert again.records == held.records == 2
    again.unpack(b"")
    assert again.records == 0


@settings(deadline=None)  # a busy machine is no fault of ours
@given(packets, st.integers(1, 7), st.lists(st.integers(0, 240), max_size=4).map(sorted))
def test_leases_that_grow_give_what_whole_leases_give_and_the_numbers_add_up(
    leases: Leases, listed: list[Packet], size: int, looks: list[int]
) -> None:
    whole = Tally(records=len(listed))
    expected = Attribution(leases).of(batch(listed), whole).to_pylist()
    held, tally, kept = Held(), Tally(), []
    whose = Attribution(until(leases, looks[0] if looks else -1), None, held)
    for start in range(0, len(listed), size):
        tally.records += len(listed[start : start + size])
        kept += whose.of(batch(listed[start : start + size]), tally).to_pylist()
        assert tally.records + tally.not_records.total() == len(listed[: start + size])
    for look in (*looks, 300):
        whose.leases = until(leases, look)
        for more in whose.again(tally, 0):
            kept += whose.of(more, tally).to_pylist()
        assert tally.records == len(kept)
        assert tally.records + tally.not_records.total() == len(listed)
    if not any(packet.account for packet in listed):
        # (Who names an account does not wait, so that its replies may be another's.)
        assert Counter(minutes(kept)) == Counter(minutes(expected))
        assert tally.not_records == whole.not_records


def test_read_tells_what_is_held_and_the_mend(tmp_path: Path) -> None:
    flows = write_records(
        tmp_path / "f.ndjson", [line(Packet(1, ANN, OUT)), line(Packet(3, BOB, OUT))]
    )
    known(tmp_path, 2, f"{ANN},ann,{at(0)},")
    ran = run("read", str(flows), "--leases", str(tmp_path / "l.csv"))
    assert (ran.status, len(ran.out.splitlines())) == (75, 1)
    assert "1 records, 1 held" in ran.err
    assert f"known until {at(2)}" in ran.err
    assert f"export the leases once {at(3)} is over" in ran.err


def test_a_file_that_waits_waits_as_a_whole_and_is_pushed_once(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    first = (now - START) / timedelta(minutes=1) - 120
    some = [Packet(first + n, ANN, OUT, 1000 + n) for n in range(5)]
    flows = write_records(tmp_path / "flows.ndjson", [line(packet) for packet in some])
    other = write_records(tmp_path / "other.ndjson", [line(Packet(first, ANN, OUT, 7))])
    held, site = tmp_path / "l.csv", Site.make(tmp_path)
    known(tmp_path, first + 3, f"{ANN},ann,{at(first - 1)},")
    with FakeStore(site.key.public) as store:
        early = site.push(store, str(flows), str(other), "--leases", str(held))
        assert (early.status, early.summary["not_records"]) == (75, {"held": 1})
        assert (early.summary["sealed"], len(store.held)) == (1, 1)
        assert "nothing of it was pushed" in early.summary["held"][str(flows)]
        os.utime(held)
        late = site.push(store, str(flows), str(other), "--leases", str(held))
        assert (late.status, late.summary["sealed"]) == (0, 6)
        again = site.push(store, str(flows), "--leases", str(held))
        assert (again.status, again.summary["sealed"], len(store.held)) == (0, 5, 2)


def test_without_leases_replies_are_dropped_as_well(tmp_path: Path) -> None:
    """As of an exporter that tells of both directions, or a capture."""
    out = Packet(1, ANN, OUT)
    some = (out, out.reversed(1.1), replace_port(out, 2), out.reversed(1.2), out)
    flows = write_records(tmp_path / "f.ndjson", [line(packet) for packet in some])
    ran = run("read", str(flows), "--account", "ann")
    assert ran.err.strip().endswith("3 records, 2 reply")
    named = [{**line(packet), "account": "ann"} for packet in some]
    ran = run("read", str(write_records(tmp_path / "n.ndjson", named)))
    assert [json.loads(each)["source_address"] for each in ran.out.splitlines()] == [ANN] * 3


def replace_port(packet: Packet, port: int) -> Packet:
    return Packet(packet.minute, packet.source, packet.destination, port)
