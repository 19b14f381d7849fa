"""The copies of the keepers' logs: byte for byte, for everyone, and found out when they are not."""

import contextlib
import sqlite3
from datetime import timedelta

import psycopg
import pytest
from django.test import Client
from psycopg import errors

from icrstore.keeper.answers import KeeperRefused, KeeperUntrue
from icrstore.ledger.copying import COSIGNED_EVERY, CopyDiffers, _add
from icrstore.ledger.models import Checkpoint, Fork, Leaf, Log, Node
from icrstore.monitor.reading import NotProven
from icrstore.seal.epoch import ROLES, Role
from icrstore.tlog.checkpoint import Checkpoint as SignedCheckpoint
from icrstore.tlog.checkpoint import parse_checkpoint
from icrstore.tlog.merkle import Tree, leaf_hash
from icrstore.tlog.note import parse_note
from icrstore.tlog.tiles import Tile, bundle, tile_bytes
from icrstore.verify.icr_verify import read_trust, verify_fork
from icrstore.warrant.strict import dump, encode_base64
from tests.keeper.pair import Pair
from tests.keeper.papers import TENANT, last_hour, utc_now
from tests.ledger.copies import NotThere, acting, copy_logs, copy_strictly, fetch, log_of, read_copy
from tests.vault.rooms import Database, Rooms, add_tenant

each_role = pytest.mark.parametrize("role", ROLES)


@pytest.fixture
def copied(rooms: Rooms, database: Database) -> Pair:
    """Both logs with one question in them, copied."""
    rooms.pair.run(rooms.pair.question())
    assert copy_logs(database, rooms.pair) > 0
    return rooms.pair


@each_role
def test_a_copy_leads_to_what_the_keeper_signed(
    copied: Pair, database: Database, role: Role
) -> None:
    read = read_copy(database, copied, role)
    assert read.size == copied.leaves(role)
    assert read.leaves["commit"] > 0
    assert abs(read.cosigned_at - utc_now()) < timedelta(minutes=1)


@each_role
def test_checkpoint_tiles_and_bundles_are_those_of_the_keeper(
    copied: Pair, database: Database, role: Role
) -> None:
    copied.register(*(copied.seal_epoch(last_hour(), {}) for _ in range(260)), role=role)
    assert copy_logs(database, copied) >= 260
    log, size = log_of(role), copied.leaves(role)
    paths = [
        Tile(None, 0).path, Tile(None, 1, size - 256).path, Tile(None, 0, 3).path,
        Tile(0, 0).path, Tile(0, 1, size - 256).path, Tile(0, 0, 255).path, Tile(1, 0, 1).path,
    ]  # fmt: skip
    for path in paths:
        asked = copied.raw(role).call("GET", f"/log/{log.pseudonym}/{path}", {})
        assert asked.status == 200
        with acting(database, "web"):
            assert fetch(f"/ledger/{role}/{log.pseudonym}/{path}") == asked.body
    body = parse_note(copied.raw(role).call("GET", f"/log/{log.pseudonym}/checkpoint", {}).body)
    with acting(database, "web"):
        note = fetch(f"/ledger/{role}/{log.pseudonym}/checkpoint")
    assert parse_note(note).body == body.body
    assert read_copy(database, copied, role).size == size


def test_what_is_there_may_be_cached_and_what_is_not_is_not_found(
    copied: Pair, database: Database
) -> None:
    log, size, web = log_of("operator").pseudonym, copied.leaves("operator"), Client()
    place = f"/ledger/operator/{log}"
    with acting(database, "web"):
        told = web.get(f"{place}/checkpoint")
        assert told["Cache-Control"] == "public, max-age=5"
        assert told["Content-Type"] == "text/plain; charset=utf-8"
        told = web.get(f"{place}/{Tile(0, 0, min(size, 256)).path}")
        assert told["Cache-Control"] == "public, max-age=31536000, immutable"
        for path in (
            f"/ledger/oversight/{log}/checkpoint", f"/ledger/operator/{'0' * 16}/checkpoint",
            "/ledger/operator/%00/checkpoint", place.replace("operator", "%00") + "/checkpoint",
            f"{place}/tile/0/999", f"{place}/tile/0/0",
            f"{place}/tile/entries/../0",
            f"{place}/{Tile(0, size // 256, size % 256 + 1).path}",
        ):  # fmt: skip
            told = web.get(path)
            assert (told.status_code, told.json()["code"]) == (404, "not-copied"), path
        assert web.post(f"{place}/checkpoint").status_code == 405


def test_looking_again_copies_nothing_and_signs_nothing_until_an_hour_has_gone(
    copied: Pair, database: Database
) -> None:
    before = Checkpoint.objects.count()
    assert copy_logs(database, copied) == 0
    assert Checkpoint.objects.count() == before == len(ROLES)
    Checkpoint.objects.update(cosigned_at=utc_now() - COSIGNED_EVERY)
    assert copy_logs(database, copied) == 0
    assert Checkpoint.objects.count() == 2 * before
    assert read_copy(database, copied, "operator").cosigned_at > utc_now() - timedelta(minutes=1)


