from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command

from accounts.models import Authority, Collector, OversightBody, Policy, Tenant
from icrstore.seal.epoch import hour_start
from icrstore.seal.pools import Pool
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant import revocation as statement
from icrstore.warrant.backfill import Backfill
from icrstore.warrant.dsse import Envelope, key_id, raw_public
from icrstore.warrant.statements import HourRange, PoolPolicy
from icrstore.warrant.strict import encode_base64
from tests.vault.rooms import Rooms


def manage(*arguments: str) -> str:
    """What `manage.py` prints; raises CommandError."""
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def new_key() -> str:
    return encode_base64(raw_public(Ed25519PrivateKey.generate()))


def test_a_tenant_is_added_once_and_listed(rooms: Rooms) -> None:
    root = new_key()
    assert manage("tenant", "add", "isp-one", "--root", root) == "tenant isp-one: added\n"
    assert manage("tenant", "add", "isp-one", "--root", root) == "tenant isp-one: was there\n"
    authority = ("tenant", "authority", "isp-one", "Avon Constabulary", "--root", root)
    assert manage(*authority).endswith("added\n")
    assert manage(*authority).endswith("was there\n")
    assert "isp-one: 1 shard(s); Avon Constabulary\n" in manage("tenant", "list")


def test_an_oversight_body_has_a_root_that_is_nobody_elses(rooms: Rooms) -> None:
    name, root, watching = "isp-one", new_key(), new_key()
    manage("tenant", "add", name, "--root", root)
    manage("tenant", "authority", name, "police", "--root", (police := new_key()))
    oversight = ("tenant", "oversight", name, "commissioner", "--root")
    assert manage(*oversight, watching) == "oversight commissioner: added\n"
    assert manage(*oversight, watching).endswith("was there\n")
    assert "isp-one: 1 shard(s); police; watched by commissioner\n" in manage("tenant", "list")
    for other in (police, root):
        with pytest.raises(CommandError, match="that root is"):
            manage("tenant", "oversight", name, "second", "--root", other)
    with pytest.raises(CommandError, match="make two"):
        manage("tenant", "authority", name, "customs", "--root", watching)
    assert OversightBody.objects.count() == 1


def test_a_name_that_is_there_never_gets_another_key_in_silence(rooms: Rooms) -> None:
    for add in (
        ("tenant", "add", "isp-one", "--root"),
        ("tenant", "authority", "isp-one", "police", "--root"),
        ("tenant", "oversight", "isp-one", "commissioner", "--root"),
        ("collector", "add", "isp-one", "edge-9", "--key"),
    ):
        manage(*add, new_key())
        with pytest.raises(CommandError, match="another key"):
            manage(*add, new_key())


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "a" * 65, "..", "a\n"])
def test_a_tenants_name_is_short_and_plain(rooms: Rooms, name: str) -> None:
    with pytest.raises(CommandError, match="letters, digits"):
        manage("tenant", "add", name, "--root", new_key())


@pytest.mark.parametrize("name", ["", "a\nb", "e\u0301", "a" * 65])
def test_an_authoritys_name_is_one_that_a_statement_can_say(rooms: Rooms, name: str) -> None:
    with pytest.raises(CommandError, match="1 to 64 bytes"):
        manage("tenant", "authority", rooms.tenant.name, name, "--root", new_key())


def test_an_authority_or_collector_needs_its_tenant(rooms: Rooms) -> None:
    for arguments in (
        ("tenant", "authority", "nobody", "police", "--root", new_key()),
        ("tenant", "oversight", "nobody", "commissioner", "--root", new_key()),
        ("collector", "add", "nobody", "edge-9", "--key", new_key()),
        ("collector", "list", "nobody"),
    ):
        with pytest.raises(CommandError, match="tenant add comes first"):
            manage(*arguments)
    assert not Authority.objects.filter(tenant="nobody").exists()


