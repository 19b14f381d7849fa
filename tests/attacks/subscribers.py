"""Known subscribers at their door: loaded, told and signed in; what only they may know is kept."""

import email
import email.policy
import http.cookiejar
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

from tests.attacks.known import Known
from tests.site import TENANT, Site


@dataclass
class Secrets:
    """The codes as they were mailed, and the cookies as browsers send them."""

    codes: list[str] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)


def outbox(site: Site) -> Path:
    """Where messages lie until a mail server takes them: codes and contacts belong there."""
    return site.stack.layout.private("notifier", "outbox")


def load(site: Site, known: Known, folder: Path) -> None:
    """Every known account has a contact; the provider deletes the file, as it is told to."""
    path = folder / "subscribers.csv"
    lines = [f"{account},email,{known.contact(account)}" for account in known.accounts]
    path.write_text("\n".join(["account,channel,contact", *lines, ""]))
    site.installation.manage("subscribers", "load", TENANT, str(path))
    path.unlink()


class Browser:
    """One person's browser; every cookie that it ever held is noted in ``secrets``."""

    def __init__(self, site: Site, secrets: Secrets) -> None:
        self._site, self._secrets = site, secrets
        self._jar = http.cookiejar.CookieJar()
        self._opener = build_opener(HTTPCookieProcessor(self._jar))
        self.home = f"{site.url}/access/{TENANT}"

    def get(self, path: str = "") -> str:
        return self._said(self.home + path, None)

    def post(self, path: str, **form: str) -> str:
        return self._said(self.home + path, urlencode(form).encode())

    def sign_in(self, account: str, contact: str) -> str:
        """The page, once the code that came was typed; a wrong one was tried first."""
        before = _codes(self._site, contact)
        self.post("/code", account=account)
        code = _code(self._site, contact, before)
        self._secrets.codes.append(code)
        self.post("/enter", account=account, code=code[::-1] + "0")
        return self.post("/enter", account=account, code=code)

    def _said(self, url: str, body: bytes | None) -> str:
        try:
            with self._opener.open(url, body) as response:
                told: bytes = response.read()
        except HTTPError as refused:
            with refused:
                told = refused.read()
        self._secrets.cookies += [one.value for one in self._jar if one.value is not None]
        return told.decode()


def letters(site: Site, contact: str) -> set[bytes]:
    found = (path.read_bytes() for path in outbox(site).glob("*.eml"))
    return {one for one in found if contact.encode() in one}


def wait_told(site: Site, contacts: Iterable[str], seconds: float = 60) -> None:
    """Until each has a message about a new entry."""
    deadline = time.monotonic() + seconds
    for contact in contacts:
        while not any(b"A new entry" in one for one in letters(site, contact)):
            if time.monotonic() > deadline:
                raise TimeoutError(site.stack.log("notifier"))
            time.sleep(0.1)


def _code(site: Site, contact: str, before: set[bytes], seconds: float = 60) -> str:
    deadline = time.monotonic() + seconds
    while not (new := _codes(site, contact) - before):
        if time.monotonic() > deadline:
            raise TimeoutError(site.stack.log("notifier"))
        time.sleep(0.1)
    (letter,) = new
    body = email.message_from_bytes(letter, policy=email.policy.default).get_content()
    found = re.search(r"code is (\d{4} \d{4})", body)
    assert found
    return found[1]


def _codes(site: Site, contact: str) -> set[bytes]:
    return {one for one in letters(site, contact) if b"sign-in code" in one}
