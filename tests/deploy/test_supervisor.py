"""The supervisor on small shell scripts that fail in every way a service can."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.layout import CODE
from deploy.supervisor import NotReady, Service, Supervisor
from deploy.supervisor import log as log_module
from deploy.supervisor.log import Log

FOREVER = "while :; do sleep 0.05; done"


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "log", tmp_path / "state.json") as made:
        yield made


def script(name: str, text: str, **changes: object) -> Service:
    """A service that is a shell script, ready once it has printed "up"."""
    return Service(
        name=name,
        argv=("sh", "-c", text),
        env={"PATH": "/usr/bin:/bin"},
        cwd=Path("/"),
        ready=lambda printed: "up" in printed,
        **changes,  # type: ignore[arg-type] # each test changes one field
    )


def wait_until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_it_waits_longer_before_each_restart(supervisor: Supervisor, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    supervisor.start(script("brief", f"date +%s.%N >> {starts}; echo up; sleep 0.2; exit 3"))

    wait_until(lambda: len(starts.read_text().split()) == 5)

    moments = [float(moment) for moment in starts.read_text().split()]
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    # Jitter at most halves a pause: the first is 0.2 s at most, the fourth 0.8 s at least.
    assert pauses[3] - pauses[0] > 0.4
    assert supervisor.restarts("brief") == 4


def test_a_killed_process_is_replaced(supervisor: Supervisor) -> None:
    supervisor.start(script("one", f"echo up; {FOREVER}"))
    before = supervisor.pid("one")

    os.kill(before, signal.SIGKILL)
    wait_until(lambda: supervisor.restarts("one") == 1)
    supervisor.wait("one")

    assert supervisor.pid("one") != before
    assert is_alive(supervisor.pid("one"))


def test_what_a_dead_process_started_dies_before_it_is_restarted(supervisor: Supervisor) -> None:
    supervisor.start(script("parent", f"sleep 600 & echo child $!; echo up; {FOREVER}"))
    child = int(supervisor.log("parent").split()[1])
    assert is_alive(child)

    os.kill(supervisor.pid("parent"), signal.SIGKILL)
    wait_until(lambda: supervisor.restarts("parent") == 1)

    # It was killed before that; the kernel may take a moment to end it.
    wait_until(lambda: not is_alive(child))


def test_it_stops_in_the_reverse_order_of_starting(tmp_path: Path) -> None:
    order = tmp_path / "order"
    with Supervisor(tmp_path / "log", tmp_path / "state.json") as supervisor:
        for name in ("first", "second", "third"):
            bye = f"trap 'echo {name} >> {order}; exit' TERM; echo up; {FOREVER}"
            supervisor.start(script(name, bye))

    assert order.read_text().split() == ["third", "second", "first"]


def test_what_was_started_side_by_side_stops_side_by_side(tmp_path: Path) -> None:
    asked, ended = tmp_path / "asked", tmp_path / "ended"
    # Neither ends by itself before both were asked to.
    both = f'while [ "$(wc -l < {asked})" -lt 2 ]; do sleep 0.01; done'
    with Supervisor(tmp_path / "log", tmp_path / "state.json") as supervisor:
        supervisor.start(*(
            script(name, f"trap 'echo {name} >> {asked}; {both}; echo {name} >> {ended}; exit'"
                         f" TERM; echo up; {FOREVER}", grace_seconds=5)
            for name in ("first", "second")
        ))  # fmt: skip

    assert sorted(ended.read_text().split()) == ["first", "second"]


def test_a_process_that_ignores_its_stop_signal_is_killed(supervisor: Supervisor) -> None:
    supervisor.start(script("deaf", f"trap '' TERM; echo up; {FOREVER}", grace_seconds=0.2))
    pid = supervisor.pid("deaf")

    supervisor.stop("deaf")

    assert not is_alive(pid)


def test_it_does_not_restart_what_was_stopped(supervisor: Supervisor) -> None:
    supervisor.start(script("one", f"echo up; {FOREVER}"))
    supervisor.stop("one")
    supervisor.stop("one")
    time.sleep(0.5)

    with pytest.raises(NotReady, match="one did not become ready: it is stopped"):
        supervisor.pid("one")


def test_a_service_that_never_serves_is_named_with_the_end_of_its_log(
    supervisor: Supervisor,
) -> None:
    lines = "for n in $(seq 40); do echo line $n; done"
    mute = script("mute", f"{lines}; {FOREVER}", ready_seconds=0.5)

    with pytest.raises(
        NotReady, match=r"mute did not become ready: no answer within 0.5 s"
    ) as told:
        supervisor.start(mute)

    assert "line 40" in str(told.value)
    assert "line 4\n" not in str(told.value)


def test_a_first_start_that_ends_is_told_at_once_and_not_repeated(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    broken = script("broken", f"echo x >> {starts}; echo no such key >&2; exit 7")

    with pytest.raises(
        NotReady, match=r"broken did not become ready: it ended with 7\n *no such key"
    ):
        supervisor.start(broken)

    time.sleep(0.5)
    assert starts.read_text().split() == ["x"]


def test_a_service_is_not_started_twice(supervisor: Supervisor) -> None:
    one = script("one", f"echo up; {FOREVER}")
    supervisor.start(one)
    with pytest.raises(ValueError, match="already running"):
        supervisor.start(one)


def test_a_service_inherits_no_variable_no_core_file_and_no_open_umask(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEBODYS_TOKEN", "secret")
    supervisor.start(
        script("bare", f"env; umask; ulimit -Hc; grep NoNew /proc/$$/status; echo up; {FOREVER}")
    )

    printed = supervisor.log("bare").split()
    names = {word.split("=")[0] for word in printed if "=" in word}
    assert names <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}
    assert printed[-5:] == ["0077", "0", "NoNewPrivs:", "1", "up"]


def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(CODE)!r})
from tests.deploy.test_supervisor import FOREVER, script
from deploy.supervisor import Supervisor
with Supervisor(Path({str(tmp_path / "log")!r}), Path({str(tmp_path / "state.json")!r})) as made:
    made.start(script("deaf", "trap '' TERM INT HUP; echo up; " + FOREVER))
    made.start(script("plain", "echo up; " + FOREVER))
    print(made.pid("deaf"), made.pid("plain"), flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        pids = [int(pid) for pid in killed.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        killed.kill()

    wait_until(lambda: not any(map(is_alive, pids)))


def test_a_log_keeps_its_end_and_twice_the_limit_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "LIMIT_BYTES", 100)
    log = Log(tmp_path / "one.log")
    with log.path.open("ab") as process:
        for number in range(1000):
            process.write(b"line %d\n" % number)
            process.flush()
            log.bound()

    kept = (tmp_path / "one.log.1").read_text() + log.path.read_text()
    assert kept.endswith("line 998\nline 999\n")
    assert len(kept) < 250
