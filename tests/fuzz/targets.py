"""What is fuzzed: a name, samples to begin with, and the call that takes any bytes."""

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa

from icrstore.collector.framing import LONGEST_MESSAGE_BYTES, Framing
from icrstore.collector.leases import LeaseFile
from icrstore.flow.errors import FlowRefused
from icrstore.flow.readers import FORMATS, Hints, Tally, open_records
from icrstore.flow.readers.datagrams import Datagram
from icrstore.flow.readers.exports import Exports
from icrstore.flow.schema import NANOSECONDS, event_schema, is_of_events, record_schema
from icrstore.shell.stop import Stop
from tests.flow.exported import NOON, SECOND
from tests.flow.test_readers import Drip
from tests.fuzz import samples

_HINTS = partial(Hints, zone=UTC, now=datetime(2026, 6, 1, tzinfo=UTC))
_ACCOUNTS = {"leases-isc": "hostname", "leases-kea": "hostname", "leases-dnsmasq": "hostname"}


@dataclass(frozen=True)
class Target:
    """``run`` may raise nothing, whatever the bytes."""

    name: str
    samples: tuple[bytes, ...]
    run: Callable[[bytes], None]


def targets() -> dict[str, Target]:
    """By name: every format, the recognition of formats by their first bytes, every map; and what
    a collector that runs takes: datagrams of exporters, streams of syslog, files of leases."""
    of_formats = samples.of_formats()
    made = [Target(name, of_formats[name], _reader(name)) for name in FORMATS]
    made.append(Target("any", sum(of_formats.values(), ()), _reader(None)))
    for name, (hints, inputs) in samples.of_maps().items():
        made.append(Target(name, inputs, _reader(None, partial(replace, hints))))
    made.append(Target("datagrams", samples.of_datagrams(), _exports()))
    made.append(Target("framing", samples.FRAMED, _framed))
    made += [Target(name, (one,), _leases(_ACCOUNTS.get(name)))
             for name, one in samples.LEASES.items()]  # fmt: skip
    return {each.name: each for each in made}


def _reader(format: str | None, hints: Callable[[], Hints] = _HINTS) -> Callable[[bytes], None]:
    """Read whole and, of some inputs, a few bytes at a time, which gives the same."""

    def read(content: bytes) -> None:
        found = _rows(io.BytesIO(content), format, hints())
        # What is told by a line that is cut off may be another format.
        if format and len(content) % 4 == 0 and len(content) < 1 << 12:
            dripping = _rows(Drip(content, 1 + len(content) % 61), format, hints())
            assert dripping == found

    return read


def _rows(source: io.RawIOBase | io.BytesIO, format: str | None, hints: Hints) -> object:
    tally, rows = Tally(), []
    try:
        for batch in open_records(source, format, tally, hints):
            _is_valid(batch)
            rows += _plain(batch)
    except FlowRefused:
        return None
    assert len(rows) == tally.records
    return sorted(map(repr, rows)), tally.not_records


def _is_valid(batch: pa.RecordBatch) -> None:
    batch.validate(full=True)
    unit = batch.schema.field("observed_at").type.unit
    assert batch.schema == (event_schema(unit) if is_of_events(batch) else record_schema(unit))


def _plain(batch: pa.RecordBatch) -> list[dict[str, object]]:
    """Times as nanoseconds: Python's have none, and a batch is as fine as its own rows."""
    schema, at = batch.schema, batch.schema.get_field_index("observed_at")
    scale = NANOSECONDS[schema.field(at).type.unit]
    rows = batch.cast(schema.set(at, schema.field(at).with_type(pa.int64()))).to_pylist()
    return [{**row, "observed_at": row["observed_at"] * scale} for row in rows]


def _exports() -> Callable[[bytes], None]:
    """Datagrams of two exporters, by themselves and after all that came before them."""
    lasting, count = Exports(Tally()), 0

    def read(content: bytes) -> None:
        nonlocal count
        count += 1
        payloads = content.split(samples.BETWEEN)
        alone = Exports(Tally())
        _feed(alone, payloads, NOON)
        alone.end()
        _feed(lasting, payloads, NOON + count)
        assert max(len(alone.tally.gaps), len(lasting.tally.gaps)) <= 1000
        lasting.tally = Tally()

    return read


def _feed(exports: Exports, payloads: list[bytes], began: int) -> None:
    for number, payload in enumerate(payloads):
        exporter = "b" if number % 5 == 4 else "a"
        for batch in exports.feed([Datagram((began + number) * SECOND, exporter, payload)]):
            _is_valid(batch)


def _framed(content: bytes) -> None:
    """A stream is cut alike however it comes, and nothing of it is held without end."""
    whole, pieces = Framing(), Framing()
    found = [*whole.feed(content), *whole.end()]
    size = 1 + len(content) % 7
    dripping: list[bytes] = []
    for start in range(0, len(content), size):
        dripping += pieces.feed(content[start : start + size])
    dripping += pieces.end()
    assert (dripping, pieces.dropped) == (found, whole.dropped)
    assert all(0 < len(each) <= LONGEST_MESSAGE_BYTES for each in found)


def _leases(account: str | None) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=_memory()) as file:
            file.write(content)
            file.flush()
            try:
                LeaseFile(Path(file.name), account, UTC).read()
            except Stop:
                return

    return read


def _memory() -> Path | None:
    """A folder that is no disk, where there is one."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() else None
