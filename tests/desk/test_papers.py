"""Keys, grants and warrants as people make them."""

import json
from pathlib import Path

import pytest

from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import Grant, Warrant
from icrstore.warrant.strict import encode_base64
from tests.desk.office import Office, icr


@pytest.mark.parametrize(("use", "kind"), [("signing", "signing"), ("answers", "recipient")])
def test_a_new_key_is_its_owners_alone_and_shows_its_public_half(
    tmp_path: Path, use: str, kind: str
) -> None:
    path = tmp_path / "ada.key"
    made = icr("key", "new", "ada", "--out", path, "--for", use, "--json").told
    assert path.stat().st_mode & 0o777 == 0o600
    shown = icr("key", "show", path, "--json").told
    assert shown == made
    assert (shown["use"], shown["name"]) == (kind, "ada")
    assert "private" not in shown
    assert shown["fingerprint"].replace(" ", "")[:16] == shown["keyid"]


def test_a_public_file_shows_the_same_as_the_private_one(tmp_path: Path) -> None:
    path, public = tmp_path / "ada.key", tmp_path / "ada.pub"
    icr("key", "new", "ada", "--out", path)
    public.write_text(icr("key", "show", path, "--json").out)
    assert icr("key", "show", public).out == icr("key", "show", path).out


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ada.key"
    icr("key", "new", "ada", "--out", path)
    before = path.read_bytes()
    ran = icr("key", "new", "ada", "--out", path)
    assert (ran.status, path.read_bytes()) == (64, before)
    assert "ada.key" in ran.err


def test_a_key_that_others_can_read_is_not_used(office: Office) -> None:
    office.path("root.key").chmod(0o640)
    ran = office.grant("applicant", office.path("applicant.key"), office.path("x.grant"))
    assert ran.status == 65
    assert "chmod 600" in ran.err


@pytest.mark.parametrize("form", ["private", "public", "base64", "text"])
def test_a_grant_takes_a_public_key_in_every_form(office: Office, form: str) -> None:
    key = KeyFile.read(office.path("approver.key"), "signing")
    base64 = encode_base64(key.public)
    public = office.path("approver.pub")
    public.write_text(json.dumps(key.public_half().to_object()) if form == "public" else base64)
    given = {"private": office.path("approver.key"), "base64": base64}.get(form, public)
    out = office.path("again.grant")
    assert office.grant("approver", given, out).status == 0
    envelope = Envelope.parse(out.read_bytes(), "grant")
    envelope.verify(KeyFile.read(office.path("root.key"), "signing").public)
    assert Grant.parse(envelope).key == key.public


@pytest.mark.parametrize("given", ["AAAA", "absent.pub", "x" * 5000, "desk.key"])
def test_a_grant_refuses_what_is_no_signing_key(office: Office, given: str) -> None:
    key = office.path(given) if given == "desk.key" else given
    ran = office.grant("approver", key, office.path("x.grant"))
    assert ran.status == 64
    assert "public key" in ran.err
    assert not office.path("x.grant").exists()


def test_a_draft_is_the_exact_payload_that_is_signed(office: Office) -> None:
    assert "signed by        nobody" in office.draft().out
    payload = office.path("warrant.json").read_bytes()
    first, second = office.sign("applicant"), office.sign("approver")
    envelope = Envelope.parse(office.path("warrant.json").read_bytes(), "warrant")
    assert envelope.payload == payload
    assert len(envelope.signatures) == 2
    assert first.told["sha256"] == second.told["sha256"] == envelope.sha256.hex()
    for person in ("applicant", "approver"):
        envelope.verify(KeyFile.read(office.path(f"{person}.key"), "signing").public)
    assert Warrant.parse(envelope).selectors[0].to_fields() == {"account": "household-1"}


def test_one_person_does_not_sign_twice(office: Office) -> None:
    office.draft()
    office.sign("applicant")
    before = office.path("warrant.json").read_bytes()
    ran = office.sign("applicant")
    assert (ran.status, office.path("warrant.json").read_bytes()) == (64, before)


def test_a_changed_draft_is_not_signed(office: Office) -> None:
    office.draft()
    path = office.path("warrant.json")
    for before, after in ((b'"v":1', b'"v":2'), (b'"basis"', b'"bases"'), (b"}", b"} ")):
        raw = path.read_bytes()
        path.write_bytes(raw.replace(before, after, 1) if after != b"} " else raw[:-1])
        ran = office.sign("applicant")
        assert ran.status == 65
        assert "warrant.json" in ran.err
        path.write_bytes(raw)


@pytest.mark.parametrize("signers", [[], ["applicant"]])
def test_a_warrant_without_two_signatures_is_not_lodged(office: Office, signers: list[str]) -> None:
    office.draft()
    for person in signers:
        office.sign(person)
    ran = office.lodge("http://127.0.0.1:9")
    assert ran.status == 65
    assert "icr warrant sign" in ran.err


@pytest.mark.parametrize(
    "more",
    [
        ("--from", "2026-11-22T06"),
        ("--from", "2026-11-22T00:30"),
        ("--from", "yesterday"),
        ("--to", "2026-13-22T06"),
        ("--valid-days", "0"),
        ("--max-requests", "-1"),
        ("--purpose", "curiosity"),
        ("--account", "two\nlines"),
        ("--tenant", ""),
        ("--recipient", "nobody"),
    ],
)
def test_a_draft_refuses_what_no_warrant_may_say(office: Office, more: tuple[str, str]) -> None:
    ran = office.draft(*more)
    assert ran.status == 64
    assert ran.err
    assert not office.path("warrant.json").exists()


def test_a_draft_does_not_replace_a_warrant(office: Office) -> None:
    office.warrant()
    before = office.path("warrant.json").read_bytes()
    assert office.draft().status == 64
    assert office.path("warrant.json").read_bytes() == before


@pytest.mark.parametrize("command", [
    ["key"], ["key", "new"], ["key", "show"], ["grant"], ["warrant", "draft"], ["warrant", "sign"],
    ["warrant", "show"], ["lodge"], ["ask", "services"], ["status"], ["open"], [],
])  # fmt: skip
def test_help_teaches_by_an_example(command: list[str]) -> None:
    ran = icr(*command, "--help")
    assert ran.status == 0
    assert f"icr {' '.join(command)}".strip() in ran.out.split("\n\n", 1)[1] or command == ["key"]


@pytest.mark.parametrize("command", [[], ["key"], ["ask"], ["warrant", "sign"], ["ask", "who"]])
def test_wrong_usage_exits_64(command: list[str]) -> None:
    assert icr(*command).status == 64


def test_a_file_that_is_absent_exits_66_and_is_named(office: Office) -> None:
    for command in (
        ["warrant", "show", office.path("absent")],
        ["key", "show", office.path("absent")],
    ):
        ran = icr(*command)
        assert ran.status == 66
        assert "absent" in ran.err