def test_a_key_is_one_collectors_alone(rooms: Rooms) -> None:
    key = new_key()
    manage("collector", "add", rooms.tenant.name, "edge-9", "--key", key)
    with pytest.raises(CommandError, match="another collector"):
        manage("collector", "add", rooms.tenant.name, "edge-10", "--key", key)
    assert Collector.objects.count() == 2


def test_a_revoked_collector_stays_revoked(rooms: Rooms) -> None:
    key, name = new_key(), rooms.tenant.name
    said = manage("collector", "add", name, "edge-9", "--key", key)
    assert f"keyid {Collector.objects.get(name='edge-9').keyid}" in said
    assert manage("collector", "revoke", name, "edge-9").endswith("revoked\n")
    with pytest.raises(CommandError, match="no collector edge-9 in force"):
        manage("collector", "revoke", name, "edge-9")
    with pytest.raises(CommandError, match="revoked"):
        manage("collector", "add", name, "edge-9", "--key", key)
    listed = manage("collector", "list", name).splitlines()
    assert [line.rpartition(", ")[2] for line in listed] == ["in force", "revoked"]


def test_a_key_comes_as_base64_or_as_the_file_that_has_it(rooms: Rooms, tmp_path: Path) -> None:
    made = KeyFile.new("signing", "edge")
    path = tmp_path / "edge.key"
    made.write(path)
    manage("collector", "add", rooms.tenant.name, "edge-9", "--key", str(path))
    assert Collector.objects.get(name="edge-9").keyid == key_id(made.public)
    (tmp_path / "edge.pub").write_text(encode_base64(made.public) + "\n")
    root = str(tmp_path / "edge.pub")
    manage("tenant", "add", "isp-one", "--root", root)
    assert bytes(Tenant.objects.get(name="isp-one").root_key) == made.public


@pytest.mark.parametrize(
    "given", ["", "abc", "a" * 44, "{}", '{"public": 1}', "[]", "no/such/file"]
)
def test_what_is_no_key_is_refused_with_the_mend(rooms: Rooms, tmp_path: Path, given: str) -> None:
    path = tmp_path / "file"
    path.write_text(given)
    recipient = tmp_path / "recipient.key"
    KeyFile.new("recipient", "r").write(recipient)
    for one in (given, str(path), str(recipient), str(tmp_path)):
        with pytest.raises(CommandError, match="icr key"):
            manage("tenant", "add", "isp-one", "--root", one)


def a_policy(path: Path, key: Ed25519PrivateKey, **changes: Any) -> str:
    effective = hour_start(datetime.now(UTC)) + timedelta(days=2)
    fields: dict[str, Any] = {
        "tenant": "isp-one",
        "effective": effective,
        "pools": (Pool("::/0", 56),),
    } | changes
    envelope = Envelope.sign("policy", PoolPolicy(**fields).to_fields(), key)
    path.write_bytes(envelope.encode() + b"\n")
    return str(path)


