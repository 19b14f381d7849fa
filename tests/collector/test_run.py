"""The service as a process, and as one pass: check, dry run, once, status, killed, drained."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from icrstore.collector import cli
from icrstore.collector.cut import cut
from icrstore.collector.frames import Frames
from icrstore.collector.read import iter_records
from icrstore.collector.spool import Spool
from icrstore.collector.wishes import grant, wish
from icrstore.flow.readers import Tally
from icrstore.shell import client
from icrstore.warrant.strict import time_text
from tests.collector.fake_store import FakeStore
from tests.collector.household import Site, ports, record, records, run, write
from tests.stack import free_port

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from icrstore.collector import cli, cut, pusher, service
cut.BATCH_RECORDS = service.BATCH_RECORDS = 10
service.STEP_RECORDS = 7
service.STEP_SECONDS = service.LOOK_SECONDS = 0.05
service.BATCH_SECONDS, pusher.DRAIN_SECONDS = 0.1, 1.0
sys.exit(cli.main())
"""
OFF = '[metrics]\nlisten = "off"\n'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
def store(site: Site) -> Iterator[FakeStore]:
    with FakeStore(site.key.public, asks_before_sealed=0) as made:
        yield made


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(client, "LONGEST_WAIT_SECONDS", 0.05)


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    while Running.started:
        left = Running.started.pop()
        if left.process.poll() is None:
            left.end(signal.SIGKILL)


def tails(pattern: str = "*.ndjson", more: str = OFF) -> str:
    return f'{more}[[tail]]\nfiles = ["{pattern}"]\nformat = "ndjson"\n'


def once(site: Site, store: FakeStore, more: str, *arguments: str) -> Any:
    config = str(site.configure(store, more))
    return run("run", "--once", "--json", "--config", config, *arguments)


class Running:
    """The command in a process of its own; none outlives its test."""

    started: list["Running"] = []

    def __init__(self, config: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "run", "--json", "--config", str(config)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip
        self.started.append(self)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, list[dict[str, Any]], str]:
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err


def wait_until(is_true: Any, running: Running | None = None) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        assert running is None or running.process.poll() is None, running.end()
        time.sleep(0.01)


def test_one_pass_reads_what_is_there_and_pushes_until_it_is_sealed(
    site: Site, store: FakeStore
) -> None:
    write(site.folder / "a.ndjson", records(20))
    ran = once(site, store, tails())
    assert ran.status == 0, ran.err
    assert ran.summary["counts"]["records_sealed"] == 20
    assert once(site, store, tails()).summary["counts"]["records_read"] == 0
    assert ports(store.records) == [1024 + n for n in range(20)]


def test_one_pass_tells_of_open_bindings_as_far_as_their_log_does(
    site: Site, store: FakeStore
) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)
    event = {
        "source_address": "10.0.0.1", "post_nat_source_address": "198.51.100.1",
        "port_range_start": 1024, "port_range_end": 2047, "account": "line-1",
    }  # fmt: skip
    told = {"observed_at": time_text(hour), "nat_event": "create", **event}
    write(site.folder / "a.ndjson", [told])
    assert once(site, store, tails()).status == 0
    # Whether it is open still in the next hour, a log that was not written yet will say.
    assert [row[:2] for row in store.records] == [(hour, hour + timedelta(hours=1))]
    ended = {**told, "observed_at": time_text(hour + timedelta(minutes=90)), "nat_event": "delete"}
    write(site.folder / "b.ndjson", [ended])
    assert once(site, store, tails()).status == 0
    spans = [(row[1] - row[0]).total_seconds() for row in store.records]
    assert spans == [3600.0, 1800.0]


def test_a_dry_run_counts_and_leaves_nothing_behind(site: Site, store: FakeStore) -> None:
    write(site.folder / "a.ndjson", records(20))
    ran = once(site, store, tails(), "--dry-run")
    assert ran.status == 0
    assert ran.summary["counts"]["records_read"] == 20
    assert not (site.folder / "edge.spool").exists()
    config = str(site.configure(store, tails()))
    push = run("push", "--dry-run", str(site.folder / "a.ndjson"), "--config", config)
    assert push.out == "read 20, pushed nothing: a dry run\n"
    assert not (site.folder / "edge.spool").exists()
    assert (store.pushes, len(store.records)) == (0, 0)


