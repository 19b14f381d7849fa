"""What two keepers do by themselves: refuse what goes beyond a warrant, and log everything."""

import json
import secrets
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from deploy import services
from deploy.demo.day import Day
from deploy.demo.telling import WAIT_SECONDS, Telling, Untrue, say
from icrstore.seal.epoch import HOUR
from icrstore.shell.client import Server
from icrstore.shell.keyfile import KeyFile
from icrstore.tlog.checkpoint import Checkpoint, parse_checkpoint
from icrstore.tlog.note import parse_note
from icrstore.tlog.tiles import TILE_WIDTH, Tile, parse_bundle
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import AccountSelector, HourRange, Request
from icrstore.wire.httpunix import Peer


@dataclass(frozen=True)
class Log:
    """The tenant's log at one keeper: its latest checkpoint, and the lines of its leaves."""

    checkpoint: Checkpoint
    leaves: list[dict[str, str]]


def refuse_one_hour_more(telling: Telling, day: Day) -> None:
    """Put a request that `icr ask` would not send: one hour before the warrant's."""
    paper = (telling.folder / telling.case / "services.json").read_bytes()
    request = Request(
        request_id=secrets.token_bytes(16),
        warrant_sha256=Envelope.parse(paper, "warrant").sha256,
        selectors=(AccountSelector(day.account),),
        targets=(),
        hours=(HourRange(day.first - HOUR, day.until),),
        urgent=False,
        nonce=secrets.token_bytes(16),
        created=datetime.now(UTC).replace(microsecond=0),
    )
    said = _put(telling, request)
    for keeper, code in said:
        say(f"  the {keeper} keeper, by itself: refused, {code}")
    if {keeper for keeper, _ in said} != set(services.KEEPER_ROLES):
        raise Untrue("a keeper did not refuse")


def compare_logs(telling: Telling) -> None:
    """What both logs hold, and that they agree on whom a notice is owed."""
    owed = {}
    for role in services.KEEPER_ROLES:
        log = log_of(telling, role)
        kinds = Counter(leaf["type"] for leaf in log.leaves)
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        root = log.checkpoint.root.hex()[:16]
        say(f"  {role:9}  {log.checkpoint.size} leaves, root {root}...: {counted}")
        owed[role] = Counter(
            leaf["type"] for leaf in log.leaves if leaf["due"] != "-" and leaf["type"] != "notice"
        )
    if owed["operator"] != owed["oversight"] or not owed["operator"]:
        raise Untrue(f"the logs disagree about the notices owed: {owed}")
    say("  Releases and disclosures that owe a notice are the same in both.")


def monitor(telling: Telling) -> None:
    """An auditor's program, which needs nobody's leave; it fails where a log or a debt does."""
    telling.show(
        "auditor", "icr-monitor", *(origin_of(telling, role) for role in services.KEEPER_ROLES),
        "--trust", "trust.json", "--state", f"{telling.case}/monitor.json",
    )  # fmt: skip


def origin_of(telling: Telling, role: str) -> str:
    """The log's name, as its keeper's owner says it."""
    site = telling.site
    shown = json.loads(site.run(
        f"keeper-{role}", sys.executable, "-m", "icrstore.keeper", "show", "--json",
        "--store", str(services.keeper_store(site.layout, role)),
    ))  # fmt: skip
    tenants = shown["tenants"]
    return str(next(one["origin"] for one in tenants if one["tenant"] == telling.tenant))


def log_of(telling: Telling, role: str) -> Log:
    """Read as anybody may: checkpoint and tiles."""
    origin = origin_of(telling, role)
    peer = Peer(f"unix:{services.keeper_socket(telling.site.layout, role)}", "keeper", 10, 16 << 20)
    base = f"/log/{origin.rpartition('/')[2]}"
    note = parse_note(peer.call("GET", f"{base}/checkpoint", {}).body)
    checkpoint = parse_checkpoint(note.body)
    leaves: list[dict[str, str]] = []
    for start in range(0, checkpoint.size, TILE_WIDTH):
        tile = Tile(None, start // TILE_WIDTH, min(TILE_WIDTH, checkpoint.size - start))
        bundle = peer.call("GET", f"{base}/{tile.path}", {}).body
        leaves += [_lines(leaf) for leaf in parse_bundle(bundle, tile.width)]
    return Log(checkpoint, leaves)


def _put(telling: Telling, request: Request) -> list[tuple[str, str]]:
    """Send it without the checks of `icr ask`; which keeper said what of it."""
    key = KeyFile.read(telling.folder / "investigator.key", "signing").signing()
    server = Server(telling.site.layout.url, key)
    envelope = Envelope.sign("request", request.to_fields(), key)
    grants = [json.loads(path.read_bytes()) for path in telling.folder.glob("*.grant")]
    body = {"tenant": telling.tenant, "request": envelope.to_object(), "grants": grants}
    query = json.loads(server.post("/v1/queries", body).body)["query"]
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        told = json.loads(server.get(f"/v1/queries/{query}").body)
        if told["state"] not in ("queued", "running"):
            return [(one["keeper"], one["code"]) for one in told["keepers"]]
        time.sleep(0.2)
    raise Untrue("the query did not end")


def _lines(leaf: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in leaf.decode().splitlines())
