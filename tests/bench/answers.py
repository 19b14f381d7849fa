"""Part "answers": every peer answers the same twenty targets of each question as we do, on the same
records, and all answers are equal, row by row.

`questions` asks DuckDB. Here ClickHouse and PostgreSQL are asked about a day of M, since plain rows
of all of it take minutes to load, and Django + Fernet about a few records; with ``--small`` all of
them about those few. Their latencies stand beside, of bare rows as Python values; no bar is about
them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pyarrow as pa

from icrstore.flow.schema import address_text
from icrstore.warrant.statements import AccountSelector, AddressSelector, HourRange
from icrstore.warrant.strict import time_text
from tests.bench import targets
from tests.bench.bulk import Plan
from tests.bench.generate import STREAMS, streamed
from tests.bench.ground import Ground, prepared
from tests.bench.measure import Spread
from tests.bench.peers.entries import Entry, Sources
from tests.bench.peers.job import PEERS_PYTHON, Job, load
from tests.bench.peers.questions import Network, Question
from tests.bench.progress import tell
from tests.bench.questions import NAMES, check_answers, warm
from tests.bench.results import Outcome, Result
from tests.bench.running import Bench, Size

_CLICKHOUSE = Entry("clickhouse", "ClickHouse, lz4", "clickhouse", "arrow", "LZ4", of_bench=True)
_POSTGRES = Entry("postgres", "PostgreSQL, two indexes", "postgres", "csv")
_FERNET = Entry("fernet", "Django + Fernet", "fernet", "ndjson", "checked")


@dataclass(frozen=True)
class Load:
    """Some records and who is asked about them; targets of each question, and rounds."""

    shape: str
    records: int
    entries: tuple[Entry, ...]
    targets: int = 20
    rounds: int = 5


_PLAIN = (_CLICKHOUSE, _POSTGRES)
LOADS: dict[Size, tuple[Load, ...]] = {
    "full": (Load("M-day", 2_000_000, _PLAIN), Load("M-tiny", 5_000, (_FERNET,))),
    "small": (Load("M-tiny", 5_000, (*_PLAIN, _FERNET)),),
    "tiny": (Load("M-tiny", 2_000, (*_PLAIN, _FERNET), 4, 1),),
}


def measure(bench: Bench, size: Size) -> list[Outcome]:
    """Raises `AnswersDiffer`."""
    made: list[Outcome] = []
    with prepared() as ground:
        database = ground.peers_database()
        for load in LOADS[size]:
            made += _results(load, _told(ground, database, load, bench.until))
    return made


def _told(ground: Ground, database: str, load: Load, until: datetime) -> Mapping[str, Any]:
    """By question and side: answer and milliseconds, all answers equal. Raises `AnswersDiffer`."""
    shape, tenant = STREAMS[load.shape], load.shape.lower()
    ground.add_tenant(tenant)
    epochs, _, _ = ground.seal(Plan(tenant, load.shape, load.records, until.isoformat()))
    ground.vacuum()
    table = pa.concat_tables(streamed(shape, load.records, until))
    hours = HourRange(until - timedelta(hours=shape.hours), until)
    asked = [
        *targets.resolve(shape, load.records, until, load.targets),
        *targets.services(shape, hours, load.targets),
        *targets.reached(shape, hours, load.targets),
    ]
    told: dict[str, Any] = ground.ask(tenant, epochs, asked, load.rounds)["asked"]
    sources = Sources(table, ground.folder / tenant)
    for entry in load.entries:
        if entry.is_here:
            answers = _answers(entry, sources, database, asked, load.rounds)
            for name, sides in told.items():
                sides[entry.id] = answers[name]
    check_answers(told)
    tell(f"answers: {', '.join(next(iter(told.values())))} tell the same of {len(asked)} questions"
         f" about {table.num_rows:,} records")  # fmt: skip
    return told


def _answers(
    entry: Entry, sources: Sources, database: str, asked: Sequence[targets.Asked], rounds: int
) -> Mapping[str, Any]:
    path = sources.folder / "questions.json"
    path.write_text(json.dumps([question_of(one).to_object() for one in asked]))
    place = database if entry.module in ("postgres", "fernet") else str(sources.folder)
    source = str(sources.path(entry.source))
    job = Job(source, place, entry.how, questions=str(path), rounds=rounds)
    tell(f"answers: {entry.about} is loaded and asked")
    return load(entry.module, job, PEERS_PYTHON if entry.of_bench else None).answers


def question_of(asked: targets.Asked) -> Question:
    """The same in plain values."""
    selector = asked.selector
    if isinstance(selector, AddressSelector):
        end = selector.at + selector.tolerance + timedelta(microseconds=1)
        return Question(
            asked.name, "resolve", time_text(selector.at - selector.tolerance), time_text(end),
            address=address_text(selector.address), port=selector.port or 0,
            protocol=selector.protocol,
        )  # fmt: skip
    assert isinstance(selector, AccountSelector)
    return Question(
        asked.name, asked.purpose, time_text(asked.hours.first), time_text(asked.hours.end),
        account=selector.account, networks=tuple(_network(each.cidr) for each in asked.targets),
    )  # fmt: skip


def _network(cidr: str) -> Network:
    parsed = ip_network(cidr)
    return Network(cidr, str(parsed[0]), str(parsed[-1]))


def _results(load: Load, told: Mapping[str, Any]) -> Iterator[Outcome]:
    about = {"ours": "engine without keepers"} | {
        entry.id: entry.about for entry in load.entries if entry.is_here
    }
    for purpose, name in NAMES.items():
        for side, whose in about.items():
            id = f"{load.shape}.{name}" + ("" if side == "ours" else f".{side}")
            values = warm(told, purpose, side)
            yield Result(id, f"{name.upper()}, {whose}, warm", "ms", Spread.of(values))
