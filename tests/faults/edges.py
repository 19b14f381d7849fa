"""Collectors of a site as an ISP runs them: each tails the files that its network writes."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from icrstore.collector.read import ndjson
from tests.site import TENANT, Site

PROGRAM = str(Path(sys.executable).with_name("icr-collect"))
_END_SECONDS = 600.0


class Edge:
    """``folder`` is where the spool lies, which is another disk than the files'."""

    def __init__(self, site: Site, name: str, folder: Path, store_port: int) -> None:
        self.name = name
        self.exits: Counter[int] = Counter()
        self._log = site.folder / f"{name}.log"
        self._files = site.folder / f"{name}-files"
        self._files.mkdir()
        self._written = 0
        config = json.loads(site.add_collector(TENANT, name).read_text())
        config |= {
            "server": f"http://127.0.0.1:{store_port}",
            "spool": str(folder / f"{name}.spool"),
            "metrics": {"listen": "off"},
            "tail": [{"files": [str(self._files / "*.ndjson")], "format": "ndjson"}],
        }
        self._config = site.folder / f"{name}-tail.json"
        self._config.write_text(json.dumps(config))
        self._process: subprocess.Popen[bytes] | None = None
        self._is_wanted = threading.Event()
        self._is_closed = False
        threading.Thread(target=self._keep_up, daemon=True).start()

    def write(self, records: pa.Table, rotate: bool) -> None:
        """To the end of the file that grows, in two halves of a line here and there; ``rotate``
        renames it, as logrotate does."""
        growing = self._files / "flows.ndjson"
        text = "".join(f"{line}\n" for batch in records.to_batches() for line in ndjson(batch))
        for start in range(0, len(text), 50_000):
            with growing.open("a") as file:
                file.write(text[start : start + 50_000])
        if rotate:
            self._written += 1
            growing.rename(self._files / f"flows-{self._written}.ndjson")

    def start(self) -> None:
        self._is_wanted.set()

    def kill(self) -> None:
        """As a power cut would; it is started again at once."""
        if self._process and self._process.poll() is None:
            self._process.kill()

    def stop(self) -> None:
        """As systemd would: it has the time to drain."""
        self._is_wanted.clear()
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)

    def close(self) -> None:
        self._is_closed = True
        self._is_wanted.set()
        self.kill()

    def finish(self) -> None:
        """Everything that is there, pushed until it is sealed. Raises AssertionError."""
        done = subprocess.run(
            [PROGRAM, "run", "--once", "--config", str(self._config), "--json"],
            capture_output=True, text=True, timeout=_END_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{self.name}: {done.stderr[-2000:]}"

    def is_empty(self) -> bool:
        """Whether nothing is in the spool but receipts."""
        told = self.status()
        spool = told["spool"]
        batches = [each["batches"] for each in spool["states"].values()]
        return not any(batches) and not spool["held_records"] and not told["gaps"]

    def status(self) -> dict[str, Any]:
        told = subprocess.run(
            [PROGRAM, "status", "--config", str(self._config), "--json"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        made: dict[str, Any] = json.loads(told.stdout)
        return made

    def _keep_up(self) -> None:
        while True:
            self._is_wanted.wait()
            if self._is_closed:
                return
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [PROGRAM, "run", "--config", str(self._config), "--json"],
                    stdout=log, stderr=log,
                )  # fmt: skip
            with contextlib.suppress(ChildProcessError):
                self.exits[self._process.wait()] += 1
            time.sleep(0.2)
