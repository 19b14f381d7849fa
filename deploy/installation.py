"""One running installation: prepared step by step, then served by the supervisor.

Every step of the preparation finds what an earlier run left, finished or not, and goes on.
"""

import subprocess
import sys
from types import TracebackType
from typing import Self

from deploy import database, services
from deploy.layout import SERVERS, Layout
from deploy.provision import provision, require_keepers
from deploy.supervisor import Supervisor, drop_to
from icrstore.keeper.keys import KEYS

STATE = "supervisor.json"


class Installation:
    """A context manager; what was started inside is stopped when it is left."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.supervisor = Supervisor(layout.logs, layout.var / STATE)
        self._told: dict[tuple[str, ...], str] = {}

    def __enter__(self) -> Self:
        self.layout.create()
        self.supervisor.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.supervisor.__exit__(kind, error, traceback)

    def start(self, *names: str) -> None:
        """Make what these need on disk, start them side by side, return once all serve.

        What runs elsewhere is not started; another's database gets its roles all the same.
        """
        ours = [name for name in names if name in services.names(self.layout)]
        for name in ours:
            if name == "postgres":
                database.create_cluster(self.layout)
                database.await_predecessor(self.layout)
            elif name.startswith("keeper-"):
                self._make_keeper(name.removeprefix("keeper-"))
        self.supervisor.start(*(services.service(self.layout, name) for name in ours))
        if "postgres" in names:
            database.create_roles(self.layout)

    def migrate(self) -> None:
        """Bring the tables up to date as the database's owner, then grant each role its own."""
        self.manage("migrate", "--no-input")
        self.manage("months")
        database.apply_grants(self.layout)

    def up(self) -> None:
        """Start everything that we run ourselves: what is called, the tables, and who calls."""
        ours = services.names(self.layout)
        require_keepers(self)
        self.start(*SERVERS)
        self.migrate()
        provision(self)
        self.start(*(name for name in ours if name not in SERVERS))

    def manage(self, command: str, *arguments: str) -> None:
        """Run one `manage.py` command as the database's owner.

        Django's checks would load every room, each time, and find what the tests find.
        """
        manage = str(self.layout.code / "manage.py")
        self.run("admin", sys.executable, manage, command, "--skip-checks", *arguments)

    def ask(self, role: str, *argv: str) -> str:
        """`run`, once: for what never changes, such as the public half of a key."""
        asked = (role, *argv)
        if asked not in self._told:
            self._told[asked] = self.run(role, *argv)
        return self._told[asked]

    def run(self, role: str, *argv: str) -> str:
        """Run a command with the uid and environment of `role` ("admin": our own); its output.

        This is how keys are made where they will be used. Raises CalledProcessError.
        """
        identity = None if role == "admin" else self.layout.identity(role)
        ended = subprocess.run(
            [*drop_to(identity), *argv],
            env=services.environment(self.layout, role),
            cwd=self.layout.code,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        return ended.stdout

    def _make_keeper(self, role: str) -> None:
        """Make the keeper's keys and store, as its own uid; a second call finds them made."""
        store = services.keeper_store(self.layout, role)
        if (store / KEYS).exists():
            return
        who = ("--role", role, "--instance", "1", "--name", f"{role}.keeper.local")
        keeper = (sys.executable, "-m", "icrstore.keeper", "init")
        self.run(f"keeper-{role}", *keeper, "--store", str(store), *who)
