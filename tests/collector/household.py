"""A collector's folder and a made-up household's records, as NDJSON that icr-collect reads."""

import contextlib
import io
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from icrstore.collector import cli
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.strict import encode_base64, time_text
from tests.collector.fake_store import FakeStore, public


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        return next(event for event in self.events if event["event"] == "summary")


@dataclass(frozen=True)
class Site:
    """A folder with a key, a secret, and a config for one store."""

    folder: Path
    key: KeyFile

    @classmethod
    def make(cls, folder: Path) -> "Site":
        made = cls(folder, KeyFile.new("signing", "edge-1"))
        made.key.write(folder / "edge.key")
        (folder / "edge.secret").write_bytes(secrets.token_bytes(32))
        (folder / "edge.secret").chmod(0o600)
        return made

    def configure(self, store: FakeStore, more: str = "", **changes: str) -> Path:
        """``more``: sections, as TOML."""
        settings = {
            "server": store.url,
            "key": "edge.key",
            "secret": "edge.secret",
            "spool": "edge.spool",
            "sealer_key": encode_base64(public("sealer")),
            "receipt_key": encode_base64(public("receipts")),
        }
        path = self.folder / "edge.toml"
        lines = [f'{k} = "{v}"\n' for k, v in (settings | changes).items()]
        path.write_text("".join(lines) + more)
        return path

    def push(self, store: FakeStore, *arguments: str, **changes: str) -> Ran:
        config = self.configure(store, **changes)
        return run("push", "--config", str(config), "--json", *arguments)


def run(*arguments: str) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(arguments)
    return Ran(status, out.getvalue(), err.getvalue())


def record(at: datetime, number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "observed_at": time_text(at),
        "protocol": 6,
        "source_address": "192.0.2.7",
        "source_port": 1024 + number % 60_000,
        "destination_address": f"198.51.100.{number % 250}",
        "destination_port": 443,
        "account": f"line-{number % 5}",
    } | changes


def records(count: int, end: datetime | None = None) -> list[dict[str, Any]]:
    """One every seven seconds, backwards from two hours ago."""
    last = end or datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    return [record(last - timedelta(seconds=7 * n), n) for n in reversed(range(count))]


def write(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def ports(held: Sequence[tuple[Any, ...]]) -> list[int]:
    """What tells the made-up records apart, in order."""
    return sorted(row[3] for row in held)
