"""The command line of the supervisor, as demo.sh calls it, with everything it starts."""

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deploy.layout import CALLS, CODE, Layout
from tests.deploy.test_supervisor import is_alive, wait_until

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("ICR_DATABASE_URL")), reason="the database is somebody else's"
)


class Operator:
    """Somebody at a shell, with a state directory and a secret in their environment."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.env = {**os.environ, "ICR_VAR": str(var), "SOMEBODYS_TOKEN": "secret"}

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(arguments),
            env=self.env,
            cwd=CODE,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and what was printed."""
        with self.begin(*arguments) as running:
            printed, _ = running.communicate(timeout=120)
        return running.returncode, printed

    def provision(self, *arguments: str) -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "deploy.provision", *arguments],
            env=self.env, cwd=CODE, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr

    def command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "deploy.supervisor", *arguments]

    def services(self) -> list[str]:
        return list(json.loads((self.var / "supervisor.json").read_text())["services"])


@pytest.fixture(scope="module")
def operator() -> Iterator[Operator]:
    """Each test leaves the state stopped; what it holds is the next one's beginning."""
    yield from _operator()


@pytest.fixture
def newcomer() -> Iterator[Operator]:
    """One whose state directory is empty."""
    yield from _operator()


def _operator() -> Iterator[Operator]:
    var = Path(tempfile.mkdtemp(prefix="icr-"))
    yield Operator(var)
    shutil.rmtree(var, ignore_errors=True)


def processes_of(var: Path) -> list[int]:
    """Every process whose arguments or environment name this state directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        pid = int(process.name)
        if os.fsencode(var) in text and pid != os.getpid() and is_alive(pid):
            found.append(pid)
    return found


def serve(running: subprocess.Popen[str]) -> list[str]:
    """What it printed until it serves."""
    assert running.stdout is not None
    printed = []
    for line in running.stdout:
        printed.append(line)
        if "serving on http://127.0.0.1:" in line:
            return printed
    raise AssertionError("".join(printed))


def test_it_serves_alone_and_nothing_outlives_its_kill(operator: Operator) -> None:
    say = ("sh", "-c", "echo role $ICR_ROLE at $ICR_URL; echo token $SOMEBODYS_TOKEN.")
    with operator.begin("up", "--", *say) as running:
        printed = "".join(serve(running))
        assert "role admin at http://127.0.0.1:" in printed
        assert "token .\n" in printed
        assert operator.services() == list(CALLS)

        code, told = operator.run("up")
        assert code == 75
        assert "runs already" in told
        code, told = operator.run("status")
        assert code == 0
        assert told.count("running") == len(CALLS)

        assert len(processes_of(operator.var)) > len(CALLS)
        running.kill()
    wait_until(lambda: not processes_of(operator.var), 15)
    assert operator.run("status")[0] == 3


def test_it_goes_on_from_what_a_kill_left_and_told_to_stop_ends_its_command_too(
    operator: Operator,
) -> None:
    with operator.begin("up", "--once", "--", "sh", "-c", "echo begun; sleep 600") as running:
        assert running.stdout is not None
        while "begun" not in running.stdout.readline():
            assert running.poll() is None
        assert operator.run("stop") == (0, "")
        assert running.wait(5) == 128 + signal.SIGTERM
    assert not processes_of(operator.var)


def test_a_keeper_elsewhere_is_known_by_its_owners_word_and_never_replaced(
    newcomer: Operator, tmp_path: Path
) -> None:
    newcomer.env["ICR_KEEPERS"] = "oversight=unix:/elsewhere/keeper.sock"
    newcomer.var.chmod(0o711)
    Layout(newcomer.var, 1).create()
    told = [make_keeper(tmp_path / name) for name in ("first", "second")]

    code, said = newcomer.provision("keeper", str(told[0]))
    assert code == 0
    assert f"{newcomer.var}/public/pins-oversight.sh" in said
    assert newcomer.provision("keeper", str(told[0]))[0] == 0

    code, said = newcomer.provision("keeper", str(told[1]))
    assert code == os.EX_CONFIG
    assert "another oversight keeper is trusted" in said
    trusted = json.loads((newcomer.var / "public" / "trust.json").read_bytes())
    assert trusted["keepers"] == [json.loads(told[0].read_bytes())]


def test_once_ends_with_the_commands_exit_code_and_hands_on_what_runs_elsewhere(
    newcomer: Operator, tmp_path: Path
) -> None:
    newcomer.env["ICR_KEEPERS"] = "oversight=unix:/elsewhere/keeper.sock"
    code, said = newcomer.run("up", "--once")
    assert code == os.EX_CONFIG
    assert "the oversight keeper runs elsewhere and is not known yet" in said
    newcomer.provision("keeper", str(make_keeper(tmp_path / "theirs")))

    code, _ = newcomer.run(
        "up", "--once", "--", "sh", "-c", "echo $ICR_KEEPERS > $ICR_VAR/k; exit 9"
    )

    assert code == 9
    assert not processes_of(newcomer.var)
    assert "oversight=unix:/elsewhere/keeper.sock" in (newcomer.var / "k").read_text()
    assert [path.name for path in newcomer.var.glob("keeper-*")] == ["keeper-operator"]
    pins = (newcomer.var / "public" / "pins-oversight.sh").read_text()
    assert "pin peer operator operator.keeper.local" in pins


def test_a_command_is_run_as_one_of_the_processes(newcomer: Operator) -> None:
    Layout(newcomer.var, 1).create()
    code, said = newcomer.run("run", "web", "sh", "-c", "echo $ICR_ROLE $(id -un); exit 7")
    assert code == 7
    assert said.split()[-2:] == ["web", "icr-web" if os.geteuid() == 0 else getpass.getuser()]


def make_keeper(folder: Path) -> Path:
    """A keeper that somebody else made; the file in which its owner says who it is."""
    who = ("--role", "oversight", "--instance", "1", "--name", "keeper.example", "--json")
    made = subprocess.run(
        [sys.executable, "-m", "icrstore.keeper", "init", "--store", str(folder), *who],
        capture_output=True, check=True,
    )  # fmt: skip
    told = folder.with_suffix(".json")
    told.write_bytes(made.stdout)
    return told


def test_reset_deletes_the_state_and_the_sockets_that_lie_elsewhere(newcomer: Operator) -> None:
    newcomer.var /= "long-" * 20
    newcomer.env["ICR_VAR"] = str(newcomer.var)
    layout = Layout(newcomer.var, 1)
    newcomer.var.parent.chmod(0o711)
    layout.create()
    sockets = layout.sockets("valkey")

    assert newcomer.run("reset") == (0, "")

    assert not newcomer.var.exists()
    assert not sockets.parent.exists()


def test_reset_deletes_nothing_that_is_not_ours(newcomer: Operator) -> None:
    (newcomer.var / "thesis.txt").touch()
    code, told = newcomer.run("reset")
    assert code == 73
    assert "holds something else" in told
    assert (newcomer.var / "thesis.txt").exists()


def test_stop_with_nothing_running_is_well(newcomer: Operator) -> None:
    assert newcomer.run("stop") == (0, "")
