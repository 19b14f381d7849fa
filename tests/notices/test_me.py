"""The subscriber's JSON: what the page shows, by the page's own session, and by no other."""

import json
from typing import Any

import pytest
from django.test import Client

from icrstore.notices.models import NoticeLeaf, Session
from tests.keeper.papers import AUTHORITY, TENANT
from tests.notices.office import Office, new_name
from tests.notices.test_pages import HOME, account, post, sign_in, web
from tests.vault.rooms import add_tenant

__all__ = ["account", "web"]

ME = f"{HOME}/v1/me"
DOORS = (f"{ME}/accesses", f"{ME}/notices", f"{ME}/accesses/{'00' * 32}/proof")


def get(web: Client, path: str) -> tuple[int, dict[str, Any]]:
    response = web.get(path)
    return response.status_code, json.loads(response.content)


def test_accesses_and_notices_say_what_the_page_says(
    office: Office, web: Client, account: str
) -> None:
    question = office.answer(account, records=40_123)
    office.look()
    sign_in(web, office, account)
    status, told = get(web, f"{ME}/accesses")
    (access,) = told["accesses"]
    assert status == 200
    assert access["request_sha256"] == question.request.sha256.hex()
    assert (access["authority"], access["purpose"]) == (AUTHORITY, "services")
    assert (access["records"], access["keepers"]) == (40_123, ["operator", "oversight"])
    assert told["unreadable"] == 0
    assert told["checked_at"]
    (notice,) = get(web, f"{ME}/notices")[1]["notices"]
    assert notice["request_sha256"] == access["request_sha256"]
    assert notice["delivered_at"]
    assert account not in json.dumps([access, notice])


def test_what_was_lent_without_an_answer_is_an_access_that_is_still_to_be_told(
    office: Office, web: Client, account: str
) -> None:
    office.ask(account)
    office.look()
    sign_in(web, office, account)
    (access,) = get(web, f"{ME}/accesses")[1]["accesses"]
    (notice,) = get(web, f"{ME}/notices")[1]["notices"]
    assert access["records"] is None
    assert notice["delivered_at"] is None


def test_a_proof_is_the_one_that_the_page_gives(office: Office, web: Client, account: str) -> None:
    question = office.answer(account)
    office.look()
    sign_in(web, office, account)
    name = question.request.sha256.hex()
    status, proof = get(web, f"{ME}/accesses/{name}/proof")
    assert status == 200
    assert proof == json.loads(web.get(f"{HOME}/proof/{name}").content)
    assert len(proof["leaves"]) == 4
    for other in ("00" * 32, name[:-1], name.upper(), "%00", "x" * 500):
        status, told = get(web, f"{ME}/accesses/{other}/proof")
        assert (status, told["code"]) == (404, "no-such-access")


def test_a_proof_that_one_keeper_has_still_to_complete_is_refused_until_it_is(
    office: Office, web: Client, account: str
) -> None:
    path = f"{ME}/accesses/{office.answer(account).request.sha256.hex()}/proof"
    office.look()
    lacking = office.notice(account).leaves.filter(role="oversight", is_disclosure=True)
    assert lacking.delete()[0] == 1
    sign_in(web, office, account)
    status, told = get(web, path)
    assert (status, told["code"]) == (409, "not-proven")
    office.database.use("admin")
    office.pull()
    office.database.use("web")
    assert get(web, path)[0] == 200


def test_a_leaf_that_nobody_cosigned_yet_is_no_failure(
    office: Office, web: Client, account: str
) -> None:
    path = f"{ME}/accesses/{office.answer(account).request.sha256.hex()}/proof"
    keeper = office.pair.processes["oversight"]
    keeper.stop()
    try:
        office.pull()
    finally:
        keeper.start()
    sign_in(web, office, account)
    assert len(get(web, f"{ME}/accesses")[1]["accesses"]) == 1
    assert get(web, path)[1]["code"] == "not-proven"


def test_nobody_has_looked_comes_with_the_time_of_a_whole_check_or_without_one(
    office: Office, web: Client, account: str
) -> None:
    sign_in(web, office, account)
    empty: dict[str, Any] = {"accesses": [], "checked_at": None, "unreadable": 0}
    assert get(web, f"{ME}/accesses") == (200, empty)
    office.database.use("admin")
    office.pull()
    office.database.use("web")
    assert get(web, f"{ME}/accesses")[1]["checked_at"]


def test_a_spoilt_row_is_counted(office: Office, web: Client, account: str) -> None:
    office.answer(account)
    office.look()
    NoticeLeaf.objects.filter(notice=office.notice(account)).update(sealed=b"spoilt")
    sign_in(web, office, account)
    for path in (f"{ME}/accesses", f"{ME}/notices"):
        assert get(web, path)[1]["unreadable"] == 4


@pytest.mark.parametrize("door", DOORS)
def test_a_stranger_and_who_left_read_nothing_and_unknown_tenants_look_alike(
    office: Office, web: Client, account: str, door: str
) -> None:
    office.database.use("web")
    strangers = [Client().get(door), Client().get(door.replace(TENANT, "nobody", 1))]
    spoilt = Client()
    spoilt.cookies["icr_session"] = "x"
    strangers.append(spoilt.get(door))
    assert spoilt.get(door.replace(TENANT, "%00", 1)).status_code == 404
    office.database.use("admin")
    sign_in(web, office, account)
    assert web.get(door).status_code in (200, 404)
    post(web, f"{HOME}/leave", leave="1")
    strangers.append(web.get(door))
    for response in strangers:
        assert response.status_code == 401
        assert response.content == strangers[0].content
        assert json.loads(response.content)["code"] == "not-signed-in"


def test_another_account_and_another_tenant_read_nothing_of_it(
    office: Office, web: Client, account: str
) -> None:
    question = office.answer(account)
    office.look()
    other = new_name()
    office.load(other)
    sign_in(web, office, other)
    assert get(web, f"{ME}/accesses")[1]["accesses"] == []
    assert get(web, f"{ME}/notices")[1]["notices"] == []
    path = f"{ME}/accesses/{question.request.sha256.hex()}/proof"
    assert get(web, path)[0] == 404
    office.database.use("admin")
    add_tenant("second", bytes(32))
    sign_in(web, office, account)
    assert len(get(web, f"{ME}/accesses")[1]["accesses"]) == 1
    # A browser would not send it there; somebody who copies the cookie does.
    for cookie in web.cookies.values():
        cookie["path"] = "/"
    for door in ("accesses", "notices", f"accesses/{question.request.sha256.hex()}/proof"):
        status, told = get(web, f"/access/second/v1/me/{door}")
        assert (status, told["code"]) == (401, "not-signed-in")


def test_a_session_that_ended_reads_nothing(office: Office, web: Client, account: str) -> None:
    sign_in(web, office, account)
    assert get(web, f"{ME}/accesses")[0] == 200
    office.database.use("admin")
    Session.objects.update(expires_at=office.now)
    office.database.use("web")
    assert get(web, f"{ME}/accesses")[0] == 401


@pytest.mark.parametrize("door", DOORS)
def test_every_answer_is_shut_tight_and_nothing_can_be_changed_here(
    office: Office, web: Client, account: str, door: str
) -> None:
    sign_in(web, office, account)
    for response in (web.get(door), Client().get(door), web.post(door)):
        assert response["Cache-Control"] == "no-store"
        assert response["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in response
    for method in (web.post, web.put, web.delete):
        assert method(door).status_code == 405
