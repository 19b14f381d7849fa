import json
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st

from accounts.enrolments import NotEnrolled, enrol, invitation
from accounts.models import Collector, Enrolment, Nonce
from icrstore.collector.config import Config
from icrstore.collector.spool import Spool
from icrstore.shell.enrolment import is_token, new_token, token_sha256, vouches_for
from icrstore.shell.keyfile import KeyFile, PublicKey
from icrstore.warrant.dsse import raw_public
from icrstore.warrant.strict import dump, encode_base64
from tests.api.web import Caller, Told, Web, write_trust
from tests.collector.household import Ran, run
from tests.keeper.papers import TENANT
from tests.vault.rooms import RECEIPT_KEY, Rooms, collector_grant

KEY = Ed25519PrivateKey.generate()


@dataclass(frozen=True)
class Doors:
    """Web, and the keys that the trust file before it names."""

    web: Web
    rooms: Rooms

    @property
    def url(self) -> str:
        return f"http://{self.web.authority}"

    def get(self, key: Ed25519PrivateKey, target: str) -> Told:
        return Caller(self.web, key).get(target)

    def post(self, key: Ed25519PrivateKey, target: str, value: Mapping[str, Any]) -> Told:
        return Caller(self.web, key).post(target, dump(value))


@pytest.fixture
def doors(web: Web, rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> Doors:
    """The trust file in web's public folder; here `manage.py` reads the same one."""
    trust = write_trust(web, rooms)
    monkeypatch.setattr(settings, "TRUST", trust)
    return Doors(web, rooms)


def invite(name: str = "edge-2") -> str:
    """The token that `manage.py collector enrol` prints."""
    out = StringIO()
    call_command("collector", "enrol", TENANT, name, stdout=out)
    return out.getvalue().splitlines()[0].removeprefix("token").strip()


def icr_collect(doors: Doors, token: str, config: Path, *more: str) -> Ran:
    return run("enrol", doors.url, token, "--config", str(config), *more)


def body_of(token: str, key: Ed25519PrivateKey = KEY) -> dict[str, object]:
    return {"token": token, "key": encode_base64(raw_public(key))}


def post(doors: Doors, token: str, key: Ed25519PrivateKey = KEY) -> Told:
    return doors.post(key, "/v1/enrolments", body_of(token, key))


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_a_collector_that_enrols_has_a_config_with_which_it_is_known(
    doors: Doors, tmp_path: Path, suffix: str
) -> None:
    ran = icr_collect(doors, invite(), tmp_path / f"edge.{suffix}")
    assert ran.status == 0, ran.err
    made = Config.read(tmp_path / f"edge.{suffix}")
    assert made.sealer_key == raw_public(doors.rooms.keys.signing)
    assert (made.receipt_key, len(made.collector_secret())) == (raw_public(RECEIPT_KEY), 32)
    key = KeyFile.read(made.key, "signing")
    for shown in (key.public, made.sealer_key, made.receipt_key):
        assert PublicKey("signing", "", shown).fingerprint in ran.out
    grant_it(tmp_path, raw_public(key.signing()))
    told = doors.get(key.signing(), "/v1/intake-key")
    assert (told.status, told.value["collector"]) == (200, "edge-2")
    for path in (made.key, made.secret, tmp_path / f"edge.{suffix}"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_the_operator_sees_the_fingerprints_that_the_collector_sees(
    doors: Doors, tmp_path: Path
) -> None:
    out = StringIO()
    call_command("collector", "enrol", TENANT, "edge-2", stdout=out)
    token = out.getvalue().splitlines()[0].split()[1]
    told = json.loads(icr_collect(doors, token, tmp_path / "edge.toml", "--json").out)
    assert told["sealer"]["fingerprint"] in out.getvalue()
    assert told["receipts"]["fingerprint"] in out.getvalue()
    assert (told["tenant"], told["collector"]) == (TENANT, "edge-2")


def test_only_the_hash_of_a_token_is_kept(doors: Doors) -> None:
    token = invite()
    row = Enrolment.objects.get()
    assert row.token_sha256 == token_sha256(token)
    assert token not in str(Enrolment.objects.values().get())


def test_a_used_token_serves_no_other_key(doors: Doors, tmp_path: Path) -> None:
    token = invite()
    assert icr_collect(doors, token, tmp_path / "a.toml").status == 0
    again = icr_collect(doors, token, tmp_path / "b.toml")
    assert again.status == 77
    assert "token-used" in again.err
    assert not (tmp_path / "b.toml").exists()
    assert Collector.objects.filter(name="edge-2").count() == 1


def test_the_same_key_may_ask_again_for_an_answer_that_was_lost(
    doors: Doors, tmp_path: Path
) -> None:
    token = invite()
    assert icr_collect(doors, token, tmp_path / "a.toml").status == 0
    wanted = tomllib.loads((tmp_path / "a.toml").read_text())
    (tmp_path / "a.toml").unlink()
    assert icr_collect(doors, token, tmp_path / "a.toml").status == 0
    assert tomllib.loads((tmp_path / "a.toml").read_text()) == wanted
    assert icr_collect(doors, token, tmp_path / "a.toml").status == 64


def test_an_expired_token_is_refused(doors: Doors) -> None:
    token = invite()
    made = Enrolment.objects.get()
    assert timedelta(hours=23) < made.expires_at - doors.rooms.now <= timedelta(hours=25)
    Enrolment.objects.update(expires_at=doors.rooms.now)
    assert post(doors, token).value["code"] == "token-expired"


def test_a_token_of_another_store_is_refused_and_leaves_no_nonce(doors: Doors) -> None:
    invite()
    told = post(doors, new_token(bytes(32), bytes(32)))
    assert (told.status, told.value["code"]) == (403, "token-unknown")
    assert not Nonce.objects.exists()


def test_a_newer_token_ends_the_older(doors: Doors) -> None:
    older, newer = invite(), invite()
    assert post(doors, older).value["code"] == "token-unknown"
    assert post(doors, newer).status == 201


def test_a_newer_token_ends_the_older_while_it_is_being_used(doors: Doors) -> None:
    invited = invitation(invite())
    newer = invite()
    with pytest.raises(NotEnrolled, match="token-used"):
        enrol(invited, raw_public(Ed25519PrivateKey.generate()), doors.rooms.now)
    assert post(doors, newer).status == 201


def test_who_does_not_have_the_key_cannot_enrol_it(doors: Doors) -> None:
    token, other = invite(), Ed25519PrivateKey.generate()
    told = doors.post(KEY, "/v1/enrolments", body_of(token, other))
    assert (told.status, told.value["code"]) == (401, "unknown-key")
    assert not Enrolment.objects.filter(used_at__isnull=False).exists()
    assert post(doors, token).status == 201


def test_a_key_that_is_another_collectors_is_refused_and_the_token_lives(doors: Doors) -> None:
    token = invite()
    assert post(doors, token, doors.rooms.collector_key).value["code"] == "key-in-use"
    assert post(doors, token).status == 201


def test_of_two_keys_at_once_one_becomes_the_collector(doors: Doors) -> None:
    token = invite()
    keys = [raw_public(Ed25519PrivateKey.generate()) for _ in range(6)]

    def once(key: bytes) -> bool:
        try:
            return bytes(enrol(invitation(token), key, doors.rooms.now).key) == key
        except NotEnrolled:
            return False
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(once, keys)) == 1
    assert Collector.objects.filter(name="edge-2").count() == 1


def test_until_the_providers_root_has_granted_its_key_nothing_is_taken_of_it(
    doors: Doors, tmp_path: Path
) -> None:
    post(doors, invite())
    told = doors.get(KEY, "/v1/intake-key")
    assert (told.status, told.value["code"]) == (403, "not-granted")
    assert "icr grant" in told.value["detail"]
    grant_it(tmp_path, raw_public(KEY))
    assert doors.get(KEY, "/v1/intake-key").status == 200


def test_a_push_before_that_is_told_whom_to_ask_and_loses_nothing(
    doors: Doors, tmp_path: Path
) -> None:
    config = tmp_path / "edge.toml"
    assert icr_collect(doors, invite(), config).status == 0
    at = f"{doors.rooms.hour:%Y-%m-%dT%H:%M:%SZ}"
    file = tmp_path / "one.ndjson"
    file.write_bytes(dump({
        "observed_at": at, "protocol": 6, "source_address": "203.0.113.9", "source_port": 40001,
        "destination_address": "198.51.100.7", "destination_port": 443, "account": "line-1",
    }))  # fmt: skip
    ran = run("push", str(file), "--config", str(config), "--wait", "1")
    assert (ran.status, "icr grant --role collector" in ran.err) == (77, True), ran.err
    made = Config.read(config)
    spool = Spool(made.spool, made.collector_secret())
    assert [batch.state for batch in spool.unfinished()] == ["waiting"]
    spool.close()


def test_a_grant_that_ended_or_is_not_for_this_collector_takes_nothing(doors: Doors) -> None:
    post(doors, invite())
    key, other = raw_public(KEY), raw_public(Ed25519PrivateKey.generate())
    ended = f"{doors.rooms.now - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    for grant in (
        collector_grant(TENANT, "edge-2", key, not_after=ended),
        collector_grant(TENANT, "edge-2", other),
        collector_grant(TENANT, "edge-1", key),
        collector_grant("isp-two", "edge-2", key),
        collector_grant(TENANT, "edge-2", key, role="sealer"),
        collector_grant(TENANT, "edge-2", key)[:-9],
    ):
        Collector.objects.filter(name="edge-2").update(grant=grant)
        assert doors.get(KEY, "/v1/intake-key").value["code"] == "not-granted"


