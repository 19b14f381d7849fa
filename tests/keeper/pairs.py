"""Pairs of keepers: made, copied, served, and as fixtures."""

import base64
import contextlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper import queries
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.pins import pin, pin_notifier, pin_peer, pin_tenant
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.trust import KeeperIdentity
from icrstore.wire import hpke
from tests.keeper.pair import Pair
from tests.keeper.papers import AUTHORITY, ENGINE, PEOPLE, TENANT
from tests.keeper.processes import Process, run, short_folder


@contextlib.contextmanager
def make_pair(folder: Path) -> Iterator[Pair]:
    """Two keepers made, pinned and serving below ``folder``; they end with the block."""
    with short_folder() as sockets:
        pair = _make(folder, sockets)
        yield from _serving(pair)


@contextlib.contextmanager
def copy_pair(template: Pair, folder: Path) -> Iterator[Pair]:
    """The stores of a pair that is stopped, copied and served: much faster than a new pair."""
    with short_folder() as sockets:
        yield from _serving(_copied(template, folder, sockets))


@contextlib.contextmanager
def copy_still(template: Pair, folder: Path) -> Iterator[Pair]:
    """As `copy_pair`, but served by nobody."""
    with short_folder() as sockets:
        yield _copied(template, folder, sockets)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair that was made and never served; only to be copied."""
    with short_folder() as sockets:
        yield _make(tmp_path_factory.mktemp("template"), sockets)


@pytest.fixture(scope="session")
def pair(template: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One pair that many tests share: leave it serving, and use a warrant of your own."""
    with copy_pair(template, tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.fixture
def own_pair(template: Pair, tmp_path: Path) -> Iterator[Pair]:
    """A pair of one's own, to kill, starve and restart."""
    with copy_pair(template, tmp_path) as made:
        yield made


@pytest.fixture
def still_pair(template: Pair, tmp_path: Path) -> Iterator[Pair]:
    """A pair of one's own that nobody serves, for clocks of one's own (`Pair.owner`)."""
    with copy_still(template, tmp_path) as made:
        yield made


def _copied(template: Pair, folder: Path, sockets: Path) -> Pair:
    processes = {}
    for role, process in template.processes.items():
        shutil.copytree(process.folder, folder / role)
        processes[role] = Process(role, folder / role, sockets / role)
    return Pair(template.keys, processes, template.identities, template.notifier_key)


def _serving(pair: Pair) -> Iterator[Pair]:
    try:
        pair.start()
        yield pair
    finally:
        for process in pair.processes.values():
            if process.running is not None:
                process.kill()


def _make(folder: Path, sockets: Path) -> Pair:
    keys = {name: Ed25519PrivateKey.generate() for name in PEOPLE}
    processes = {role: Process(role, folder / role, sockets / role) for role in ROLES}
    with ThreadPoolExecutor() as pool:
        identities = dict(zip(ROLES, pool.map(_init, processes.values()), strict=True))
        pair = Pair(keys, processes, identities, hpke.PrivateKey.generate())
        list(pool.map(lambda role: _pin_all(pair, role), ROLES))
    return pair


def _init(process: Process) -> KeeperIdentity:
    name = f"demo.icrstore/{process.role}-1"
    made = json.loads(
        run("init", "--store", process.folder, "--role", process.role, "--instance", "1",
            "--name", name, "--json")
    )  # fmt: skip
    keys = {key: base64.b64decode(made[key]) for key in ("identity_key", "log_key", "witness_key")}
    return KeeperIdentity(process.role, 1, name, **keys)


def _pin_all(pair: Pair, role: Role) -> None:
    """By the functions behind the command line, which has tests of its own and starts slowly."""
    keeper = StoreOwner.open(pair.processes[role].folder)
    peer = next(identity for identity in pair.identities.values() if identity.role != role)
    pin_tenant(keeper, TENANT, pair.public("tenant"), replace=False)
    pin(keeper, "authority", TENANT, AUTHORITY, pair.public("root"), replace=False)
    pin(keeper, "engine", TENANT, ENGINE, pair.public("engine"), replace=False)
    pin(keeper, "engine", TENANT, "engine-2", pair.public("engine-2"), replace=False)
    sealing_key = pair.notifier_key.public_bytes()
    notifier = queries.NotifierRow(TENANT, "notifier-1", pair.public("notifier"), sealing_key)
    pin_notifier(keeper, notifier, replace=False)
    pinned = queries.Peer(peer.role, peer.name, peer.log_key, peer.witness_key)
    pin_peer(keeper, pinned, replace=False)
    keeper.close()
