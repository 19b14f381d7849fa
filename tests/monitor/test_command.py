"""`icr-monitor` as its owner runs it: over HTTP, with a state file, and what it ends with."""

import contextlib
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from icrstore.monitor import cli
from icrstore.monitor.reading import NotProven
from icrstore.monitor.state import read_state, write_state
from icrstore.shell.stop import Stop
from icrstore.warrant.strict import dump, encode_base64
from tests.desk.office import Ran
from tests.monitor.published import Published


@dataclass(frozen=True)
class Desk:
    published: Published
    folder: Path
    url: str

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    def run(self, *more: str, logs: list[str] | None = None, url: str = "") -> Ran:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main([
                *(self.published.origins if logs is None else logs), "--server", url or self.url,
                "--trust", str(self.folder / "trust.json"), "--state", str(self.state), *more,
            ])  # fmt: skip
        return Ran(status, out.getvalue(), err.getvalue())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    published = Published(now=datetime.now(UTC))
    published.add("epoch", count=3)
    (tmp_path / "trust.json").write_bytes(dump(trust_file(published)))

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Signature"] is None
            try:
                status, content = 200, published.fetch(self.path)
            except NotProven:
                status, content = 404, b""
            self.send_response(503 if published.is_away else status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing: it would be written to our stderr."""

    with HTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield Desk(published, tmp_path, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def trust_file(published: Published) -> dict[str, Any]:
    keepers = [
        {"role": one.role, "instance": one.instance, "name": one.name,
         "identity_key": encode_base64(one.identity_key), "log_key": encode_base64(one.log_key),
         "witness_key": encode_base64(one.witness_key)}
        for one in published.trust().keepers
    ]  # fmt: skip
    return {"keepers": keepers, "engines": {}, "authorities": {}, "sealers": {},
            "receipt_key": encode_base64(bytes(32))}  # fmt: skip


def test_it_looks_remembers_and_says_what_is_new(desk: Desk) -> None:
    first = desk.run()
    assert (first.status, first.err) == (0, "")
    assert first.out.splitlines()[-1] == "nothing is wrong"
    assert f"{desk.published.operator.origin}: 3 leaves, 3 new, cosigned 20" in first.out
    desk.published.add("epoch")
    told = desk.run("--json").told
    assert told["ok"] is True
    assert [(log["size"], log["new"]) for log in told["logs"]] == [(4, 1)] * 2


def test_a_fault_is_65_and_a_fork_is_kept_as_evidence(desk: Desk) -> None:
    desk.run()
    log = desk.published.operator
    log.entries.pop()
    log.add("shred", desk.published.now)
    seen = desk.state.read_bytes()
    for _ in range(2):
        ran = desk.run()
        assert (ran.status, ran.out.count("FAULT: "), "it forked" in ran.out) == (65, 1, True)
        (evidence,) = desk.folder.glob("state.json.fork-*.json")
        kept = json.loads(evidence.read_bytes())
        assert kept["notes"][0] in [each["note"] for each in json.loads(seen)["logs"]]
        assert kept["notes"][1].startswith(f"{log.origin}\n3\n")
    assert desk.run("--json").told["ok"] is False


def test_a_server_that_is_away_is_75_and_a_fault_beside_it_counts_more(desk: Desk) -> None:
    desk.published.is_away = True
    ran = desk.run()
    assert (ran.status, ran.out.count("AWAY: ")) == (75, 2)
    assert desk.run(url="http://127.0.0.1:1").status == 75
    desk.published.is_away = False
    desk.published.operator.entries.append(b"no leaf")
    assert desk.run().status == 65


def test_it_looks_again_until_it_is_stopped(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []

    def sleep(seconds: int) -> None:
        waited.append(seconds)
        desk.published.operator.entries.append(b"no leaf")
        if len(waited) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("icrstore.monitor.cli.time.sleep", sleep)
    ran = desk.run("--every", "60")
    assert (ran.status, waited) == (65, [60, 60])
    assert ran.out.count("nothing is wrong") == 1


@pytest.mark.parametrize(
    "more", [("--every", "0"), ("--every", "x"), ("--nonsense",), ("a-third-log",)]
)
def test_what_is_no_command_is_64(desk: Desk, more: tuple[str, ...]) -> None:
    assert desk.run(*more).status == 64


def test_it_needs_one_log_of_each_keeper_that_is_trusted(desk: Desk) -> None:
    ran = desk.run(logs=[desk.published.operator.origin] * 2)
    assert (ran.status, "give one log of each keeper" in ran.err) == (64, True)
    ran = desk.run(logs=[desk.published.operator.origin, "else.icrstore/oversight-1/" + "0" * 16])
    assert (ran.status, "of no keeper that the trust file names" in ran.err) == (64, True)
    (desk.folder / "trust.json").write_text("{}")
    assert desk.run().status == 65
    (desk.folder / "trust.json").unlink()
    assert desk.run().status == 66


def test_help_says_what_it_cannot_see(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert "What it cannot see" in told
    assert "exit: 0 nothing is wrong, 64 usage, 65 a fault (each is named), 75" in told


def test_a_state_that_is_damaged_is_refused_and_kept(desk: Desk) -> None:
    desk.run()
    whole = desk.state.read_bytes()
    note = json.loads(whole)["logs"][0]["note"]
    for damaged in (
        b"", b"{}", whole[:-40], whole.replace(b'"v":1', b'"v":2'),
        whole.replace(b'"edge":["', b'"edge":["00'), whole.replace(b"\\n3\\n", b"\\n2\\n"),
        dump({"v": 1, "logs": [{"note": note}]}), whole.replace(b'"epoch":3', b'"epoch":-3'),
    ):  # fmt: skip
        desk.state.write_bytes(damaged)
        ran = desk.run()
        assert (ran.status, "keep it, it is evidence" in ran.err) == (65, True)
        assert desk.state.read_bytes() == damaged


def test_a_state_is_the_same_after_it_was_written_and_read(desk: Desk) -> None:
    desk.published.look()
    desk.published.pass_(days=2)
    desk.published.add("commit")
    desk.published.look(accept=True)
    write_state(desk.state, desk.published.state)
    assert read_state(desk.state) == desk.published.state


def test_a_state_that_cannot_be_written_loses_nothing(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(Stop, match="name a file that can be made"):
        write_state(tmp_path / "nowhere" / "state.json", {})
    with pytest.raises(Stop, match="name a file that can be read"):
        read_state(tmp_path)