def grant_it(folder: Path, public: bytes, **changed: Any) -> None:
    """As the operator stores what the provider's root signed."""
    file = folder / "edge-2.grant"
    file.write_bytes(collector_grant(TENANT, "edge-2", public, **changed))
    call_command("collector", "grant", str(file), stdout=StringIO())


@pytest.mark.parametrize(
    "changed",
    [{"holder": "edge-9"}, {"issuer": "isp-nine"}, {"role": "sealer"},
     {"key": encode_base64(bytes(32))}, {"not_after": "2026-01-01T00:00:00Z"},
     {"not_before": "2126-01-01T00:00:00Z", "not_after": "2127-01-01T00:00:00Z"}],
)  # fmt: skip
def test_the_operator_stores_no_grant_that_would_let_nobody_in(
    doors: Doors, tmp_path: Path, changed: dict[str, Any]
) -> None:
    post(doors, invite())
    with pytest.raises(CommandError):
        grant_it(tmp_path, raw_public(KEY), **changed)
    assert Collector.objects.get(name="edge-2").grant is None


def test_a_revoked_collector_is_refused_at_once_and_its_name_is_not_given_again(
    doors: Doors, tmp_path: Path
) -> None:
    token = invite()
    post(doors, token)
    grant_it(tmp_path, raw_public(KEY))
    assert doors.get(KEY, "/v1/intake-key").status == 200
    call_command("collector", "revoke", TENANT, "edge-2", stdout=StringIO())
    assert doors.get(KEY, "/v1/intake-key").value["code"] == "unknown-key"
    assert post(doors, token).value["code"] == "token-used"
    with pytest.raises(CommandError, match="name another"):
        invite()


