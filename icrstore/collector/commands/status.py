"""``icr-collect status``: how a collector stands, running or not."""

import argparse
import http.client
import json
import os
from pathlib import Path
from typing import Any

from icrstore.collector.config import Config
from icrstore.collector.files import Place
from icrstore.collector.journal import Journal
from icrstore.collector.push import utc_now
from icrstore.collector.spool import Spool
from icrstore.collector.status import spool_status
from icrstore.shell.stop import TEMPORARY, Stop

NAME = "status"
ABOUT = "Show what the spool holds, and how far the files were read."
TEACHES = """example:
  icr-collect status --config edge-1.toml

A running collector is asked where [metrics] says; otherwise the spool is opened. Shown are the
batches that wait, are accepted and not yet sealed, are too old (`icr-collect backfill`) or were
refused by the store (with its code); the gaps that no sealed batch tells of yet; and each file."""


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML or JSON")


def run(given: argparse.Namespace) -> int:
    config = Config.read(given.config)
    told = _of_the_running(config) or _of_the_spool(config)
    print(json.dumps(told) if given.json else _words(told))
    return os.EX_OK


def _of_the_running(config: Config) -> dict[str, Any] | None:
    if config.metrics is None:
        return None
    connection = http.client.HTTPConnection(*config.metrics, timeout=5)
    try:
        connection.request("GET", "/status")
        told: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    else:
        # Another collector may have the address.
        return told if told.get("spool", {}).get("file") == str(config.spool) else None
    finally:
        connection.close()


def _of_the_spool(config: Config) -> dict[str, Any]:
    if not config.spool.exists():
        raise Stop(TEMPORARY, f"{config.spool}: no spool yet: it is made at the first push")
    secret = config.collector_secret()
    spool = Spool(config.spool, secret, config.most_bytes)
    try:
        journal = Journal(spool, secret)
        places = [Place.read(told) for told in journal.recall("tail ").values()]
        return {
            "running": False,
            "spool": spool_status(spool, config.most_bytes, journal, utc_now()),
            "gaps": [gap.to_fields() for gap in journal.gaps()],
            "files": [
                {"file": place.path, "read_bytes": place.offset}
                for place in places
                if not place.is_over
            ],
        }
    finally:
        spool.close()


def _words(told: dict[str, Any]) -> str:
    spool = told["spool"]
    lines = ["running" if told.get("running", True) else "not running"]
    lines.append(f"spool: {spool['bytes']} of {spool['most_bytes']} bytes, "
                 f"the oldest waits {spool['oldest_waiting_seconds']} s")  # fmt: skip
    lines += [
        f"{state}: {each['batches']} batches, {each['records']} records"
        for state, each in spool["states"].items()
    ]
    if spool["too_old"]:
        lines.append("too old: hours {first_hour} to {last_hour}".format(**spool["too_old"]))
    lines += [f"refused by the store: {n} {code}" for code, n in spool["refused"].items()]
    lines += [f"gap: {gap['from']} to {gap['to']}: {gap['why']}" for gap in told["gaps"]]
    lines += [f"{each['file']}: read {each['read_bytes']} bytes" for each in told["files"]]
    lines += [f"problem: {problem}" for problem in told.get("problems", [])]
    return "\n".join(lines)
