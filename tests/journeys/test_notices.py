"""From a question to the subscriber's mailbox, with every process at its place."""

import email
import email.policy
import html
import json
import re
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from icrstore.warrant.strict import time_text
from tests.site import TENANT, Site, last_hours

FIRST, END = last_hours(1)
ACCOUNT, NEIGHBOUR = "household-of-zoe", "household-of-max"
CONTACT = "mailbox-seventeen@example.net"


def load(site: Site, folder: Path, *lines: str) -> None:
    path = folder / "subscribers.csv"
    path.write_text("".join(f"{line}\n" for line in ("account,channel,contact", *lines)))
    site.installation.manage("subscribers", "load", TENANT, str(path))


def push(site: Site, folder: Path) -> None:
    path = folder / "records.ndjson"
    path.write_text("".join(
        json.dumps({
            "observed_at": time_text(FIRST + timedelta(minutes=5)), "protocol": 6,
            "source_address": "203.0.113.77", "source_port": 40_000,
            "destination_address": "192.0.2.80", "destination_port": 443, "account": account,
        }) + "\n"
        for account in (ACCOUNT, NEIGHBOUR)
    ))  # fmt: skip
    site.push(path)


def letters(site: Site) -> list[bytes]:
    folder = site.stack.layout.private("notifier", "outbox")
    return [path.read_bytes() for path in sorted(folder.glob("*.eml"))]


def wait_for_letters(site: Site, count: int, seconds: float = 60) -> list[bytes]:
    deadline = time.monotonic() + seconds
    while len(found := [one for one in letters(site) if CONTACT.encode() in one]) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(site.stack.log("notifier"))
        time.sleep(0.2)
    return found


def test_who_was_asked_for_is_told_through_every_process(site: Site, tmp_path: Path) -> None:
    load(site, tmp_path, f"{ACCOUNT},email,{CONTACT}")
    push(site, tmp_path)
    before = len([one for one in letters(site) if CONTACT.encode() in one])

    site.ask([ACCOUNT, NEIGHBOUR], FIRST, END)

    letter = wait_for_letters(site, before + 1)[-1]
    message = email.message_from_bytes(letter, policy=email.policy.default)
    assert message["To"] == CONTACT
    assert ACCOUNT not in message.as_string()
    # Four leaves of hers are told and logged; the neighbour has no contact and stays owed.
    site.wait_for("SELECT count(*) >= 4 FROM notices_noticeleaf WHERE logged")
    site.wait_for(
        "SELECT count(*) = 4 FROM notices_noticeleaf AS leaf JOIN notices_notice AS notice"
        " ON notice.id = notice_id WHERE statement IS NULL AND why = 'no-contact' AND NOT logged"
        " AND request_sha256 = (SELECT sha256 FROM query_query ORDER BY id DESC LIMIT 1)"
    )

    # All rows deleted: what was told comes back as told, what is owed as owed.
    count = site.sql("SELECT count(*) FROM notices_noticeleaf")[0][0]
    site.sql("TRUNCATE notices_notice, notices_noticeleaf")
    site.wait_for(f"SELECT count(*) = {count} FROM notices_noticeleaf")
    assert len([one for one in letters(site) if CONTACT.encode() in one]) == before + 1
    assert site.sql("SELECT count(*) >= 4 FROM notices_noticeleaf WHERE logged")[0][0]


def test_a_killed_notifier_goes_on_and_nobody_can_read_who_is_who(
    site: Site, tmp_path: Path
) -> None:
    load(site, tmp_path, f"{ACCOUNT},email,{CONTACT}")
    push(site, tmp_path)
    before = len([one for one in letters(site) if CONTACT.encode() in one])
    site.stack.stop("notifier")
    site.ask([ACCOUNT], FIRST, END)
    assert len([one for one in letters(site) if CONTACT.encode() in one]) == before

    site.stack.start("notifier")
    site.stack.kill("notifier")

    wait_for_letters(site, before + 1)
    for name in ("notices_subscriber", "notices_notice", "notices_noticeleaf"):
        held = str(site.sql(f"SELECT t::text FROM {name} AS t")).encode()
        for secret in (ACCOUNT.encode(), CONTACT.encode(), b"mailbox"):
            assert secret not in held
            assert secret.hex().encode() not in held
    assert ACCOUNT not in site.stack.log("notifier")
    assert CONTACT not in site.stack.log("notifier")


def test_she_signs_in_with_the_code_that_came_and_reads_who_looked(
    site: Site, tmp_path: Path
) -> None:
    load(site, tmp_path, f"{ACCOUNT},email,{CONTACT}")
    push(site, tmp_path)
    site.ask([ACCOUNT], FIRST, END)
    # Both keepers' words are here, proven, before she reads them.
    site.wait_for("SELECT coalesce(bool_and(logged), false) FROM notices_noticeleaf"
                  " JOIN notices_notice AS notice ON notice.id = notice_id WHERE request_sha256"
                  " = (SELECT sha256 FROM query_query ORDER BY id DESC LIMIT 1)")  # fmt: skip
    browser = build_opener(HTTPCookieProcessor())
    home = f"{site.url}/access/{TENANT}"
    assert "Send me a code" in browser.open(home).read().decode()
    before = codes(site)

    asked = browser.open(f"{home}/code", urlencode({"account": ACCOUNT}).encode()).read().decode()
    assert "eight digits" in asked
    deadline = time.monotonic() + 30
    while not (new := codes(site) - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    (letter,) = new
    code = re.search(r"code is (\d{4} \d{4})", letter.decode())
    assert code
    form = {"account": ACCOUNT, "code": code[1]}
    page = html.unescape(browser.open(f"{home}/enter", urlencode(form).encode()).read().decode())

    assert "police" in page
    assert "authorisation 1" in page
    assert "which services you used" in page
    proof = re.search(r'href="(/access/[^"]+/proof/[0-9a-f]{64})"', page)
    assert proof
    told = json.loads(browser.open(site.url + proof[1]).read())
    assert {leaf["keeper"] for leaf in told["leaves"]} == {"operator", "oversight"}
    assert all(leaf["evidence"] for leaf in told["leaves"])
    with pytest.raises(HTTPError) as refused:
        build_opener().open(site.url + proof[1])
    assert refused.value.code == 404
    refused.value.close()
    held = str([site.sql(f"SELECT t::text FROM {name} AS t")
                for name in ("notices_session", "notices_signin")])  # fmt: skip
    for secret in (ACCOUNT, code[1].replace(" ", "")):
        assert secret not in held
        assert secret.encode().hex() not in held
    assert ACCOUNT not in site.stack.log("web")


def codes(site: Site) -> set[bytes]:
    return {one for one in letters(site) if b"sign-in code" in one and CONTACT.encode() in one}


def test_a_closed_account_is_closed_by_the_command_and_a_stranger_is_told_so(
    site: Site, tmp_path: Path
) -> None:
    load(site, tmp_path, f"{NEIGHBOUR},email,max@example.net")
    site.installation.manage("subscribers", "close", TENANT, NEIGHBOUR)
    with pytest.raises(subprocess.CalledProcessError):
        site.installation.manage("subscribers", "close", TENANT, NEIGHBOUR)
