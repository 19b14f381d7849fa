"""What a hostile reader of the keeper found: slow callers, strange engines, a clock set back."""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

import pytest

from icrstore.keeper import server as serving
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.keys import CHAIN, Chain
from icrstore.keeper.pins import pin, pin_tenant
from icrstore.keeper.server import EXIT_STORE_LOST, Server
from icrstore.keeper.upkeep import keep_up
from icrstore.seal.epoch import ROLES
from icrstore.tlog.note import parse_note
from icrstore.tlog.witness import format_request
from icrstore.warrant.strict import dump
from tests.keeper.pair import Pair
from tests.keeper.papers import TENANT
from tests.keeper.processes import boot_of
from tests.keeper.test_faults import needs_strace, without_syncs
from tests.keeper.test_server import signed, told


@pytest.fixture
def folder(template: Pair, tmp_path: Path) -> Path:
    """A keeper's store, copied from one that was never served."""
    return Path(shutil.copytree(template.processes["operator"].folder, tmp_path / "keeper"))


@pytest.fixture
def hurried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A keeper that waits half a second for a caller."""
    monkeypatch.setattr(serving, "SOCKET_SECONDS", 0.5)
    with closing(Keeper.open(folder)) as keeper:
        made = Server(folder.parent / "s", keeper)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            made.finish()
            thread.join()


@pytest.mark.parametrize(
    "head", [b"", b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"]
)
def test_a_caller_who_drips_bytes_loses_its_place(hurried: Server, head: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(hurried.server_address))
        slow.sendall(head)
        started = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - started < 3:
                slow.sendall(b"G")
                time.sleep(0.05)
        assert 0.4 < time.monotonic() - started < 2


@needs_strace
def test_no_door_for_strangers_costs_a_sync(own_pair: Pair) -> None:
    """Every sync of this keeper fails, and ends it: none of these makes one."""
    pair = own_pair
    pair.keepers().commit(pair.question())
    shown = {role: pair.show(role)["tenants"][0]["origin"] for role in ROLES}
    own = pair.keeper("operator").checkpoint(shown["operator"])
    known = pair.keeper("operator").cosigned_last(shown["oversight"])
    cosigned = pair.keeper("oversight").cosigned_last(shown["operator"])
    size = int(known.splitlines()[1])
    without_syncs(pair, "operator")
    forged = own.replace("\u2014", "\u2014 x AAAAAAA=\n\u2014", 1)
    calls = [
        ("GET", "/v1/log?tenant=x", b""),
        ("GET", f"/v1/due?tenant={TENANT}&after=0", b""),
        ("GET", f"/v1/key-schedule?tenant={TENANT}&from=2026-01-01&to=2027-01-01", b""),
        ("GET", f"/v1/shreds?tenant={TENANT}&after=0001-01-01", b""),
        *(("POST", path, b"{}") for path in ("/v1/commit", "/v1/release", "/v1/lend",
                                             "/v1/disclosure", "/v1/epochs", "/v1/notices")),
        ("POST", "/v1/commit", dump(pair.question().to_object())),
        ("POST", "/own-checkpoint", own.encode()),
        ("POST", "/own-checkpoint", known.encode()),
        ("POST", "/own-checkpoint", forged.encode()),
        ("POST", "/v1/cosigned", cosigned.encode()),
        ("POST", "/v1/cosigned", own.encode()),
        ("POST", "/add-checkpoint", format_request(size, [], parse_note(known.encode()))),
        ("POST", "/add-checkpoint", format_request(0, [], parse_note(known.encode()))),
        ("POST", "/add-checkpoint", format_request(1, [], parse_note(own.encode()))),
    ]  # fmt: skip
    for method, path, body in calls:
        for _ in range(2):
            assert pair.raw("operator").call(method, path, {}, body).status < 500, path
    assert pair.raw("operator").call("GET", "/healthz", {}).status == 200


def test_an_engine_does_not_learn_which_log_is_another_tenants(own_pair: Pair) -> None:
    with closing(Keeper.open(own_pair.processes["operator"].folder)) as keeper:
        pin_tenant(keeper, "zulu", own_pair.public("stranger"), replace=False)
        pin(keeper, "engine", "zulu", "engine-z", own_pair.public("engine-2"), replace=False)

    def asked(tenant: str) -> tuple[int, object]:
        path = f"/v1/log?tenant={tenant}"
        return told(own_pair.raw("operator").call("GET", path, signed(own_pair, path, b"", "GET")))

    assert asked(TENANT) == (200, None)
    assert asked("zulu") == (403, "unknown-engine")


def test_a_clock_set_back_over_midnight_stops_no_upkeep(folder: Path) -> None:
    """The chain moved on at 00:10, and the process was killed; then the clock went to 23:50."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, time_of_day(0), UTC)
    Chain.load(folder).advance(tomorrow).save(folder)
    # Not before the leaves that are there, should it be later than 23:50 now.
    corrected = max(midnight - timedelta(minutes=10), datetime.now(UTC))
    boot = boot_of(corrected - datetime.now(UTC))
    with closing(Keeper.open(folder, lambda: corrected, boot)) as keeper:
        keep_up(keeper)
        pin_tenant(keeper, "zulu", bytes(32), replace=False)
    assert Chain.load(folder).day == tomorrow


def test_an_upkeep_that_cannot_read_its_key_file_ends_the_process(folder: Path) -> None:
    """Half a keeper, which serves without upkeep and takes no signal, would be worse."""
    (folder / CHAIN).unlink()
    code = (
        "import sys; from pathlib import Path; from icrstore.keeper.keeper import Keeper;"
        "from icrstore.keeper.serve import _keep_up; _keep_up(Keeper.open(Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, timeout=60
    )
    assert done.returncode == EXIT_STORE_LOST
