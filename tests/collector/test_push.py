"""icr-collect push against a store that keeps the contract, and one that commits faults."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from icrstore.collector import cut
from icrstore.collector.config import Config
from icrstore.collector.push import Push
from icrstore.collector.spool import Spool
from icrstore.shell import client
from icrstore.shell.keyfile import KeyFile
from icrstore.shell.stop import Stop
from icrstore.warrant.machines import Receipt
from tests.collector.fake_store import FakeStore
from tests.collector.household import Site, ports, record, records, run, write


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
def store(site: Site) -> Iterator[FakeStore]:
    with FakeStore(site.key.public) as made:
        yield made


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "BATCH_RECORDS", 10)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(client, "LONGEST_WAIT_SECONDS", 0.05)


def log(site: Site, count: int) -> str:
    return str(write(site.folder / "log.ndjson", records(count)))


def test_every_record_of_a_file_is_pushed_and_sealed(site: Site, store: FakeStore) -> None:
    ran = site.push(store, log(site, 30))
    assert (ran.status, ran.err) == (0, "")
    assert ports(store.records) == [1024 + n for n in range(30)]
    told = ran.summary
    assert (told["read"], told["pushed"], told["sealed"], told["rejected"]) == (30, 30, 30, {})


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("seed", range(4))
def test_faults_in_any_order_lose_and_repeat_nothing(site: Site, seed: int) -> None:
    faults = ["drop-ack", "drop-request", "refuse-429-busy", "refuse-503-busy", "key-gone"] * 2
    random.Random(seed).shuffle(faults)
    with FakeStore(site.key.public, faults=faults, intake_hours_ago=1) as store:
        ran = site.push(store, log(site, 95))
        assert ran.status == 0
        assert ports(store.records) == [1024 + n for n in range(95)]
        assert store.faults == []
        assert ran.summary["sealed"] == 95


@pytest.mark.usefixtures("small_batches")
def test_a_file_pushed_again_is_not_sent_again(site: Site, store: FakeStore) -> None:
    site.push(store, log(site, 35))
    pushes = store.pushes
    again = site.push(store, str(site.folder / "log.ndjson"))
    assert (again.status, store.pushes) == (0, pushes)
    assert again.summary["sealed"] == 35


@pytest.mark.usefixtures("small_batches")
def test_a_fresh_spool_gets_first_receipts_and_repeats_nothing(
    site: Site, store: FakeStore
) -> None:
    site.push(store, log(site, 35))
    (site.folder / "edge.spool").unlink()
    again = site.push(store, str(site.folder / "log.ndjson"))
    assert again.status == 0
    assert {e["new"] for e in again.events if e["event"] == "accepted"} == {False}
    assert ports(store.records) == [1024 + n for n in range(35)]


@pytest.mark.usefixtures("small_batches")
def test_a_restored_spool_takes_a_new_stream_for_a_used_number(
    site: Site, store: FakeStore
) -> None:
    site.push(store, log(site, 10))
    old = (site.folder / "edge.spool").read_bytes()
    more = records(30)
    site.push(store, str(write(site.folder / "more.ndjson", more[:20])))
    (site.folder / "edge.spool").write_bytes(old)
    last = [{**each, "destination_port": 80} for each in more[20:]]
    ran = site.push(store, str(write(site.folder / "last.ndjson", last)))
    assert ran.status == 0
    assert len({each.stream for each in store.held.values()}) == 2
    assert ran.summary["sealed"] == 10


def test_numbers_of_a_stream_have_no_gap(site: Site, store: FakeStore, small_batches: None) -> None:
    site.push(store, log(site, 45))
    numbers = sorted(each.n for each in store.held.values())
    assert numbers == list(range(1, len(numbers) + 1))


def test_bodies_differ_at_each_push_and_hold_no_plain_record(site: Site) -> None:
    with FakeStore(site.key.public) as store:
        site.push(store, log(site, 30))
        assert all(b"line-1" not in body for body in store.bodies)
    with FakeStore(site.key.public) as other:
        (site.folder / "edge.spool").unlink()
        site.push(other, str(site.folder / "log.ndjson"))
    assert store.held.keys() == other.held.keys()
    assert not set(store.bodies) & set(other.bodies)


def test_the_spool_holds_no_plain_record_and_is_for_its_owner_alone(
    site: Site, store: FakeStore
) -> None:
    store.faults = ["refuse-400-malformed-batch"]
    ran = site.push(store, log(site, 30))
    spool = site.folder / "edge.spool"
    assert ran.status == 65
    assert ran.summary["refused_batches"] == {"malformed-batch": 1}
    assert spool.stat().st_mode & 0o777 == 0o600
    content = b"".join(path.read_bytes() for path in site.folder.glob("edge.spool*"))
    assert b"line-1" not in content
    assert b"ARROW" not in content
    assert site.push(store).summary["sealed"] == 30


def test_a_body_is_deleted_only_with_its_sealed_receipt(site: Site, store: FakeStore) -> None:
    store.asks_before_sealed = 1_000_000
    kept = site.push(store, log(site, 30), "--wait", "0.3")
    assert kept.status == 75
    assert "stay in the spool" in kept.err
    size = (site.folder / "edge.spool").stat().st_size
    store.held.clear()  # The store lost what it had accepted; we have it still.
    store.asks_before_sealed = 0
    assert site.push(store).summary["sealed"] == 30
    assert ports(store.records) == [1024 + n for n in range(30)]
    assert size > 0


def test_an_absent_server_leaves_everything_in_the_spool(site: Site, store: FakeStore) -> None:
    away = site.push(store, log(site, 30), "--wait", "0.3", server="http://127.0.0.1:9")
    assert away.status == 75
    assert site.push(store).summary["sealed"] == 30


@pytest.mark.parametrize("hours", [-30, -1, 1, 30])
def test_a_wrong_local_clock_does_no_harm(site: Site, hours: int) -> None:
    with FakeStore(site.key.public, clock_ahead=timedelta(hours=hours)) as store:
        lines = records(5, end=store.now().replace(microsecond=0) - timedelta(hours=1))
        if hours > 1:  # Far behind, we would think that the records are of the future.
            lines = records(5, end=datetime.now(UTC).replace(microsecond=0))
        ran = site.push(store, str(write(site.folder / "log.ndjson", lines)))
        assert (ran.status, len(store.records)) == (0, 5)


def test_records_that_cannot_be_retained_are_refused_here_and_counted(
    site: Site, store: FakeStore
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    lines = [
        record(now, 1, account=None),
        record(now, 2, protocol=1, source_port=None),
        record(now - timedelta(days=30), 3),
        record(now + timedelta(days=30), 4),
        record(now, 5),
    ]
    ran = site.push(store, str(write(site.folder / "log.ndjson", lines)))
    assert ran.status == 0
    assert ran.summary["refused"] == {
        "account-missing": 1,
        "port-on-portless-protocol": 1,
        "time-in-future": 1,
    }
    assert ran.summary["too_old"] == 1
    assert ports(store.records) == [1029]


def test_an_account_may_be_given_for_records_that_have_none(site: Site, store: FakeStore) -> None:
    lines = [{**each, "account": None} for each in records(3)]
    path = str(write(site.folder / "log.ndjson", lines))
    assert site.push(store, path, "--account", "line-9").summary["sealed"] == 3
    assert {row[-1] for row in store.records} == {"line-9"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sealed_by": "stranger"}, "receipt"),
        ({"accepted_by": "sealer"}, "receipt"),
        ({"intake_by": "stranger"}, "not understood"),
        ({"intake_hours_ago": 2}, "wrong-hour"),
        ({"change_receipt": lambda r: replace(r, batch_id=bytes(16))}, "another batch"),
        ({"change_receipt": lambda r: replace(r, tenant="isp-b")}, "another batch"),
        ({"change_receipt": lambda r: replace(r, collector="edge-2")}, "another batch"),
        ({"change_receipt": lambda r: replace(r, body_sha256=bytes(32))}, "another body"),
        (
            {
                "change_receipt": lambda r: (
                    r if r.state == "accepted" else replace(r, body_sha256=bytes(32))
                )
            },
            "another body",
        ),
        (
            {"change_receipt": lambda r: replace(r, records=r.records - (r.state == "sealed"))},
            "every record",
        ),
    ],
)
def test_what_cannot_be_believed_stops_the_push_and_deletes_nothing(
    site: Site, changes: dict[str, object], why: str
) -> None:
    with FakeStore(site.key.public, **changes) as liar:  # type: ignore[arg-type] # one is enough
        ran = site.push(liar, log(site, 30))
        assert ran.status == 65
        assert why in ran.err
        assert "line-" not in ran.err
    with FakeStore(site.key.public) as honest:
        assert site.push(honest).summary["sealed"] == 30


@pytest.mark.usefixtures("small_batches")
def test_one_batch_whose_receipt_cannot_be_believed_holds_no_other_up(site: Site) -> None:
    lied_of: list[bytes] = []

    def change(receipt: Receipt) -> Receipt:
        lied_of.append(receipt.batch_id)
        is_lie = receipt.state == "sealed" and receipt.batch_id == lied_of[0]
        return replace(receipt, body_sha256=bytes(32)) if is_lie else receipt

    with FakeStore(site.key.public, change_receipt=change) as liar:
        assert site.push(liar, log(site, 30)).status == 65
        config = Config.read(site.configure(liar))
        secret = config.collector_secret()
        spool = Spool(config.spool, secret)
        push = Push(config, site.key.signing(), spool, 5, lambda *_: None)
        for _ in range(4):
            with pytest.raises(Stop, match="another body"):
                push.run()
        (left,) = spool.unfinished()
        assert left.id == lied_of[0]
        spool.close()


@pytest.mark.usefixtures("small_batches")
def test_a_batch_that_the_sealer_cannot_open_stays_in_the_spool(
    site: Site, store: FakeStore
) -> None:
    store.unopened = 1
    ran = site.push(store, log(site, 10))
    assert ran.status == 65
    assert ran.summary["refused_batches"] == {"batch-does-not-open": 1}
    store.held.clear()  # The store's operator forgets what could not be opened.
    assert site.push(store).summary["sealed"] > 0


def test_a_batch_that_is_set_aside_is_told_of_once_and_asked_after_until_it_is_sealed(
    site: Site, store: FakeStore
) -> None:
    store.set_aside = 3
    ran = site.push(store, log(site, 10))
    assert (ran.status, ran.summary["sealed"]) == (0, 10)
    assert ran.out.count('"event": "set-aside"') == 1


def test_a_key_that_the_store_does_not_know_exits_77(site: Site) -> None:
    with FakeStore(KeyFile.new("signing", "another").public) as store:
        ran = site.push(store, log(site, 3))
        assert ran.status == 77
        assert "added there" in ran.err


def test_a_spool_is_of_one_collector(site: Site, store: FakeStore, tmp_path: Path) -> None:
    site.push(store, log(site, 3))
    (site.folder / "edge.secret").write_bytes(bytes(32))
    store.asks_before_sealed = 1000
    more = str(write(site.folder / "more.ndjson", records(5)))
    assert site.push(store, more, "--wait", "0.2").status == 75
    (site.folder / "edge.secret").write_bytes(b"1" * 32)
    store.held.clear()
    ran = site.push(store, "--wait", "0.2")
    assert ran.status == 65
    assert "does not open" in ran.err


def test_a_file_that_is_no_log_is_named_and_nothing_of_it_is_pushed(
    site: Site, store: FakeStore
) -> None:
    path = site.folder / "noise.bin"
    path.write_bytes(random.Random(1).randbytes(5000))
    ran = site.push(store, str(path))
    assert (ran.status, store.pushes) == (65, 0)
    assert "noise.bin" in ran.err
    missing = site.push(store, str(site.folder / "absent"))
    assert missing.status == 66
    assert "absent" in missing.err


def test_people_read_what_was_done(site: Site, store: FakeStore) -> None:
    config = site.configure(store)
    ran = run("push", log(site, 12), "--config", str(config))
    assert ran.out == "read 12, pushed 12, sealed 12\n"
