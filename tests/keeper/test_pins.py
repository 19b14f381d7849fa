"""Pins, through the command line and beside a keeper that serves."""

import contextlib
import io
import json
from contextlib import closing
from pathlib import Path

import pytest

from icrstore.keeper import cli
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.ledger import Ledger
from icrstore.keeper.queries import tenant
from icrstore.seal.epoch import ROLES
from icrstore.warrant.strict import encode_base64
from tests.keeper.pair import Pair, code_of
from tests.keeper.papers import AUTHORITY, ENGINE, TENANT
from tests.keeper.processes import run

ONE, TWO, THREE = (encode_base64(bytes([n]) * 32) for n in (1, 2, 3))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "keeper"
    do("init", "--store", folder, "--role", "operator", "--instance", "7",
        "--name", "demo.icrstore/operator-7")  # fmt: skip
    do("pin", "tenant", TENANT, ONE, "--store", folder)
    return folder


def do(*arguments: object) -> str:
    """The command, in this process; what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert cli.run([str(each) for each in arguments]) == 0
    return printed.getvalue()


def refused(*arguments: object) -> str:
    """What a command that fails says."""
    said = io.StringIO()
    # argparse refuses by ending, with 2.
    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        assert cli.run([str(each) for each in arguments]) == 1
    return said.getvalue()


def leaves(store: Path) -> list[dict[str, object]]:
    """The private texts of the tenant's log."""
    with closing(Keeper.open(store)) as keeper, keeper.store.read() as tx:
        ledger = Ledger(tx, keeper.identity, tenant(tx, TENANT))
        texts = [leaf.private for leaf in ledger.leaves(0, ledger.size)]
    return [json.loads(text) for text in texts]


def test_each_change_of_pins_is_a_leaf_and_no_change_is_none(store: Path) -> None:
    at = ["--store", store]
    for _ in range(2):
        do("pin", "authority", AUTHORITY, ONE, "--tenant", TENANT, *at)
        do("pin", "engine", ENGINE, ONE, "--tenant", TENANT, *at)
        do("pin", "peer", "oversight", "demo.icrstore/oversight-1", ONE, TWO, *at)
        do("pin", "tenant", TENANT, ONE, *at)
    pinned = [(leaf["type"], leaf["pin"]) for leaf in leaves(store)]
    assert pinned == [("pin", kind) for kind in ("tenant", "authority", "engine", "peer")]


@pytest.mark.parametrize(
    "what",
    [
        ["tenant", TENANT, TWO],
        ["authority", AUTHORITY, TWO, "--tenant", TENANT],
        ["engine", ENGINE, TWO, "--tenant", TENANT],
        ["peer", "oversight", "demo.icrstore/oversight-1", ONE, THREE],
        ["peer", "oversight", "demo.icrstore/oversight-2", ONE, TWO],
    ],
    ids=lambda what: " ".join(what[:1]),
)
def test_another_key_for_a_pinned_name_needs_replace(store: Path, what: list[str]) -> None:
    at = ["--store", store]
    do("pin", "authority", AUTHORITY, ONE, "--tenant", TENANT, *at)
    do("pin", "engine", ENGINE, ONE, "--tenant", TENANT, *at)
    do("pin", "peer", "oversight", "demo.icrstore/oversight-1", ONE, TWO, *at)
    before, size = do("show", "--json", *at), len(leaves(store))
    assert refused("pin", *what, *at) == "refused: already-pinned\n"
    assert do("show", "--json", *at) == before
    do("pin", *what, "--replace", *at)
    assert len(leaves(store)) == size + 1


def test_a_tenant_that_comes_later_logs_the_peer_too(store: Path) -> None:
    at = ["--store", store]
    do("pin", "peer", "oversight", "demo.icrstore/oversight-1", ONE, TWO, *at)
    do("pin", "tenant", "second", TWO, *at)
    shown = json.loads(do("show", "--json", *at))
    assert {one["tenant"]: one["leaves"] for one in shown["tenants"]} == {TENANT: 2, "second": 2}


def test_pins_that_make_no_sense_are_refused(store: Path) -> None:
    at = ["--store", store]
    assert "unknown-tenant" in refused("pin", "engine", ENGINE, ONE, "--tenant", "nobody", *at)
    assert "own-role" in refused("pin", "peer", "operator", "demo.icrstore/x", ONE, TWO, *at)
    for key in ("AAAA", ONE[:-1], "!" * 44, ""):
        told = refused("pin", "tenant", "third", key, *at)
        assert "32 bytes in base64" in told
    assert "control-character" in refused("pin", "tenant", "a\nb", ONE, *at)


def test_a_keeper_is_made_once(store: Path) -> None:
    again: list[object] = [
        "init",
        "--store",
        store,
        "--role",
        "oversight",
        "--instance",
        "1",
        "--name",
        "x/y",
    ]
    assert refused(*again) == "refused: already-a-keeper\n"
    elsewhere = [*again[:2], store.parent / "other", *again[3:-1]]
    for name in ("Upper", "with space", "plus+", "", "line\n"):
        assert "a keeper's name" in refused(*elsewhere, name)


def test_a_pin_takes_effect_while_the_keeper_serves(own_pair: Pair) -> None:
    question = own_pair.question()

    def commit() -> object:
        return own_pair.keepers().commit(question)

    replaced = encode_base64(own_pair.public("stranger"))
    for role in ROLES:
        store = own_pair.processes[role].folder
        run("pin", "engine", ENGINE, replaced, "--tenant", TENANT, "--replace", "--store", store)
    assert code_of(commit) == "unknown-key"
    for role in ROLES:
        store, back = own_pair.processes[role].folder, encode_base64(own_pair.public("engine"))
        run("pin", "engine", ENGINE, back, "--tenant", TENANT, "--replace", "--store", store)
    assert commit()
