"""What a piece of work costs: wall time and CPU time, its own and that of the servers it calls."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import sysconf
from pathlib import Path
from statistics import median
from typing import TypeVar

T = TypeVar("T")

_TICKS_PER_SECOND = sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Seconds of wall clock, and of CPU in all processes that took part."""

    wall: float
    cpu: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.wall + other.wall, self.cpu + other.cpu)

    def scaled(self, factor: float) -> "Cost":
        """Of ``factor`` times as much work."""
        return Cost(self.wall * factor, self.cpu * factor)


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, the least and the greatest."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


def timed(work: Callable[[], T], *servers: int, own: bool = True) -> tuple[T, Cost]:
    """What ``work`` returns and costs: CPU of the process trees of ``servers`` (pids) and, unless
    we only play the client (``own``), of this process."""
    cpu, wall = _cpu_seconds(servers, own), time.perf_counter()
    made = work()
    return made, Cost(time.perf_counter() - wall, _cpu_seconds(servers, own) - cpu)


def peak_bytes(process: str = "self") -> int:
    """The most memory that a program has held. Not ru_maxrss: that survives an exec."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def _cpu_seconds(servers: Sequence[int], own: bool) -> float:
    return (time.process_time() if own else 0.0) + sum(map(_tree_seconds, servers))


def _tree_seconds(root: int) -> float:
    """A process and its descendants, those that have ended too (proc_pid_stat(5))."""
    ticks, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:  # it has ended: its parent's numbers hold it now
            continue
        pid = int(path.parent.name)
        parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    return sum(ticks[pid] for pid in ticks if _is_below(pid, root, parents)) / _TICKS_PER_SECOND


def _is_below(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid != root and pid in parents:
        pid = parents[pid]
    return pid == root
