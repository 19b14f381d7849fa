"""Disks that fail, processes that die, clocks that stop: nothing is lent that is not logged."""

import contextlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from icrstore.keeper.client import KeeperUnreachable, KeeperUntrue, Question
from icrstore.keeper.leaves import Leaf
from icrstore.keeper.server import EXIT_STORE_LOST
from icrstore.seal.epoch import ROLES, Role, other_role
from icrstore.warrant.statements import AccountSelector
from icrstore.warrant.strict import dump
from tests.keeper.pair import Pair, code_of, rows_of
from tests.keeper.papers import ACCOUNT, last_hour
from tests.keeper.processes import run
from tests.keeper.test_server import signed

# Every sync of the keeper fails, also those of the threads that answer.
NO_SYNC = (
    "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
    "-e", "inject=fsync,fdatasync:error=EIO",
)  # fmt: skip
each_role = pytest.mark.parametrize("role", ROLES)
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def fails_and_exits(pair: Pair, role: Role, call: Callable[[], Any]) -> None:
    """The keeper of this role answers with no more than an error, and its process ends."""
    with pytest.raises(KeeperUnreachable) as failed:
        call()
    assert (failed.value.role, failed.value.code) == (role, "store-lost")
    assert pair.processes[role].wait() == EXIT_STORE_LOST


def without_syncs(pair: Pair, role: Role) -> None:
    pair.processes[role].stop()
    pair.processes[role].start(*NO_SYNC)


@needs_strace
@each_role
def test_a_commit_that_cannot_be_synced_is_not_answered(own_pair: Pair, role: Role) -> None:
    question = own_pair.question()
    without_syncs(own_pair, role)
    fails_and_exits(own_pair, role, lambda: own_pair.keepers().commit(question))
    own_pair.processes[role].start()
    assert own_pair.run(question).releases


