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
from tests.keeper.pair import TENANT, Pair, boot_of
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
def test_a_stranger_who_cannot_be_counted_ends_the_keeper(own_pair: Pair) -> None:
    without_syncs(own_pair, "operator")
    path = "/v1/log?tenant=x"
    assert told(own_pair.raw("operator").call("GET", path, {})) == (503, "store-lost")
    assert own_pair.processes["operator"].wait() == EXIT_STORE_LOST


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
