"""icr-verify against what the real engine and keepers answer, purpose by purpose."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from deploy import provision
from icrstore.verify.icr_verify import Proven, Question, read_trust, verify_package
from icrstore.warrant.strict import dump, time_text
from tests.site import Site, last_hours

FIRST, END = last_hours(2)
ACCOUNTS = ["proven-1", "proven-2"]
ADDRESS, NETWORK = "198.51.100.77", "192.0.2.0/24"


def minute(number: int) -> datetime:
    return FIRST + timedelta(minutes=number)


def record(account: str, minutes: int, port: int) -> dict[str, Any]:
    return {
        "observed_at": time_text(minute(minutes)), "protocol": 6, "source_address": "100.64.7.7",
        "source_port": 40_000, "destination_address": "192.0.2.80", "destination_port": 443,
        "account": account, "post_nat_source_address": ADDRESS, "post_nat_source_port": port,
    }  # fmt: skip


@pytest.fixture(scope="module")
def known(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site, to which both accounts' records were pushed."""
    path = tmp_path_factory.mktemp("known") / "records.ndjson"
    records = [record(ACCOUNTS[0], 5, 1), record(ACCOUNTS[1], 6, 2), record(ACCOUNTS[0], 6, 2)]
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    site.push(path)
    return site


def proven(site: Site, accounts: list[str], **changed: Any) -> tuple[Proven, list[int]]:
    """The answer, once icr-verify has passed it, and how many records of each account it names it
    was made from."""
    site.wait_ready()
    warrant = site.warrant(accounts, FIRST, END, **changed)
    site.lodge(warrant)
    asked = {name: changed[name] for name in ("selectors", "targets") if name in changed}
    query = site.put(site.request(warrant, accounts, FIRST, END, **asked))
    assert site.wait(query)["state"] == "answered"
    trust = provision.trust_file(site.installation).read_bytes()
    package = dump(site.package(query))
    records = Question.read(package).disclosure["records"]
    return verify_package(package, read_trust(trust)), records


def selector(port: int, minutes: int) -> dict[str, Any]:
    return {"address": ADDRESS, "port": port, "protocol": 6, "at": time_text(minute(minutes)),
            "tolerance_seconds": 1}  # fmt: skip


@pytest.mark.parametrize(("most", "named"), [(0, ACCOUNTS[:1]), (2, ACCOUNTS)])
def test_an_address_that_was_resolved_is_proven(known: Site, most: int, named: list[str]) -> None:
    asked = [selector(1, 5), selector(2, 6), selector(3, 5)]
    made, counted = proven(known, [], purpose="resolve", selectors=asked, max_candidates=most)
    verdicts = [each["verdict"] for each in made.answer["resolutions"]]
    assert verdicts == ["UNIQUE", "AMBIGUOUS", "NONE"]
    assert made.answer["accounts"] == named
    # Three addresses of one name were asked for: their rows were opened, and count, once.
    assert counted == [2, 1][: len(named)]
    assert all(hour["epochs"] for hour in made.answer["hours"])


def test_an_address_that_was_nobodys_is_proven(known: Site) -> None:
    made, counted = proven(known, [], purpose="resolve", selectors=[selector(3, 5)])
    assert (made.answer["accounts"], len(made.checks)) == ([], 23)
    assert counted == []


def test_a_service_report_is_proven(known: Site) -> None:
    made, counted = proven(known, ACCOUNTS)
    assert made.answer["records"] == 3
    assert counted == [2, 1]


def test_a_network_that_was_reached_and_one_that_was_not_are_proven(known: Site) -> None:
    window = {"from": time_text(FIRST), "to": time_text(END)}
    targets = [{"cidr": NETWORK, **window}, {"cidr": "192.0.3.0/24", **window}]
    made, counted = proven(known, ACCOUNTS, purpose="reached", targets=targets)
    assert [each["verdict"] for each in made.answer["reached"]] == ["YES", "NO"] * 2
    assert counted == [2, 1]
