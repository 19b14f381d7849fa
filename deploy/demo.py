"""The whole story on real processes: a day is pushed, a warrant is used, everyone can check.

Run by `deploy/demo.sh` beside a running installation. It does with the same commands by hand what a
provider, an authority and an investigator each do on a machine of their own.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from deploy import database, provision, services
from deploy.household import household
from deploy.installation import Installation
from deploy.layout import Layout
from deploy.own_log import NoRecords, move
from icrstore.flow.errors import FlowRefused
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.shell.client import Server
from icrstore.shell.keyfile import KeyFile
from icrstore.tlog.checkpoint import parse_checkpoint
from icrstore.tlog.note import parse_note
from icrstore.tlog.tiles import TILE_WIDTH, Tile, parse_bundle
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import AccountSelector, HourRange, Request
from icrstore.wire.httpunix import Peer

TENANT, AUTHORITY, COLLECTOR, ACCOUNT = "isp-one", "police", "edge-1", "household-1"
CONTACT = "household@example.net"
WAIT_SECONDS = 60.0

# (address, protocol, port or None) -> distinct records
Count = Counter[tuple[str, int, int | None]]


class Untrue(Exception):
    """Something that the demonstration promises did not happen."""


@dataclass(frozen=True)
class Day:
    """What was pushed: the file, the account to ask about, its first hour, and what it holds."""

    path: Path
    account: str
    first: datetime
    until: datetime
    truth: Count


def main() -> int:
    parser = argparse.ArgumentParser(prog="deploy.demo", description=__doc__)
    parser.add_argument("--input", type=Path, help="your own log instead of a made-up day")
    asked = parser.parse_args()
    port = int(os.environ["ICR_URL"].rpartition(":")[2])
    site = Installation(Layout(Path(os.environ["ICR_VAR"]), port))
    try:
        Demo(site).tell(asked.input)
    except (NoRecords, FlowRefused) as problem:
        print(f"{asked.input}: no records could be read: {problem}", file=sys.stderr)
        return os.EX_DATAERR
    except subprocess.CalledProcessError as problem:
        print(f"failed: {Path(problem.cmd[-1]).name}: see above", file=sys.stderr)
        return 1
    except Untrue as problem:
        print(f"NOT SHOWN: {problem}", file=sys.stderr)
        return 1
    return 0


class Demo:
    """One telling. Keys are kept in var/people, so that a second one goes on with them."""

    def __init__(self, site: Installation) -> None:
        self.site = site
        self.url = site.layout.url
        self.folder = site.layout.var / "people"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.papers = self.folder / secrets.token_hex(4)
        self.papers.mkdir(mode=0o700)
        self.now = datetime.now(UTC)
        self.letters_before = self.letters()

    def tell(self, source: Path | None) -> None:
        say("icrstore: nobody reads these records unseen, because everyone can check")
        say("demonstration: both keepers on one host, so they guard nothing from its owner")
        if not self.site.layout.separated:
            say("not started by root: all processes share one uid, which separates nothing")
        self.prepare()
        day = self.household() if source is None else self.own(source)
        self.push(day)
        self.subscribe(day)
        warrant = self.warrant(day)
        self.ask(day, warrant)
        self.ask_outside(day, warrant)
        self.show_notice()
        self.show_logs()
        self.verify_offline()
        self.weigh()
        say("\nAll of it happened as promised.")

    def prepare(self) -> None:
        head("1. The provider, the authority and their people make keys")
        for name in ("isp-root", "police-root", "applicant", "approver", "investigator"):
            self.key(name)
        self.key("desk", "answers")
        provision.add_tenant(
            self.site, TENANT, self.file("isp-root"), {AUTHORITY: self.public("police-root")}
        )
        if not self.file(COLLECTOR).exists():
            secret = str(self.folder / "edge-1.secret")
            self.run("icr-collect", "key", "--out", str(self.file(COLLECTOR)), "--secret", secret)
        self.site.manage("collector", "add", TENANT, COLLECTOR, "--key", self.public(COLLECTOR))
        trust = self.trust()
        config = {
            "server": self.url,
            "key": str(self.file(COLLECTOR)),
            "secret": str(self.folder / "edge-1.secret"),
            "spool": str(self.folder / "edge-1.spool"),
            "sealer_key": trust["sealers"]["sealer-1"],
            "receipt_key": trust["receipt_key"],
        }
        (self.folder / "edge-1.json").write_text(json.dumps(config))
        for role in ("applicant", "approver", "investigator"):
            self.grant(role)
        say(f"tenant {TENANT}, authority {AUTHORITY}, collector {COLLECTOR}; both keepers pinned")
        say("their roots by their own command line, which no program of the store can do")

    def household(self) -> Day:
        head("2. A made-up household's day, as tcpdump -tt -n prints it")
        until = hour_start(self.now)
        lines = list(household(until))
        path = self.papers / "household.txt"
        path.write_text("".join(f"{line}\n" for line in lines))
        truth = Counter(_parsed(line) for line in {line for line in lines if " ARP, " not in line})
        say(f"{sum(truth.values())} connections, {path.stat().st_size / 1e6:.1f} MB of text")
        return Day(path, ACCOUNT, until - timedelta(hours=24), until, truth)

    def own(self, source: Path) -> Day:
        head(f"2. Your own log: {source.name}")
        path = self.papers / "own.ndjson"
        moved = move(source, ACCOUNT, path, self.now)
        account, records = moved.accounts.most_common(1)[0]
        say(f"{sum(moved.accounts.values())} records of {len(moved.accounts)} account(s)")
        say(f"times moved by {_hours(moved.by)} h, so that the last falls in the last whole hour")
        say(f"left out, since they would be older than 47 h: {moved.too_old}")
        for reason, count in sorted(moved.not_records.items()):
            say(f"no record ({reason}): {count}")
        truth: Count = Counter()
        for line in set(path.read_text().splitlines()):
            record = json.loads(line)
            if record["account"] == account:
                truth[
                    record["destination_address"],
                    record["protocol"],
                    record.get("destination_port"),
                ] += 1
        say(f"asked about below: the account with the most of them, {records}")
        return Day(path, account, hour_start(moved.first), hour_start(self.now), truth)

    def push(self, day: Day) -> None:
        head("3. The collector seals, signs and pushes; the store seals by the hour")
        started = time.monotonic()
        config = str(self.folder / "edge-1.json")
        account = ("--account", day.account) if day.account == ACCOUNT else ()
        say(self.run("icr-collect", "push", str(day.path), *account, "--config", config))
        say(f"pushed, sealed, logged by both keepers in {time.monotonic() - started:.1f} s")

    def subscribe(self, day: Day) -> None:
        """The provider says whom to tell; the file is sealed line by line as it is read."""
        path = self.papers / "subscribers.csv"
        path.write_text(f"account,channel,contact\n{day.account},email,{CONTACT}\n")
        self.site.manage("subscribers", "load", TENANT, str(path))
        path.unlink()

    def warrant(self, day: Day) -> Path:
        head("4. An applicant drafts a warrant and signs; an approver signs the same bytes")
        path = self.papers / "warrant.json"
        self.run(
            "icr", "warrant", "draft", "--tenant", TENANT, "--authority", AUTHORITY,
            "--instrument", "authorisation 2026/17", "--basis", "s. 61: a made-up case",
            "--purpose", "services", "--account", day.account, "--from", _hour(day.first),
            "--to", _hour(day.until), "--valid-days", "7", "--max-requests", "3",
            "--recipient", str(self.file("desk")), "--out", str(path),
        )  # fmt: skip
        for who in ("applicant", "approver"):
            self.run("icr", "warrant", "sign", str(path), "--key", str(self.file(who)))
        say(self.run(
            "icr", "lodge", str(path), "--grant", *self.grants(), "--key",
            str(self.file("applicant")), "--server", self.url,
        ))  # fmt: skip
        return path

    def ask(self, day: Day, warrant: Path) -> None:
        head("5. An investigator asks; both keepers log it, cosign each other, and lend")
        sealed = self.papers / "answer.sealed"
        self.run(
            "icr", "ask", "services", "--warrant", str(warrant), "--account", day.account,
            "--key", str(self.file("investigator")), "--grant", *self.grants(),
            "--server", self.url, "--out", str(sealed),
        )  # fmt: skip
        say(self.run(
            "icr", "open", str(sealed), "--key", str(self.file("desk")),
            "--trust", str(provision.trust_file(self.site)), "--out", str(self.papers / "case"),
        ))  # fmt: skip
        answer = json.loads((self.papers / "case" / "answer.json").read_bytes())
        told: Count = Counter()
        for row in answer["services"]:
            told[_place(row)] += row["records"]
        if told != day.truth:
            raise Untrue("the answer differs from an independent count of the input")
        coverage = Counter(hour["coverage"] for hour in answer["hours"])
        if set(coverage) != {"COMPLETE"}:
            raise Untrue(f"hours are {dict(coverage)}")
        say(f"\nequal to an independent count of the input: {sum(told.values())} distinct records,")
        say(f"{len(told)} destinations; all {coverage['COMPLETE']} hours COMPLETE")

    def ask_outside(self, day: Day, warrant: Path) -> None:
        head("6. A client that does not check asks for one hour outside the warrant")
        paper = Envelope.parse(warrant.read_bytes(), "warrant")
        request = Request(
            request_id=secrets.token_bytes(16),
            warrant_sha256=paper.sha256,
            selectors=(AccountSelector(day.account),),
            targets=(),
            hours=(HourRange(day.first - HOUR, day.until),),
            urgent=False,
            nonce=secrets.token_bytes(16),
            created=datetime.now(UTC).replace(microsecond=0),
        )
        key = KeyFile.read(self.file("investigator"), "signing").signing()
        said = self.put(Envelope.sign("request", request.to_fields(), key))
        for one in said:
            say(f"the {one['keeper']} keeper, by itself: refused, {one['code']}")
        if {one["keeper"] for one in said} != set(services.KEEPER_ROLES):
            raise Untrue("a keeper did not refuse")

    def show_notice(self) -> None:
        head("7. Whoever was asked about is told: a message in the outbox, a leaf in both logs")
        deadline = time.monotonic() + WAIT_SECONDS
        while not (new := sorted(self.letters() - self.letters_before)):
            if time.monotonic() > deadline:
                raise Untrue("nobody told the subscriber")
            time.sleep(0.2)
        say(new[0].read_text().rstrip())
        while min(self.told().values()) < 1:
            if time.monotonic() > deadline:
                raise Untrue("the keepers do not know that the subscriber was told")
            time.sleep(0.2)

    def letters(self) -> set[Path]:
        return set(self.site.layout.private("notifier", "outbox").glob("*.eml"))

    def told(self) -> dict[str, int]:
        """How many notices each keeper's log holds."""
        return {
            role: sum(leaf["type"] == "notice" for leaf in self.log_of(role)[1])
            for role in services.KEEPER_ROLES
        }

    def show_logs(self) -> None:
        head("8. What both logs say now")
        owed = {}
        for role in services.KEEPER_ROLES:
            note, leaves = self.log_of(role)
            say(note.rstrip())
            kinds = Counter(leaf.get("type", "") for leaf in leaves)
            say(
                f"  {role}: " + ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) + "\n"
            )
            owed[role] = sum(
                1 for leaf in leaves if leaf["type"] == "release" and leaf["due"] != "-"
            )
        if len(set(owed.values())) != 1 or not min(owed.values()):
            raise Untrue(f"the logs disagree about the notices owed: {owed}")
        say(f"releases that owe a notice, counted from both logs: {owed['operator']}")

    def verify_offline(self) -> None:
        head("9. Anyone checks the proof offline, with one file that shares no code with the rest")
        say(self.run(
            "icr-verify", "answer", str(self.papers / "case" / "proof.json"),
            "--trust", str(provision.trust_file(self.site)),
            "--answer", str(self.papers / "case" / "answer.json"),
        ))  # fmt: skip

    def weigh(self) -> None:
        head("10. What it costs on disk")
        with psycopg.connect(database.database_url(self.site.layout, "admin")) as connection:
            # An owner who is no superuser sees one tenant's rows, as everybody does.
            connection.execute("SELECT set_config('icr.tenant', %s, true)", [TENANT])
            row = connection.execute(
                "SELECT (SELECT sum(records) FROM inbox_batch),"
                " (SELECT sum(16 + length(body)) FROM vault_segment),"
                " (SELECT sum(pg_total_relation_size(relid))"
                "  FROM pg_partition_tree('vault_segment'))"
            ).fetchone()
        records, sealed, disk = (int(value or 0) for value in row or (0, 0, 0))
        say(f"{records} records: {sealed / records:.1f} bytes each, both maps sealed;")
        say(f"{disk / records:.1f} with PostgreSQL's pages and index")

    def put(self, request: Envelope) -> list[dict[str, str]]:
        """Put a request without the checks of `icr ask`; what the keepers said of it."""
        server = Server(self.url, KeyFile.read(self.file("investigator"), "signing").signing())
        grants = [json.loads(Path(path).read_bytes()) for path in self.grants()]
        body = {"tenant": TENANT, "request": request.to_object(), "grants": grants}
        query = json.loads(server.post("/v1/queries", body).body)["query"]
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            told = json.loads(server.get(f"/v1/queries/{query}").body)
            if told["state"] not in ("queued", "running"):
                said: list[dict[str, str]] = told["keepers"]
                return said
            time.sleep(0.2)
        raise Untrue("the query did not end")

    def log_of(self, role: str) -> tuple[str, list[dict[str, str]]]:
        """The latest checkpoint of the tenant's log at one keeper, and its leaves' lines."""
        shown = json.loads(self.site.run(
            f"keeper-{role}", sys.executable, "-m", "icrstore.keeper", "show", "--json",
            "--store", str(services.keeper_store(self.site.layout, role)),
        ))  # fmt: skip
        origin = next(t["origin"] for t in shown["tenants"] if t["tenant"] == TENANT)
        socket = services.keeper_socket(self.site.layout, role)
        peer = Peer(f"unix:{socket}", "keeper", 10, 16 << 20)
        base = f"/log/{origin.rpartition('/')[2]}"
        note = peer.call("GET", f"{base}/checkpoint", {}).body
        size = parse_checkpoint(parse_note(note).body).size
        leaves: list[dict[str, str]] = []
        for start in range(0, size, TILE_WIDTH):
            tile = Tile(None, start // TILE_WIDTH, min(TILE_WIDTH, size - start))
            bundle = peer.call("GET", f"{base}/{tile.path}", {}).body
            leaves += [_lines(leaf) for leaf in parse_bundle(bundle, tile.width)]
        return note.decode(), leaves

    def key(self, name: str, use: str = "signing") -> None:
        if not self.file(name).exists():
            self.run("icr", "key", "new", name, "--for", use, "--out", str(self.file(name)))

    def grant(self, role: str) -> None:
        path = self.folder / f"{role}.grant"
        if not path.exists():
            self.run(
                "icr", "grant", "--root", str(self.file("police-root")), "--issuer", AUTHORITY,
                "--role", role, "--holder", f"the {role}", "--key", str(self.file(role)),
                "--days", "90", "--out", str(path),
            )  # fmt: skip

    def grants(self) -> list[str]:
        return sorted(str(path) for path in self.folder.glob("*.grant"))

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def public(self, name: str) -> str:
        return str(json.loads(self.file(name).read_text())["public"])

    def trust(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(provision.trust_file(self.site).read_text())
        return made

    def run(self, *argv: str) -> str:
        return self.site.run("admin", *argv).rstrip()


def say(words: str) -> None:
    print(words, flush=True)


def head(words: str) -> None:
    say(f"\n{words}\n")


def _parsed(line: str) -> tuple[str, int, int | None]:
    """Destination, protocol and port of a made-up line, read without the project's readers."""
    words = line.split(" ")
    target = words[4].rstrip(":")
    if "ICMP" in line:
        return target, 1, None
    address, _, port = target.rpartition(".")
    return address, 6 if words[5] == "Flags" else 17, int(port)


def _place(row: Mapping[str, Any]) -> tuple[str, int, int | None]:
    return row["destination_address"], row["protocol"], row.get("destination_port")


def _lines(leaf: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in leaf.decode().splitlines())


def _hour(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H")


def _hours(by: timedelta) -> int:
    return int(by / HOUR)


if __name__ == "__main__":
    sys.exit(main())
