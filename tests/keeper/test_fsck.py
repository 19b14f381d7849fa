"""fsck names each fault of a store, and a keeper signs nothing over one; neither changes a byte."""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from icrstore.keeper import queries
from icrstore.keeper.budgets import pin_budget
from icrstore.keeper.canaries import pin_canaries
from icrstore.keeper.cli import run
from icrstore.keeper.errors import StoreLost
from icrstore.keeper.fsck import fsck
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.keys import Chain
from icrstore.keeper.ledger import Draft, Ledger
from icrstore.keeper.policies import take_late
from icrstore.keeper.revocations import revoke
from icrstore.keeper.telling import sign_notice
from icrstore.warrant.backfill import Backfill
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import HourRange, PoolPolicy
from tests.attacks.test_revoked import revocation
from tests.keeper.pair import Pair, rows_of
from tests.keeper.pairs import copy_still
from tests.keeper.papers import ACCOUNT, TENANT, last_hour, utc_now

NOT_OF = "is not what its leaves hash to"


@pytest.fixture(scope="module")
def lived(template: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The store of a keeper that logged some of everything."""
    with copy_still(template, tmp_path_factory.mktemp("lived")) as pair:
        with pair.serving_ahead(timedelta(0)):
            pair.register(pair.seal_epoch(last_hour(), rows_of(ACCOUNT)))
            lent = pair.run(pair.question())
            answer = pair.disclosure(lent.question, ACCOUNT)
            pair.keepers().disclose(lent.question, answer)
            teller = pair.teller("operator")
            for debt in teller.due(TENANT, 0):
                told = sign_notice(TENANT, debt.leaf.index, debt.leaf.text, "outbox", utc_now(),
                                   pair.keys["notifier"])  # fmt: skip
                teller.told(TENANT, told)
            pair.run(pair.question())
        with pair.owner("operator") as keeper:
            pin_budget(keeper, "officer", TENANT, 100, replace=False)
            pin_canaries(keeper, TENANT, ["40-nobody"])
            for policy in policies(pair):
                take_late(keeper, policy)
            revoke(keeper, revocation(pair, "stranger"))
        yield pair.processes["operator"].folder


def policies(pair: Pair) -> list[Envelope]:
    """Pools, and a backfill, which ends within a second."""
    first, hour = last_hour() - timedelta(days=30), timedelta(hours=1)
    rulings = (
        PoolPolicy(TENANT, last_hour() + 9 * hour, ()),
        Backfill(TENANT, "edge-1", HourRange(first, first + hour), utc_now() + 9.0001 * hour),
    )
    return [Envelope.sign("policy", made.to_fields(), pair.keys["tenant"]) for made in rulings]


@pytest.fixture
def store(lived: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lived, tmp_path / "store"))


def change(store: Path, *statements: str, file: str = "keeper.db") -> None:
    with closing(sqlite3.connect(store / file)) as tx, tx:
        for statement in statements:
            assert tx.execute(statement).rowcount >= 1


def faults(store: Path) -> list[str]:
    return [each.removeprefix(f"{TENANT}: ") for each in fsck(store, print)]


def digests(store: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in store.glob("*.*[!m]")}


def test_a_whole_store_has_none_and_is_not_changed(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(store)
    assert run(["fsck", "--store", str(store)]) == 0
    assert "whole" in capsys.readouterr().out
    after = digests(store)
    assert {name: after[name] for name in before} == before


def flipped(table: str, column: str, where: str, at: int = 20) -> str:
    """One byte of one value is another."""
    byte = f"substr({column}, {at}, 1)"
    other = f"CASE {byte} WHEN x'00' THEN x'01' WHEN x'31' THEN x'32' ELSE x'31' END"
    return (
        f"UPDATE {table} SET {column} = CAST(substr({column}, 1, {at - 1}) || CAST({other} AS BLOB)"
        f" || substr({column}, {at} + 1) AS BLOB) WHERE {where}"
    )


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (flipped("leaf", "text", "number = 3", 150), f"node 0/3 {NOT_OF}"),
        (flipped("leaf", "text", "number = 3", 2), "leaf 3 is no leaf"),
        (flipped("leaf", "private", "number = 4"), "leaf 4: its private text does not open"),
        (flipped("node", "hash", "level = 1 AND number = 0"), f"node 1/0 {NOT_OF}"),
        ("DELETE FROM node WHERE level = 2 AND number = 1", f"node 2/1 {NOT_OF}"),
        ("INSERT INTO node SELECT tenant, 9, 0, hash FROM node WHERE level = 0 AND number = 0",
         "nodes where there must be"),
        ("DELETE FROM leaf WHERE number = 2", "leaf 2 is not there"),
        ("UPDATE tenant SET size = size - 1", "and a head of"),
        (flipped("epoch", "atom", "1"), "its atom does not open"),
        (flipped("epoch", "statement_sha256", "1"), "not as it was logged"),
        ("UPDATE debt SET leaf = 2 WHERE number = 1", "its account does not open"),
        ("UPDATE debt SET number = 9 WHERE number = 1", "debt 1 is not there"),
        (flipped("debt", "account", "number = 1"), "its account does not open"),
        ("UPDATE debt SET notice = NULL WHERE number = 1", "notice leaves, and"),
        ("UPDATE request SET commit_leaf = commit_leaf + 1", "is not its commit"),
        ("UPDATE request SET release_leaf = commit_leaf", "is not its release"),
        (flipped("request", "statements", "1"), "its statements do not open"),
        (flipped("request", "answer_sha256", "answer_sha256 NOT NULL"), "is not its disclosure"),
        (flipped("day", "seed", "day = date()"), "its key does not open"),
        (flipped("day", "public", "day = date()"), "another key is published"),
        (flipped("tenant", "root_key", "1"), f"pin tenant {TENANT}: not as it was logged"),
        (flipped("pin", "key", "name = 'engine-1'"), "pin engine engine-1: not as it was"),
        ("DELETE FROM pin WHERE name = 'engine-1'", "pin engine engine-1: not as it was logged"),
        ("INSERT INTO pin SELECT kind, tenant, 'x', key FROM pin WHERE name = 'engine-1'",
         "pin engine x: not as it was logged"),
        (flipped("notifier", "sealing_key", "1"), "pin notifier notifier-1: not as it was logged"),
        (flipped("peer", "witness_key", "1"), "pin peer oversight: not as it was logged"),
        ("DELETE FROM asker WHERE kind = 'officer'", "counts in other budgets"),
        ("UPDATE asker SET day = date(day, '-1 day')", "counts in other budgets"),
        ("UPDATE asker SET name = x'00' WHERE kind = 'authority'", "counts in other budgets"),
        ("UPDATE budget SET most = 9999", "pin budget officer: not as it was logged"),
        ("DELETE FROM canary", "1 canaries are logged, and 0 are kept"),
        (flipped("revocation", "key", "1"), "revocations: other keys than were logged"),
        ("UPDATE backfill SET valid_to = valid_to + 1", "policies: others than were logged"),
        ("UPDATE backfill SET first = 0", "policies: others than were logged"),
        (flipped("policy", "statement", "1", 99), "policies: "),
    ],
)  # fmt: skip
def test_each_fault_is_named(store: Path, spoil: str, named: str) -> None:
    change(store, spoil)
    assert any(named in each for each in faults(store)), faults(store)


def test_rows_that_are_gone_are_missed(store: Path) -> None:
    change(store, "DELETE FROM request_epoch WHERE position = 0", "DELETE FROM epoch")
    assert "1 epochs are logged and not destroyed, and 0 are kept" in faults(store)


def test_a_question_that_is_gone_is_missed(store: Path) -> None:
    change(store, "DELETE FROM request_epoch", "DELETE FROM request")
    told = faults(store)
    assert "2 commit leaves, and 0 that rows stand for" in told
    assert "2 release leaves, and 0 that rows stand for" in told


def test_tags_that_do_not_count_on_are_named(store: Path) -> None:
    """As if they had counted from a recovery on that this log knows nothing of."""
    change(store, f"INSERT INTO recovered VALUES ('{TENANT}', 1, 0, 0)")
    assert any("another tag than its subject's" in each for each in faults(store))


def test_a_chain_that_was_put_back_or_is_anothers_is_named(store: Path) -> None:
    Chain.start(utc_now().date()).save(store)
    assert sum("its key does not open" in each for each in faults(store)) == 400


def test_what_the_witness_remembers_is_what_it_cosigned(store: Path) -> None:
    change(store, "UPDATE cosigned SET size = size + 1", file="witness.db")
    (told,) = fsck(store, print)
    assert told.startswith("witness: ")
    assert "is not what is remembered" in told


def test_the_command_ends_with_65_and_says_where(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(store, flipped("leaf", "private", "number = 4"))
    assert run(["fsck", "--store", str(store)]) == 65
    # It said whom the keeper tells.
    assert capsys.readouterr().out == (
        f"{TENANT}: leaf 4: its private text does not open\n"
        f"{TENANT}: pin notifier notifier-1: not as it was logged\n"
    )
    assert run(["fsck", "--store", str(store / "nowhere")]) == 1


def edge(store: Path) -> int:
    with closing(sqlite3.connect(store / "keeper.db")) as tx:
        return int(tx.execute("SELECT max(number) FROM leaf").fetchone()[0])


def peaks(size: int) -> list[tuple[int, int]]:
    """The complete subtrees whose hashes make the root."""
    made, at = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            made.append((level, at >> level))
            at += 1 << level
    return made


def sign(store: Path, append: bool) -> str:
    with closing(Keeper.open(store)) as keeper:
        if append:
            with keeper.write() as call:
                ledger = call.ledger(TENANT)
                ledger.append(Draft("refusal", {"code": "a-test"}), call.now)
                return ledger.checkpoint()
        with keeper.store.read() as tx:
            return Ledger(tx, keeper.identity, queries.tenant(tx, TENANT)).checkpoint()


@pytest.mark.parametrize("append", [False, True], ids=["read", "appended"])
@pytest.mark.parametrize("grown", [0, 1])
def test_no_flipped_bit_at_the_edge_is_ever_signed_over(
    store: Path, tmp_path: Path, append: bool, grown: int
) -> None:
    """With an even number of leaves and with an odd one: their edges differ."""
    for _ in range(grown):
        sign(store, append=True)
    assert sign(store, append)
    size, spoils = edge(store) + 1, list[str]()
    for level, number in peaks(size):
        spoils.append(flipped("node", "hash", f"level = {level} AND number = {number}"))
        if level:
            below = f"level = {level - 1} AND number = {2 * number + 1}"
            spoils.append(flipped("node", "hash", below))
    if not append:
        spoils.append(flipped("leaf", "text", f"number = {size - 1}", 150))
    signs: Callable[[Path], str] = lambda at: sign(at, append)  # noqa: E731
    for number, spoil in enumerate(spoils):
        spoiled = Path(shutil.copytree(store, tmp_path / str(number)))
        change(spoiled, spoil)
        with pytest.raises(StoreLost):
            signs(spoiled)
