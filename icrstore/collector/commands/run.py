"""``icr-collect run``: the service."""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from icrstore.collector.commands.push import add_wait
from icrstore.collector.config import EXAMPLE, Config
from icrstore.collector.frames import Frames
from icrstore.collector.journal import Journal, Nothing
from icrstore.collector.metrics import Metrics, Served
from icrstore.collector.notify import notify
from icrstore.collector.push import Push, utc_now
from icrstore.collector.pusher import Pusher
from icrstore.collector.service import Service
from icrstore.collector.spool import Spool, Spooled, SpoolFull
from icrstore.collector.status import spool_status
from icrstore.collector.wishes import grant
from icrstore.shell.keyfile import KeyFile
from icrstore.shell.stop import DATA, TEMPORARY, UNAVAILABLE, USAGE, Stop

# A batch that was pushed again after that would be answered by the store with its first receipt.
_REMEMBERED = timedelta(days=35)
_TIDY_SECONDS = 3600.0

NAME = "run"
ABOUT = "Read all that the config names, and push it, until told to stop."
TEACHES = f"""example:
  icr-collect check --config edge-1.toml
  icr-collect run --config edge-1.toml

edge-1.toml:
{EXAMPLE}
`icr-collect tail` follows the files alone, `icr-collect listen` listens alone.

A file is known by its inode and by what was read of it: it may grow, be renamed, copied and
truncated, compressed or deleted, and each whole line is read once. Killed at any moment, the
collector goes on where it was. SIGTERM has it spool what it has in memory and end. It says on a
terminal how it stands, and elsewhere a line of JSON for each thing that happens."""


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML or JSON")
    once = "read what the files have now, push until all of ended hours is sealed, and end"
    command.add_argument("--once", action="store_true", help=once)
    counted = "read and count from the start, and neither spool nor push anything"
    command.add_argument("--dry-run", action="store_true", help=counted)
    add_wait(command)


def run(given: argparse.Namespace, only: str | None = None) -> int:
    config = Config.read(given.config)
    if not (config.tails and only != "listen") and not (config.listens and only != "tail"):
        raise Stop(USAGE, f"{given.config}: nothing to read: add a [[tail]] or a [[listen]]")
    stop, secret, metrics = _stopping(), config.collector_secret(), Metrics()
    if given.dry_run:
        with closing(Service(config, secret, Nothing(), metrics, lambda: True)) as service:
            return _dry_run(given, service, only, stop)
    key = KeyFile.read(config.key, "signing").signing()
    with (
        closing(Spool(config.spool, secret, config.most_bytes)) as spool,
        closing(
            Service(config, secret, Journal(spool, secret), metrics, spool.has_room)
        ) as service,
    ):
        if given.once:
            push = Push(config, key, spool, given.wait, _telling(given, metrics))
            return _once(given, service, only, push, stop)
        pusher = Pusher(config, key, spool, _telling(given, metrics), service.note)
        service.now, service.cut_made = pusher.now, pusher.wake
        service.is_clock_known = lambda: pusher.skew_seconds is not None
        return _forever(given, service, only, pusher, spool, stop)


def _dry_run(
    given: argparse.Namespace, service: Service, only: str | None, stop: threading.Event
) -> int:
    service.open(only)
    while not stop.is_set() and (service.turn(0 if given.once else 1.0) or not given.once):
        pass
    service.end()
    told = service.status()
    print(json.dumps({"event": "summary", **told}) if given.json else _words(told))
    return DATA if service.problems() else os.EX_OK


def _once(
    given: argparse.Namespace,
    service: Service,
    only: str | None,
    push: Push,
    stop: threading.Event,
) -> int:
    push.awaits_hour = False
    service.open(only)
    while not stop.is_set():
        if service.turn(0):
            continue
        if service.blocked_since is None:
            break
        push.run()
        if not service.has_room():
            why = "backfill what is too old, or raise [spool] most_bytes"
            raise Stop(TEMPORARY, f"{service.config.spool}: the spool has no room: {why}")
    service.end()
    push.run()
    told = service.status()
    print(json.dumps({"event": "summary", **told}) if given.json else _words(told))
    return DATA if service.problems() or push.refused else os.EX_OK