def test_pools_are_loaded_once_and_listed(rooms: Rooms, tmp_path: Path) -> None:
    root = Ed25519PrivateKey.generate()
    manage("tenant", "add", "isp-one", "--root", encode_base64(raw_public(root)))
    assert manage("tenant", "pools", "isp-one") == ""
    path = a_policy(tmp_path / "pools.policy", root)
    loaded = manage("tenant", "pools", "isp-one", path)
    assert loaded.startswith("1 pools of isp-one: loaded\n")
    assert loaded.endswith("no keeper has it yet\n")
    assert manage("tenant", "pools", "isp-one", path).startswith("1 pools of isp-one: was there\n")
    Policy.objects.update(keepers={"operator-1": "logged", "oversight-1": "refused: past-hour"})
    assert "operator-1: logged, oversight-1: refused: past-hour" in manage(
        "tenant", "pools", "isp-one"
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tenant": "isp-two"}, "wrong-tenant"),
        ({"effective": hour_start(datetime.now(UTC))}, "too-soon"),
        ({"pools": ()}, "policy-differs"),
    ],
)
def test_pools_that_keepers_would_refuse_are_not_loaded(
    rooms: Rooms, tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    root = Ed25519PrivateKey.generate()
    manage("tenant", "add", "isp-one", "--root", encode_base64(raw_public(root)))
    manage("tenant", "pools", "isp-one", a_policy(tmp_path / "first", root))
    with pytest.raises(CommandError, match=code):
        manage("tenant", "pools", "isp-one", a_policy(tmp_path / "second", root, **changes))
    assert Policy.objects.count() == 1


def test_a_key_is_revoked_once_and_listed(rooms: Rooms, tmp_path: Path) -> None:
    root = Ed25519PrivateKey.generate()
    manage("tenant", "add", "isp-one", "--root", encode_base64(raw_public(root)))
    key, now = bytes(range(32)), datetime.now(UTC).replace(microsecond=0)
    for issuer in ("isp-one", "police"):
        made = statement.Revocation("isp-one", issuer, key, now)
        signed = Envelope.sign("revoke", made.to_fields(), root).encode()
        (tmp_path / issuer).write_bytes(signed)
    path = str(tmp_path / "isp-one")
    first = manage("tenant", "revoke", "isp-one", path)
    assert first.startswith("a key of isp-one at isp-one: revoked\n")
    assert manage("tenant", "revoke", "isp-one", path).count("revoked before") == 1
    listed = f"isp-one  {key_id(key)}  no keeper has it yet\n"
    assert manage("tenant", "revoke", "isp-one") == listed
    with pytest.raises(CommandError, match="unknown-issuer"):
        manage("tenant", "revoke", "isp-one", str(tmp_path / "police"))


def test_a_backfill_is_loaded_once_listed_apart_and_refused_by_name(
    rooms: Rooms, tmp_path: Path
) -> None:
    root, now = Ed25519PrivateKey.generate(), datetime.now(UTC).replace(microsecond=0)
    manage("tenant", "add", "isp-one", "--root", encode_base64(raw_public(root)))
    first = hour_start(now) - timedelta(days=9)
    hours = HourRange(first, first + timedelta(hours=2))
    path = tmp_path / "old.policy"
    for days, told in ((3, "loaded"), (3, "was there"), (40, "valid-too-long")):
        made = Backfill("isp-one", "edge-1", hours, now + timedelta(days=days))
        path.write_bytes(Envelope.sign("policy", made.to_fields(), root).encode())
        if days == 40:
            with pytest.raises(CommandError, match=told):
                manage("tenant", "backfill", "isp-one", str(path))
            continue
        listed = manage("tenant", "backfill", "isp-one", str(path))
        assert listed.startswith(f"backfill by edge-1 of isp-one: {told}\n")
    assert listed.count("no keeper has it yet") == 1
    assert manage("tenant", "pools", "isp-one") == ""
    # Pools are no backfill, and the other way round.
    pools = a_policy(tmp_path / "pools.policy", root)
    with pytest.raises(CommandError, match="not-supported: about"):
        manage("tenant", "backfill", "isp-one", pools)
    with pytest.raises(CommandError, match="not-supported: about"):
        manage("tenant", "pools", "isp-one", str(path))


def test_what_is_no_policy_of_this_root_is_not_loaded(rooms: Rooms, tmp_path: Path) -> None:
    root = Ed25519PrivateKey.generate()
    manage("tenant", "add", "isp-one", "--root", encode_base64(raw_public(root)))
    (tmp_path / "torn").write_bytes(b"{")
    stranger = a_policy(tmp_path / "stranger", Ed25519PrivateKey.generate())
    for path in (stranger, str(tmp_path / "torn")):
        with pytest.raises(CommandError, match="icr policy pools"):
            manage("tenant", "pools", "isp-one", path)
    with pytest.raises(CommandError, match="can be read"):
        manage("tenant", "pools", "isp-one", str(tmp_path / "missing"))
    with pytest.raises(CommandError, match="tenant add comes first"):
        manage("tenant", "pools", "nobody", stranger)
    assert not Policy.objects.exists()