@needs_strace
def test_it_ends_also_where_whoever_asked_has_gone(own_pair: Pair) -> None:
    """With a store of which nobody knows what is on the disk it answers nothing more."""
    body = dump(own_pair.question().to_object())
    head = {**signed(own_pair, "/v1/commit", body), "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    without_syncs(own_pair, "operator")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.connect(str(own_pair.processes["operator"].socket))
        gone.sendall(f"POST /v1/commit HTTP/1.1\r\n{lines}\r\n".encode() + body)
    assert own_pair.processes["operator"].wait() == EXIT_STORE_LOST


@needs_strace
@each_role
def test_a_release_that_cannot_be_synced_is_not_answered(own_pair: Pair, role: Role) -> None:
    question = own_pair.question()
    commits = own_pair.keepers().commit(question)
    without_syncs(own_pair, role)
    fails_and_exits(own_pair, role, lambda: own_pair.keepers().release(question, commits))
    own_pair.processes[role].start()
    assert own_pair.keepers().release(question, commits)


@needs_strace
@each_role
def test_no_share_is_lent_that_cannot_be_noted(own_pair: Pair, role: Role) -> None:
    sealed = own_pair.seal_epoch(last_hour(), rows_of(ACCOUNT))
    own_pair.register(sealed)
    question = own_pair.question()
    commits = own_pair.keepers().commit(question)
    releases = own_pair.keepers().release(question, commits)
    without_syncs(own_pair, role)
    lend = lambda: own_pair.keepers().lend(question, commits, releases, own_pair.engine_key)  # noqa: E731
    fails_and_exits(own_pair, role, lend)
    own_pair.processes[role].start()
    lent = own_pair.run(question)
    assert own_pair.open_rows(lent, sealed, AccountSelector(ACCOUNT))


@needs_strace
@each_role
def test_a_cosignature_that_cannot_be_remembered_is_not_given(own_pair: Pair, role: Role) -> None:
    peer = other_role(role)
    question = own_pair.question()
    own_pair.keeper(peer).logged("/v1/commit", question.to_object())
    own_pair.keeper(role).logged("/v1/commit", question.to_object())
    without_syncs(own_pair, role)
    fails_and_exits(own_pair, role, lambda: own_pair.keepers().commit(question))


@each_role
def test_a_killed_keeper_goes_on_where_it_was(own_pair: Pair, role: Role) -> None:
    sealed = own_pair.seal_epoch(last_hour(), rows_of(ACCOUNT))
    own_pair.register(sealed)
    question = own_pair.question()
    commits = own_pair.keepers().commit(question)
    own_pair.processes[role].kill()
    with pytest.raises(KeeperUnreachable):
        own_pair.keepers().release(question, commits)
    own_pair.processes[role].start()
    releases = own_pair.keepers().release(question, commits)
    own_pair.processes[role].kill()
    own_pair.processes[role].start()
    shares = own_pair.keepers().lend(question, commits, releases, own_pair.engine_key)
    assert all((sealed.epoch.eid, AccountSelector(ACCOUNT)) in shares[each] for each in ROLES)


def ask_until_it_is_gone(
    pair: Pair, questions: list[Question], taken: list[tuple[Question, Leaf]]
) -> None:
    """Commit one after another at the operator's keeper, and remember what it answered."""
    keeper = pair.keeper("operator")
    with contextlib.suppress(KeeperUnreachable):
        for question in questions:
            logged, _ = keeper.logged("/v1/commit", question.to_object())
            taken.append((question, logged.leaves[0]))


@pytest.mark.parametrize("delay_seconds", [0.0, 0.004, 0.008, 0.016, 0.03])
def test_a_kill_at_any_moment_takes_nothing_back_and_forks_no_log(
    own_pair: Pair, delay_seconds: float
) -> None:
    warrant, process = own_pair.warrant(own_pair.warrant_of()), own_pair.processes["operator"]
    questions = [own_pair.question(warrant) for _ in range(10)]
    own_pair.run(questions[0])
    taken: list[tuple[Question, Leaf]] = []
    asking = threading.Thread(target=ask_until_it_is_gone, args=(own_pair, questions, taken))
    asking.start()
    time.sleep(delay_seconds)
    process.kill()
    asking.join()
    process.start()
    for question, leaf in taken:
        again, _ = own_pair.keeper("operator").logged("/v1/commit", question.to_object())
        assert again.leaves == (leaf,)
    own_pair.run(questions[-1])


@each_role
def test_sigterm_ends_with_zero_after_the_requests_that_run(own_pair: Pair, role: Role) -> None:
    warrant = own_pair.warrant(own_pair.warrant_of())
    keeper, failures = own_pair.keeper(role), list[str]()

    def ask() -> None:
        for _ in range(40):
            question = own_pair.question(warrant)
            try:
                keeper.logged("/v1/commit", question.to_object())
            except KeeperUnreachable as failed:
                failures.append(failed.code)
                return

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.05)
    process = own_pair.processes[role]
    assert process.running is not None
    process.running.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    asking.join()
    assert set(failures) <= {"unreachable"}
    assert not process.socket.exists()


@each_role
@pytest.mark.parametrize("leaves_lost", [1, 2, 5], ids=["same size", "shorter", "much shorter"])
def test_a_keeper_put_back_to_an_old_backup_is_found_out(
    own_pair: Pair, role: Role, leaves_lost: int, tmp_path: Path
) -> None:
    """Its log forgot leaves that the other cosigned, whatever was written since."""
    process = own_pair.processes[role]
    process.stop()
    shutil.copytree(process.folder, tmp_path / "backup")
    process.start()
    for _ in range(leaves_lost):
        own_pair.keepers().commit(own_pair.question())
    process.stop()
    shutil.rmtree(process.folder)
    shutil.copytree(tmp_path / "backup", process.folder)
    process.start()
    with pytest.raises(KeeperUntrue) as found:
        own_pair.keepers().commit(own_pair.question())
    assert found.value.role == role
    assert code_of(lambda: own_pair.keepers().commit(own_pair.question())) == "quarantined"


@each_role
def test_a_second_keeper_does_not_take_a_socket_that_is_served(own_pair: Pair, role: Role) -> None:
    process = own_pair.processes[role]
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run("serve", "--store", process.folder, "--socket", process.socket)
    assert "listens on this socket already" in failed.value.stderr
    assert own_pair.raw(role).call("GET", "/healthz", {}).status == 200
