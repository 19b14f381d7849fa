"""``icr-collect check``: what the config means, and whether everything it needs is there."""

import argparse
import glob
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from icrstore.collector.config import Config
from icrstore.collector.leases import Leases
from icrstore.collector.listen import bound
from icrstore.collector.metrics import Metrics, Served
from icrstore.collector.push import ask_server
from icrstore.collector.sources import Given, matches
from icrstore.collector.spool import Spool
from icrstore.shell.keyfile import KeyFile
from icrstore.shell.stop import NO_INPUT, Stop

NAME = "check"
ABOUT = "Say what a config means, and try all that it needs."
TEACHES = """example:
  icr-collect check --config edge-1.toml
  icr-collect check --config edge-1.toml --offline     # without asking the store

Reads no record and pushes none. Each line is `ok`, or `WRONG` with the mend; the exit is that of
the first that is wrong. While the collector runs, its spool and ports are in use, and are WRONG."""


@dataclass(frozen=True)
class _Finding:
    what: str
    wrong: Stop | None = None


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML or JSON")
    command.add_argument("--offline", action="store_true", help="do not ask the store")


def run(given: argparse.Namespace) -> int:
    config = Config.read(given.config)
    findings = list(_findings(config, offline=given.offline))
    for each in findings:
        if given.json:
            told = {"event": "checked", "what": each.what, "wrong": str(each.wrong or "") or None}
            print(json.dumps(told))
        else:
            print(f"WRONG {each.what}: {each.wrong}" if each.wrong else f"ok {each.what}")
    wrong = next((each.wrong for each in findings if each.wrong), None)
    return wrong.status if wrong else os.EX_OK


def _findings(config: Config, *, offline: bool) -> Iterator[_Finding]:
    yield _tried(f"key {config.key}", lambda: KeyFile.read(config.key, "signing"))
    yield _tried(f"secret {config.secret}", config.collector_secret)
    cap = f"at most {config.most_bytes} bytes"
    yield _tried(f"spool {config.spool}, {cap}", lambda: _open_spool(config))
    if config.metrics:
        host, port = config.metrics
        yield _tried(f"metrics and status at http://{host}:{port}", lambda: _serve(config))
    for tail in config.tails:
        for pattern in tail.patterns:
            yield _tried(_files(pattern, tail.given), lambda p=pattern: _readable(p))  # type: ignore[misc] # bound now
        yield from _leases(tail.given)
    for listen in config.listens:
        allowed = ", ".join(map(str, listen.allowed))
        what = f"{listen.name}: {_given(listen.given)}; from {allowed}, not authenticated"
        yield _tried(what, lambda at=listen: bound(at).close())  # type: ignore[misc] # bound now
        yield from _leases(listen.given)
    if not offline:
        yield _tried(f"server {config.server} takes this collector's key", lambda: _ask(config))


def _tried(what: str, test: Callable[[], object]) -> _Finding:
    try:
        test()
    except Stop as stop:
        return _Finding(what, stop)
    return _Finding(what)


def _open_spool(config: Config) -> None:
    is_new = not config.spool.exists()
    Spool(config.spool, config.collector_secret(), config.most_bytes).close()
    if is_new:
        config.spool.unlink()


def _serve(config: Config) -> None:
    if config.metrics:
        Served(config.metrics, Metrics(), dict).close()


def _files(pattern: str, given: Given) -> str:
    return f"files {pattern}: {len(matches(pattern))} now; {_given(given)}"


def _given(given: Given) -> str:
    whose = "one account" if given.account else "accounts as records say"
    if given.leases:
        whose = f"accounts by {given.leases}"
    zone = f"times in {given.zone}" if given.zone else "times with their offset"
    return f"{given.format or 'exports'}, {zone}, {whose}"


def _readable(pattern: str) -> None:
    for path in matches(pattern):
        if not os.access(path, os.R_OK):
            raise Stop(NO_INPUT, f"{path}: not readable: let this account read it")
    folder = Path(pattern).parent
    if not glob.has_magic(str(folder)) and not os.access(folder, os.R_OK | os.X_OK):
        raise Stop(NO_INPUT, f"{folder}: no such folder that can be listed: name another")


def _leases(given: Given) -> Iterator[_Finding]:
    if given.leases:
        path = given.leases
        yield _tried(f"leases {path}", lambda: Leases.read(path))


def _ask(config: Config) -> None:
    ask_server(config, KeyFile.read(config.key, "signing").signing())
