"""What one supervised process is, and how it is started with no more rights than it needs."""

import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """A system uid that a process runs as, with the groups that let it reach other services."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Service:
    """One process: everything that is needed to start it, to know that it serves, and to stop it.

    `env` is the whole environment; nothing is inherited. `ready` is given what this run has printed
    and is asked again and again until it answers True; an OSError (nobody listens yet) counts as
    False. `identity` None keeps our own uid.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    ready: Callable[[str], bool]
    identity: Identity | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    ready_seconds: float = 30.0
    grace_seconds: float = 10.0


def spawn(service: Service, log: Path) -> subprocess.Popen[bytes]:
    """Start the process in a group of its own, its output appended to `log`.

    The kernel kills it when the thread that called us ends, so the caller must outlive it.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [*drop_to(service.identity), *service.argv],
            env=dict(service.env),
            cwd=service.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            umask=0o077,
            start_new_session=True,
        )


def drop_to(identity: Identity | None) -> list[str]:
    """The command line to put before another, so that it runs with `identity` and no more.

    Made of prlimit and setpriv (util-linux, on every Debian); each becomes the next by exec.
    No core file may hold a key, and no program with a set-uid bit may win anything back. The parent
    death signal is set last, since a change of uid clears it.
    """
    limits = ["prlimit", "--core=0:0", "--"]
    bonds = ["setpriv", "--no-new-privs", "--pdeathsig=KILL"]
    if identity is None:
        return [*limits, *bonds, "--"]
    groups = ",".join(map(str, identity.groups))
    return [
        *limits,
        *bonds,
        f"--reuid={identity.uid}",
        f"--regid={identity.gid}",
        f"--groups={groups}" if groups else "--clear-groups",
        "--inh-caps=-all",
        "--",
    ]
