"""A question from beginning to end, and where it ends early."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from icrstore.shell.keyfile import KeyFile
from icrstore.verify import icr_verify
from tests.desk.fake_web import FakeWeb
from tests.desk.office import ACCOUNT, Office, icr


def asked(office: Office, web: FakeWeb) -> None:
    office.warrant()
    assert office.lodge(web.url).status == 0
    assert office.ask(web.url).status == 0


def test_a_question_is_drafted_signed_lodged_asked_answered_and_opened(
    office: Office, web: FakeWeb
) -> None:
    asked(office, web)
    ran = office.open()
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "services, under authorisation 7 of police, from isp-a"
    assert lines[1] == "NOTE demonstration: both keepers on one host"
    assert "COMPLETE    6 of 6 hours: 2026-11-22 00 to 06 UTC" in lines
    assert any(line.split() == ["imaps", "3", "1"] for line in lines)
    assert any(line.split()[:4] == ["192.0.2.7", "tcp/993", "imaps", "3"] for line in lines)
    assert "  - A tunnel hides what is inside it." in lines
    assert lines[-1].startswith("all 23 checks passed")


def test_what_was_opened_passes_icr_verify_and_is_for_its_owner_alone(
    office: Office, web: FakeWeb
) -> None:
    asked(office, web)
    assert office.open("--json").told["answer"]["accounts"] == [ACCOUNT]
    case = office.path("case")
    arguments = ["answer", case / "proof.json", "--trust", office.path("trust.json")]
    arguments += ["--answer", case / "answer.json"]
    assert icr_verify.main([str(each) for each in arguments]) == 0
    assert {path.stat().st_mode & 0o777 for path in case.iterdir()} == {0o600}
    assert office.open().status == 64  # An opened case is not written over.


def test_a_busy_server_is_asked_again(office: Office, web: FakeWeb) -> None:
    office.warrant()
    web.busy = 2
    assert office.lodge(web.url).status == 0


def test_an_answer_may_be_fetched_later(office: Office, web: FakeWeb) -> None:
    office.warrant()
    office.lodge(web.url)
    query = office.ask(web.url, "--no-wait").told["query"]
    status = ("status", query, "--key", office.path("investigator.key"), "--server", web.url)
    assert icr(*status).out == f"query {query}: running\n"
    assert icr(*status, "--json").told["state"] == "answered"
    assert icr(*status, "--out", office.path("answer.sealed")).status == 0
    assert office.open().status == 0


def test_a_refusal_names_the_keeper_and_why_and_exits_77(office: Office, web: FakeWeb) -> None:
    web.state, web.refusals = "refused", [{"keeper": "oversight", "code": "budget-spent"}]
    office.warrant()
    office.lodge(web.url)
    ran = office.ask(web.url)
    assert ran.status == 77
    assert "the oversight keeper refused: budget-spent" in ran.err
    assert not office.path("answer.sealed").exists()
    assert json.loads(ran.out)["status"] == 77


def test_status_names_the_keeper_that_refused_and_why(office: Office, web: FakeWeb) -> None:
    office.warrant()
    office.lodge(web.url)
    query = office.ask(web.url, "--no-wait").told["query"]
    web.polls, web.state = 0, "refused"
    web.refusals = [{"keeper": "operator", "code": "expired"}]
    status = ("status", query, "--key", office.path("investigator.key"), "--server", web.url)
    assert icr(*status).out == f"query {query}: refused\n  the operator keeper refused: expired\n"
    assert icr(*status, "--json").told["keepers"] == web.refusals
    assert icr(*status, "--out", office.path("answer.sealed")).status == 77


def test_a_failure_exits_69(office: Office, web: FakeWeb) -> None:
    web.state, web.detail = "failed", "the vault is away\x1b[2J"
    office.warrant()
    office.lodge(web.url)
    ran = office.ask(web.url)
    assert ran.status == 69
    assert "the vault is away?[2J" in ran.err


def test_a_server_that_is_away_exits_69(office: Office) -> None:
    office.warrant()
    ran = office.lodge("http://127.0.0.1:9")
    assert ran.status == 69
    assert "--server" in ran.err


@pytest.mark.parametrize(
    "url", ["http://icr.example", "ftp://icr.example", "icr.example", "https://"]
)
def test_a_server_without_tls_is_refused(office: Office, url: str) -> None:
    office.warrant()
    assert office.lodge(url).status == 64


def test_a_person_whose_grant_is_not_given_is_refused(office: Office, web: FakeWeb) -> None:
    office.warrant()
    ran = icr("lodge", office.path("warrant.json"), "--grant", office.path("applicant.grant"),
              "--key", office.path("applicant.key"), "--server", web.url)  # fmt: skip
    assert ran.status == 77
    assert "no-approver" in ran.err


@pytest.mark.parametrize(
    "more", [("--account", "stranger"), ("--to", "2026-11-22T07"), ("--from", "2026-11-21T23")]
)
def test_a_request_outside_the_warrant_is_not_even_sent(
    office: Office, web: FakeWeb, more: tuple[str, str]
) -> None:
    office.warrant()
    office.lodge(web.url)
    ran = office.ask(web.url, *more)
    assert ran.status == 65
    assert "outside-the-warrant" in ran.err
    assert "stranger" not in ran.err
    assert web.requests == {}


def test_a_part_of_the_warrants_hours_may_be_asked_for(office: Office, web: FakeWeb) -> None:
    office.warrant()
    office.lodge(web.url)
    assert office.ask(web.url, "--from", "2026-11-22T02", "--to", "2026-11-22T04:00Z").status == 0
    assert "2 of 2 hours: 2026-11-22 02 to 04 UTC" in office.open().out


def test_an_answer_for_another_key_does_not_open(office: Office, web: FakeWeb) -> None:
    asked(office, web)
    KeyFile.new("recipient", "other").write(office.path("other.key"))
    ran = office.open(key="other.key")
    assert ran.status == 77
    assert office.open(key="applicant.key").status == 64
    assert not office.path("case").exists()


def test_no_byte_of_a_sealed_answer_may_change(office: Office, web: FakeWeb) -> None:
    asked(office, web)
    path = office.path("answer.sealed")
    raw = path.read_bytes()
    for position in range(0, len(raw) - 1, len(raw) // 40):
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        assert office.open().status in (65, 77)
        assert not office.path("case").exists()


def other_salt(package: dict[str, Any]) -> dict[str, Any]:
    package["keepers"]["oversight"]["disclosure"]["leaves"][0]["salt"] = "00" * 16
    return package


def other_answer(package: dict[str, Any]) -> dict[str, Any]:
    return {**package, "answer": "e30="}


@pytest.mark.parametrize(
    ("spoil", "check"), [(other_salt, "oversight-subjects"), (other_answer, "disclosure")]
)
def test_an_answer_that_is_not_proven_is_not_shown_or_written(
    office: Office, web: FakeWeb, spoil: Callable[[dict[str, Any]], dict[str, Any]], check: str
) -> None:
    web.spoil = spoil
    asked(office, web)
    ran = office.open()
    assert (ran.status, ran.out) == (65, "")
    assert f"({check})" in ran.err
    assert not office.path("case").exists()


def test_the_answer_to_another_question_of_the_same_warrant_is_refused(
    office: Office, web: FakeWeb
) -> None:
    asked(office, web)
    office.path("answer.sealed").unlink()
    honest = web.package(*web.requests)  # The only question so far.
    web.spoil = lambda _: honest
    assert office.ask(web.url, "--urgent").status == 0
    ran = office.open()
    assert ran.status == 65
    assert "another request" in ran.err
    assert not office.path("case").exists()


def test_an_answer_with_gaps_says_which_hours_and_why(office: Office, web: FakeWeb) -> None:
    def with_gaps(answer: dict[str, Any]) -> dict[str, Any]:
        answer["hours"][1] |= {"coverage": "INCOMPLETE", "why": ["a batch is \x1b[31mmissing"]}
        answer["hours"][4] |= {"coverage": "UNSEALED"}
        return answer

    web.answer_with = with_gaps
    asked(office, web)
    lines = office.open().out.splitlines()
    assert (
        "COMPLETE    4 of 6 hours: 2026-11-22 00 to 01 UTC, 2026-11-22 02 to 04 UTC, "
        in (lines[3].rsplit("2026", 1)[0])
    )
    assert lines[4] == "INCOMPLETE  1 of 6 hours: 2026-11-22 01 to 02 UTC (a batch is ?[31mmissing)"
    assert lines[5] == "UNSEALED    1 of 6 hours: 2026-11-22 04 to 05 UTC"


def test_an_answer_of_another_form_is_not_shown_or_written(office: Office, web: FakeWeb) -> None:
    web.answer_with = lambda answer: {**answer, "by_service": None}
    asked(office, web)
    ran = office.open()
    assert (ran.status, ran.out) == (65, "")
    assert "(answer)" in ran.err
    assert not office.path("case").exists()
