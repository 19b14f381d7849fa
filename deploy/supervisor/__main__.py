"""The command line: `python -m deploy.supervisor up | run | status | stop | reset`.

up [--once] [-- COMMAND]
        prepare and start everything, run COMMAND, then serve until SIGINT or SIGTERM
        (--once: end with COMMAND's exit code instead)
run ROLE COMMAND
        run COMMAND with the uid, the secrets and the settings of that process; ROLE admin is
        whoever looks after the installation:  run admin ./manage.py tenant list
status  say what runs; ends with 3 if nothing does
stop    stop it and wait until it is stopped
reset   stop it and delete its state, if the state is ours

The state lies in ICR_VAR (default: var/ in the checkout); web listens on ICR_PORT (default: 8080,
or a free port where that is taken). Other exit codes are those of sysexits.h: 75 if one runs
already.
"""

import argparse
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from deploy import services
from deploy.installation import STATE, Installation
from deploy.layout import CALLS, CODE, Layout, NotOurs, NotPrepared, Unreachable, require_ours
from deploy.supervisor import NotReady, drop_to
from icrstore.shell.harden import harden

EX_SOFTWARE, EX_CANTCREAT, EX_TEMPFAIL, EX_CONFIG = 70, 73, 75, 78
NOTHING_RUNS = 3
LOCK = "supervisor.pid"
DEFAULT_PORT = 8080
STOP_SECONDS = 180.0


class Told(Exception):
    """A signal told us to stop; `code` is what we end with."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, do one thing, answer with its exit code; what an operator can mend is one line."""
    harden()
    asked = _parser().parse_args(arguments)
    var = Path(os.environ.get("ICR_VAR") or CODE / "var").absolute()
    try:
        if asked.what == "up":
            return _up(Layout(var, _port()), asked.command, asked.once)
        if asked.what == "run":
            return _run(var, asked.role, asked.command)
        return {"status": _status, "stop": _stop, "reset": _reset}[asked.what](var)
    except NotOurs as problem:
        return _fail(problem, EX_CANTCREAT)
    except (Unreachable, NotPrepared) as problem:
        return _fail(problem, EX_CONFIG)
    except (NotReady, subprocess.CalledProcessError) as problem:
        return _fail(problem, EX_SOFTWARE)


def _up(layout: Layout, command: Sequence[str], once: bool) -> int:
    layout.create()
    with _only_one(layout.var) as is_only:
        if not is_only:
            return _fail(f"one runs already in {layout.var}", EX_TEMPFAIL)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _tell)
        try:
            with Installation(layout) as installation:
                _say("starting" if layout.separated else "starting, all under one uid: as long as"
                     " root does not start them, nothing separates these processes")  # fmt: skip
                installation.up()
                code = _follow(layout, command)
                if code == 0 and not once:
                    _serve(layout)
                return code
        except Told as told:
            return told.code


def _follow(layout: Layout, command: Sequence[str]) -> int:
    """Run the command with all that an operator of this installation knows; its exit code."""
    if not command:
        return 0
    # A group of its own: Ctrl-C is for us, and we end the whole of the command.
    with subprocess.Popen(
        [*drop_to(None), *command],
        env=services.environment(layout, "admin") | {"ICR_URL": layout.url},
        stdin=subprocess.DEVNULL,
        process_group=0,
    ) as running:
        try:
            return running.wait()
        except Told as told:
            os.killpg(running.pid, signal.SIGTERM)
            # A command that was only minding what serves says so by ending well.
            if running.wait() == 0:
                told.code = 0
            raise


def _run(var: Path, role: str, command: Sequence[str]) -> int:
    """Become the command; the exit code is its own."""
    require_ours(var)
    layout = Layout(var, int(os.environ.get("ICR_PORT", DEFAULT_PORT)))
    identity = None if role == "admin" else layout.identity(role)
    told = services.environment(layout, role) | {"ICR_URL": layout.url}
    argv = [*drop_to(identity), *command]
    os.execvpe(argv[0], argv, told)  # noqa: S606 # the operator's own command


def _serve(layout: Layout) -> None:
    """Returns when told to stop, which is how serving ends well."""
    _say(f"serving on {layout.url} until Ctrl-C")
    try:
        while True:
            signal.pause()
    except Told:
        _say("stopping")


def _status(var: Path) -> int:
    with _only_one(var) as is_only:
        if is_only:
            _say("nothing runs")
            return NOTHING_RUNS
    shown = json.loads((var / STATE).read_text())
    for name, run in shown["services"].items():
        print(f"{name:18} {run['state']:9} pid {run['pid'] or '-':>7}  {run['restarts']} restarts")
    return 0


def _stop(var: Path) -> int:
    deadline = time.monotonic() + STOP_SECONDS
    told = 0
    while time.monotonic() < deadline:
        with _only_one(var) as is_only:
            if is_only:
                return 0
        running = int((var / LOCK).read_text() or 0)
        if running and running != told:
            os.kill(running, signal.SIGTERM)
            told = running
        time.sleep(0.1)
    return _fail(f"process {told} does not stop", EX_TEMPFAIL)


def _reset(var: Path) -> int:
    if not var.exists():
        return 0
    require_ours(var)
    code = _stop(var)
    if code == 0:
        outside = Layout(var, 0).outside()
        if outside is not None:
            shutil.rmtree(outside, ignore_errors=True)
        shutil.rmtree(var)
    return code


@contextmanager
def _only_one(var: Path) -> Iterator[bool]:
    """Hold the lock of `var` with our process id in it; False if another process holds it.

    The kernel lets go of it when its holder dies, so what the file says is stale only when free.
    """
    if not var.exists():
        yield True
        return
    with (var / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield True


def _tell(number: int, frame: FrameType | None) -> None:
    # Stopping takes bounded time and is not begun twice.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Told(number)


def _port() -> int:
    if given := os.environ.get("ICR_PORT"):
        return int(given)
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", DEFAULT_PORT))
        except OSError:
            trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.supervisor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="what", required=True)
    up = commands.add_parser("up", help="start everything")
    up.add_argument("--once", action="store_true", help="end when COMMAND ends")
    up.add_argument("command", nargs="*", metavar="COMMAND", help="run when everything serves")
    run = commands.add_parser("run", help="run a command as one of the processes")
    run.add_argument("role", choices=("admin", *CALLS))
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    for what, help_ in (
        ("status", "say what runs"),
        ("stop", "stop it"),
        ("reset", "stop it and delete its state"),
    ):
        commands.add_parser(what, help=help_)
    return parser


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _fail(problem: Exception | str, code: int) -> int:
    _say(str(problem))
    return code


if __name__ == "__main__":
    sys.exit(main())