def test_leaves_and_nodes_that_were_deleted_come_back(copied: Pair, database: Database) -> None:
    for rows in (Leaf.objects.filter(number=1), Leaf.objects.filter(number__gt=2)):
        rows.delete()
        with pytest.raises((NotProven, NotThere)):
            read_copy(database, copied, "operator")
        copy_logs(database, copied)
        assert read_copy(database, copied, "operator").size == copied.leaves("operator")
    Node.objects.all().delete()
    copied.run(copied.question())
    assert copy_logs(database, copied) > 0
    held = Leaf.objects.filter(log=log_of("operator")).order_by("number")
    tree = Tree(leaf.text.encode() for leaf in held)
    tile = Tile(0, 0, min(tree.size, 255))
    place = f"/ledger/operator/{log_of('operator').pseudonym}"
    with acting(database, "web"):
        assert fetch(f"{place}/{tile.path}") == tile_bytes(tree.node, tile)


def test_a_leaf_that_was_altered_swapped_or_hidden_is_found_out(
    copied: Pair, database: Database
) -> None:
    """As the administrator can: in the table, and in the checkpoint that goes with it."""
    log, size = log_of("operator"), copied.leaves("operator")
    last = Leaf.objects.get(log=log, number=size - 1)
    text = last.text
    commit = next(leaf for leaf in Leaf.objects.filter(log=log) if "type=commit" in leaf.text)
    Leaf.objects.filter(pk=commit.pk).update(text=commit.text.replace("type=commit", "type=pin"))
    with pytest.raises(NotProven, match="signed root"):
        read_copy(database, copied, "operator")
    Leaf.objects.filter(pk=commit.pk).update(text=text)
    Leaf.objects.filter(pk=last.pk).update(text=commit.text)
    with pytest.raises(NotProven, match="signed root"):
        read_copy(database, copied, "operator")
    Leaf.objects.filter(pk=last.pk).delete()
    with pytest.raises(NotThere):
        read_copy(database, copied, "operator")
    kept = Checkpoint.objects.get(log=log)
    signed = parse_checkpoint(parse_note(kept.note.encode()).body)
    forged = kept.note.replace(f"\n{size}\n", f"\n{size - 1}\n")
    Checkpoint.objects.filter(id=kept.id).update(size=size - 1, note=forged)
    assert signed.size == size
    with pytest.raises(NotProven, match="bad-signature"):
        read_copy(database, copied, "operator")


def test_a_copy_that_stops_shows_an_older_cosignature_and_fewer_leaves(
    copied: Pair, database: Database
) -> None:
    before = read_copy(database, copied, "operator")
    copied.run(copied.question())
    behind = read_copy(database, copied, "operator")
    assert (behind.size, behind.cosigned_at) == (before.size, before.cosigned_at)
    assert behind.size < copied.leaves("operator")


def test_another_tenants_log_does_not_pass_for_this_ones_keeper(
    copied: Pair, database: Database
) -> None:
    """A checkpoint is of one origin; the other keeper's bytes under this path fail."""
    own, other = log_of("operator"), log_of("oversight")
    note = Checkpoint.objects.get(log=other).note
    Checkpoint.objects.filter(log=own).update(note=note)
    with pytest.raises(NotProven):
        read_copy(database, copied, "operator")


def test_only_a_tenants_engine_or_notifier_learns_which_log_is_its_own(
    rooms: Rooms, database: Database
) -> None:
    assert rooms.pair.keeper("operator", "notifier").origin(TENANT)
    assert rooms.pair.keeper("operator", "engine").origin(TENANT)
    for caller in ("sealer", "investigator", "stranger"):
        with pytest.raises(KeeperRefused, match="unknown-key"):
            rooms.pair.keeper("operator", caller).origin(TENANT)
    with pytest.raises(KeeperRefused):
        rooms.pair.keeper("operator", "notifier").origin("nobody")


def test_a_tenant_that_the_keepers_do_not_know_holds_up_no_other(
    rooms: Rooms, database: Database
) -> None:
    add_tenant("a-first-by-name", bytes(32))
    assert copy_logs(database, rooms.pair) > 0
    assert {log.tenant_id for log in Log.objects.all()} == {TENANT}


def test_without_the_other_keeper_nothing_is_copied_and_then_all(
    rooms: Rooms, database: Database, own_pair: Pair
) -> None:
    own_pair.processes["oversight"].stop()
    assert copy_logs(database, own_pair) == 0
    assert not Leaf.objects.exists()
    own_pair.processes["oversight"].start()
    copy_logs(database, own_pair)
    assert read_copy(database, own_pair, "operator").size == own_pair.leaves("operator")


