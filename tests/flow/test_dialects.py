"""Each dialect's own vectors, and that no line is ever read as another device's."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.flow.readers import Hints
from icrstore.flow.readers.dialects.dialect import Dialect, Vector, dialects
from icrstore.flow.readers.dialects.header import HEADER
from icrstore.flow.readers.dialects.pairs import NotUnderstood

from .readings import reading

HINTS = Hints(zone=UTC, now=datetime(2026, 2, 3, tzinfo=UTC))
ALL = dialects()
LINES = [each for each in ALL if each.name != "radius"]
VECTORS = [(dialect, vector) for dialect in ALL for vector in dialect.vectors]
LONGEST = 1 << 16
DOCUMENT = Path(__file__).parents[2] / "deploy" / "DIALECTS.md"


def _format(dialect: Dialect) -> str:
    return "radius" if dialect.name == "radius" else "syslog"


def _each(vectors: list[tuple[Dialect, Vector]]) -> Sequence[object]:
    counts = Counter[str]()
    named = []
    for dialect, vector in vectors:
        counts[dialect.name] += 1
        named.append(pytest.param(dialect, vector, id=f"{dialect.name}-{counts[dialect.name]}"))
    return named


@pytest.mark.parametrize(("dialect", "vector"), _each(VECTORS))
def test_a_line_gives_what_its_vector_says(dialect: Dialect, vector: Vector) -> None:
    records, tally = reading(f"{vector.line}\n".encode(), _format(dialect), HINTS)
    assert records == ([vector.gives] if vector.gives else [])
    assert tally.not_records == ({vector.reason: 1} if vector.reason else {})


def row_of(dialect: Dialect) -> str:
    """What the operators' table says of a dialect."""
    gives = [vector.gives for vector in dialect.vectors if vector.gives]
    events = [each for each in gives if "nat_event" in each]
    kinds = {
        "connections": len(gives) > len(events),
        "translated sessions": any(
            {"destination_address", "post_nat_source_address"} <= set(each) for each in gives
        ),
        "translations": any(
            "destination_address" not in each and "port_range_start" not in each for each in events
        ),
        "port blocks": any("port_range_start" in each for each in events),
        "their ends": any(each["nat_event"] == 2 for each in events),
    }
    told = ", ".join(kind for kind, is_given in kinds.items() if is_given)
    return f"| {dialect.title} | {told} | {dialect.log} |"


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: each.name)
def test_the_table_for_operators_has_it(dialect: Dialect) -> None:
    assert row_of(dialect) in DOCUMENT.read_text("utf-8").split("\n")


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: each.name)
def test_a_dialect_shows_what_it_gives_and_what_it_refuses(dialect: Dialect) -> None:
    assert any(vector.gives for vector in dialect.vectors)
    assert any(vector.reason for vector in dialect.vectors)
    assert dialect.title
    assert dialect.log


@pytest.mark.parametrize(("dialect", "vector"), _each([each for each in VECTORS if each[1].gives]))
def test_no_other_dialect_knows_the_line(dialect: Dialect, vector: Vector) -> None:
    line = "\t".join(part.strip() for part in vector.line.strip().split("\n"))
    start = HEADER.match(line).end()  # type: ignore[union-attr]
    for other in ALL:
        if other is dialect or not any(mark in line for mark in other.marks):
            continue
        try:
            assert other.take(line, start) is None
        except NotUnderstood:
            pytest.fail(f"{other.name} would know a line of {dialect.name}")


@pytest.mark.parametrize(("dialect", "vector"), _each([each for each in VECTORS if each[1].gives]))
def test_a_format_is_told_by_any_line_of_any_dialect(dialect: Dialect, vector: Vector) -> None:
    records, _ = reading(f"\nwhatever else a relay has\n{vector.line}\n".encode(), None, HINTS)
    assert records == [vector.gives]


@pytest.mark.parametrize(("dialect", "vector"), _each([each for each in VECTORS if each[1].gives]))
def test_a_relay_may_put_when_it_came_and_from_whom_before_it(
    dialect: Dialect, vector: Vector
) -> None:
    """As rsyslog does by the template in deploy/COLLECTING.md."""
    if dialect.name != "radius":
        line = f"2026-02-01T08:00:00.25+00:00 192.0.2.9 {vector.line}\n"
        assert reading(line.encode(), "syslog", HINTS)[0] == [vector.gives]


def test_a_relay_that_mixes_devices_is_read_line_by_line() -> None:
    given = [vector for dialect in LINES for vector in dialect.vectors]
    records, tally = reading("".join(f"{each.line}\n" for each in given).encode(), None, HINTS)
    wanted = [each.gives for each in given if each.gives]
    connections = [each for each in wanted if "nat_event" not in each]
    events = [each for each in wanted if "nat_event" in each]
    assert records == connections + events
    assert tally.events == len(events)
    assert tally.not_records == Counter(each.reason for each in given if each.reason)


def _with_other_columns(line: str) -> Iterator[str]:
    """The line where one column is missing, is there twice, or a new one stands before it."""
    for separator in (" ", ","):
        columns = line.split(separator)
        for at, column in enumerate(columns):
            for others in ([], [column, column], ["7", column], ["192.0.2.66", column]):
                yield separator.join([*columns[:at], *others, *columns[at + 1 :]])


