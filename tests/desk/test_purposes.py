"""Questions of purposes 1 and 3 from draft to opened answer, and long answers of purpose 2."""

from collections.abc import Callable
from typing import Any

import pytest

from icrstore.desk.asking import printable
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import Request, Warrant
from tests.desk.fake_web import FakeWeb
from tests.desk.office import ACCOUNT, Office, Ran, icr

ADDRESS = "198.51.100.200,2001,tcp,2026-11-22T05:25:00Z"
HOURS = ("--from", "2026-11-22T00", "--to", "2026-11-22T06")
NETWORK = "192.0.2.0/24"


def drafted(office: Office, purpose: str, *about: object) -> Warrant:
    ran = office.draft_for(purpose, *about)
    assert ran.status == 0, ran.err
    envelope = Envelope("warrant", office.path("warrant.json").read_bytes(), ())
    return Warrant.parse(envelope)


def asked(office: Office, web: FakeWeb, purpose: str, *about: object, ask: Any = ()) -> Ran:
    office.signed(office.draft_for(purpose, *about))
    assert office.lodge(web.url).status == 0
    return office.ask_for(purpose, web.url, *ask)


def the_request(web: FakeWeb) -> Request:
    ((envelope, _, _),) = web.requests.values()
    return Request.parse(envelope)


def shown(office: Office) -> list[str]:
    ran = office.open()
    assert (ran.status, ran.err) == (0, "")
    return ran.out.splitlines()


def with_answer(change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
    def changed(answer: dict[str, Any]) -> dict[str, Any]:
        change(answer)
        return answer

    return changed


# Purpose 1.


@pytest.mark.parametrize(
    ("typed", "protocol", "tolerance", "at"),
    [
        ("198.51.100.200,2001,tcp,2026-11-22T05:25:00Z", 6, 60, "2026-11-22T05:25:00Z"),
        ("198.51.100.200,2001,udp,2026-11-22T06:25:00.5+01:00,0", 17, 0,
         "2026-11-22T05:25:00.500000Z"),
        ("198.51.100.200,2001,132,2026-11-22T05:25:00Z,3600", 132, 3600, "2026-11-22T05:25:00Z"),
    ],
)  # fmt: skip
def test_an_address_is_typed_with_its_port_protocol_and_time(
    office: Office, typed: str, protocol: int, tolerance: int, at: str
) -> None:
    (selector,) = drafted(office, "resolve", "--address", typed).selectors
    assert selector.to_fields() == {
        "address": "198.51.100.200", "port": 2001, "protocol": protocol, "at": at,
        "tolerance_seconds": tolerance,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "first", "end"),
    [
        (["2026-11-22T05:25:00Z"], 5, 6),
        (["2026-11-22T05:00:30Z"], 4, 6),
        (["2026-11-22T05:59:00Z"], 5, 7),
        (["2026-11-22T05:58:59Z"], 5, 6),
        (["2026-11-22T05:25:00Z", "2026-11-22T02:25:00Z"], 2, 6),
        (["2026-11-22T05:25:00+02:00"], 3, 4),
    ],
)
def test_hours_follow_from_the_times(
    office: Office, typed: list[str], first: int, end: int
) -> None:
    addresses = [f"--address=198.51.100.200,2001,tcp,{each}" for each in typed]
    hours = drafted(office, "resolve", *addresses).hours
    assert (hours.first.hour, hours.end.hour) == (first, end)


def test_a_warrant_shows_each_address_and_how_many_may_be_named(office: Office) -> None:
    ran = office.draft_for("resolve", "--address", ADDRESS, "--max-candidates", 5)
    where = "198.51.100.200 tcp/2001 at 2026-11-22T05:25:00Z, give or take 60 s"
    assert f"address          {where}" in ran.out.splitlines()
    assert "max candidates   5" in ran.out.splitlines()