def _forever(
    given: argparse.Namespace,
    service: Service,
    only: str | None,
    pusher: Pusher,
    spool: Spool,
    stop: threading.Event,
) -> int:
    config, told = service.config, _Line(given.json)
    telling = _telling(given, service.metrics)

    def status() -> dict[str, Any]:
        return {
            **service.status(),
            "running": True,
            "spool": {
                **spool_status(spool, config.most_bytes, service.journal, utc_now()),
                "file": str(config.spool),
            },
            "gaps": [gap.to_fields() for gap in service.journal.gaps()],
            "clock_skew_seconds": pusher.skew_seconds,
            "last_push": service.metrics.last_push,
        }

    served = Served(config.metrics, service.metrics, status) if config.metrics else None
    try:
        service.open(only)
        pusher.start()
        notify("READY=1")
        tidied = 0.0
        while not stop.is_set():
            service.turn()
            told.show(status)
            if not (pusher.is_alive and service.is_listening):
                raise Stop(UNAVAILABLE, "a part of the collector ended: see above; start it again")
            with suppress(SpoolFull):  # There is time: both are done at a later turn.
                if released := grant(config.spool, Frames(spool, service.secret), utc_now()):
                    telling("released", None, {"records": released})
                    pusher.wake()
                if time.monotonic() - tidied > _TIDY_SECONDS:
                    spool.forget(utc_now() - _REMEMBERED)
                    tidied = time.monotonic()
        notify("STOPPING=1")
        # What is in memory is spooled first: the store may take what time is left.
        service.end()
        pusher.drain()
        told.end(status)
        if lost := service.unspooled:
            # What is of files is read again; the rest is the gap until the next start.
            raise Stop(TEMPORARY, f"{config.spool}: the disk is full: {lost} records not spooled")
    finally:
        if served:
            served.close()
    return os.EX_OK


def _stopping() -> threading.Event:
    """Set by SIGTERM and SIGINT, where this is the main thread."""
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    return stop


def _telling(
    given: argparse.Namespace, metrics: Metrics
) -> Callable[[str, Spooled | None, dict[str, object]], None]:
    """Counts what the store says, and a line of JSON for each unless people look on."""
    is_told = given.json or not sys.stderr.isatty()

    def tell(event: str, batch: Spooled | None, more: dict[str, object]) -> None:
        metrics.told(event, batch.records if batch else 0, more)
        if is_told:
            line: dict[str, object] = {"event": event}
            line |= {name: value for name, value in more.items() if name != "receipt"}
            if batch:
                line |= {"batch_id": batch.id.hex(), "records": batch.records}
            print(json.dumps(line), flush=True)

    return tell


class _Line:
    """How it stands, in one line on a terminal; elsewhere a last line of JSON."""

    def __init__(self, as_json: bool) -> None:
        self._is_shown = not as_json and sys.stderr.isatty()
        self._at = 0.0

    def show(self, status: Callable[[], dict[str, Any]]) -> None:
        if self._is_shown and time.monotonic() - self._at >= 1:
            self._at = time.monotonic()
            print(f"\r{_words(status())}\033[K", end="", file=sys.stderr)

    def end(self, status: Callable[[], dict[str, Any]]) -> None:
        told = status()
        if self._is_shown:
            print(f"\r{_words(told)}\033[K", file=sys.stderr)
        else:
            print(json.dumps({"event": "summary", **told}), flush=True)


def _words(told: dict[str, Any]) -> str:
    counts = told["counts"]
    words = [f"read {counts['records_read']}", f"pushed {counts['records_pushed']}",
             f"sealed {counts['records_sealed']}"]  # fmt: skip
    if "spool" in told:
        words += [
            f"{state} {each['records']}"
            for state, each in told["spool"]["states"].items()
            if each["records"]
        ]
    if told["is_blocked"]:
        words.append("BLOCKED: the spool has no room")
    words += told["problems"]
    return ", ".join(words)