@pytest.mark.parametrize("dialect", LINES, ids=lambda each: each.name)
def test_no_column_is_taken_for_another(dialect: Dialect) -> None:
    """What comes of it has the line's own values, or none, or it is no record."""
    for vector in dialect.vectors:
        if vector.gives:
            lines = list(_with_other_columns(vector.line))
            records, _ = reading("".join(f"{each}\n" for each in lines).encode(), "syslog", HINTS)
            for record in records:
                wrong = {
                    name
                    for name, value in record.items()
                    if name != "observed_at" and value != vector.gives.get(name)
                }
                assert not wrong, vector.line


def _inside_another(dialect: Dialect, line: str) -> Iterator[str]:
    """The line where somebody who is no such device could have written it."""
    said = line[HEADER.match(line).end() :]  # type: ignore[union-attr]
    before = "2026-01-31T12:00:00Z"
    yield f"<38>Jan 31 2026 12:00:00 edge sshd[7]: Invalid user {line} from 192.0.2.1"
    yield f"{before} edge sshd[7]: Invalid user {said}"
    yield f"{before} edge sshd[7]: {said}"
    yield f"{before} edge sshd: {line}"
    yield f"<38>1 {before} edge sshd 7 - - {said}"
    yield f'<38>1 {before} edge web 7 - [x@1 agent="{line}"] got it'
    if dialect.name != "eve":
        yield f'{before} edge web[7]: "GET / HTTP/1.1" 200 "{line}"'
        yield f'{before} edge app[7]: {{"message":"{line}"}}'


@pytest.mark.parametrize("dialect", LINES, ids=lambda each: each.name)
def test_a_line_that_somebody_wrote_into_another_message_is_no_record(dialect: Dialect) -> None:
    for vector in dialect.vectors:
        if vector.gives:
            for hostile in _inside_another(dialect, vector.line):
                assert reading(f"{hostile}\n".encode(), "syslog", HINTS)[0] == [], hostile


def test_what_two_dialects_would_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (asa,) = (each for each in ALL if each.name == "asa")
    two = ((asa.marks[0], asa), (asa.marks[0], replace(asa)))
    monkeypatch.setattr("icrstore.flow.readers.dialects.lookup.marked", lambda: two)
    line = next(vector.line for vector in asa.vectors if vector.gives)
    records, tally = reading(f"{line}\n".encode(), "syslog", HINTS)
    assert (records, tally.not_records) == ([], {"ambiguous-line": 1})


def test_what_stays_here_is_counted_by_its_name() -> None:
    (juniper,) = (each for each in ALL if each.name == "juniper")
    (line, *_) = (each.line for each in juniper.vectors if each.gives and "account" in each.gives)
    (eve,) = (each for each in ALL if each.name == "eve")
    dns = next(each.line for each in eve.vectors if "rrname" in each.line)
    _, tally = reading(f"{line}\n{line}\n{dns}\n".encode(), "syslog", HINTS)
    assert tally.left_out["session-id"] == 0
    assert tally.left_out["dns.rrname"] == 1
    assert "username" not in tally.left_out
    assert "10.0.0.5" not in str(tally.left_out)


def _stretched(line: str) -> Iterator[str]:
    """The line up to one of its words, and then a piece again and again, as long as can be."""
    words = line.split(" ")
    pieces = {" ", "=", '"', "\\", ",", ":", "0", "a", "a=1 ", 'a="', "[", "(", words[-1] + " "}
    for count in range(1, len(words), 1 + len(words) // 8):
        start = " ".join(words[:count]) + " "
        for piece in sorted(pieces):
            # With something at its end, since blanks there are taken away.
            yield (start + piece * (LONGEST // len(piece)))[: LONGEST - 2] + "!"


@pytest.mark.parametrize("dialect", LINES, ids=lambda each: each.name)
def test_no_line_takes_longer_than_its_length(dialect: Dialect) -> None:
    """What grows as the square of 65,536 takes minutes; what grows with it, a millisecond or so."""
    line = next(vector.line for vector in dialect.vectors if vector.gives)
    slowest = 0.0
    for hostile in _stretched(line):
        begun = time.process_time()
        reading(f"{hostile}\n".encode(), "syslog", HINTS)
        slowest = max(slowest, time.process_time() - begun)
        assert slowest < 1, hostile[:200]


PIECES = st.sampled_from(sorted({piece for _, v in VECTORS for piece in v.line.split(" ")}))
SCRAPS = st.lists(PIECES | st.sampled_from([" ", "\n", '"', "\\", "=", "[", "]"]), max_size=40)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(VECTORS), st.data())
def test_a_mutated_line_is_a_record_or_counted(
    chosen: tuple[Dialect, Vector], data: st.DataObject
) -> None:
    dialect, vector = chosen
    line = vector.line.strip().encode()
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(line))] * 2)))
    put = data.draw(st.binary(max_size=8) | PIECES.map(str.encode))
    mutated = line[:first] + put.replace(b"\n", b" ") + line[last:]
    records, tally = reading(mutated + b"\n", _format(dialect), HINTS)
    assert len(records) + sum(tally.not_records.values()) in (
        1,
        2 if dialect.name == "radius" else 1,
    )


@settings(deadline=None, max_examples=200)
@given(SCRAPS | st.lists(st.text(max_size=20), max_size=10), st.sampled_from(["syslog", "radius"]))
def test_no_text_does_more_than_be_counted(parts: list[str], format: str) -> None:
    content = " ".join(parts).encode("utf-8", "surrogatepass")
    records, tally = reading(content, format, HINTS)
    assert len(records) + sum(tally.not_records.values()) <= content.count(b"\n") + 1
