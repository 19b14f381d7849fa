"""Where one installation keeps its state, and which system uid may enter which part of it.

Run as root, every service has a uid and group of its own, made on first use. The sockets of a
service lie in a directory that only its group may enter, and whoever may call it is put in that
group. Run as anybody else, all services share one uid and nothing of this separates them.
"""

import fcntl
import grp
import os
import pwd
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deploy.supervisor import Identity

CODE = Path(__file__).resolve().parent.parent
MARKER = ".icrstore"

# Which services each may call. The web process reaches no keeper: it opens nothing.
CALLS: Mapping[str, tuple[str, ...]] = {
    "postgres": (),
    "valkey": (),
    "keeper-operator": (),
    "keeper-oversight": (),
    "sealer": ("postgres", "valkey", "keeper-operator", "keeper-oversight"),
    "engine": ("postgres", "valkey", "keeper-operator", "keeper-oversight"),
    "notifier": ("postgres", "valkey", "keeper-operator", "keeper-oversight"),
    "janitor": ("postgres", "valkey", "keeper-operator", "keeper-oversight"),
    "beat": ("valkey",),
    "web": ("postgres", "valkey"),
}
SERVERS = tuple(name for name, callees in CALLS.items() if not callees)
# The processes with a database role of their own, `icr_NAME`.
DATABASE_ROLES = tuple(name for name, callees in CALLS.items() if "postgres" in callees)

# sun_path holds 108 bytes with its final zero (unix(7)).
SOCKET_PATH_BYTES = 107


class Unreachable(Exception):
    """The services' uids cannot enter a directory that they need; the message says the mend."""


class NotPrepared(Exception):
    """Something that runs elsewhere is not as it must be; the message says the mend."""


class NotOurs(Exception):
    """The directory holds something else: it is neither filled nor deleted."""


@dataclass(frozen=True)
class Layout:
    """The directories below `var`, made when first asked for, with their owners and modes.

    `port` is where web listens on 127.0.0.1; nothing else listens on a network.
    """

    var: Path
    port: int
    code: Path = CODE

    @cached_property
    def separated(self) -> bool:
        """Whether each service has a uid of its own, which only root can give it."""
        return os.geteuid() == 0

    def create(self) -> None:
        """Make `var` with its marker. Raises NotOurs, or Unreachable to the services' uids."""
        self.var.mkdir(parents=True, exist_ok=True)
        if any(self.var.iterdir()):
            require_ours(self.var)
        (self.var / MARKER).touch()
        # Others may pass through but not list; each directory below says for itself.
        self.var.chmod(0o711 if self.separated else 0o700)
        # What anyone may know: the trust file and public keys.
        (self.var / "public").mkdir(exist_ok=True)
        (self.var / "public").chmod(0o755)
        if self.separated:
            for path in (self.var, self.code, Path(sys.executable), Path(sys.executable).resolve()):
                _require_passage(path)

    def identity(self, name: str) -> Identity | None:
        """The uid, group and callable services' groups of `name`; None if nothing separates."""
        if not self.separated:
            return None
        groups = tuple(_system_account(callee).pw_gid for callee in CALLS[name])
        account = _system_account(name)
        return Identity(account.pw_uid, account.pw_gid, groups)

    def private(self, name: str, *parts: str) -> Path:
        """A directory below `var` that only the service `name` may enter."""
        return self._owned(self.var.joinpath(*parts), name, 0o700)

    def secrets(self, name: str) -> Path:
        """Where the service `name` keeps passwords and keys; "admin" is whoever runs us."""
        return self.private(name, "secrets", name)

    @property
    def url(self) -> str:
        """Where web answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def logs(self) -> Path:
        """One log per service, for whoever runs us."""
        return self.var / "log"

    def sockets(self, name: str) -> Path:
        """The directory of a server's sockets. Its group may enter, and so whoever may call it."""
        return self._owned(self._sockets_root / name, name, 0o710)

    @cached_property
    def _sockets_root(self) -> Path:
        """`var/run`, or a short directory recorded in `var` when a socket's path would not fit."""
        longest = self.var / "run" / max(SERVERS, key=len) / ".s.PGSQL.5432"
        if len(os.fsencode(longest)) <= SOCKET_PATH_BYTES:
            return self._passage(self.var / "run")
        record = self.var / "sockets-are-in"
        if not record.exists() or not Path(record.read_text()).is_dir():
            base = "/run" if self.separated else "/tmp"  # noqa: S108 # mkdtemp below is safe there
            record.write_text(tempfile.mkdtemp(prefix="icr-", dir=base))
        return self._passage(Path(record.read_text()))

    def outside(self) -> Path | None:
        """The directory of sockets that does not lie below `var`, if there is one."""
        record = self.var / "sockets-are-in"
        return Path(record.read_text()) if record.exists() else None

    def write_secret(self, name: str, file_name: str, content: bytes) -> Path:
        """Put a file of mode 0600, owned by the service `name`, into its secrets, whole or not."""
        folder = self.secrets(name)
        draft = folder / f".{file_name}.new"
        draft.unlink(missing_ok=True)
        # The service owns the folder: a link that it plants there must not be followed by root.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(draft, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            self._give(file.fileno(), name)
        return draft.replace(folder / file_name)

    def _give(self, path: Path | int, name: str) -> None:
        if self.separated and name in CALLS:
            account = _system_account(name)
            os.chown(path, account.pw_uid, account.pw_gid)

    def _passage(self, path: Path) -> Path:
        path.mkdir(exist_ok=True)
        path.chmod(0o711 if self.separated else 0o700)
        return path

    def _owned(self, path: Path, name: str, mode: int) -> Path:
        for parent in reversed([p for p in path.parents if self.var in p.parents]):
            self._passage(parent)
        path.mkdir(mode=0o700, exist_ok=True)
        self._give(path, name)
        path.chmod(mode)
        return path


def require_ours(var: Path) -> None:
    """Raises NotOurs unless the directory has our marker."""
    if not (var / MARKER).is_file():
        raise NotOurs(f"{var} holds something else: it has no {MARKER}")


def _system_account(name: str) -> pwd.struct_passwd:
    """The entry `icr-NAME` of /etc/passwd, made on first use with a group and no shell."""
    wanted = f"icr-{name}"
    with suppress(KeyError):
        return pwd.getpwnam(wanted)
    # Two installations that start at once: the second waits here, then finds it made.
    with _locked(Path("/etc")):
        if wanted not in (entry.pw_name for entry in pwd.getpwall()):
            _add_system_account(wanted)
    return pwd.getpwnam(wanted)


def _add_system_account(wanted: str) -> None:
    print(f"adding the system account {wanted}", file=sys.stderr)
    nologin = ["--no-create-home", "--home-dir=/nonexistent", "--shell=/usr/sbin/nologin"]
    group = f"--gid={wanted}" if _group_exists(wanted) else "--user-group"
    subprocess.run(["/usr/sbin/useradd", "--system", group, *nologin, wanted], check=True)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _group_exists(name: str) -> bool:
    return any(entry.gr_name == name for entry in grp.getgrall())


def _require_passage(path: Path) -> None:
    for directory in path.absolute().parents:
        if not directory.stat().st_mode & stat.S_IXOTH:
            raise Unreachable(
                f"the services' own uids cannot enter {directory}, which {path} lies in:"
                f" move the checkout, for example to /opt, or run: chmod o+x {directory}"
            )
