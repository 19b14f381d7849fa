"""A key that its root took back stops at once, at both keepers, at every step of a question."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from accounts.models import Revocation
from accounts.revocations import add_revocation
from icrstore.keeper.accesses import asked_of
from icrstore.keeper.answers import KeeperRefused
from icrstore.keeper.cli import run as keeper_command
from icrstore.keeper.pins import pin
from icrstore.seal.epoch import ROLES
from icrstore.shell.keyfile import KeyFile
from icrstore.vault.revocations import hand_in_revocations
from icrstore.warrant import revocation as statement
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import AccountSelector
from icrstore.warrant.strict import encode_base64
from icrstore.wire.httpunix import Peer
from tests.desk.office import icr
from tests.keeper.pair import Pair, code_of, rows_of
from tests.keeper.pairs import copy_pair
from tests.keeper.papers import ACCOUNT, AUTHORITY, TENANT, last_hour, utc_now
from tests.keeper.test_expiry import types
from tests.vault.rooms import Database, make_rooms


@pytest.fixture
def two(template: Pair, tmp_path: Path) -> Iterator[Pair]:
    with copy_pair(template, tmp_path) as pair:
        yield pair


def revocation(pair: Pair, who: str, root: str = "root", **changes: Any) -> Envelope:
    issuer = TENANT if root == "tenant" else AUTHORITY
    made = statement.Revocation(TENANT, issuer, pair.public(who), utc_now())
    made = dataclasses.replace(made, **changes)
    return Envelope.sign("revoke", made.to_fields(), pair.keys[root])


def bring(pair: Pair, envelope: Envelope) -> list[str]:
    """To both keepers, as anybody may; their codes, "" where it was taken."""
    told = []
    for role in ROLES:
        peer: Peer = pair.raw(role)
        body = json.dumps({"revocation": envelope.to_object()}).encode()
        answer = peer.call("POST", "/v1/revocations", {"Content-Type": "application/json"}, body)
        said = json.loads(answer.body)
        assert answer.status == 200 or "code" in said
        told.append(said.get("code", ""))
    return told


@pytest.mark.parametrize("who", ["investigator", "applicant", "approver"])
def test_nothing_goes_on_once_a_key_that_signed_is_revoked(two: Pair, who: str) -> None:
    two.register(two.seal_epoch(last_hour(), rows_of(ACCOUNT)))
    keepers, fresh, committed, released, lent = (
        two.keepers(), two.question(), two.question(), two.question(), two.run(two.question())
    )  # fmt: skip
    commits = {one: keepers.commit(one) for one in (committed, released)}
    releases = keepers.release(released, commits[released])
    assert bring(two, revocation(two, who)) == ["", ""]
    steps: list[Callable[[], object]] = [
        lambda: keepers.commit(fresh),
        lambda: keepers.commit(committed),
        lambda: keepers.release(committed, commits[committed]),
        lambda: keepers.lend(released, commits[released], releases, two.engine_key),
        lambda: keepers.lend(lent.question, lent.commits, lent.releases, two.engine_key),
        lambda: keepers.disclose(lent.question, two.disclosure(lent.question, ACCOUNT)),
    ]
    assert [code_of(step) for step in steps] == ["refused"] * len(steps)
    # What the caller does not read is in the keeper's own leaf.
    with two.owner("operator") as keeper:
        said = {row["code"] for row in asked_of(keeper) if row["type"] == "refusal"}
        assert said == {"revoked"}


@pytest.mark.parametrize("step", ["lend", "lend again", "disclose"])
def test_what_is_under_way_ends_with_the_root_that_granted_it(two: Pair, step: str) -> None:
    """A root in other hands is replaced: what it granted counts no more, nor brings back the key
    that it revoked, though the new root revoked nothing."""
    keepers, question = two.keepers(), two.question()
    commits = keepers.commit(question)
    releases = keepers.release(question, commits)
    if step != "lend":
        keepers.lend(question, commits, releases, two.engine_key)
    assert bring(two, revocation(two, "investigator")) == ["", ""]
    for role in ROLES:
        with two.owner(role) as keeper:
            pin(keeper, "authority", TENANT, AUTHORITY, two.public("stranger"), replace=True)
    if step == "disclose":
        answer = two.disclosure(question, ACCOUNT)
        assert code_of(lambda: keepers.disclose(question, answer)) == "not-signed"
        return
    lend = lambda: keepers.lend(question, commits, releases, two.engine_key)  # noqa: E731
    assert code_of(lend) == "not-signed"


def test_who_was_not_revoked_goes_on(two: Pair) -> None:
    assert bring(two, revocation(two, "stranger")) == ["", ""]
    # The tenant's root granted no investigator, and so takes none back.
    assert bring(two, revocation(two, "investigator", "tenant")) == ["", ""]
    assert two.run(two.question())


def test_a_revoked_sealer_stops_at_once_and_what_it_sealed_opens(two: Pair) -> None:
    before, after = (two.seal_epoch(last_hour(), rows_of(ACCOUNT)) for _ in range(2))
    two.register(before)
    assert bring(two, revocation(two, "sealer", "tenant")) == ["", ""]
    for role in ROLES:
        with pytest.raises(KeeperRefused) as refused:
            two.register(after, role=role)
        assert refused.value.code == "unknown-key"
    lent = two.run(two.question())
    assert two.open_rows(lent, before, AccountSelector(ACCOUNT)) == [b"columns of 17-zoe"]
    assert [epoch.eid for epoch in lent.commits["operator"].epochs] == [before.epoch.eid]


def test_only_the_root_that_granted_revokes_and_only_from_now_on(two: Pair) -> None:
    later = utc_now().replace(year=utc_now().year + 1)
    wrong = {
        "not-signed": revocation(two, "investigator", "stranger"),
        "unknown-issuer": revocation(two, "investigator", issuer="another police"),
        "unknown-tenant": revocation(two, "investigator", tenant="nobody"),
        "not-yet-revoked": revocation(two, "investigator", revoked_at=later),
    }
    for code, envelope in wrong.items():
        assert bring(two, envelope) == [code, code]
    signed = revocation(two, "investigator")
    mine, theirs = (encode_base64(two.public(who)).encode() for who in ("investigator", "sealer"))
    exchanged = dataclasses.replace(signed, payload=signed.payload.replace(mine, theirs))
    assert bring(two, exchanged) == ["bad-signature"] * 2
    assert two.run(two.question())


def test_the_owner_applies_what_icr_revoke_wrote_and_each_is_one_leaf(
    template: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with copy_pair(template, tmp_path / "pair") as pair:
        pair.stop()
        root = KeyFile.new("signing", "root")
        root.write(tmp_path / "root.key")
        ran = icr("revoke", "--root", tmp_path / "root.key", "--issuer", AUTHORITY,
                  "--tenant", TENANT, "--key", encode_base64(pair.public("investigator")),
                  "--reason", "left", "--out", tmp_path / "i.revoke", "--json")  # fmt: skip
        assert (ran.status, ran.told["reason"]) == (0, "left")
        folder = str(pair.processes["operator"].folder)
        command = ["revoke", str(tmp_path / "i.revoke"), "--store", folder]
        # That root is not the pinned one.
        assert keeper_command(command) == 1
        assert "not-signed" in capsys.readouterr().err
        pin = ["pin", "authority", AUTHORITY, encode_base64(root.public), "--tenant", TENANT,
               "--store", folder, "--replace"]  # fmt: skip
        assert [keeper_command(each) for each in (pin, command, command)] == [0, 0, 0]
        assert capsys.readouterr().out == "revoked\nit was revoked before\n"
        with pair.owner("operator") as keeper:
            assert types(keeper)[-2:] == ["pin", "revoke"]


def test_what_is_loaded_is_brought_to_both_keepers_by_the_sealers(
    two: Pair, database: Database, tmp_path: Path
) -> None:
    house = make_rooms(two, tmp_path)
    add_revocation(house.tenant, revocation(two, "investigator").encode())
    two.processes["oversight"].stop()
    hand_in_revocations(house.keepers)
    said = {"operator-1": "logged", "oversight-1": "unreachable"}
    assert Revocation.objects.get().keepers == said
    two.processes["oversight"].start()
    for _ in range(2):
        hand_in_revocations(house.keepers)
    assert set(Revocation.objects.get().keepers.values()) == {"logged"}
    assert code_of(lambda: two.keepers().commit(two.question())) == "refused"
    for role in ROLES:
        with two.owner(role) as keeper:
            assert types(keeper).count("revoke") == 1
    # What somebody wrote into the database revokes nobody.
    forged = revocation(two, "applicant", "stranger")
    Revocation.objects.update(statement=forged.encode(), keepers={})
    hand_in_revocations(house.keepers)
    assert set(Revocation.objects.get().keepers.values()) == {"not-signed"}
    connections.close_all()
