"""Watches services: starts them, restarts what dies, stops the last started first.

Restarts wait twice as long after each failure, with jitter, until a run has proven steady.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.supervisor.log import Log
from deploy.supervisor.service import Service, spawn

TICK_SECONDS = 0.05
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0


class NotReady(Exception):
    """A service did not become ready; the message ends with the last lines of its log."""

    def __init__(self, name: str, reason: str, tail: str) -> None:
        super().__init__(f"{name} did not become ready: {reason}\n{tail}")
        self.name = name


class State(StrEnum):
    """WAITING comes before each start; FAILED is a first start that never served."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass
class _Run:
    """One service under watch. Only the watching thread moves it, except out of STOPPING."""

    service: Service
    log: Log
    state: State = State.WAITING
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    due: float = 0.0
    failures: int = 0
    restarts: int = 0
    served: bool = False
    reason: str = ""


class Supervisor:
    """A context manager: services started inside it are stopped, last first, when it is left.

    Every process is a child of one watching thread, so its parent death signal comes when this
    process dies, however it dies. Logs go to `logs`/NAME.log; `state_file` tells what runs.
    """

    def __init__(self, logs: Path, state_file: Path) -> None:
        self._logs = logs
        self._state_file = state_file
        self._runs: dict[str, _Run] = {}
        self._started: list[tuple[str, ...]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watch services", daemon=True)

    def __enter__(self) -> Self:
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_all()
        self._over.set()
        self._watcher.join()
        self._state_file.unlink(missing_ok=True)

    def start(self, *services: Service) -> None:
        """Start them side by side and return once all serve.

        A first start is not tried twice: raises NotReady. Raises ValueError if one runs already.
        """
        with self._lock:
            for service in services:
                before = self._runs.get(service.name)
                if before is not None and before.state not in (State.FAILED, State.STOPPED):
                    raise ValueError(f"{service.name} is already {before.state}")
            for service in services:
                log = Log(self._logs / f"{service.name}.log")
                self._runs[service.name] = _Run(service, log)
            self._started.append(tuple(service.name for service in services))
        for service in services:
            self.wait(service.name)

    def wait(self, name: str) -> None:
        """Return once the service serves, be it after restarts; raises NotReady if it cannot."""
        run = self._runs[name]
        deadline = time.monotonic() + run.service.ready_seconds + LONGEST_PAUSE_SECONDS
        while run.state is not State.RUNNING:
            over = run.state in (State.FAILED, State.STOPPING, State.STOPPED)
            if over or time.monotonic() > deadline:
                raise NotReady(name, run.reason, run.log.tail())
            time.sleep(TICK_SECONDS)

    def stop(self, *names: str) -> None:
        """Ask them to stop, side by side; wait each one's grace time, then kill its whole process
        group. Safe twice."""
        asked = [(self._runs[name], self._ask_to_stop(self._runs[name])) for name in names]
        for run, process in asked:
            if process is not None:
                _await_exit(process.pid, run.service.grace_seconds)
                _end(process)
            run.state, run.reason = State.STOPPED, "it was stopped"

    def _ask_to_stop(self, run: _Run) -> subprocess.Popen[bytes] | None:
        with self._lock:
            # From here the watcher leaves this run alone: nothing restarts it.
            process, run.process = run.process, None
            run.state = State.STOPPING
        if process is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, run.service.stop_signal)
        return process

    def stop_all(self) -> None:
        """Stop everything, last started first; what was started side by side stops so."""
        for names in reversed(self._started):
            self.stop(*names)

    def pid(self, name: str) -> int:
        """The process now running; raises NotReady between a failure and the next start."""
        run = self._runs[name]
        with self._lock:
            if run.process is None:
                raise NotReady(name, f"it is {run.state}", "")
            return run.process.pid

    def restarts(self, name: str) -> int:
        """How often it died after it had served."""
        return self._runs[name].restarts

    def log(self, name: str) -> str:
        """What the present run of the service printed, at most its last 64 KiB."""
        return self._runs[name].log.this_run()

    # What follows runs in the watching thread only.

    def _watch(self) -> None:
        written = ""
        while not self._over.wait(TICK_SECONDS):
            with self._lock:
                for run in self._runs.values():
                    self._advance(run, time.monotonic())
                now_so = _describe(self._runs.values())
            if now_so != written:
                # A full disk must not end the watch; the next tick tries again.
                with suppress(OSError):
                    _replace(self._state_file, now_so)
                    written = now_so

    def _advance(self, run: _Run, now: float) -> None:
        if run.state is State.WAITING and now >= run.due:
            self._spawn(run, now)
        elif run.state in (State.STARTING, State.RUNNING) and run.process is not None:
            self._check(run, run.process, now)

    def _spawn(self, run: _Run, now: float) -> None:
        try:
            run.log.begin_run()
            run.process = spawn(run.service, run.log.path)
        except OSError as error:
            self._fail(run, now, f"it cannot be started: {error.strerror}")
        else:
            run.state, run.since = State.STARTING, now

    def _check(self, run: _Run, process: subprocess.Popen[bytes], now: float) -> None:
        if _has_exited(process.pid):
            self._fail(run, now, f"it ended with {_end(process)}")
        elif run.state is State.RUNNING:
            with suppress(OSError):
                run.log.bound()
            if now - run.since > STEADY_SECONDS:
                run.failures = 0
        elif _is_ready(run):
            run.state, run.since, run.served = State.RUNNING, now, True
        elif now - run.since > run.service.ready_seconds:
            _end(process)
            self._fail(run, now, f"no answer within {run.service.ready_seconds:g} s")

    def _fail(self, run: _Run, now: float, reason: str) -> None:
        run.process, run.reason = None, reason
        if not run.served:
            run.state = State.FAILED
            return
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**run.failures)
        # Jitter, so that services which fell together do not come back in step.
        run.due = now + pause * random.uniform(0.5, 1.0)  # noqa: S311 # not a secret
        run.failures += 1
        run.restarts += 1
        run.state = State.WAITING


def _is_ready(run: _Run) -> bool:
    try:
        return run.service.ready(run.log.this_run())
    except OSError:
        return False


def _has_exited(pid: int) -> bool:
    # WNOWAIT leaves the dead leader unreaped, and so nobody else gets its group's number yet.
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _await_exit(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _has_exited(pid) and time.monotonic() < deadline:
        time.sleep(TICK_SECONDS / 5)


def _end(process: subprocess.Popen[bytes]) -> int:
    """Kill what is left of the process group and reap its leader; answers the exit code."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _describe(runs: Iterable[_Run]) -> str:
    services = {
        run.service.name: {
            "state": run.state,
            "pid": run.process.pid if run.process else None,
            "restarts": run.restarts,
        }
        for run in runs
    }
    return json.dumps({"pid": os.getpid(), "services": services}, indent=1)


def _replace(path: Path, text: str) -> None:
    """Write so that a reader sees the old text or the new, never a part."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text)
    draft.replace(path)
