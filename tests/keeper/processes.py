"""A real keeper process, its command line, and a keeper served from this process instead."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from icrstore.keeper.clock import Boot, this_boot
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.server import Server
from icrstore.seal.epoch import Role
from icrstore.wire.httpunix import Peer

PYTHON = [sys.executable, "-W", "error", "-m", "icrstore.keeper"]


def run(*arguments: str | Path) -> str:
    """The keeper's command line; raises CalledProcessError."""
    command = [*PYTHON, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


@dataclass
class Process:
    """One keeper: its folder, its socket and, while it serves, its process."""

    role: Role
    folder: Path
    socket: Path
    running: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def start(self, *before: str) -> None:
        """Serve, under the command ``before`` if there is one; returns once it answers."""
        where = ["--store", str(self.folder), "--socket", str(self.socket)]
        command = [*before, *PYTHON, "serve", *where]
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(command, stderr=log, stdout=log)
        self._wait_until_it_answers()

    def stop(self) -> int:
        """End it as an init system does; its exit code."""
        assert self.running is not None
        self.running.terminate()
        return self.wait()

    def kill(self) -> None:
        assert self.running is not None
        self.running.kill()
        self.wait()

    def wait(self) -> int:
        assert self.running is not None
        code = self.running.wait(timeout=40)
        self.running = None
        return code

    def _wait_until_it_answers(self) -> None:
        assert self.running is not None
        peer = Peer(self.address, "anyone", 5, 1 << 20)
        for _ in range(1000):
            with contextlib.suppress(Exception):
                if peer.call("GET", "/healthz", {}).status == 200:
                    return
            if self.running.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(self.log.read_text())


@contextlib.contextmanager
def serving_here(process: Process, ahead: timedelta) -> Iterator[None]:
    """Its store, served from this process by a clock that is ``ahead``."""
    keeper = StoreOwner.open(process.folder, lambda: datetime.now(UTC) + ahead, boot_of(ahead))
    server = Server(process.socket, keeper)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.finish()
        thread.join()
        keeper.close()


def boot_of(ahead: timedelta) -> Callable[[], Boot]:
    """A boot of its own for each clock: another host's, or this one's after it was off."""
    here = this_boot()
    return lambda: Boot(f"{here.name} {ahead}", this_boot().seconds)


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for a Unix socket's 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="icr", dir="/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made)
