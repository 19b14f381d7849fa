"""Syslog and exports over the network: framing, who is heard, and what the kernel drops."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from icrstore.collector import listen as listening
from icrstore.collector.config import Config
from icrstore.collector.framing import Framing
from icrstore.collector.journal import Journal
from icrstore.collector.listen import Receiver, kernel_drops
from icrstore.collector.metrics import Metrics
from icrstore.collector.service import Service
from icrstore.collector.sources import Listen
from icrstore.collector.spool import Spool
from icrstore.flow.readers.datagrams import Datagram
from icrstore.shell.stop import Stop
from tests.collector.household import records
from tests.flow import exported

SECRET = b"s" * 32
LINES = [json.dumps(each) for each in records(50)]
PORTS = [json.loads(line)["source_port"] for line in LINES]


def listen(transport: str, **more: Any) -> Listen:
    told = {"syslog": f"{transport}://127.0.0.1:0", "format": "ndjson", **more}
    return Listen.read(told, "listen[0]", Path())


class Rig:
    """A service that only listens, its spool real; ``is_full`` as if its cap were reached."""

    def __init__(self, path: Path, *listens: Listen) -> None:
        self.spool, self.is_full = Spool(path, SECRET), False
        config = Config("", path, path, path, b"", b"", listens=listens)
        self.journal = Journal(self.spool, SECRET)
        self.metrics = Metrics()
        self.service = Service(config, SECRET, self.journal, self.metrics, lambda: not self.is_full)
        self.service.open(None)
        assert self.service.receiver
        self.receiver = self.service.receiver
        self.port = self.receiver.ports[0]

    def turn_until(self, is_true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not is_true():
            assert time.monotonic() < deadline
            self.service.turn(0.02)

    @property
    def read(self) -> int:
        return int(self.metrics.totals()["records_read"])

    def held(self) -> list[int]:
        self.service.step(is_forced=True)
        return [
            int(port.as_py() or 0)
            for batch in self.journal._held()
            for port in batch.column("source_port")
        ]

    def close(self) -> None:
        self.receiver.stop()
        self.spool.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def udp(path: Path) -> Iterator[Rig]:
    made = Rig(path, listen("udp"))
    yield made
    made.close()


@pytest.fixture
def tcp(path: Path) -> Iterator[Rig]:
    made = Rig(path, listen("tcp"))
    yield made
    made.close()


def send(rig: Rig, *payloads: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for payload in payloads:
            sender.sendto(payload.encode(), ("127.0.0.1", rig.port))


def counted(line: str) -> bytes:
    return f"{len(line.encode())} {line}".encode()


@pytest.mark.parametrize(
    ("stream", "messages", "dropped"),
    [
        (b"<1>a\n<2>b\r\n", [b"<1>a", b"<2>b"], 0),
        (b"4 <1>a5 <2>b\n<3>c\n", [b"<1>a", b"<2>b", b"<3>c"], 0),
        (b"7 <1>\na\nb<2>end", [b"<1>\na\nb", b"<2>end"], 0),
        (b"20 <1>cut", [], 1),
        (b"1764140000.5 IP a > b\n", [b"1764140000.5 IP a > b"], 0),
        (b"x" * 70_000 + b"\n<1>a\n", [b"<1>a"], 1),
        (b"99999 " + b"x" * 99_999 + b"\n<1>a\n", [b"<1>a"], 1),
        (b"\n\n<1>a\n", [b"<1>a"], 0),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_stream_is_cut_into_messages_however_it_arrives(
    stream: bytes, messages: list[bytes], dropped: int, size: int
) -> None:
    if size == 1 and len(stream) > 1000:
        size = 999
    framing, made = Framing(), list[bytes]()
    for start in range(0, len(stream), size):
        made += framing.feed(stream[start : start + size])
    made += framing.end()
    assert (made, framing.dropped) == (messages, dropped)


@pytest.mark.parametrize("message", [b"\n", b"1 a", b"a\n"])
def test_short_messages_cost_no_more_the_more_of_them_come_at_once(message: bytes) -> None:
    seconds = []
    for times in (1 << 15, 1 << 18):
        began = time.process_time()
        Framing().feed(message * times)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 24 * max(seconds[0], 0.005)  # Eight times as many; cut anew each, 64 times.


def test_datagrams_become_records_in_the_order_in_which_they_came(udp: Rig) -> None:
    send(udp, *LINES)
    udp.turn_until(lambda: udp.read == len(LINES))
    assert udp.held() == PORTS


def test_both_framings_of_tcp_and_many_senders_become_records(tcp: Rig) -> None:
    senders = [socket.create_connection(("127.0.0.1", tcp.port)) for _ in range(2)]
    for number, line in enumerate(LINES):
        framed = counted(line) if number % 4 < 2 else line.encode() + b"\n"
        senders[number % 2].sendall(framed)
    for sender in senders:
        sender.close()
    tcp.turn_until(lambda: tcp.read == len(LINES))
    held = tcp.held()
    assert [[port for port in held if port in PORTS[n::2]] for n in range(2)] == [
        PORTS[0::2],
        PORTS[1::2],
    ]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_who_may_not_send_is_counted_and_not_heard(path: Path, transport: str) -> None:
    with closing(Rig(path, listen(transport, **{"from": ["10.0.0.0/8"]}))) as rig:
        if transport == "udp":
            send(rig, LINES[0])
        else:
            with socket.create_connection(("127.0.0.1", rig.port)) as sender:
                sender.sendall(LINES[0].encode() + b"\n")
        rig.turn_until(lambda: rig.metrics.totals()["strangers"] == 1)
        assert rig.held() == []


@pytest.mark.parametrize(
    ("sender", "is_allowed"),
    [("10.1.2.3", True), ("11.1.2.3", False), ("::ffff:10.1.2.3", True), ("fe80::1%eth0", False)],
)
def test_networks_are_those_of_the_config(sender: str, is_allowed: bool) -> None:
    assert listen("udp", **{"from": ["10.0.0.0/8"]}).is_allowed(sender) is is_allowed


def test_nobody_beyond_this_machine_is_heard_unless_told_otherwise() -> None:
    assert listen("udp").is_allowed("127.0.0.1")
    assert not listen("udp").is_allowed("192.0.2.1")


def test_what_cannot_be_read_is_counted_and_hinders_nothing(udp: Rig) -> None:
    """It is no gap: whoever can send would make as many as they like."""
    send(udp, "not json", LINES[0])
    udp.turn_until(lambda: udp.read == 1)
    assert udp.metrics.totals()["not_records"] == {"not-json": 1}
    assert (udp.held(), udp.journal.gaps()) == (PORTS[:1], [])


def test_what_was_in_memory_is_spooled_when_the_service_ends(udp: Rig) -> None:
    send(udp, *LINES)
    deadline = time.monotonic() + 10
    while len(udp.receiver.queue._items) < len(LINES):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    udp.service.end()
    (batch,) = udp.spool.unfinished()
    assert batch.records == len(LINES)


def test_full_it_blocks_tcp_and_tells_of_what_udp_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "QUEUE_BYTES", 4000)
    monkeypatch.setattr(listening, "RECEIVE_BYTES", 4000)
    monkeypatch.setattr("icrstore.collector.service.LOOK_SECONDS", 0.0)
    with closing(Rig(path, listen("tcp"), listen("udp"))) as rig:
        rig.port = rig.receiver.ports[1]
        rig.is_full = True
        before = datetime.now(UTC)
        rig.service.turn(0)
        assert rig.service.blocked_since is not None
        with socket.create_connection(("127.0.0.1", rig.receiver.ports[0])) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sender.sendall("".join(f"{line}\n" for line in LINES).encode())
            # The receiver waits in the queue, so that nothing of UDP is read now.
            while rig.receiver.queue._bytes < 4000:
                time.sleep(0.01)
            send(rig, *(LINES[0] for _ in range(20_000)))
            rig.turn_until(lambda: rig.metrics.totals()["kernel_drops"] > 0)
            assert rig.read == 0
            rig.is_full = False
            rig.turn_until(lambda: set(rig.held()) == set(PORTS))
        gaps = [gap for gap in rig.journal.gaps() if gap.why == "spool-full"]
        assert len(gaps) == 1
        assert gaps[0].first <= datetime.now(UTC)
        assert gaps[0].last >= before


def test_full_of_what_is_held_it_makes_batches_that_can_be_pushed(udp: Rig) -> None:
    send(udp, *LINES)
    udp.turn_until(lambda: udp.read == len(LINES))
    udp.service.step(is_forced=True)
    assert (udp.journal.held_records(), udp.spool.unfinished()) == (len(LINES), [])
    udp.is_full = True
    udp.service.turn(0)
    assert [each.records for each in udp.spool.unfinished()] == [len(LINES)]


def test_what_a_full_disk_does_not_take_stays_in_memory_and_goes_first(udp: Rig) -> None:
    udp.service.step(is_forced=True)
    (pages,) = udp.spool.run("PRAGMA page_count")[0]
    udp.spool.run(f"PRAGMA max_page_count = {pages}")
    send(udp, *LINES * 20)
    udp.turn_until(lambda: udp.read == 20 * len(LINES))
    udp.service.step(is_forced=True)
    assert udp.service.blocked_since is not None
    assert udp.service.unspooled == 20 * len(LINES)
    udp.spool.run("PRAGMA max_page_count = 1000000")
    udp.turn_until(lambda: udp.service.unspooled == 0)
    assert udp.held() == PORTS * 20


def test_the_kernel_says_how_many_datagrams_it_dropped() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        bound.bind(("127.0.0.1", 0))
        assert kernel_drops(bound) == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(100):
                sender.sendto(b"x" * 1000, bound.getsockname())
        assert kernel_drops(bound) > 50


def test_that_it_did_not_run_is_a_gap_from_its_last_sign_of_life(path: Path) -> None:
    with closing(Rig(path, listen("udp"))) as rig:
        alive = rig.journal.last_alive()
        assert rig.journal.gaps() == []
    with closing(Rig(path, listen("udp"))) as rig:
        (gap,) = rig.journal.gaps()
        assert (gap.why, gap.first) == ("collector-down", alive)


def test_a_port_in_use_is_named() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        told = {"syslog": f"tcp://127.0.0.1:{port}", "format": "ndjson"}
        with pytest.raises(Stop, match=str(port)):
            Receiver([Listen.read(told, "listen[0]", Path())], lambda *_: None)


def test_exports_become_records_and_what_was_lost_of_them_is_a_gap(path: Path) -> None:
    told = {"netflow": "udp://127.0.0.1:0", "account": "line-1"}
    with closing(Rig(path, Listen.read(told, "listen[0]", Path()))) as rig:
        now = int(time.time()) - 60
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for sequence in (0, 5):
                flow = exported.record_of_v5(port=1000 + sequence)
                message = exported.v5(flow, sequence=sequence, sent=now)
                sender.sendto(message, ("127.0.0.1", rig.port))
        rig.turn_until(lambda: rig.read == 2)
        assert sorted(rig.held()) == [1000, 1005]
        rig.service.end()
        assert "exporter-sequence" in {gap.why for gap in rig.journal.gaps()}


@pytest.mark.parametrize("unit", [b"\n", b"1 a", b"<1>\n"])
def test_messages_of_a_byte_take_no_longer_than_others(unit: bytes) -> None:
    framing, began = Framing(), time.process_time()
    for _ in range(4):
        framing.feed(unit * (1 << 18))
    assert time.process_time() - began < 5


def test_what_is_queued_of_small_datagrams_is_bounded_by_what_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "QUEUE_BYTES", 1 << 20)
    queue, count = listening.Queue(), 0

    def put() -> None:
        for _ in range(20_000):
            queue.put(0, [Datagram(time.time_ns(), "", b"")])

    putting = threading.Thread(target=put)
    putting.start()
    putting.join(2)
    assert len(queue._items) < 10_000
    while putting.is_alive() or queue._items:
        count += len(queue.take(0, 4096))
    assert (count, queue._bytes) == (20_000, 0)


def test_a_sender_that_is_gone_without_a_word_is_found_out(tcp: Rig) -> None:
    with socket.create_connection(("127.0.0.1", tcp.port)):
        tcp.turn_until(lambda: bool(tcp.receiver._connections))
        (connection,) = tcp.receiver._connections
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 120