def test_a_full_spool_makes_one_pass_push_before_it_reads_on(site: Site, store: FakeStore) -> None:
    for name in range(4):
        end = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2 + name)
        numbered = [record(end, name * 2_000 + n) for n in range(2_000)]
        write(site.folder / f"{name}.ndjson", numbered)
    spool = '[spool]\nfile = "edge.spool"\nmost_bytes = 65_536\n'
    path = site.configure(store, tails(more=OFF + spool))
    path.write_text(path.read_text().replace('spool = "edge.spool"\n', ""))
    ran = run("run", "--once", "--json", "--config", str(path))
    assert ran.status == 0, ran.err
    assert len(store.records) == 8_000


def test_killed_anywhere_each_line_is_pushed_once(site: Site, store: FakeStore) -> None:
    lines = records(90)
    path = site.folder / "a.ndjson"
    config = site.configure(store, tails("a.ndjson*"))
    store.faults = ["drop-ack", "", "drop-request", "", "refuse-503-busy", "drop-ack"]
    for turn in range(2):
        with path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines[turn * 30 : turn * 30 + 30])
        limit, running = store.pushes + 1 + turn % 2, Running(config)
        wait_until(lambda limit=limit: store.pushes >= limit, running)
        assert running.end(signal.SIGKILL)[0] == -signal.SIGKILL
        if turn == 0:
            path.rename(path.with_suffix(".ndjson.1"))
    with path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines[60:])
    running = Running(config)
    wait_until(lambda: len(store.records) >= 90, running)
    status, told, err = running.end()
    assert (status, err) == (0, "")
    assert ports(store.records) == [1024 + n for n in range(90)]
    assert told[-1]["gaps"] == []
    assert store.gaps == []


def test_sigterm_spools_what_is_in_memory_hands_it_in_and_ends(
    site: Site, store: FakeStore, tmp_path: Path
) -> None:
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(str(tmp_path / "notify"))
    port = free_port()
    listen = f'[[listen]]\nsyslog = "udp://127.0.0.1:{port}"\nformat = "ndjson"\n'
    running = Running(site.configure(store, OFF + listen), NOTIFY_SOCKET=str(tmp_path / "notify"))
    assert notified.recv(100) == b"READY=1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for line in records(5):
            sender.sendto(json.dumps(line).encode(), ("127.0.0.1", port))
    status, told, err = running.end()
    assert (status, err) == (0, "")
    assert notified.recv(100) == b"STOPPING=1"
    assert len(store.records) == 5
    assert told[-1]["counts"]["records_read"] == 5
    notified.close()


def test_what_it_counts_is_shown_and_names_nobody(site: Site, store: FakeStore) -> None:
    store.asks_before_sealed = 1_000_000
    port = free_port()
    metrics = f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
    old = datetime.now(UTC).replace(microsecond=0) - timedelta(days=9)
    lines = [*records(20), record(old, 7), {**record(old), "account": None}]
    write(site.folder / "a.ndjson", lines)
    config = site.configure(store, tails(more=metrics))
    running = Running(config)

    def status() -> dict[str, Any]:
        told: dict[str, Any] = json.loads(run("status", "--json", "--config", str(config)).out)
        return told

    def is_done() -> bool:
        states = status()["spool"]["states"]
        return [states[name]["records"] for name in ("waiting", "accepted", "too-old")] == [
            0,
            20,
            1,
        ]

    wait_until(lambda: reaches(port) and is_done(), running)
    assert status()["running"]
    text = get(port, "/metrics")
    for line in (
        "icr_collect_records_read_total 22",
        'icr_collect_records_refused_total{reason="account-missing"} 1',
        "icr_collect_records_pushed_total 20",
        'icr_collect_spool_records{state="too-old"} 1',
        "icr_collect_is_blocked 0",
    ):
        assert line in text.splitlines()
    assert "line-" not in text
    assert "192.0.2" not in text
    running.end()
    assert not status()["running"]
    shown = run("status", "--config", str(config)).out
    assert "too-old: 1 batches, 1 records" in shown


def test_a_store_that_is_away_holds_nothing_up(site: Site, store: FakeStore) -> None:
    write(site.folder / "a.ndjson", records(20))
    port = free_port()
    metrics = f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
    config = site.configure(store, tails(more=metrics), server="http://127.0.0.1:9")
    running = Running(config)
    waiting = 'icr_collect_spool_records{state="waiting"} 20'
    wait_until(lambda: reaches(port) and waiting in get(port, "/metrics"), running)
    status, told, _ = running.end()
    assert status == 0
    assert told[-1]["spool"]["states"]["waiting"]["records"] == 20
    assert once(site, store, tails()).summary["counts"]["records_sealed"] == 20


