"""Every running process of ours, looked at from outside: no core, no reader, no secret in the open,
and one task in a life."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy import services
from deploy.layout import CALLS
from icrstore.keeper import cli as keeper
from icrstore.keeper.keys import Chain, Identity
from icrstore.notices.names import LookupKey
from icrstore.seal.epoch import ROLES
from icrstore.shell.keyfile import KeyFile, write_secret
from icrstore.shell.stop import Stop
from icrstore.warrant.strict import decode_base64
from tests.attacks.needles import BINARY
from tests.site import Site

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be each process's uid")
# What is not ours: they hold ciphertext, and passwords' verifiers.
OURS = tuple(name for name in CALLS if name not in ("postgres", "valkey"))
each_process = pytest.mark.parametrize("name", OURS)

NO_CORE = re.compile(rb"^Max core file size +0 +0 ", re.MULTILINE)

# Run with the uid of the process, and no more: what of each it could read or do.
SPY = """
import ctypes, sys
libc = ctypes.CDLL(None)
def reads(pid, file):
    try:
        with open(f"/proc/{pid}/{file}", "rb") as opened:
            return file == "mem" or bool(opened.read(1))
    except OSError:
        return False
def seizes(pid):
    # Unlike PTRACE_ATTACH it stops nothing, and ends with this process.
    return libc.ptrace(0x4206, pid, 0, 0) == 0
for pid in map(int, sys.argv[1:]):
    for file in ("environ", "mem", "maps"):
        if reads(pid, file):
            print(pid, file)
    if seizes(pid):
        print(pid, "trace")
"""


def family(pid: int) -> list[int]:
    """A process and all that it started; of one that has just ended, nothing."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []
    return [pid, *(each for child in children for each in family(child))]


def members(site: Site, name: str) -> list[int]:
    """Those of a service; the workers of web and a worker's child among them."""
    is_alone = name == "beat" or name.startswith("keeper")
    deadline = time.monotonic() + 10
    # A worker that has just ended its child is without one for a moment.
    while len(found := family(site.installation.supervisor.pid(name))) < (1 if is_alone else 2):
        assert time.monotonic() < deadline
    return found


def look_at(pid: int, file: str) -> bytes:
    """As root; nothing of a process that has just ended."""
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@each_process
def test_no_process_leaves_a_core(site: Site, name: str) -> None:
    seen = [limits for pid in members(site, name) if (limits := look_at(pid, "limits"))]
    assert seen
    assert all(NO_CORE.search(limits) for limits in seen)


@as_root
@each_process
def test_nobody_of_the_same_uid_reads_or_traces_it(site: Site, name: str) -> None:
    pids = [str(pid) for pid in members(site, name)]
    assert site.installation.run(name, sys.executable, "-c", SPY, *pids) == ""


@as_root
def test_who_is_not_closed_up_is_read(site: Site) -> None:
    """What the spy can do to a process that is like any other."""
    pid = site.installation.supervisor.pid("valkey")
    told = site.installation.run("valkey", sys.executable, "-c", SPY, str(pid))
    assert {"environ", "mem", "trace"} <= set(told.split())


@pytest.mark.parametrize("module", ["desk", "collector"])
def test_a_desks_program_closes_up_before_it_reads_a_key(module: str) -> None:
    cli = f"icrstore.{module}.cli"
    assert what_a_spy_reads(f"import {cli} as cli; cli.main = wait; cli.program()") == set()
    # The same program as a library closes nothing.
    assert {"environ", "mem", "trace"} <= what_a_spy_reads(
        f"import {cli} as cli; cli.main = wait; cli.main()"
    )


