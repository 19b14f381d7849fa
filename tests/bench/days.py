"""A day of connections as one collector's Zeek logs it, by the hour: made up in the shape of a real
day, or that day itself with its times moved.

The numbers were counted in a day of `conn.log` that a scanned server's Zeek wrote (activecm/rita,
`test_data/missing_host/2024-04-19`): how many each hour, from how many hosts and how unevenly, to
which ports. Its busiest second has 59; the bursts here are ten times as dense.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from icrstore.flow.schema import address_bytes, record_schema
from tests.bench.generate import addresses
from tests.bench.inputs import write_zeek

HOURLY = (1765, 2102, 1168, 1274, 1817, 1029, 1502, 877, 1258, 1542, 1344, 1071,
          1454, 984, 928, 819, 1136, 1436, 1669, 1131, 1052, 947, 1177, 1885)  # fmt: skip
CONNECTIONS = sum(HOURLY)
BURST, BURSTS = 612, 3
HOSTS, DESTINATIONS = 7620, 372
PROTOCOLS = {6: 0.916, 17: 0.056, 1: 0.028}
# What is left of 1 goes to any port.
PORTS = {22: 0.237, 30003: 0.176, 80: 0.128, 53: 0.04, 3306: 0.034, 443: 0.016}
ACCOUNTS = 20
_SECOND = 10**6
_NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1}


@dataclass(frozen=True)
class Day:
    """``records`` as the store must hold them; ``logs`` and ``leases`` as a provider has them."""

    records: pa.Table
    logs: Path
    leases: Path

    @property
    def accounts(self) -> list[str]:
        return sorted(map(str, pc.unique(self.records.column("account")).to_pylist()))


def made_up(folder: Path, collector: int, times: float, until: datetime, seed: int) -> Day:
    """The day before ``until`` (a whole hour), ``times`` as busy as the real one."""
    records = _records(collector, times, until, np.random.default_rng([seed, collector]))
    logs = folder / "logs"
    logs.mkdir(parents=True)
    for hour, part in _by_hour(records, until):
        with (logs / f"conn.{hour:02}.log").open("wb") as file:
            write_zeek(part, file)
    networks = [f"203.{collector}.{n}.0/24" for n in range(ACCOUNTS)]
    names = [_account(collector, n) for n in range(ACCOUNTS)]
    return Day(records, logs, _leases(folder, networks, names, until))


def real(folder: Path, collector: int, source: Path, until: datetime) -> Day:
    """The logs in ``source``, gzipped, moved by whole seconds so that their last hour is the one
    before ``until``. Each host is leased to one of a few accounts."""
    logs = folder / "logs"
    logs.mkdir(parents=True)
    paths = sorted(source.glob("conn.*.log.gz"))
    hour = 3600
    last = max(float(row["ts"]) for path in paths for row in _rows(_lines(path)))
    moved = int(until.timestamp()) - (int(last) // hour + 1) * hour
    rows = list[dict[str, str]]()
    for path in paths:
        lines = _lines(path)
        place = _names(lines).index("ts")
        with (logs / path.name.removesuffix(".gz")).open("w") as file:
            file.writelines(f"{_moved(line, place, moved)}\n" for line in lines)
        rows += _rows([_moved(line, place, moved) for line in lines])
    hosts = sorted({row["id.orig_h"] for row in rows})
    owner = {host: _account(collector, zlib.crc32(host.encode()) % ACCOUNTS) for host in hosts}
    leases = _leases(folder, hosts, [owner[host] for host in hosts], until)
    return Day(_table(rows, owner), logs, leases)


def _records(collector: int, times: float, until: datetime, rng: np.random.Generator) -> pa.Table:
    count = round(CONNECTIONS * times)
    protocol = rng.choice(np.array([*PROTOCOLS], np.uint8), count, p=[*PROTOCOLS.values()])
    portless = protocol == 1
    # A few hosts make most of the connections: one in six is the busiest one's.
    host = (rng.pareto(0.5, count) * 3).clip(0, HOSTS - 1).astype(np.int64)
    account = host % ACCOUNTS
    inside = 0xCB000000 + (collector << 16) + (account << 8) + host // ACCOUNTS % 256
    outside = 0x08000000 + rng.integers(0, DESTINATIONS, count) * 7919
    service = rng.choice(
        np.array([*PORTS, 0], np.uint16), count, p=[*PORTS.values(), 1 - sum(PORTS.values())]
    )
    service = np.where(service == 0, rng.integers(1, 65536, count), service).astype(np.uint16)
    names = pa.array([_account(collector, n) for n in range(ACCOUNTS)])
    schema = record_schema("us")
    none: npt.NDArray[np.bool_] = np.ones(count, np.bool_)
    columns: list[Any] = [
        pa.array(_moments(count, times, until, rng)).cast(schema.field("observed_at").type),
        pa.array(protocol),
        addresses(inside),
        pa.array(rng.integers(1024, 65536, count).astype(np.uint16), mask=portless),
        addresses(outside),
        pa.array(service, mask=portless),
        addresses(inside, none),
        pa.nulls(count, pa.uint16()),
        names.take(account),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _moments(
    count: int, times: float, until: datetime, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """In microseconds, sorted: as many each hour as there were, and bursts within one second."""
    start = int((until - timedelta(days=1)).timestamp()) * _SECOND
    hour = rng.choice(24, count, p=np.array(HOURLY) / CONNECTIONS)
    made = start + hour * 3600 * _SECOND + rng.integers(0, 3600 * _SECOND, count)
    burst = min(round(BURST * max(times, 1)), count // BURSTS)
    for n, second in enumerate(rng.choice(24 * 3600, BURSTS, replace=False)):
        within = rng.integers(0, _SECOND, burst)
        made[n * burst :][:burst] = start + second * _SECOND + within
    return np.sort(made)


def _by_hour(records: pa.Table, until: datetime) -> Iterator[tuple[int, pa.Table]]:
    start = int((until - timedelta(days=1)).timestamp()) * _SECOND
    moments = np.asarray(records.column("observed_at").cast(pa.int64()))
    edges = np.searchsorted(moments, start + np.arange(25) * 3600 * _SECOND)
    for hour, (first, end) in enumerate(pairwise(edges)):
        yield hour, records.slice(first, end - first)


def _leases(
    folder: Path, addresses: Sequence[str], accounts: Sequence[str], until: datetime
) -> Path:
    path, begun = folder / "leases.csv", f"{until - timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"
    with path.open("w") as file:
        file.write("address,account,from,to\n")
        file.writelines(
            f"{address},{account},{begun},\n"
            for address, account in zip(addresses, accounts, strict=True)
        )
    return path


def _account(collector: int, number: int) -> str:
    return f"line-{collector}-{number:02}"


def _lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def _names(lines: Sequence[str]) -> list[str]:
    return next(line for line in lines if line.startswith("#fields")).split("\t")[1:]


def _rows(lines: Sequence[str]) -> list[dict[str, str]]:
    plain = (line for line in lines if not line.startswith("#"))
    return list(csv.DictReader(plain, _names(lines), delimiter="\t", quoting=csv.QUOTE_NONE))


def _moved(line: str, place: int, seconds: int) -> str:
    if line.startswith("#"):
        return line
    fields = line.split("\t")
    whole, point, part = fields[place].partition(".")
    fields[place] = f"{int(whole) + seconds}{point}{part}"
    return "\t".join(fields)


def _table(rows: Sequence[dict[str, str]], owner: dict[str, str]) -> pa.Table:
    """What a record has of each row."""
    schema = record_schema("us")
    made = [
        (
            _microseconds(row["ts"]),
            58 if row["proto"] == "icmp" and ":" in row["id.orig_h"] else _NUMBERS[row["proto"]],
            address_bytes(row["id.orig_h"]),
            None if row["proto"] == "icmp" else int(row["id.orig_p"]),
            address_bytes(row["id.resp_h"]),
            None if row["proto"] == "icmp" else int(row["id.resp_p"]),
            None,
            None,
            owner[row["id.orig_h"]],
        )
        for row in rows
    ]
    columns: list[Any] = [
        pa.array(list(values), schema.field(n).type)
        for n, values in enumerate(zip(*made, strict=True))
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _microseconds(seconds: str) -> datetime:
    whole, _, part = seconds.partition(".")
    moment = datetime.fromtimestamp(int(whole), UTC)
    return moment + timedelta(microseconds=int(part.ljust(6, "0")[:6]))