@pytest.mark.parametrize(
    "typed",
    [
        "", "198.51.100.200", "198.51.100.200,2001,tcp", "198.51.100.300,2001,tcp,TIME",
        "198.51.100.200,65536,tcp,TIME", "198.51.100.200,-1,tcp,TIME", "198.51.100.200, ,tcp,TIME",
        "198.51.100.200,2001,smtp,TIME", "198.51.100.200,2001,256,TIME",
        "198.51.100.200,2001,tcp,2026-11-22T05:25:00", "198.51.100.200,2001,tcp,TIME,3601",
        "198.51.100.200,2001,tcp,TIME,1,1", "198.51.100.200,2001,tcp,TIME,",
        "fe80::1%eth0,1,tcp,TIME",
    ],
)  # fmt: skip
def test_an_address_that_is_not_one_is_refused_with_an_example(office: Office, typed: str) -> None:
    ran = office.draft_for("resolve", "--address", typed.replace("TIME", "2026-11-22T05:25:00Z"))
    assert ran.status == 64
    assert "198.51.100.200,2001,tcp,2026-11-22T21:25:00Z" in ran.err
    assert not office.path("warrant.json").exists()


def test_who_held_an_address_is_asked_answered_and_shown(office: Office, web: FakeWeb) -> None:
    other = ADDRESS.replace("2001", "2002").replace("T05", "T02")
    assert asked(office, web, "resolve", "--address", ADDRESS, "--address", other).status == 0
    request = the_request(web)
    assert len(request.selectors) == 2
    assert [hour.hour for hour in request.all_hours()] == [2, 5]  # and none between
    lines = shown(office)
    assert lines[0] == "resolve, under authorisation 7 of police, from isp-a"
    where = "198.51.100.200 tcp/2001 at 2026-11-22T05:25:00Z, give or take 60 s"
    told = "one account used this port then: household-1; of 1 hour 1 COMPLETE"
    assert f"UNIQUE    {where}: {told}" in lines
    assert "  - A tunnel hides what is inside it." in lines
    assert lines[-1].startswith("all 23 checks passed")


def test_a_part_of_the_addresses_may_be_asked_for(office: Office, web: FakeWeb) -> None:
    other = ADDRESS.replace("2001", "2002")
    ran = asked(office, web, "resolve", "--address", ADDRESS, "--address", other,
                ask=["--address", other])  # fmt: skip
    assert ran.status == 0
    assert [each.to_fields()["port"] for each in the_request(web).selectors] == [2002]


@pytest.mark.parametrize(
    ("old", "new"), [("2001", "2009"), ("tcp", "udp"), ("05:25", "05:26"), ("Z", "Z,61")]
)
def test_an_address_outside_the_warrant_is_not_even_sent(
    office: Office, web: FakeWeb, old: str, new: str
) -> None:
    ran = asked(office, web, "resolve", "--address", ADDRESS,
                ask=["--address", ADDRESS.replace(old, new)])  # fmt: skip
    assert ran.status == 65
    assert "outside-the-warrant" in ran.err
    assert "198.51.100.200" not in ran.err
    assert web.requests == {}


@pytest.mark.parametrize(
    ("verdict", "candidates", "named", "told"),
    [
        ("HOLDER", 1, ["household-1"],
         "the address, or its block of ports, was one account's then: household-1"),
        ("AMBIGUOUS", 1, [], "one account fits, and others of the address may: nobody is named"),
        ("AMBIGUOUS", 2, ["household-1", "household-2"],
         "2 accounts fit: household-1, household-2"),
        ("AMBIGUOUS", 7, [], "7 accounts fit: more than the warrant lets be named"),
        ("NONE", 0, [], "nobody"),
        ("UNKNOWN", 0, [], "cannot say: nobody in these records, and some are missing"),
    ],
)  # fmt: skip
def test_a_verdict_is_told_in_words(
    office: Office, web: FakeWeb, verdict: str, candidates: int, named: list[str], told: str
) -> None:
    def change(answer: dict[str, Any]) -> None:
        answer["resolutions"][0] |= {"verdict": verdict, "candidates": candidates,
                                     "accounts": named}  # fmt: skip
        answer["hours"][0] |= {"coverage": state}

    state = "COMPLETE" if verdict == "NONE" else "UNSEALED"
    web.named, web.answer_with = tuple(named), with_answer(change)
    asked(office, web, "resolve", "--address", ADDRESS, "--max-candidates", 2)
    (line,) = [each for each in shown(office) if "198.51.100.200" in each]
    assert line.startswith(f"{verdict:9} ")
    assert line.endswith(f": {told}; of 1 hour 1 {state}")