def what_a_spy_reads(program: str) -> set[str]:
    """Of a process that waits, by another of its uid: root's without root's rights."""
    alone = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] if os.geteuid() == 0 else []
    wait = "import sys\ndef wait():\n    print('here', flush=True)\n    sys.stdin.read()\n"
    with subprocess.Popen(
        [*alone, sys.executable, "-c", wait + program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        spy = [*alone, sys.executable, "-c", SPY, str(process.pid)]
        told = subprocess.run(spy, capture_output=True, text=True, check=True).stdout
        process.communicate(b"", timeout=10)
    return set(told.split()) - {str(process.pid)}


def test_the_programs_that_are_installed_are_those() -> None:
    scripts = Path(sys.executable).parent
    assert "from icrstore.desk.cli import program" in (scripts / "icr").read_text()
    assert "from icrstore.collector.cli import program" in (scripts / "icr-collect").read_text()


def secrets_of(site: Site) -> Iterator[tuple[str, bytes]]:
    """Each secret that lies in a file of the installation, by its place."""
    layout = site.stack.layout
    folders = [layout.secrets(name) for name in (*CALLS, "admin")]
    folders += [services.keeper_store(layout, role) for role in ROLES]
    for path in (each for folder in folders for each in sorted(folder.iterdir())):
        if path.suffix in (".db", ".grant") or not path.is_file() or "db-" in path.name:
            continue
        text = path.read_text()
        if path.name == "pgpass":
            text = text.strip().rpartition(":")[2]
        for word in re.findall(r"[A-Za-z0-9+/=_-]{24,}", text):
            yield f"{path.parent.name}/{path.name}", word.encode()
            if decoded := decode_base64(word):
                yield f"{path.parent.name}/{path.name}", decoded
            if re.fullmatch(r"([0-9a-f]{2}){16,}", word):
                yield f"{path.parent.name}/{path.name}", bytes.fromhex(word)


def open_words(pid: int) -> bytes:
    """What `ps` shows of a process to everybody, and its environment to its uid."""
    return look_at(pid, "cmdline") + look_at(pid, "environ")


def told(secret: bytes, words: bytes) -> bool:
    return any(disguise(secret) in words for disguise in BINARY.values())


@as_root
def test_no_secret_is_in_an_argument_or_a_variable(site: Site) -> None:
    secrets = list(secrets_of(site))
    places = {place for place, _ in secrets}
    for place in ("web/pgpass", "admin/pgpass", "sealer/sealer.key", "sealer/intake.json",
                  "engine/engine.key", "engine/storage.key", "notifier/opening.key",
                  "web/receipt.key", "web/lookup.key", "keeper-operator/keys.json",
                  "keeper-oversight/chain.json"):  # fmt: skip
        assert place in places, place
    for name in CALLS:
        for pid in family(site.installation.supervisor.pid(name)):
            words = open_words(pid)
            assert [place for place, secret in secrets if told(secret, words)] == [], name


@as_root
def test_a_secret_in_a_variable_would_be_found(site: Site) -> None:
    secret = json.loads((site.stack.layout.secrets("engine") / "engine.key").read_text())["private"]
    for spelled in (secret, (decode_base64(secret) or b"").hex(), f"x={secret}"):
        with subprocess.Popen(
            ["cat"], env={"A": spelled}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(b"here")
            assert process.stdout.read(4) == b"here"
            words = open_words(process.pid)
            process.communicate(b"", timeout=10)
        assert any(told(each, words) for _, each in secrets_of(site))


def test_a_child_does_one_task_and_ends(site: Site) -> None:
    """Exit is the only erasure that Python has: no two sealings share a process."""
    workers = {name: site.installation.supervisor.pid(name) for name in ("sealer", "engine")}
    seen: dict[str, set[int]] = {name: set() for name in workers}
    before = {name: tasks_of(site, name) for name in workers}
    deadline = time.monotonic() + 60
    while any(tasks_of(site, name) < before[name] + 2 for name in workers):
        for name, worker in workers.items():
            seen[name].update(family(worker)[1:])
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for name, worker in workers.items():
        assert len(seen[name] | set(family(worker)[1:])) >= 2, name


def tasks_of(site: Site, name: str) -> int:
    return site.stack.log(name).count(" succeeded in ")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_can_read_is_refused_with_the_mend(tmp_path: Path, mode: int) -> None:
    def refuses(path: Path, read: Callable[[], object], reason: type[Exception]) -> None:
        path.chmod(mode)
        with pytest.raises(reason, match=f"others can read it: run `chmod 600 {path}`"):
            read()
        path.chmod(0o600)
        read()

    store = tmp_path / "store"
    made = ["init", "--store", str(store), "--role", "operator", "--instance", "1", "--name", "k"]
    assert keeper.run(made) == 0
    refuses(store / "keys.json", lambda: Identity.load(store), OSError)
    refuses(store / "chain.json", lambda: Chain.load(store), OSError)
    KeyFile.new("signing", "ada").write(tmp_path / "ada.key")
    refuses(tmp_path / "ada.key", lambda: KeyFile.read(tmp_path / "ada.key", "signing"), Stop)
    write_secret(tmp_path / "lookup.key", bytes(32).hex().encode())
    refuses(tmp_path / "lookup.key", lambda: LookupKey.read(tmp_path / "lookup.key"), Stop)


@pytest.mark.parametrize("name", ["pgpass", "django.secret"])
def test_a_process_does_not_start_on_a_secret_that_others_can_read(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_text("secret-4711")
    path.chmod(0o640)
    ended = subprocess.run(
        [sys.executable, "-c", "import icrstore.settings"],
        env={"PATH": os.environ["PATH"], "ICR_SECRETS": str(tmp_path),
             "ICR_DATABASE_URL": f"postgresql:///store?passfile={tmp_path}/pgpass"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode != 0
    assert f"others can read it: run `chmod 600 {path}`" in ended.stderr
    assert "secret-4711" not in ended.stdout + ended.stderr
