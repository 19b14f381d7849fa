"""What a subscriber does: reads the message, signs in with a code, takes the proof along."""

import re
import time
from collections.abc import Sequence
from html.parser import HTMLParser
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

from deploy.demo.outbox import Letter, Outbox
from deploy.demo.telling import WAIT_SECONDS, Telling, Untrue, say

# The last line of each entry.
_PROOF = "Download the proof"


class Browser:
    """Keeps cookies and follows redirects, as a browser does."""

    def __init__(self, telling: Telling) -> None:
        self._site = telling.site.layout.url
        self.home = f"/access/{telling.tenant}"
        self._open = build_opener(HTTPCookieProcessor()).open

    def get(self, path: str) -> bytes:
        return self._fetch(path, None)

    def post(self, path: str, **form: str) -> bytes:
        return self._fetch(path, urlencode(form).encode())

    def _fetch(self, path: str, form: bytes | None) -> bytes:
        try:
            with self._open(self._site + path, form) as response:
                content: bytes = response.read()
                return content
        except HTTPError as error:
            said = text_of(error.read().decode())
            raise Untrue(f"the page answered {error.code}: {' '.join(said)}") from None


def read_message(outbox: Outbox) -> None:
    letter = outbox.wait(lambda letter: "access record" in letter.subject)
    _show_letter(letter)


def sign_in(telling: Telling, outbox: Outbox, account: str) -> Browser:
    """With the code that comes to the contact on file."""
    browser = Browser(telling)
    say(f"subscriber: opens {telling.site.layout.url}{browser.home}, types the account {account}")
    browser.post(f"{browser.home}/code", account=account)
    letter = outbox.wait(lambda letter: letter.code() is not None)
    say(f"outbox: {letter.text.splitlines()[0]}")
    browser.post(f"{browser.home}/enter", account=account, code=letter.code() or "")
    say("subscriber: types the code, and reads:\n")
    return browser


def read_page(browser: Browser, queries: Sequence[str]) -> None:
    """Who has looked: every query of this telling must be there. Raises Untrue."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        page = browser.get(browser.home).decode()
        if all(f"/proof/{query}" in page for query in queries):
            break
        if time.monotonic() > deadline:
            raise Untrue("the page does not show every question that was asked")
        time.sleep(0.5)
    lines = text_of(page)
    for line in lines[: lines.index(_PROOF) + 1]:
        say(f"  {line}")
    say(f"  ... and so on for the {lines.count(_PROOF) - 1} others")


def take_proof(telling: Telling, browser: Browser, account: str, query: str) -> None:
    """Saved, and checked without a server."""
    name = f"{telling.case}/access-{query[:8]}.json"
    proof = browser.get(f"{browser.home}/proof/{query}")
    (telling.folder / name).write_bytes(proof)
    telling.show_verified(
        "subscriber", "icr-verify", "access", name, "--account", account, "--trust", "trust.json"
    )


def text_of(page: str) -> list[str]:
    """What a page says in its middle, a line for each thing said."""
    reader = _Text()
    reader.feed(page)
    lines = (re.sub(r"\s+", " ", line).strip(" ;") for line in "".join(reader.said).split("\n"))
    return [line for line in lines if line]


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._is_inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "main":
            self._is_inside = True
        if tag in ("h1", "h2", "p", "dt"):
            self.said.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "main":
            self._is_inside = False
        if tag in ("dt", "li"):
            self.said.append(": " if tag == "dt" else "; ")

    def handle_data(self, data: str) -> None:
        if self._is_inside:
            self.said.append(data.replace("\n", " "))


def _show_letter(letter: Letter) -> None:
    for line in (f"To: {letter.to}", f"Subject: {letter.subject}", "", *letter.text.splitlines()):
        say(f"  {line}".rstrip())