def test_revoking_a_name_ends_its_invitation(doors: Doors) -> None:
    token = invite()
    call_command("collector", "revoke", TENANT, "edge-2", stdout=StringIO())
    assert post(doors, token).value["code"] == "token-unknown"


@pytest.mark.parametrize("body", [{"more": 1}, {"key": "AAAA"}, {"token": ""}, {"token": 7}])
def test_a_malformed_enrolment_names_the_field(doors: Doors, body: dict[str, object]) -> None:
    told = doors.post(KEY, "/v1/enrolments", body_of(invite()) | body)
    assert told.status == 422
    assert told.value["detail"].split(":")[0] in body


def test_a_server_with_other_keys_than_the_token_vouches_for_is_found_out(
    doors: Doors, tmp_path: Path
) -> None:
    token = new_token(raw_public(doors.rooms.keys.signing), bytes(32))
    invite()
    Enrolment.objects.update(token_sha256=token_sha256(token))
    ran = icr_collect(doors, token, tmp_path / "a.toml")
    assert ran.status == 65
    assert "not the keys" in ran.err
    assert not (tmp_path / "a.toml").exists()


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_token_vouches_for_its_own_keys_alone(sealer: bytes, receipt: bytes) -> None:
    token = new_token(sealer, receipt)
    assert is_token(token)
    assert vouches_for(token, sealer, receipt)
    assert vouches_for(token, receipt, sealer) is (sealer == receipt)
    wrong = bytes([sealer[0] ^ 1]) + sealer[1:]
    assert not vouches_for(token, wrong, receipt)


@pytest.mark.parametrize("token", ["", "a" * 63, "a" * 65, "ä" * 64, "0" * 64, "a" * 63 + "="])
def test_a_token_that_is_not_whole_is_told_before_anything_is_sent(
    tmp_path: Path, token: str
) -> None:
    ran = run("enrol", "http://127.0.0.1:9", token, "--config", str(tmp_path / "a.toml"))
    assert ran.status == 64
    assert list(tmp_path.iterdir()) == []
