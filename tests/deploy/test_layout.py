"""Who may enter which directory, and what is never touched."""

import os
import pwd
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.layout import CODE, SOCKET_PATH_BYTES, Layout, NotOurs, Unreachable, require_ours

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give services their own uids")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A temporary directory that other uids may pass through, unlike tmp_path."""
    directory = Path(tempfile.mkdtemp(prefix="icr-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_does_not_fill_a_directory_that_holds_something_else(open_directory: Path) -> None:
    (open_directory / "thesis.txt").touch()

    with pytest.raises(NotOurs, match="holds something else"):
        Layout(open_directory, 1).create()

    assert [path.name for path in open_directory.iterdir()] == ["thesis.txt"]


def test_it_fills_an_empty_directory_and_knows_it_again(open_directory: Path) -> None:
    Layout(open_directory, 1).create()
    Layout(open_directory, 1).create()
    require_ours(open_directory)


def test_sockets_lie_in_the_state_where_their_path_fits(open_directory: Path) -> None:
    layout = Layout(open_directory, 1)
    assert layout.sockets("keeper-operator") == open_directory / "run" / "keeper-operator"
    assert layout.outside() is None


def test_sockets_lie_elsewhere_where_their_path_would_be_too_long(open_directory: Path) -> None:
    var = open_directory / ("long-" * 20)
    Layout(var, 1).create()

    sockets = Layout(var, 1).sockets("keeper-oversight")

    assert len(os.fsencode(sockets / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES
    # The next run, and whoever deletes the state, find the same place.
    assert Layout(var, 1).sockets("keeper-oversight") == sockets
    outside = Layout(var, 1).outside()
    assert outside == sockets.parent
    shutil.rmtree(outside)
    assert Layout(var, 1).sockets("keeper-oversight").is_dir()
    shutil.rmtree(Layout(var, 1).outside() or outside)


def test_a_secret_is_read_by_its_service_alone(open_directory: Path) -> None:
    layout = Layout(open_directory, 1)
    layout.write_secret("web", "receipt.key", b"old")
    path = layout.write_secret("web", "receipt.key", b"new")

    assert path.read_bytes() == b"new"
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert [each.name for each in path.parent.iterdir()] == ["receipt.key"]


def test_a_link_planted_by_a_service_is_not_followed(open_directory: Path) -> None:
    layout = Layout(open_directory, 1)
    victim = open_directory / "victim"
    victim.write_text("whole")
    for planted in (".receipt.key.new", "receipt.key"):
        (layout.secrets("web") / planted).symlink_to(victim)

    path = layout.write_secret("web", "receipt.key", b"secret")

    assert victim.read_text() == "whole"
    assert path.read_bytes() == b"secret"
    assert not path.is_symlink()


def test_what_is_public_can_be_read_by_all(open_directory: Path) -> None:
    Layout(open_directory, 1).create()
    assert mode(open_directory / "public") == 0o755


@as_root
def test_each_service_has_a_uid_and_directories_of_its_own(open_directory: Path) -> None:
    layout = Layout(open_directory, 1)
    layout.create()
    sealer, web = layout.identity("sealer"), layout.identity("web")
    assert sealer is not None
    assert web is not None
    assert 0 < sealer.uid != web.uid > 0
    assert layout.secrets("sealer").stat().st_uid == sealer.uid
    assert layout.secrets("admin").stat().st_uid == 0


@as_root
def test_a_system_account_that_several_need_at_once_is_made_once() -> None:
    name = f"trial-{secrets.token_hex(4)}"
    need = f"from deploy.layout import _system_account as of; print(of({name!r}).pw_uid)"
    try:
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda _: subprocess.run(
                [sys.executable, "-c", need], cwd=CODE, capture_output=True, text=True, check=False
            ), range(4)))  # fmt: skip
        assert {one.stdout for one in told} == {f"{pwd.getpwnam(f'icr-{name}').pw_uid}\n"}
        assert sum("adding the system account" in one.stderr for one in told) == 1
    finally:
        subprocess.run(["/usr/sbin/userdel", f"icr-{name}"], check=True)


@as_root
def test_only_callers_are_in_the_group_that_may_enter_a_keepers_sockets(
    open_directory: Path,
) -> None:
    layout = Layout(open_directory, 1)
    directory = layout.sockets("keeper-operator")
    assert mode(directory) == 0o710
    group = directory.stat().st_gid
    callers = {
        "sealer",
        "engine",
        "notifier",
        "janitor",
        "beat",
        "web",
        "postgres",
        "valkey",
        "keeper-oversight",
    }
    reaching = {name for name in callers if group in getattr(layout.identity(name), "groups", ())}
    assert reaching == {"sealer", "engine", "notifier", "janitor"}


@as_root
def test_a_directory_that_other_uids_cannot_enter_is_named_with_the_mend(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(Unreachable, match=r"cannot enter .*: .* or run: chmod o\+x "):
        Layout(closed / "var", 1).create()
