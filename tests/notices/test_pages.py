"""The pages as a browser gets them: signed in or not, of the right tenant, and shut tight."""

import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings

from api.pages import access
from icrstore.celery import app
from icrstore.notices.models import NoticeLeaf, Pull
from icrstore.seal.epoch import ROLES, Role
from icrstore.shell.keyfile import write_secret
from icrstore.verify import icr_verify
from icrstore.warrant.strict import dump, encode_base64
from tests.keeper.papers import AUTHORITY, TENANT
from tests.notices.office import Office, later, new_name
from tests.notices.test_sign_in import code_of
from tests.vault.rooms import add_tenant

HOME = f"/access/{TENANT}"


@pytest.fixture
def web(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The real doors with a real secrets folder; a fresh browser. There is no broker."""
    # As web is told to: who waits for a page does not wait for a broker that is down.
    patience = {"max_retries": 0, "socket_timeout": 0.5, "socket_connect_timeout": 0.5}
    monkeypatch.setitem(app.conf, "broker_transport_options", patience)
    write_secret(tmp_path / "lookup.key", office.keys.lookup.raw.hex().encode())
    public = encode_base64(office.keys.opening.public_bytes())
    shown = {"kind": "icr-public-key", "use": "recipient", "name": "n", "public": public}
    (tmp_path / "notifier.json").write_bytes(dump(shown))
    for cached in (access._lookup_key, access._notifier):
        cached.cache_clear()
    with override_settings(SECRETS=tmp_path, NOTIFIER_KEY=tmp_path / "notifier.json"):
        yield Client()


def post(web: Client, path: str, **form: str) -> tuple[int, str]:
    """A form as a browser sends it."""
    body = "&".join(f"{name}={value}" for name, value in form.items())
    response = web.post(path, body, content_type="application/x-www-form-urlencoded")
    return response.status_code, html.unescape(response.content.decode())


def get(web: Client, path: str = HOME) -> str:
    response = web.get(path)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def sign_in(web: Client, office: Office, account: str) -> None:
    office.database.use("web")
    assert post(web, f"{HOME}/code", account=account)[0] == 200
    office.database.use("admin")
    code = code_of(office, account)
    office.database.use("web")
    status, _ = post(web, f"{HOME}/enter", account=account, code=code.replace(" ", "+"))
    assert status == 303


@pytest.fixture
def account(office: Office) -> str:
    made = new_name()
    office.load(made)
    return made


def test_who_has_looked_is_told_with_when_which_law_which_hours_and_how_much(
    office: Office, web: Client, account: str
) -> None:
    question = office.answer(account, records=40_123)
    office.look()
    sign_in(web, office, account)
    page = get(web)
    assert AUTHORITY in page
    assert "authorisation" in page
    assert "which services you used" in page
    assert "40,123 of yours, for an answer that names your account" in page
    assert "both keepers, operator and oversight" in page
    assert "as both keepers logged" in page
    assert "not yet by message" not in page
    assert "Your records were looked at once." in page
    assert page.count("<article") == 1
    assert question.request.sha256.hex() in page
    assert "Nobody has looked" not in page
    assert account not in page
    assert "Demonstration" not in page
    with override_settings(ONE_HOST=True):
        assert "Demonstration: both keepers on one host" in get(web)


def test_a_lent_key_without_an_answer_is_told_as_that(
    office: Office, web: Client, account: str
) -> None:
    office.ask(account)
    office.look()
    sign_in(web, office, account)
    page = get(web)
    assert "no answer names your account" in page
    assert "not yet by message" in page
    assert "of yours" not in page


def test_nobody_has_looked_is_said_only_with_the_date_of_a_whole_check(
    office: Office, web: Client, account: str
) -> None:
    sign_in(web, office, account)
    assert "Nobody has looked" not in get(web)
    assert "Not both keepers" in get(web)
    office.database.use("admin")
    office.pull()
    office.database.use("web")
    page = get(web)
    assert "Nobody has looked at your records." in page
    assert re.search(r"last asked on <time datetime=\"20\d\d-", page)
    office.database.use("admin")
    Pull.objects.filter(role="oversight").delete()
    office.database.use("web")
    assert "Nobody has looked" not in get(web)


def test_one_keepers_word_of_the_telling_is_not_said_to_be_boths(
    office: Office, web: Client, account: str
) -> None:
    office.answer(account)
    office.look()
    office.database.use("admin")
    office.notice(account).leaves.filter(role="oversight").delete()
    sign_in(web, office, account)
    page = get(web)
    assert "so far only one keeper, operator" in page
    assert "as both keepers logged" not in page


@pytest.mark.parametrize("is_looked_at", [False, True])
def test_a_check_of_long_ago_is_no_word_about_today(
    office: Office, web: Client, account: str, is_looked_at: bool
) -> None:
    if is_looked_at:
        office.answer(account)
    office.look()
    sign_in(web, office, account)
    assert "may be missing" not in get(web)
    office.database.use("admin")
    Pull.objects.filter(role="operator").update(complete_at=later(hours=-2))
    office.database.use("web")
    page = get(web)
    assert "may be missing" in page
    assert "Nobody has looked" not in page
    assert ("Your records were looked at" in page) == is_looked_at


def test_a_spoilt_row_is_told_of_and_never_read_as_nobody(
    office: Office, web: Client, account: str
) -> None:
    office.answer(account)
    office.look()
    office.database.use("admin")
    NoticeLeaf.objects.filter(notice=office.notice(account)).update(sealed=b"spoilt")
    sign_in(web, office, account)
    page = get(web)
    assert "4 part(s) of this record cannot" in page
    assert "Nobody has looked" not in page


def test_the_proof_holds_without_us_and_commits_to_this_account(
    office: Office, web: Client, account: str
) -> None:
    question = office.answer(account, records=7)
    office.look()
    sign_in(web, office, account)
    path = f"{HOME}/proof/{question.request.sha256.hex()}"
    assert path in get(web)
    response = web.get(path)
    assert response["Content-Disposition"].startswith("attachment;")
    assert account not in response.content.decode()
    trust = icr_verify.read_trust(office.trust())
    checks, said = icr_verify.verify_access(response.content, account, trust)
    assert len(checks) == 14
    assert (said["authority"], said["records"]) == (AUTHORITY, 7)
    with pytest.raises(icr_verify.CheckFailed):
        icr_verify.verify_access(response.content, new_name(), trust)


@pytest.mark.parametrize("role", ROLES)
def test_a_proof_is_given_only_once_both_keepers_said_the_same(
    office: Office, web: Client, account: str, role: Role
) -> None:
    question = office.answer(account)
    office.look()
    office.database.use("admin")
    lacking = office.notice(account).leaves.filter(role=role, is_disclosure=True)
    assert lacking.delete()[0] == 1
    sign_in(web, office, account)
    page = get(web)
    assert "The proof is not complete" in page
    assert "/proof/" not in page
    path = f"{HOME}/proof/{question.request.sha256.hex()}"
    assert web.get(path).status_code == 404
    office.database.use("admin")
    office.pull()
    office.database.use("web")
    assert path in get(web)
    assert web.get(path).status_code == 200


def test_a_stranger_another_account_and_another_tenant_read_nothing_of_it(
    office: Office, web: Client, account: str
) -> None:
    question = office.answer(account)
    office.look()
    other = new_name()
    office.load(other)
    path = f"{HOME}/proof/{question.request.sha256.hex()}"
    office.database.use("web")
    assert "Send me a code" in get(web)
    assert web.get(path).status_code == 404
    office.database.use("admin")
    sign_in(web, office, other)
    assert "Nobody has looked" in get(web)
    assert web.get(path).status_code == 404
    office.database.use("admin")
    add_tenant("second", bytes(32))
    office.database.use("web")
    for cookie in web.cookies.values():
        cookie["path"] = "/"
    assert "Send me a code" in get(web, "/access/second")
    assert web.get("/access/nobody").status_code == 404
    status, _ = post(web, f"{HOME}/leave", leave="1")
    assert status == 303
    assert "Send me a code" in get(web)


def test_the_one_before_reads_nothing_more_and_the_next_nothing_of_before(
    office: Office, web: Client, account: str
) -> None:
    path = f"{HOME}/proof/{office.answer(account).request.sha256.hex()}"
    office.look()
    sign_in(web, office, account)
    before = dict(web.cookies)
    assert AUTHORITY in get(web)
    assert web.get(path).status_code == 200
    office.database.use("admin")
    office.close(account)
    office.database.use("web")
    assert "Send me a code" in get(web)
    assert web.get(path).status_code == 404

    office.database.use("admin")
    office.load(account)
    office.database.use("web")
    assert "Send me a code" in get(web)
    assert web.get(path).status_code == 404
    office.database.use("admin")
    sign_in(web, office, account)
    assert AUTHORITY not in get(web)
    assert web.get(path).status_code == 404
    assert web.cookies["icr_session"].value != before["icr_session"].value


def test_no_page_says_whether_an_account_exists(office: Office, web: Client, account: str) -> None:
    office.database.use("web")
    answers = []
    for name in (account, new_name()):
        status, page = post(Client(), f"{HOME}/code", account=name)
        answers.append((status, page.replace(name, "")))
        status, page = post(Client(), f"{HOME}/enter", account=name, code="12345678")
        answers.append((status, page.replace(name, "")))
    assert answers[:2] == answers[2:]
    assert [status for status, _ in answers[:2]] == [200, 403]


def test_wrong_forms_are_refused(office: Office, web: Client, account: str) -> None:
    office.database.use("web")
    form = "application/x-www-form-urlencoded"
    for site in ("cross-site", "same-site"):
        response = web.post(f"{HOME}/code", f"account={account}", content_type=form,
                            headers={"Sec-Fetch-Site": site})  # fmt: skip
        assert response.status_code == 400
    assert web.post(f"{HOME}/code", "account=" + "a" * 5000, content_type=form).status_code == 400
    assert web.post(f"{HOME}/code", {"account": account}).status_code == 400  # multipart
    for bad in ("", "a" * 65, "%00", "a%0ab"):
        assert post(web, f"{HOME}/code", account=bad)[0] == 400
    assert web.get(f"{HOME}/code").status_code == 405
    for _ in range(5):
        assert post(web, f"{HOME}/code", account=account)[0] == 200
    assert post(web, f"{HOME}/code", account=account)[0] == 429


class _Slow(io.RawIOBase):
    """A connection whose other side stopped in the middle (`icrstore.web.Conversation`)."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise ConnectionResetError


@pytest.mark.parametrize("step", ["code", "enter", "leave"])
def test_a_form_that_comes_too_slowly_is_refused_as_any_wrong_one(
    office: Office, web: Client, step: str
) -> None:
    office.database.use("web")
    form = "application/x-www-form-urlencoded"
    cut_off: dict[str, Any] = {"wsgi.input": io.BufferedReader(_Slow()), "CONTENT_LENGTH": "7"}
    response = web.generic("POST", f"{HOME}/{step}", b"account", content_type=form, **cut_off)
    assert response.status_code == 400
    assert response["Cache-Control"] == "no-store"


def test_every_page_is_shut_tight_and_has_no_script(
    office: Office, web: Client, account: str
) -> None:
    office.database.use("web")
    pages = [
        web.get(HOME), web.get("/access/nobody"), web.get("/access.css"),
        web.post(f"{HOME}/code", f"account=%3Cb%3E{account}",
                 content_type="application/x-www-form-urlencoded"),
    ]  # fmt: skip
    for response in pages:
        assert response["Content-Security-Policy"].startswith(
            "default-src 'none'; style-src 'self'"
        )
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Referrer-Policy"] == "no-referrer"
        body = response.content.decode().lower()
        assert "<script" not in body
        assert "style=" not in body
        assert " on" + "click" not in body
        assert "<b>" not in body
    cookie = pages[3].cookies["icr_browser"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", HOME)
    with override_settings(SIGN_IN_URL="https://isp.example/access/"):
        response = web.post(f"{HOME}/code", f"account={account}",
                            content_type="application/x-www-form-urlencoded")  # fmt: skip
    assert response.cookies["icr_browser"]["secure"] is True
