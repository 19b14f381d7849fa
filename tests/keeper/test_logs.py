"""The logs as anyone reads them: tiles, bundles and proofs agree with the checkpoint."""

import json

import pytest

from icrstore.keeper.leaves import LeafError, LeafText
from icrstore.seal.epoch import ROLES, Role
from icrstore.tlog import merkle
from icrstore.tlog.checkpoint import Checkpoint, verify_checkpoint
from icrstore.tlog.note import ED25519, VerifierKey
from icrstore.tlog.tiles import Tile, parse_bundle, tile_bytes
from icrstore.wire.httpunix import Response
from tests.keeper.crowd import crowd
from tests.keeper.pair import Pair
from tests.keeper.papers import ACCOUNT, TENANT, last_hour

each_role = pytest.mark.parametrize("role", ROLES)


def get(pair: Pair, role: Role, target: str) -> Response:
    return pair.raw(role).call("GET", target, {})


def origin_of(pair: Pair, role: Role) -> str:
    origin: str = pair.show(role)["tenants"][0]["origin"]
    return origin


def latest(pair: Pair, role: Role) -> Checkpoint:
    origin = origin_of(pair, role)
    encoded = get(pair, role, f"/log/{origin[-16:]}/checkpoint").body
    return verify_checkpoint(
        encoded, origin, VerifierKey(origin, ED25519, pair.identities[role].log_key)
    )


def entries(pair: Pair, role: Role, size: int) -> list[bytes]:
    log, made = origin_of(pair, role)[-16:], []
    for index in range(-(-size // 256)):
        tile = Tile(None, index, min(256, size - 256 * index))
        made += parse_bundle(get(pair, role, f"/log/{log}/{tile.path}").body, tile.width)
    return made


@each_role
def test_anyone_can_rebuild_the_root_from_the_entries(pair: Pair, role: Role) -> None:
    pair.run(pair.question())
    pair.register(*(pair.seal_epoch(last_hour(), {}) for _ in range(260)), role=role)
    checkpoint = latest(pair, role)
    read = entries(pair, role, checkpoint.size)
    tree = merkle.Tree(read)
    assert tree.root() == checkpoint.root
    log = origin_of(pair, role)[-16:]
    for tile in (Tile(0, 0), Tile(0, 1, min(256, checkpoint.size - 256)), Tile(1, 0, 1)):
        assert get(pair, role, f"/log/{log}/{tile.path}").body == tile_bytes(tree.node, tile)
    for entry in read:
        assert LeafText.parse(entry.decode()).encode() == entry


@each_role
def test_entries_name_nobody(pair: Pair, role: Role) -> None:
    pair.run(pair.question())
    read = b"".join(entries(pair, role, latest(pair, role).size))
    assert ACCOUNT.encode() not in read
    assert TENANT.encode() not in read


@each_role
def test_proofs_are_told_for_any_two_sizes(pair: Pair, role: Role) -> None:
    pair.run(pair.question())
    new = latest(pair, role)
    log, tree = origin_of(pair, role)[-16:], merkle.Tree(entries(pair, role, new.size))
    for old in (1, 2, new.size - 1, new.size):
        answer = get(pair, role, f"/log/{log}/consistency?from={old}&to={new.size}")
        proof = [bytes.fromhex(each) for each in json.loads(answer.body)["proof"]]
        root = merkle.root(tree.node, old)
        merkle.verify_consistency(old, new.size, proof, root, new.root)
        answer = get(pair, role, f"/log/{log}/inclusion?index={old - 1}&size={new.size}")
        proof = [bytes.fromhex(each) for each in json.loads(answer.body)["proof"]]
        merkle.verify_inclusion(tree.node(0, old - 1), old - 1, new.size, proof, new.root)


@each_role
def test_what_is_not_there_is_not_found(pair: Pair, role: Role) -> None:
    log, size = origin_of(pair, role)[-16:], latest(pair, role).size
    paths = {
        f"/log/{'0' * 16}/checkpoint": 404,
        f"/log/{log}/tile/0/999": 404,
        f"/log/{log}/tile/0/0": 404,
        f"/log/{log}/tile/entries/../0": 404,
        f"/log/{log}/consistency?from=1&to={size + 1}": 404,
        f"/log/{log}/consistency?from=2&to=1": 404,
        f"/log/{log}/consistency?from=1": 400,
        f"/log/{log}/consistency?from=1&to=2&to=3": 400,
        f"/log/{log}/inclusion?index={size}&size={size}": 404,
        f"/log/{log}/inclusion?index=-1&size=1": 400,
        f"/log/{log}/inclusion?index=0&size=0": 404,
        f"/v1/log?tenant={TENANT}": 401,
    }
    assert {path: get(pair, role, path).status for path in paths} == paths


@pytest.mark.parametrize(
    ("old", "new"),
    [("v=1", "v=2"), ("type=pin", "type=pins"), ("due=-", "due="), ("tag=", "tag=A"),
     ("\n", "\r\n"), ("day=2", "day= 2"), ("private", "Private"), ("v=1\n", "\nv=1\n")],
)  # fmt: skip
def test_a_leaf_has_one_spelling(old: str, new: str) -> None:
    text = LeafText("pin", "2026-11-22", "-", bytes(16), bytes(32)).encode().decode()
    assert LeafText.parse(text).encode().decode() == text
    with pytest.raises(LeafError):
        LeafText.parse(text.replace(old, new, 1))
    with pytest.raises(LeafError):
        LeafText.parse(text + "\n")


def test_no_proof_is_across_sizes_while_many_write_and_read(own_pair: Pair) -> None:
    """`python -m tests.keeper.crowd` proves 100,000."""
    proofs, leaves = crowd(own_pair, 200)
    assert proofs >= 200
    assert leaves > 0
