"""What an exporter sent and cannot be read, or never came, is known."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from icrstore.flow.gaps import MOST, Gap, note
from icrstore.flow.readers import Tally
from icrstore.flow.readers.datagrams import Datagram
from icrstore.flow.readers.exports import Exports, held, templates

from .exported import (
    EXPORTER,
    FLOW,
    NOON,
    SECOND,
    Field,
    a_set,
    described,
    flow,
    ipfix,
    options,
    read,
    record_of_v5,
    rows_of,
    template,
    v5,
    v9,
    values,
)

TEMPLATE = ipfix(template(FLOW))


def gap(first: int, last: int, why: str) -> Gap:
    """Seconds after noon."""
    begins, ends = (datetime.fromtimestamp(NOON + each, UTC) for each in (first, last))
    return Gap(begins, ends, why)


def data(sequence: int = 0, sent: int = NOON, port: int = 50_000, domain: int = 1) -> bytes:
    return ipfix(a_set(256, flow(port=port)), sequence=sequence, sent=sent, domain=domain)


def test_data_before_their_template_are_read_when_it_comes() -> None:
    exports = Exports(Tally())
    assert read(data(0, port=1), data(1, port=2), exports=exports)[0] == []
    rows, tally = read(ipfix(template(FLOW), sequence=2), exports=exports)
    assert [row["source_port"] for row in rows] == [1, 2]
    exports.end()
    assert (tally.not_records, tally.gaps) == ({}, [])


def test_data_whose_template_never_comes_are_a_gap() -> None:
    rows, tally = read(data(), data(1, sent=NOON + 9))
    assert (rows, tally.not_records) == ([], {"no-template": 2})
    assert tally.gaps == [gap(0, 0, "no-template"), gap(9, 9, "no-template")]


def test_a_template_is_of_one_exporter_one_domain_and_one_version() -> None:
    exports = Exports(Tally())
    read(TEMPLATE, exports=exports)
    assert read(data(domain=2), v9(a_set(256, flow())), exports=exports)[0] == []
    assert rows_of(exports, [Datagram(NOON * SECOND, "192.0.2.2", data())]) == []
    assert len(rows_of(exports, [Datagram(NOON * SECOND, EXPORTER, data())])) == 1


def test_what_waits_for_a_template_is_bounded_by_time() -> None:
    exports = Exports(Tally())
    read(data(), exports=exports)
    later = NOON * SECOND + held.LONGEST_NANOSECONDS
    rows, _ = read(ipfix(template(FLOW)), exports=exports, received=later + 1)
    assert (rows, exports.tally.not_records) == ([], {"no-template": 1})


def test_what_waits_for_a_template_is_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MOST_BYTES", 10_000)
    _, tally = read(*(ipfix(a_set(256 + n, bytes(100)), sequence=n) for n in range(100)))
    assert tally.not_records["no-template"] == 100
    exports = Exports(Tally())
    read(*(ipfix(a_set(256 + n, flow(port=n)), sequence=n) for n in range(100)), exports=exports)
    given_up = exports.tally.not_records["no-template"]
    assert 80 < given_up < 90
    rows, _ = read(*(ipfix(template(FLOW, 256 + n)) for n in range(100)), exports=exports)
    assert len(rows) == 100 - given_up


def test_a_template_may_change() -> None:
    other: list[Field] = [(28, 16), (27, 16), (4, 1)]
    exports = Exports(Tally())
    read(TEMPLATE, data(), exports=exports)
    changed = ipfix(template(other), a_set(256, b"\1" * 32 + b"\x11"), sequence=1)
    rows, _ = read(changed, exports=exports)
    assert [row["protocol"] for row in rows] == [17]


@pytest.mark.parametrize("withdrawn", [256, 2])
def test_a_template_withdrawn_is_no_longer_known(withdrawn: int) -> None:
    rows, tally = read(TEMPLATE, ipfix(a_set(2, described(withdrawn, []))), data())
    assert (rows, tally.not_records) == ([], {"no-template": 1})


def test_withdrawing_the_templates_of_options_leaves_the_others() -> None:
    rows, _ = read(TEMPLATE, ipfix(a_set(3, described(3, []))), data())
    assert len(rows) == 1


def test_templates_of_one_sender_and_of_all_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MOST_FIELDS_OF_ONE", 20)
    monkeypatch.setattr(templates, "MOST_FIELDS_OF_ALL", 100)
    known = templates.Templates()
    made = templates.Template(((templates.Key(0, 8), 4),) * 6, False)
    for sender in range(1000):
        for number in range(256, 266):
            known.put(("", 10, sender), number, made)
    held_fields = known._fields
    assert held_fields.total() <= 100
    assert max(held_fields.values()) <= 20
    assert held_fields.keys() == known._held.keys()


@pytest.mark.parametrize(
    "bad",
    [
        described(255, FLOW),
        described(256, [(8, 4)] * 1025),
        described(256, FLOW)[:-1],
        described(256, [(8, 0)]),
        described(256, []) + described(1, FLOW),
        described(3, []),
        described(4, []),
    ],
)
def test_a_template_that_cannot_be_is_undecodable(bad: bytes) -> None:
    rows, tally = read(ipfix(a_set(2, bad)), ipfix(template(FLOW), a_set(256, flow())))
    assert (len(rows), tally.not_records) == (1, {"undecodable": 1})
    assert tally.gaps == [gap(0, 0, "undecodable")]


def test_what_is_no_export_is_counted_and_the_rest_is_read() -> None:
    whole = ipfix(template(FLOW), a_set(256, flow()))
    junk = [b"", b"\0", b"\0\x0a", b"\0\7" + bytes(40), whole[:15]]
    rows, tally = read(*junk, whole)
    assert (len(rows), tally.not_records) == (1, {"undecodable": 5})


def test_of_a_message_with_a_wrong_length_what_came_before_stands() -> None:
    whole = ipfix(template(FLOW), a_set(256, flow(port=1)), a_set(256, flow(port=2)))
    for cut in (1, 20, 24):
        rows, tally = read(whole[:-cut])
        assert ([row["source_port"] for row in rows], tally.not_records) == (
            [1],
            {"undecodable": 1},
        )
    rows, tally = read(v5(record_of_v5(), record_of_v5(port=2))[:-1])
    assert (rows, tally.not_records) == ([], {"undecodable": 1})


def test_a_set_shorter_than_its_head_ends_the_message() -> None:
    _, tally = read(ipfix(template(FLOW), b"\1\0\0\3", a_set(256, flow())))
    assert tally.not_records == {"undecodable": 1}


def test_a_record_of_variable_length_that_goes_on_past_its_set_is_undecodable() -> None:
    fields: list[Field] = [*FLOW, (371, 0xFFFF)]
    body = flow() + b"\6line-1"
    for tail in (
        flow(port=2) + b"\xff\xff\xff",
        flow(port=2) + b"\x09line",
        flow(port=2) + b"\xff",
    ):
        rows, tally = read(ipfix(template(fields), a_set(256, body, tail)))
        assert ([row["account"] for row in rows], tally.not_records) == (
            ["line-1"],
            {"undecodable": 1},
        )


def exports_of(version: int, sequence: int, sent: int, uptime: int = 60_000) -> bytes:
    """One export of two records, its number as its version counts."""
    rows = flow(port=sequence * 2 + 1), flow(port=sequence * 2 + 2)
    if version == 5:
        records = record_of_v5(port=sequence * 2 + 1), record_of_v5(port=sequence * 2 + 2)
        return v5(*records, sequence=2 * sequence, sent=NOON + sent, uptime=uptime)
    if version == 9:
        parts = template(FLOW, version=9), a_set(256, *rows)
        return v9(*parts, sequence=sequence, sent=NOON + sent, uptime=uptime)
    return ipfix(template(FLOW), a_set(256, *rows), sequence=2 * sequence, sent=NOON + sent)


VERSIONS = pytest.mark.parametrize(
    ("version", "lost"), [(5, {"missing-records": 6}), (9, {"missing-exports": 3}),
                          (10, {"missing-records": 6})]
)  # fmt: skip


@VERSIONS
def test_exports_that_never_came_are_a_gap(version: int, lost: dict[str, int]) -> None:
    rows, tally = read(*(exports_of(version, n, n, 60_000 + n * 1000) for n in (0, 1, 5, 6)))
    assert (len(rows), tally.not_records) == (8, lost)
    # From the last that came to the first that came again; v5 tells of milliseconds, too.
    assert tally.gaps == [gap(1, 6 if version == 5 else 5, "exporter-sequence")]


@VERSIONS
def test_exports_that_come_late_are_no_gap(version: int, lost: dict[str, int]) -> None:
    order = (0, 1, 5, 3, 2, 4, 6)
    rows, tally = read(*(exports_of(version, n, n, 60_000 + n * 1000) for n in order))
    assert (len(rows), tally.not_records, tally.gaps) == (14, {"late-export": 3}, [])


@VERSIONS
def test_what_stays_missing_of_a_gap_is_told_once_its_time_is_over(
    version: int, lost: dict[str, int]
) -> None:
    exports = Exports(Tally())
    order = ((0, 0), (1, 1), (5, 5), (3, 3), (6, 34))
    read(*(exports_of(version, n, at, 60_000 + at * 1000) for n, at in order), exports=exports)
    assert not lost.keys() & exports.tally.not_records.keys()
    read(exports_of(version, 7, 40, 100_000), exports=exports)
    (reason, count) = next(iter(lost.items()))
    assert exports.tally.not_records[reason] == count * 2 // 3
    assert {each.why for each in exports.tally.gaps} == {"exporter-sequence"}


@VERSIONS
@pytest.mark.parametrize("ahead", [60 - NOON, 9 * 365 * 86_400])
def test_an_exporters_clock_does_not_say_when_what_never_came_was_sent(
    version: int, lost: dict[str, int], ahead: int
) -> None:
    """It begins at 1970, or years ahead, until it is told the time; or somebody forges it."""
    exports = Exports(Tally())
    for n, clock, came in ((0, ahead, 0), (4, 1, 2), (5, 32, 33)):
        payload = exports_of(version, n, clock, 60_000 + came * 1000)
        read(payload, exports=exports, received=(NOON + came) * SECOND)
    assert exports.tally.not_records == lost
    assert exports.tally.gaps == [gap(0, 2, "exporter-sequence")]


def test_nor_when_what_could_not_be_read_was_sent() -> None:
    exports = Exports(Tally())
    bad = ipfix(a_set(2, described(255, FLOW)), sent=60)
    for n, payload in enumerate((data(sent=60), bad, bad[:-1])):
        read(payload, exports=exports, received=(NOON + 10 * n) * SECOND)
    exports.end()
    assert set(exports.tally.gaps) == {
        gap(0, 0, "no-template"), gap(10, 10, "undecodable"), gap(20, 20, "undecodable"),
    }  # fmt: skip


@VERSIONS
def test_a_restart_is_no_gap(version: int, lost: dict[str, int]) -> None:
    before = [exports_of(version, n, n, 60_000 + n * 1000) for n in (8, 9)]
    after = [exports_of(version, n, 70 + n, 1_000 + n * 1000) for n in (0, 1)]
    rows, tally = read(*before, *after)
    assert len(rows) == 8
    assert (tally.not_records, tally.gaps) == ({"exporter-restart": 1}, [])


def test_a_restart_within_a_second_is_known_by_sysuptime() -> None:
    _, tally = read(exports_of(9, 8, 0, 600_000), exports_of(9, 0, 0, 1_000))
    assert tally.not_records == {"exporter-restart": 1}


def test_sequence_numbers_wrap() -> None:
    last = (1 << 32) - 1
    first = ipfix(template(FLOW), a_set(256, flow(port=1)), sequence=last)
    _, tally = read(first, data(0, port=2), data(1, port=3))
    assert tally.not_records == {}
    _, tally = read(first, data(2, port=2))
    assert tally.not_records == {"missing-records": 2}


def test_where_records_cannot_be_counted_nothing_is_said_to_be_missing() -> None:
    _, tally = read(data(0), data(7))
    assert "missing-records" not in tally.not_records
    _, tally = read(TEMPLATE, data(0), data(7, port=2))
    assert tally.not_records == {"missing-records": 6}


def softflowd(sizes: Sequence[int], first: int = 0, sent: int = NOON) -> list[bytes]:
    """IPFIX messages, each numbered with its own records, as softflowd does."""
    messages, number = [], 0
    for n, size in enumerate(sizes):
        number += size
        rows = [flow(port=number - size + each) for each in range(size)]
        parts = template(FLOW), a_set(256, *rows)
        messages.append(ipfix(*parts, sequence=number, sent=sent + n))
    return messages[first:]


SIZES = (3, 7, 1, 9, 4, 2, 8, 8, 5, 1, 6)


def test_an_exporter_that_counts_with_the_message_is_understood() -> None:
    _, tally = read(*softflowd(SIZES))
    assert (tally.not_records, tally.gaps) == ({}, [])


def test_what_such_an_exporter_lost_is_known_once_it_is_understood() -> None:
    messages = softflowd(SIZES)
    _, tally = read(*messages[:7], *messages[8:])
    assert tally.not_records == {"missing-records": 8}
    _, tally = read(*messages[:7], messages[8], messages[7], *messages[9:])
    assert (tally.not_records, tally.gaps) == ({"late-export": 1}, [])


def test_a_v9_exporter_that_counts_flows_is_understood() -> None:
    messages, number = [], 0
    for n, size in enumerate(SIZES):
        rows = [flow(port=number + each) for each in range(size)]
        parts = template(FLOW, version=9), a_set(256, *rows)
        messages.append(v9(*parts, sequence=number, sent=NOON + n, uptime=n * 1000))
        number += size
    _, tally = read(*messages)
    assert (tally.not_records, tally.gaps) == ({}, [])
    _, tally = read(*messages[:6], *messages[7:])
    assert tally.not_records == {"missing-exports": SIZES[6]}


@pytest.mark.parametrize(("interval", "told"), [(0, 0), (1, 0), (0x4001, 0), (2, 1), (0x43E8, 1)])
def test_v5_tells_that_it_is_sampled(interval: int, told: int) -> None:
    whole = v5(record_of_v5())
    rows, tally = read(whole[:22] + interval.to_bytes(2) + whole[24:])
    assert (len(rows), tally.not_records["sampled"]) == (1, told)


@pytest.mark.parametrize(
    ("fields", "given", "told"),
    [
        ([(34, 4)], [1000], 1),
        ([(34, 4)], [1], 0),
        ([(48, 1), (50, 4)], [1, 100], 1),
        ([(305, 4), (306, 4)], [1, 0], 0),
        ([(305, 4), (306, 4)], [1, 999], 1),
    ],
)
def test_an_exporter_that_samples_is_told_of(
    fields: list[Field], given: list[int], told: int
) -> None:
    every: list[Field] = [(143, 4), *fields]
    _, tally = read(ipfix(options(every), a_set(300, values(every, 7, *given))))
    assert tally.not_records["sampled"] == told
    flows: list[Field] = [*FLOW, *fields]
    rows, tally = read(ipfix(template(flows), a_set(256, flow() + values(fields, *given))))
    assert (len(rows), tally.not_records["sampled"]) == (1, told)


def test_senders_are_numbered_by_themselves_and_are_bounded() -> None:
    exports = Exports(Tally())
    for domain in range(5000):
        read(data(domain * 1000, domain=domain), exports=exports)
    assert len(exports._senders) <= 4096
    assert not exports.tally.gaps or exports.tally.gaps[0].why != "exporter-sequence"


def test_many_gaps_stay_a_short_list_that_covers_them_all() -> None:
    gaps: list[Gap] = []
    for second in range(0, 10 * MOST, 5):
        note(gaps, gap(second, second + 1, "undecodable"))
        note(gaps, gap(second, second + 3, "no-template"))
    assert len(gaps) == MOST
    assert max(each.last for each in gaps) == gap(0, 10 * MOST - 5 + 3, "no-template").last
    touching: list[Gap] = []
    for second in range(100):
        note(touching, gap(second, second + 1, "undecodable"))
    assert touching == [gap(0, 100, "undecodable")]


def test_templates_outlive_what_feeds_on_them() -> None:
    known = templates.Templates()
    read(TEMPLATE, exports=Exports(Tally(), known))
    rows, _ = read(data(), exports=Exports(Tally(), known))
    assert len(rows) == 1


def test_the_tally_may_be_replaced_between_two_calls() -> None:
    exports = Exports(Tally())
    read(TEMPLATE, data(port=1), exports=exports)
    exports.tally = Tally()
    read(data(7, port=2), data(8, sent=NOON + 60, port=3), exports=exports)
    assert exports.tally.not_records == {"missing-records": 6}


def test_losses_that_happen_to_fit_another_way_of_counting_stay_losses() -> None:
    # Each time as many exports are missing as there were records in the one before.
    wanted = 0
    messages = []
    number = 0
    for n in range(30):
        rows = [flow(port=n * 10 + each) for each in range(4)]
        parts = template(FLOW, version=9), a_set(256, *rows)
        messages.append(v9(*parts, sequence=number, sent=NOON + n, uptime=n * 1000))
        lost = 3 if n % 5 == 4 and n < 29 else 0
        wanted += lost
        number += 1 + lost
    _, tally = read(*messages)
    assert tally.not_records == {"missing-exports": wanted}