# Purpose 3.


def test_a_target_is_the_services_in_all_hours_of_the_warrant_or_in_its_own(office: Office) -> None:
    own = "2001:db8::/32,2026-11-22T01:30:00Z,2026-11-22T02:00:00+00:00"
    targets = drafted(office, "reached", "--account", ACCOUNT, *HOURS, "--target", NETWORK,
                      "--target", own).targets  # fmt: skip
    assert [each.to_fields() for each in targets] == [
        {"cidr": NETWORK, "from": "2026-11-22T00:00:00Z", "to": "2026-11-22T06:00:00Z"},
        {"cidr": "2001:db8::/32", "from": "2026-11-22T01:30:00Z", "to": "2026-11-22T02:00:00Z"},
    ]


@pytest.mark.parametrize(
    "typed",
    [
        "", "192.0.2.0", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/24,2026-11-22T00:00:00Z",
        "192.0.2.0/24,2026-11-22T01:00:00Z,2026-11-22T01:00:00Z",
        "192.0.2.0/24,2026-11-22T00:00:00,2026-11-22T01:00:00", "192.0.2.0/24,,",
        "192.0.2.0/24,2026-11-22T00:00:00Z,2026-11-22T01:00:00Z,x", "icr.example",
    ],
)  # fmt: skip
def test_a_target_that_is_not_one_is_refused_with_an_example(office: Office, typed: str) -> None:
    ran = office.draft_for("reached", "--account", ACCOUNT, *HOURS, "--target", typed)
    assert ran.status == 64
    assert "192.0.2.0/24,2026-11-22T00:00:00Z,2026-11-23T00:00:00Z" in ran.err
    assert not office.path("warrant.json").exists()


def test_whether_a_network_was_reached_is_asked_answered_and_shown(
    office: Office, web: FakeWeb
) -> None:
    about = ["--account", ACCOUNT, *HOURS, "--target", NETWORK, "--target", "2001:db8::/32"]
    assert asked(office, web, "reached", *about).status == 0
    assert (len(the_request(web).targets), len(the_request(web).all_hours())) == (2, 6)
    lines = shown(office)
    assert lines[0] == "reached, under authorisation 7 of police, from isp-a"
    assert f"account {ACCOUNT}" in lines
    hours = "from 2026-11-22T00:00:00Z to 2026-11-22T06:00:00Z"
    times = "2026-11-22T00:00:00Z to 2026-11-22T05:59:59Z"
    assert f"  YES         192.0.2.0/24 {hours}: 2 records, {times}" in lines
    assert f"  NO          2001:db8::/32 {hours}: no record; of 6 hours 6 COMPLETE" in lines


def test_an_answer_that_cannot_say_no_says_why(office: Office, web: FakeWeb) -> None:
    def change(answer: dict[str, Any]) -> None:
        answer["hours"][1] |= {"coverage": "UNSEALED"}
        answer["reached"][1] |= {"verdict": "UNKNOWN"}

    web.answer_with = with_answer(change)
    asked(office, web, "reached", "--account", ACCOUNT, *HOURS, "--target", NETWORK,
          "--target", "2001:db8::/32")  # fmt: skip
    (line,) = [each for each in shown(office) if "2001:db8::/32" in each]
    assert line.startswith("  CANNOT SAY  2001:db8::/32")
    assert line.endswith(": no record; of 6 hours 5 COMPLETE, 1 UNSEALED")


def test_a_part_of_accounts_targets_and_hours_may_be_asked_for(
    office: Office, web: FakeWeb
) -> None:
    about = ["--account", ACCOUNT, "--account", "household-2", *HOURS, "--target", NETWORK,
             "--target", "2001:db8::/32"]  # fmt: skip
    part = ["--account", "household-2", "--target", "2001:db8::/32", "--from", "2026-11-22T04"]
    assert asked(office, web, "reached", *about, ask=part).status == 0
    request = the_request(web)
    assert [each.to_fields() for each in request.selectors] == [{"account": "household-2"}]
    assert [each.cidr for each in request.targets] == ["2001:db8::/32"]
    assert len(request.all_hours()) == 2


