"""The collector's configuration: where to push, with which key, whose receipts to believe, and what
to read as a service.

Its owner trusts it: who can write it can send the records to another server, sealed to that
server's key.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from icrstore.collector.sources import Listen, Tail, host_and_port, only
from icrstore.shell.keyfile import read_secret
from icrstore.shell.stop import DATA, NO_INPUT, Stop
from icrstore.warrant.strict import Fields, StatementError

SECRET_BYTES = 32
MOST_SPOOL_BYTES = 10 << 30
METRICS_AT = "127.0.0.1:9464"
EXAMPLE = """\
server = "https://icr.example"     # told by the store's operator, as are the two keys below
key = "edge-1.key"                 # from `icr-collect enrol`; paths from this file's folder
secret = "edge-1.secret"
sealer_key = "base64"              # signs intake keys and sealed receipts
receipt_key = "base64"             # signs accepted receipts
spool = "edge-1.spool"             # or as a table: [spool] file = "..." and the cap below

[spool]
file = "edge-1.spool"
most_bytes = 10_737_418_240        # full, it blocks: files wait, TCP waits, UDP is lost and told

[metrics]
listen = "127.0.0.1:9464"          # or "off": Prometheus at /metrics, the status at /status

[[tail]]                           # files that grow and rotate
files = ["/var/log/zeek/conn*.log*"]
format = "zeek"                    # named, never guessed: see `icr-collect read --help`
leases = "leases.csv"              # or account = "line-17"; read again as it changes
zone = "Europe/London"             # of times that are written without an offset; also
                                   # map = "pmacct" or a table, and lease_account, as `read` has

[[listen]]                         # nothing of this is authenticated: name who may send
syslog = "tcp://127.0.0.1:5514"    # or "udp://..."; or netflow = "udp://127.0.0.1:2055"
from = ["127.0.0.0/8"]             # loopback alone, unless told otherwise
format = "tcpdump"                 # of syslog's messages
account = "line-17"
"""
Source = TypeVar("Source", Tail, Listen)
_NAMES = (
    "server", "key", "secret", "spool", "sealer_key", "receipt_key", "metrics", "tail", "listen"
)  # fmt: skip
_MEND = "see `icr-collect run --help` for an example"


@dataclass(frozen=True)
class Config:
    """One collector's settings; paths are taken from the folder of the config file."""

    server: str
    key: Path
    secret: Path
    spool: Path
    sealer_key: bytes
    receipt_key: bytes
    most_bytes: int = MOST_SPOOL_BYTES
    metrics: tuple[str, int] | None = None
    tails: tuple[Tail, ...] = ()
    listens: tuple[Listen, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Config":
        """From TOML, or JSON if the name ends in .json. Raises `Stop`, naming the field."""
        try:
            return cls._read(_parse(path), path.parent)
        except StatementError as error:
            raise Stop(DATA, f"{path}: {error}: {_MEND}") from None
        except ValueError as error:
            raise Stop(DATA, f"{path}: {error}") from None

    @classmethod
    def _read(cls, settings: Mapping[str, Any], folder: Path) -> "Config":
        only(settings, _NAMES, "")
        fields = Fields(settings)
        spool, most_bytes = _spool(settings.get("spool"))
        return cls(
            server=fields.text("server"),
            key=folder / fields.text("key"),
            secret=folder / fields.text("secret"),
            spool=folder / spool,
            sealer_key=fields.base64("sealer_key", 32),
            receipt_key=fields.base64("receipt_key", 32),
            most_bytes=most_bytes,
            metrics=_metrics(settings.get("metrics", {})),
            tails=_each_once("tail", [
                Tail.read(each, place, folder) for each, place in _sections(settings, "tail")
            ], "files"),
            listens=_each_once("listen", [
                Listen.read(each, place, folder) for each, place in _sections(settings, "listen")
            ], "address"),
        )  # fmt: skip

    def collector_secret(self) -> bytes:
        """The 32 bytes that name batches and lock the spool. Raises `Stop`."""
        secret = read_secret(self.secret)
        if len(secret) != SECRET_BYTES:
            why = f"not {SECRET_BYTES} bytes: make a secret with `icr-collect key`"
            raise Stop(DATA, f"{self.secret}: {why}")
        return secret


def _spool(told: Any) -> tuple[str, int]:
    if not isinstance(told, dict):
        return Fields({"spool": told}).text("spool"), MOST_SPOOL_BYTES
    only(told, ("file", "most_bytes"), "spool")
    fields = Fields({"most_bytes": MOST_SPOOL_BYTES, **told}, "spool")
    return fields.text("file"), fields.integer("most_bytes", 1 << 16, 1 << 50)


def _metrics(told: Any) -> tuple[str, int] | None:
    only(told, ("listen",), "metrics")
    listen = Fields({"listen": METRICS_AT, **told}, "metrics").text("listen")
    return None if listen == "off" else host_and_port(listen, "metrics.listen")


def _sections(settings: Mapping[str, Any], name: str) -> list[tuple[Any, str]]:
    told = settings.get(name, [])
    if not isinstance(told, list):
        raise ValueError(f"{name}: not a list of sections: write [[{name}]]")  # noqa: TRY004 - as all here
    return [(each, f"{name}[{n}]") for n, each in enumerate(told)]


def _each_once(section: str, sources: Sequence[Source], what: str) -> tuple[Source, ...]:
    """The sources; two of one name would be one in what the collector remembers of them."""
    names = [each.name for each in sources]
    for n, name in enumerate(names):
        if (first := names.index(name)) != n:
            raise ValueError(f"{section}[{n}]: the same {what} as {section}[{first}]: leave one")
    return tuple(sources)


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text("utf-8")
        made: Mapping[str, Any] = (
            json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        )
        return made
    except OSError as error:
        raise Stop(NO_INPUT, f"{path}: {error.strerror}: name a config file") from None
    except ValueError as error:
        raise Stop(DATA, f"{path}: neither TOML nor JSON ({error}): {_MEND}") from None
