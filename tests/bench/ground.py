"""Where records are sealed in bulk and asked about: PostgreSQL with today's tables and keys for
every process, and nobody at work."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy import database
from icrstore.warrant.dsse import raw_public
from icrstore.warrant.strict import encode_base64
from tests.bench.bulk import KeptEpoch, Plan
from tests.bench.measure import Cost
from tests.bench.roles import told_by
from tests.bench.targets import Asked
from tests.stack import Stack, new_stack


class Ground:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        stack.start("postgres")
        stack.migrate()
        # Whoever has a uid of their own may read what peers keep here.
        self.folder = stack.layout.var / "bench"
        self.folder.mkdir()
        self.folder.chmod(0o755)

    def add_tenant(self, name: str) -> None:
        """Known to no keeper."""
        root = encode_base64(raw_public(Ed25519PrivateKey.generate()))
        self._stack.installation.manage("tenant", "add", name, "--root", root)

    def seal(self, plan: Plan) -> tuple[list[KeptEpoch], Cost, int]:
        """The epochs, what they cost, and the sealing process's peak of memory in bytes."""
        told = told_by(self._stack.installation, "sealer", "tests.bench.bulk", plan.to_object())
        epochs = [KeptEpoch.of(each) for each in told["epochs"]]
        return epochs, Cost(told["wall"], told["cpu"]), told["peak_bytes"]

    def peers_database(self) -> str:
        """The URL of an empty database where others may do as they like."""
        self.sql("CREATE DATABASE peers")
        return database.database_url(self._stack.layout, "admin", "peers")

    def vacuum(self) -> None:
        """What PostgreSQL does to tables by itself, sooner or later."""
        self.sql("VACUUM (ANALYZE)")

    def ask(
        self, tenant: str, epochs: Sequence[KeptEpoch], asked: Sequence[Asked], repeats: int,
        duck: Path | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """What `asking` measures."""
        return told_by(self._stack.installation, "engine", "tests.bench.asking", {
            "tenant": tenant,
            "epochs": [one.to_object() for one in epochs],
            "asked": [one.to_object() for one in asked],
            "repeats": repeats,
            "duck": str(duck) if duck else None,
        })  # fmt: skip

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """As the database's administrator."""
        url = database.database_url(self._stack.layout, "admin")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def prepared() -> Iterator[Ground]:
    """One in a temporary directory, for as long as the block runs."""
    directory = Path(tempfile.mkdtemp(prefix="icr-bench-"))
    try:
        with new_stack(directory) as installation:
            yield Ground(Stack(installation))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
