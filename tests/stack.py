"""A real installation in a temporary directory: the services of the demonstration, one by one.

Only what is asked for is started; it is shared by the whole session and stopped at its end. With
ICR_DATABASE_URL of a superuser the session makes a database of its own at that server, and drops
it. Roles belong to the whole server, so it must be one that no installation uses.
"""

import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from deploy import services
from deploy.installation import Installation
from deploy.layout import CALLS, Layout
from deploy.provision import provision


class Stack:
    """Starts a service with all it calls. What is elsewhere (ICR_DATABASE_URL) is used as it is."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.layout = installation.layout
        self._started: set[str] = set()
        self._is_migrated = False
        self._is_provisioned = False

    def start(self, *names: str) -> None:
        """Start these side by side, after whatever they call, with the tables made. Repeatable."""
        callees = {callee: None for name in names for callee in CALLS[name]}
        self._start(*callees)
        if "postgres" in callees:
            self.provision()
        self._start(*names)

    def _start(self, *names: str) -> None:
        wanted = [name for name in names if name not in self._started]
        self.installation.start(*wanted)
        self._started.update(wanted)

    def migrate(self) -> None:
        """Start PostgreSQL with today's tables in it."""
        if not self._is_migrated:
            self.start("postgres")
            self.installation.migrate()
            self._is_migrated = True

    def provision(self) -> None:
        """The tables, both keepers, every process's keys and the trust file."""
        if not self._is_provisioned:
            self.migrate()
            self.start("keeper-operator", "keeper-oversight")
            provision(self.installation)
            self._is_provisioned = True

    def kill(self, name: str) -> None:
        """End the process as a power cut would; returns once another serves in its place."""
        supervisor = self.installation.supervisor
        restarts = supervisor.restarts(name)
        os.kill(supervisor.pid(name), signal.SIGKILL)
        while supervisor.restarts(name) == restarts:
            time.sleep(0.01)
        supervisor.wait(name)

    def stop(self, name: str) -> None:
        """Stop it in good order; it stays down until it is started again."""
        self.installation.supervisor.stop(name)
        self._started.discard(name)

    def log(self, name: str) -> str:
        """What the present run of the service printed."""
        return self.installation.supervisor.log(name)

    def env(self, role: str) -> dict[str, str]:
        """The whole environment of a process of that role; "admin" owns the database."""
        return services.environment(self.layout, role)


def new_stack(directory: Path) -> Installation:
    """An installation in that directory, with a free port."""
    return Installation(Layout(directory, free_port()))


def free_port() -> int:
    """One that nobody listens on, below those that the kernel gives to whoever calls out: until it
    is listened on, any process's next connection could take one of these."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The session's installation; not under tmp_path, which the services' uids cannot enter."""
    directory = Path(tempfile.mkdtemp(prefix="icr-"))
    try:
        with a_database_elsewhere(), new_stack(directory) as installation:
            yield Stack(installation)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def a_database_elsewhere() -> Iterator[None]:
    """A new one at the server that ICR_DATABASE_URL names; nothing if there is none."""
    given = os.environ.get("ICR_DATABASE_URL")
    if not given:
        yield
        return
    server, name = make_conninfo(given, dbname="postgres"), f"icr_{secrets.token_hex(4)}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ICR_DATABASE_URL", make_conninfo(given, dbname=name))
        try:
            yield
        finally:
            with psycopg.connect(server, autocommit=True) as admin:
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
