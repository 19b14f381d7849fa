"""Where a run took place and of what: the machine, the programs' versions, the commit."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from deploy.database import program
from tests.bench.peers.job import PEERS_PYTHON

_ROOT = Path(__file__).parents[2]


def machine() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": _said(program("postgres"), "--version"),
        "duckdb": importlib.metadata.version("duckdb"),
        "clickhouse": _clickhouse(),
    }


def commit() -> str:
    """The commit's id, with a "+" if files differ from it; empty where this is no checkout."""
    head = _git("rev-parse", "HEAD")
    return f"{head}+" if head and _git("status", "--porcelain") else head


def _clickhouse() -> str:
    """Its engine's version, if it is here."""
    places = [str(path) for path in PEERS_PYTHON.parents[1].glob("lib/python*/site-packages")]
    found = importlib.metadata.distributions(name="chdb-core", path=places)
    return next((one.version for one in found), "")


def _git(*arguments: str) -> str:
    return _said(Path("git"), "-C", str(_ROOT), *arguments)


def _said(program: Path, *arguments: str) -> str:
    ended = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    return ended.stdout.strip() if ended.returncode == 0 else ""


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
