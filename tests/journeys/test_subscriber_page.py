"""A worried subscriber at their screen: real browser, real web process, real mail server."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from deploy import provision
from icrstore.warrant.strict import time_text
from tests.journeys.browser import check_page, chromium
from tests.journeys.test_notices import load
from tests.notices.sink import Sink, serve
from tests.site import TENANT, Site, last_hours

FIRST, END = last_hours(2)
LOOKED_AT, LEFT_ALONE = "line-of-ada", "line-of-bob"
SECONDS = 30


@dataclass
class Screen:
    """One browser, what its pages asked for, and what they complained of."""

    page: Page
    home: str
    sink: Sink
    pictures: Path
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self) -> None:
        self.page.goto(self.home)

    def check(self, name: str) -> None:
        check_page(self.page, self.pictures / name)

    def ask_for_code(self, account: str) -> None:
        self.page.get_by_label("Account number").fill(account)
        self.page.get_by_role("button", name="Send me a code").click()

    def code(self, account: str) -> str:
        """As it stands in the newest message, once that has come."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for message in reversed(self.sink.to(f"{account}@example.net")):
                if found := re.search(r"code is (\d{4} \d{4})", message.get_content()):
                    return found[1]
            self.page.wait_for_timeout(50)
        raise TimeoutError("no code came")

    def type_code(self, code: str) -> Response | None:
        self.page.get_by_label("Code").fill(code)
        with self.page.expect_response(lambda response: response.url.endswith("/enter")) as said:
            self.page.get_by_role("button", name="Sign in").click()
        return said.value

    def sign_in(self, account: str) -> None:
        self.open()
        self.ask_for_code(account)
        self.type_code(self.code(account))

    def session(self) -> str:
        """The cookie as the browser sends it; empty when signed out."""
        sent = {one["name"]: one["value"] for one in self.page.context.cookies(self.home)}
        return sent.get("icr_session", "")


@pytest.fixture(scope="module")
def mailed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    """The notifier sends by a mail server; both are subscribers, and one was asked about."""
    folder = tmp_path_factory.mktemp("subscribers")
    with pytest.MonkeyPatch.context() as patch, serve(Sink()) as sink:
        site.stack.stop("notifier")
        patch.setenv("ICR_SMTP", f"127.0.0.1:{sink.port}")
        patch.setenv("ICR_SMTP_STARTTLS", "0")
        site.stack.start("notifier")
        load(site, folder, *(f"{one},email,{one}@example.net" for one in (LOOKED_AT, LEFT_ALONE)))
        push(site, folder / "records.ndjson")
        site.ask([LOOKED_AT], FIRST, END)
        # Both keepers' words are here, proven, and both know that she was told.
        site.wait_for("SELECT count(*) >= 4 FROM notices_noticeleaf JOIN notices_notice AS notice"
                      " ON notice.id = notice_id WHERE logged AND is_proven AND request_sha256 ="
                      " (SELECT sha256 FROM query_query ORDER BY id DESC LIMIT 1)")  # fmt: skip
        yield sink
        site.stack.stop("notifier")
    site.stack.start("notifier")


def push(site: Site, path: Path) -> None:
    """Five connections of each."""
    path.write_text("".join(
        json.dumps({
            "observed_at": time_text(FIRST.replace(minute=minute)), "protocol": 6,
            "source_address": "203.0.113.91", "source_port": 40_000 + minute,
            "destination_address": "192.0.2.80", "destination_port": 443, "account": account,
        }) + "\n"
        for account in (LOOKED_AT, LEFT_ALONE) for minute in range(5)
    ))  # fmt: skip
    site.push(path)


@pytest.fixture
def screen(site: Site, mailed: Sink, tmp_path: Path) -> Iterator[Screen]:
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(SECONDS * 1000)
        made = Screen(page, f"{site.url}/access/{TENANT}", mailed, tmp_path)
        made.watch()
        yield made


def verify(site: Site, proof: Path, account: str) -> "subprocess.CompletedProcess[str]":
    """`icr-verify` as the subscriber, or whoever they ask, runs it."""
    command = Path(sys.executable).with_name("icr-verify")
    trust = str(provision.trust_file(site.installation))
    return subprocess.run(
        [command, "access", proof, "--account", account, "--trust", trust],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_she_signs_in_reads_takes_the_proof_and_signs_out(
    site: Site, screen: Screen, tmp_path: Path
) -> None:
    page = screen.page
    screen.open()
    screen.check("1-sign-in")
    screen.ask_for_code(LOOKED_AT)
    screen.check("2-code")
    code = screen.code(LOOKED_AT)
    said = screen.type_code("0000 0000" if code != "0000 0000" else "1111 1111")
    assert said is not None
    assert said.status == 403
    screen.check("3-wrong-code")
    screen.type_code(code)

    expect(page.get_by_text("Demonstration: both keepers on one host")).to_be_visible()
    expect(page.get_by_text("Your records were looked at once.")).to_be_visible()
    shown = page.get_by_role("article").inner_text()
    for part in ("police", "which services you used", "authorisation 1", "operator and oversight",
                 "5 of yours, for an answer that names your account",
                 "as both keepers logged"):  # fmt: skip
        assert part in shown
    assert LOOKED_AT not in page.content()
    screen.check("4-record")

    with page.expect_download() as started:
        page.get_by_role("link", name="Download the proof").click()
    proof = tmp_path / started.value.suggested_filename
    started.value.save_as(proof)
    told = verify(site, proof, LOOKED_AT)
    assert (told.returncode, told.stderr) == (0, "")
    assert "records: 5" in told.stdout
    assert "authority: police" in told.stdout
    assert verify(site, proof, LEFT_ALONE).returncode == 1

    cookie = screen.session()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Account number")).to_be_visible()
    assert screen.session() == ""
    page.go_back()
    assert "police" not in page.content()
    page.context.add_cookies([{"name": "icr_session", "value": cookie, "url": screen.home}])
    screen.open()
    expect(page.get_by_label("Account number")).to_be_visible()

    assert screen.complaints == [
        "Failed to load resource: the server responded with a status of 403 (Forbidden)"
    ]
    assert {url.removeprefix(site.url) for url in screen.asked} == {
        "/access.css", *(f"/access/{TENANT}{door}" for door in
                         ("", "/code", "/enter", "/leave")),
    }  # fmt: skip


def test_he_reads_that_nobody_has_looked_and_when_that_was_checked(screen: Screen) -> None:
    screen.sign_in(LEFT_ALONE)
    page = screen.page
    expect(page.get_by_text("Nobody has looked at your records.")).to_be_visible()
    checked = page.locator(".answer time").get_attribute("datetime")
    assert checked is not None
    assert checked.startswith("20")
    screen.check("5-nobody")
    cookies = {one["name"]: one for one in page.context.cookies()}
    assert cookies.keys() == {"icr_session"}
    session = cookies["icr_session"]
    assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
    assert page.evaluate("document.cookie") == ""


def test_what_is_not_there_and_what_is_asked_too_often_is_said_plainly(screen: Screen) -> None:
    page = screen.page
    page.goto(screen.home + "/proof/" + "0" * 64)
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
    screen.check("6-nothing-here")
    for _ in range(6):
        screen.open()
        screen.ask_for_code("nobody-has-this")
    assert page.get_by_role("alert").inner_text().startswith("Too many codes")
    screen.check("7-too-often")