def test_a_log_that_forked_is_not_copied(rooms: Rooms, database: Database, own_pair: Pair) -> None:
    """A keeper put back to an old store, which then wrote other leaves."""
    store = own_pair.processes["operator"].folder / "keeper.db"
    own_pair.stop()
    old = {path.name: path.read_bytes() for path in store.parent.iterdir()}
    own_pair.start()
    own_pair.run(own_pair.question())
    copy_logs(database, own_pair)
    before = read_copy(database, own_pair, "operator")
    own_pair.processes["operator"].stop()
    for path in store.parent.iterdir():
        path.unlink()
    for name, content in old.items():
        (store.parent / name).write_bytes(content)
        (store.parent / name).chmod(0o600)
    own_pair.processes["operator"].start()
    own_pair.register(*(own_pair.seal_epoch(last_hour(), {}) for _ in range(9)), role="operator")
    with pytest.raises(KeeperUntrue):
        copy_strictly(database, own_pair, "operator")
    assert read_copy(database, own_pair, "operator") == before
    # It signed both histories, and whoever has the trust file can tell.
    log = log_of("operator")
    with acting(database, "web"):
        evidence = fetch(f"/ledger/operator/{log.pseudonym}/fork")
    _, said = verify_fork(evidence, read_trust(trust_file(own_pair)))
    assert (said["keeper"], said["log"]) == ("operator", log.origin)
    # Found once more it is kept once.
    with pytest.raises(KeeperRefused, match="quarantined"):
        copy_strictly(database, own_pair, "operator")
    assert Fork.objects.count() == 1


def trust_file(pair: Pair) -> bytes:
    keepers = [
        {"role": role, "instance": one.instance, "name": one.name,
         "identity_key": encode_base64(one.identity_key), "log_key": encode_base64(one.log_key),
         "witness_key": encode_base64(one.witness_key)}
        for role, one in pair.identities.items()
    ]  # fmt: skip
    return dump({"keepers": keepers, "engines": {}, "authorities": {}, "sealers": {},
                 "receipt_key": encode_base64(bytes(32))})  # fmt: skip


def test_a_log_with_one_history_has_no_evidence_and_a_row_that_was_altered_makes_none(
    copied: Pair, database: Database
) -> None:
    place = f"/ledger/operator/{log_of('operator').pseudonym}"
    other = log_of("oversight").newest()
    assert other
    log_of("operator").checkpoints.update(note=other.note)
    copied.run(copied.question())
    copy_logs(database, copied)
    with acting(database, "web"), pytest.raises(NotThere):
        fetch(f"{place}/fork")
    assert not Fork.objects.exists()


def test_entries_without_the_signed_root_are_not_kept(
    rooms: Rooms, database: Database, own_pair: Pair
) -> None:
    """Somebody wrote the keeper's own store: it signs by its nodes, and tells other leaves."""
    store = own_pair.processes["operator"].folder / "keeper.db"
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as keeper:
        keeper.execute(
            "UPDATE leaf SET text ="
            " CAST(replace(CAST(text AS TEXT), 'type=pin', 'type=epoch') AS BLOB) WHERE number = 0"
        )
    with pytest.raises(KeeperUntrue, match="entries"):
        copy_strictly(database, own_pair, "operator")
    assert not Leaf.objects.exists()
    assert not Checkpoint.objects.exists()
    assert copy_logs(database, own_pair) == own_pair.leaves("oversight")


@pytest.mark.parametrize("entry", [b"v=1\0\n", b"v=\xff\n"])
def test_a_leaf_that_no_table_takes_is_a_copy_that_differs(copied: Pair, entry: bytes) -> None:
    """Signed all the same: no fault of the database's, which would end every tenant's copying."""
    log = Log.objects.create(tenant_id=TENANT, role="operator", origin="o", pseudonym="p")
    with pytest.raises(CopyDiffers):
        _add(log, 0, [entry], SignedCheckpoint("o", 1, leaf_hash(entry)))


@pytest.mark.parametrize(
    "statement",
    ["UPDATE ledger_leaf SET text = ''", "DELETE FROM ledger_leaf", "TRUNCATE ledger_leaf",
     "UPDATE ledger_checkpoint SET note = ''", "DELETE FROM ledger_checkpoint",
     "UPDATE ledger_node SET hash = ''", "DELETE FROM ledger_node", "DELETE FROM ledger_log"],
)  # fmt: skip
@pytest.mark.parametrize("role", ["notifier", "web"])
def test_nobody_changes_what_was_copied(database: Database, role: str, statement: str) -> None:
    with (
        psycopg.connect(database.url(role)) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_whose_log_it_is_is_told_to_nobody(copied: Pair, database: Database) -> None:
    with psycopg.connect(database.url("web")) as connection:
        assert connection.execute("SELECT * FROM ledger_log").fetchall() == []
    for role in ROLES:
        place = f"/ledger/{role}/{log_of(role).pseudonym}"
        size = log_of(role).checkpoints.get().size
        paths = (f"{place}/checkpoint", f"{place}/{Tile(None, 0, min(size, 256)).path}")
        with acting(database, "web"):
            read = b"".join(map(fetch, paths))
        assert TENANT.encode() not in read.replace(b"demo.icrstore", b"")


def test_a_bundle_is_of_the_leaves_in_their_order(copied: Pair, database: Database) -> None:
    log = log_of("operator")
    texts = [leaf.text.encode() for leaf in Leaf.objects.filter(log=log).order_by("number")]
    size = min(len(texts), 256)
    path = f"/ledger/operator/{log.pseudonym}/{Tile(None, 0, size).path}"
    with acting(database, "web"):
        assert fetch(path) == bundle(texts[:size])