def test_a_backfill_wished_for_is_done_by_the_collector_that_runs(
    site: Site, store: FakeStore
) -> None:
    old = datetime.now(UTC).replace(microsecond=0) - timedelta(days=9)
    write(site.folder / "a.ndjson", [record(old, 1), record(old + timedelta(days=1), 2)])
    assert once(site, store, tails()).status == 0
    assert store.records == []
    port = free_port()
    config = site.configure(store, tails(more=f'[metrics]\nlisten = "127.0.0.1:{port}"\n'))
    store.backfilled = [(old - timedelta(days=1), old + timedelta(days=3))]
    running = Running(config)
    wait_until(lambda: reaches(port), running)
    span = ("--from", old.isoformat(), "--to", (old + timedelta(hours=1)).isoformat())
    ran = run("backfill", *span, "--config", str(config))
    assert (ran.status, "in use" in ran.out) == (0, True)
    wait_until(lambda: ports(store.records) == [1025], running)
    status, told, _ = running.end()
    assert (status, told[-1]["spool"]["states"]["too-old"]["records"]) == (0, 1)
    assert list(site.folder.glob("edge.spool.backfill*")) == []


def test_check_says_what_it_understood(site: Site, store: FakeStore) -> None:
    write(site.folder / "a.ndjson", records(3))
    config = str(site.configure(store, tails()))
    ran = run("check", "--config", config)
    assert ran.status == 0, ran.out
    assert "1 now; ndjson" in ran.out
    assert "takes this collector's key" in ran.out
    assert not (site.folder / "edge.spool").exists()
    with FakeStore(b"x" * 32) as stranger:
        config = str(site.configure(stranger, tails()))
        assert run("check", "--config", config).status == 77
        assert run("check", "--offline", "--config", config).status == 0


def test_check_names_what_is_wrong(site: Site, store: FakeStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = f'[[listen]]\nsyslog = "tcp://127.0.0.1:{port}"\nformat = "ndjson"\n'
        more = tails("missing/*.log") + 'leases = "absent.csv"\n' + listen
        config = str(site.configure(store, more))
        (site.folder / "edge.secret").chmod(0o644)
        ran = run("check", "--config", config)
    wrong = [line for line in ran.out.splitlines() if line.startswith("WRONG")]
    for named in ("edge.secret", "missing", "absent.csv", str(port)):
        assert any(named in line for line in wrong), named
    assert ran.status != 0


def test_the_unit_calls_commands_that_there_are() -> None:
    unit = (ROOT / "deploy" / "roles" / "icr-collect.service").read_text()
    calls = [line.split(".venv/bin/icr-collect ")[1].split() for line in unit.splitlines()
             if line.startswith("Exec")]  # fmt: skip
    assert [cli._parser().parse_args(call).run.__module__ for call in calls] == [
        "icrstore.collector.commands.check",
        "icrstore.collector.commands.run",
    ]


@pytest.mark.parametrize("command", ["run", "tail", "listen"])
def test_a_config_without_anything_to_read_is_refused(
    site: Site, store: FakeStore, command: str
) -> None:
    ran = run(command, "--config", str(site.configure(store)))
    assert ran.status == 64
    assert "[[tail]]" in ran.err


def get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def reaches(port: int) -> bool:
    try:
        return "icr_collect" in get(port, "/metrics")
    except OSError:
        return False


def test_backfills_wished_for_one_after_another_are_all_granted(tmp_path: Path) -> None:
    secret, path = b"s" * 32, tmp_path / "edge.spool"
    frames = Frames(Spool(path, secret), secret)
    days = [datetime.now(UTC) - timedelta(days=n) for n in (9, 8, 7)]
    log = write(tmp_path / "a.ndjson", [record(day, n) for n, day in enumerate(days)])
    for made in cut(iter_records([str(log)], None, None, Tally()), Counter()):
        frames.put(made, datetime.now(UTC), "too-old")
    for day in days[:2]:
        wish(path, day - timedelta(minutes=1), day + timedelta(minutes=1))
    (tmp_path / "edge.spool.backfill-0000000z").write_text("{")
    assert grant(path, frames, datetime.now(UTC)) == 2
    assert list(tmp_path.glob("*backfill*")) == []
    frames.spool.close()


def test_a_wish_of_root_can_be_read_by_the_collector(tmp_path: Path) -> None:
    path = tmp_path / "edge.spool"
    path.touch()
    if os.geteuid():
        pytest.skip("only root can own files as another does")
    os.chown(path, 1234, 1234)
    wish(path, datetime.now(UTC), datetime.now(UTC))
    (made,) = tmp_path.glob("edge.spool.backfill-*")
    assert (made.stat().st_uid, made.stat().st_mode & 0o777) == (1234, 0o600)