@pytest.mark.parametrize("asked_for", ["192.0.3.0/24", "192.0.2.0/25"])
def test_a_target_outside_the_warrant_is_not_even_sent(
    office: Office, web: FakeWeb, asked_for: str
) -> None:
    ran = asked(office, web, "reached", "--account", ACCOUNT, *HOURS, "--target", NETWORK,
                ask=["--target", asked_for])  # fmt: skip
    assert ran.status == 65
    assert "outside-the-warrant" in ran.err
    assert web.requests == {}


# What does not fit its purpose.


@pytest.mark.parametrize(
    ("purpose", "about"),
    [
        ("services", ["--address", ADDRESS, *HOURS]),
        ("services", ["--account", ACCOUNT, "--target", NETWORK, *HOURS]),
        ("services", ["--account", ACCOUNT]),
        ("services", ["--account", ACCOUNT, "--from", "2026-11-22T00"]),
        ("services", HOURS),
        ("resolve", ["--account", ACCOUNT, *HOURS]),
        ("resolve", ["--address", ADDRESS, "--account", ACCOUNT]),
        ("resolve", ["--address", ADDRESS, "--address", ADDRESS]),
        ("resolve", ["--address", ADDRESS, "--max-candidates", "101"]),
        ("resolve", ["--address", ADDRESS, "--to", "2026-11-22T06"]),
        ("resolve", []),
        ("reached", ["--account", ACCOUNT, *HOURS]),
        ("reached", ["--account", ACCOUNT, "--target", NETWORK]),
    ],
)
def test_a_draft_refuses_what_does_not_fit_its_purpose(
    office: Office, purpose: str, about: list[str]
) -> None:
    ran = office.draft_for(purpose, *about)
    assert ran.status == 64
    assert ran.err
    assert not office.path("warrant.json").exists()


def test_a_question_of_another_purpose_than_the_warrants_is_not_even_sent(
    office: Office, web: FakeWeb
) -> None:
    office.warrant()
    office.lodge(web.url)
    ran = office.ask_for("reached", web.url)
    assert ran.status == 65
    assert "icr ask services" in ran.err
    assert web.requests == {}


@pytest.mark.parametrize("purpose", ["resolve", "reached"])
def test_help_teaches_by_an_example(purpose: str) -> None:
    assert f"icr ask {purpose} --warrant" in icr("ask", purpose, "--help").out
    assert f"--purpose {purpose}" in icr("warrant", "draft", "--help").out


# Purpose 2, when it is long.


def test_a_question_about_all_accounts_of_the_warrant_names_none(
    office: Office, web: FakeWeb
) -> None:
    about = ["--account", ACCOUNT, "--account", "household-2", *HOURS]
    assert asked(office, web, "services", *about).status == 0
    assert len(the_request(web).selectors) == 2


def test_a_long_table_ends_by_saying_how_many_more_there_are(office: Office, web: FakeWeb) -> None:
    def change(answer: dict[str, Any]) -> None:
        first, service = answer["services"][0], answer["by_service"][0]
        answer["services"] = [
            {**first, "destination_address": f"192.0.2.{n}", "records": n} for n in range(41)
        ]
        answer["by_service"] = [{**service, "service": f"port {n}", "records": n}
                                for n in range(41)]  # fmt: skip
        answer["records"] = sum(range(41))

    web.answer_with, web.records = with_answer(change), (sum(range(41)),)
    asked(office, web, "services", "--account", ACCOUNT, *HOURS)
    lines = shown(office)
    assert lines.count("  and 1 more: all are in answer.json") == 2
    assert any("192.0.2.40 " in line for line in lines)
    assert not any("192.0.2.0 " in line for line in lines)
    assert len([line for line in lines if line.startswith("  port ")]) == 40


def test_nothing_in_an_answer_steers_a_terminal(office: Office, web: FakeWeb) -> None:
    def change(answer: dict[str, Any]) -> None:
        answer["limits"] = ["\x1b[2J"]
        answer["resolutions"][0]["accounts"] = ["flat\x1b[31m"]
        answer["notice"] = "\x07"

    web.named, web.answer_with = ("flat\x1b[31m",), with_answer(change)
    asked(office, web, "resolve", "--address", ADDRESS)
    out = office.open().out
    assert printable(out.replace("\n", "")) == out.replace("\n", "")
