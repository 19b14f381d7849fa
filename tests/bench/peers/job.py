"""One load at a peer: ``python -m tests.bench.peers.NAME JOB``, JSON in the argument and on stdout.

Making empty tables is not measured; reading the source, loading and committing is.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from tests.bench.measure import Cost, peak_bytes, timed
from tests.bench.peers.questions import Answering, Question, answered

ROOT = Path(__file__).parents[3]
# `sh deploy/setup.sh --bench` makes it: what only peers need.
PEERS_PYTHON = Path(sys.prefix) / "bench" / "bin" / "python"
ABSENT = "run sh deploy/setup.sh --bench"


@dataclass(frozen=True)
class Job:
    """``source`` goes to ``place``: a folder, or a database's URL whose server's first process is
    ``server``. ``how`` is the peer's own word. All rows are given back in the Arrow file ``rows``
    afterwards, if there is one. Then it is asked what is in the JSON file ``questions``, and again
    for so many ``rounds``."""

    source: str
    place: str
    how: str = ""
    server: int | None = None
    rows: str = ""
    questions: str = ""
    rounds: int = 0


@dataclass(frozen=True)
class Loaded:
    """What it cost, and what it left. ``peak_bytes`` are of the process alone, not of a server it
    calls; ``wal_bytes`` is 0 where there is no such log; ``answers`` are by question."""

    cost: Cost
    disk_bytes: int
    wal_bytes: int
    peak_bytes: int
    answers: Mapping[str, Any]


class Peer(Protocol):
    """Made with empty tables; loads once. ``rows`` are as `icrstore.flow.schema` has them."""

    def __init__(self, job: Job) -> None: ...
    def load(self) -> None: ...
    def sizes(self) -> tuple[int, int]: ...
    def rows(self) -> pa.Table: ...


def load(name: str, job: Job, python: Path | None = None) -> Loaded:
    """Called by the benchmark. Raises CalledProcessError."""
    command = [str(python or sys.executable), "-m", f"tests.bench.peers.{name}"]
    ended = subprocess.run(
        [*command, json.dumps(asdict(job))], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    cost = Cost(told["wall"], told["cpu"])
    return Loaded(cost, told["disk"], told["wal"], told["peak"], told["answers"])


def serve(peer_type: type[Peer]) -> None:
    """Called by the peer's process."""
    job = Job(**json.loads(sys.argv[1]))
    peer = peer_type(job)
    _, cost = timed(peer.load, *([job.server] if job.server else []))
    peak, (disk, wal) = peak_bytes(), peer.sizes()
    if job.rows:
        write_arrow(peer.rows(), Path(job.rows))
    told = {"wall": cost.wall, "cpu": cost.cpu, "disk": disk, "wal": wal, "peak": peak}
    print(json.dumps({**told, "answers": _answers(peer, job) if job.questions else {}}))


def _answers(peer: Peer, job: Job) -> dict[str, Any]:
    if not isinstance(peer, Answering):
        raise TypeError("this peer answers no questions")
    told = json.loads(Path(job.questions).read_text())
    return answered(peer, [Question.of(each) for each in told], job.rounds)


def write_arrow(table: pa.Table, path: Path) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return path


def read_arrow(path: Path) -> pa.Table:
    with pa.OSFile(str(path), "rb") as file:
        return pa.ipc.open_file(file).read_all()
