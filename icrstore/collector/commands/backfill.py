"""``icr-collect backfill``: push what waits as too old, of one span of time."""

import argparse
import json
import os
import re
from collections import Counter
from datetime import datetime
from pathlib import Path

from icrstore.collector.commands.progress import Progress
from icrstore.collector.commands.push import add_wait
from icrstore.collector.config import Config
from icrstore.collector.frames import Frames
from icrstore.collector.push import Push, utc_now
from icrstore.collector.spool import Spool, SpoolInUse
from icrstore.collector.wishes import wish
from icrstore.shell.keyfile import KeyFile
from icrstore.shell.stop import DATA, USAGE, Stop
from icrstore.warrant.strict import Fields, StatementError

_MINUTE = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d)(Z|[+-]\d\d:\d\d)$", re.ASCII)

NAME = "backfill"
ABOUT = "Push the records of a span that wait as too old."
TEACHES = """example:
  icr-collect backfill --from 2026-10-01T00:00Z --to 2026-10-03T00:00Z --config edge-1.toml

The store rejects records more than 48 hours old; they wait in the spool as too-old and are counted
(`icr-collect status`). First the provider's root allows a backfill of these hours (`icr policy
backfill`) and the store's operator loads it (`manage.py tenant backfill`). Then this pushes exactly
what waits from --from to before --to. What the store still rejects goes on waiting.

A collector that runs holds its spool: it is told, and does the same by itself within seconds."""


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML or JSON")
    for name, place, about in (("--from", "first", "from"), ("--to", "end", "to before")):
        command.add_argument(
            name, dest=place, type=_moment, required=True, metavar="TIME",
            help=f"{about} this moment, as 2026-10-01T00:00Z",
        )  # fmt: skip
    add_wait(command)


def _moment(text: str) -> datetime:
    try:
        # Seconds may be left out, as in leases.
        return Fields({"time": _MINUTE.sub(r"\1:00\2", text)}).time("time")
    except StatementError:
        raise argparse.ArgumentTypeError("not a time as 2026-10-01T00:00Z") from None


def run(given: argparse.Namespace) -> int:
    if given.end <= given.first:
        raise Stop(USAGE, "--to: it ends before it begins: name a later moment")
    config = Config.read(given.config)
    secret, key = config.collector_secret(), KeyFile.read(config.key, "signing")
    try:
        spool = Spool(config.spool, secret, config.most_bytes)
    except SpoolInUse:
        return _wish(given, config)
    sealed: Counter[str] = Counter()
    try:
        released = Frames(spool, secret).release(given.first, given.end, utc_now())
        progress = Progress(as_json=given.json, left=lambda: len(spool.unfinished()))

        def tell(event: str, batch: object, more: dict[str, object]) -> None:
            if event == "sealed":
                sealed.update({"sealed": int(str(more["sealed"]))})
            progress.tell(event, batch, more)  # type: ignore[arg-type] # of Push

        push = Push(config, key.signing(), spool, given.wait, tell)
        try:
            push.run()
        finally:
            progress.end()
        waits = sum(each.records for each in spool.unfinished() if each.state == "too-old")
    finally:
        spool.close()
    told = {"released": released, "sealed": sealed["sealed"], "too_old": waits}
    if given.json:
        print(json.dumps({"event": "summary", **told}))
    else:
        print(f"released {released}, sealed {sealed['sealed']}, too old still {waits}")
    return DATA if push.refused else os.EX_OK


def _wish(given: argparse.Namespace, config: Config) -> int:
    wish(config.spool, given.first, given.end)
    if given.json:
        print(json.dumps({"event": "wished"}))
    else:
        print("the spool is in use: the collector that runs will push them: `icr-collect status`")
    return os.EX_OK
