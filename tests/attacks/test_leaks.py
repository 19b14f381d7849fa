"""A thief of everything on the host finds no account, no address and no run of ports in the clear,
no subscriber's contact, and nothing that signs anybody in.

Not searched, as they are where such things belong: the collector's input and the provider's list of
subscribers, which are removed once they were taken; the answer, which this test's memory alone
holds, as the investigator's would; and the outbox, which stands for the mailboxes.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from icrstore.seal.epoch import ROLES
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.strict import decode_base64
from tests.attacks import clumsy, loot, plain, subscribers
from tests.attacks.clumsy import Clumsy
from tests.attacks.conftest import Pushed
from tests.attacks.known import Known
from tests.attacks.loot import Wiretap
from tests.attacks.needles import (
    SPELLINGS,
    Needle,
    found,
    inflated,
    needles_of,
    needles_of_subscribers,
)
from tests.attacks.subscribers import Browser, Secrets
from tests.site import TENANT, Site


@dataclass
class Search:
    """Where something known lies open, and where a mark does that may: the search looked there."""

    leaks: dict[str, set[str]] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, things: Iterable[tuple[str, bytes]], needles: list[Needle], mark: bytes
    ) -> "Search":
        made = cls()
        for place, content in things:
            if names := found(needles, content):
                made.leaks[place] = names
            if mark in content:
                made.looked.append(place)
        return made

    def looked_at(self, part: str) -> bool:
        return any(part in place for place in self.looked)


@pytest.fixture(scope="module")
def of_records(known: Known) -> list[Needle]:
    return needles_of(known)


@pytest.fixture(scope="module")
def needles(known: Known, of_records: list[Needle], visited: Secrets) -> list[Needle]:
    return [*of_records, *needles_of_subscribers(known, visited)]


@pytest.fixture(scope="module")
def loaded(site: Site, known: Known, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Before anybody asks: who has no contact then is told later."""
    subscribers.load(site, known, tmp_path_factory.mktemp("subscribers"))


@pytest.fixture(scope="module")
def visited(site: Site, known: Known, answer: bytes) -> Secrets:
    """Two subscribers whom the answer names were told and signed in; one of them is so still."""
    named, secrets = known.accounts[:2], Secrets()
    subscribers.wait_told(site, map(known.contact, named))
    browsers = [Browser(site, secrets) for _ in named]
    for browser, account in zip(browsers, named, strict=True):
        page = browser.sign_in(account, known.contact(account))
        assert "Your records were looked at" in page
        for proof in re.findall("/proof/[0-9a-f]{64}", page):
            assert "private" in browser.get(proof)
    assert "Sign out" in browsers[0].get()
    assert "Send me a code" in browsers[1].post("/leave")
    # What people do with what they should not put there.
    stranger = Browser(site, Secrets())
    for where in (f"/{named[0]}", f"?account={named[0]}", f"/proof/{known.contact(named[0])}"):
        stranger.get(where)
    stranger.post("/enter", account=named[0], code=secrets.codes[0])
    return secrets


@pytest.fixture(scope="module")
def answer(site: Site, known: Known, loaded: None) -> bytes:
    """Of a question that was answered, among others that web or the keepers refuse."""
    asked, other = known.accounts[:2], known.accounts[2:3]
    warrant = site.warrant(
        asked, known.first, known.end, id=asked[0], basis=f"{asked[1]}: {known.records[0]}"
    )
    site.lodge(warrant)
    answered = site.put(site.request(warrant, asked, known.first, known.end))
    outside = site.put(site.request(warrant, other, known.first, known.end))
    forged = site.warrant(other, known.first, known.end, signers=("applicant", "investigator"))
    told = {"tenant": TENANT, "warrant": forged.to_object(), "grants": []}
    for malformed in (told, {**told, asked[0]: asked}, {**told, "tenant": asked[0]}):
        assert site.desk().post("/v1/warrants", malformed).status in (401, 403, 422)
    assert site.wait(outside)["state"] == "refused"
    assert site.wait(answered)["state"] == "answered"
    return decode_base64(site.package(answered)["answer"]) or b""


@pytest.fixture(scope="module")
def collector(site: Site) -> Clumsy:
    key = json.loads(site.collector.read_text())["key"]
    return Clumsy(site.desk(KeyFile.read(Path(key), "signing").signing()))


@pytest.fixture(scope="module")
def wrongs(site: Site, collector: Clumsy, known: Known) -> None:
    """Whatever people do wrong was done, and the sealer has refused what the inbox took."""
    assert {each.status for each in clumsy.push_no_batches(collector, known)} == {202}
    clumsy.push_in_the_clear(collector, known)
    clumsy.misplace(site, collector, known)
    site.wait_for("SELECT NOT EXISTS (SELECT 1 FROM inbox_batch WHERE sealed_receipt IS NULL)")


def test_the_search_finds_every_needle_where_records_lie_open(
    known: Known, needles: list[Needle], answer: bytes, visited: Secrets
) -> None:
    (arrow, *_), ndjson = plain.batches(known), known.ndjson()
    swapped = np.frombuffer(arrow, "<u2").byteswap().tobytes()
    digests = 3 * hashlib.sha256(known.heavy.encode()).digest()
    planes = b"".join(part for row in plain.segments(arrow) for part in inflated(row))
    visit = " ".join([known.contact(known.heavy), *visited.codes, *visited.cookies,
                      *(code.replace(" ", "") for code in visited.codes)])  # fmt: skip
    lying_open = (ndjson, arrow, swapped, digests, planes, *_shifted(visit))
    shown: set[str] = set()
    for content in lying_open:
        for spelled in SPELLINGS.values():
            shown |= found(needles, spelled(content))
    assert shown == {needle.name for needle in needles}
    assert "account: as it is" in found(needles, answer)


def _shifted(text: str) -> list[bytes]:
    """So that each word begins at every place that base64 tells apart."""
    return [bytes(offset) + text.encode() + bytes(3) for offset in range(3)]


def test_the_search_finds_a_row_that_was_never_sealed(known: Known, needles: list[Needle]) -> None:
    for columns in plain.segments(plain.batches(known)[0]):
        assert found(needles, columns) & {"ports, low plane: as it is", "account: as it is"}


@pytest.mark.usefixtures("answer", "wrongs")
def test_no_file_of_the_host_holds_anything_known(
    site: Site, pushed: Pushed, needles: list[Needle]
) -> None:
    mailbox = str(subscribers.outbox(site))
    files = (each for each in loot.files(site) if not each[0].startswith(mailbox))
    search = Search.of(files, needles, pushed.eids[0])
    assert search.leaks == {}
    assert search.looked_at("postgres/data/base/")
    assert search.looked_at("postgres/data/pg_wal/")
    for role in ROLES:
        assert search.looked_at(f"keeper-{role}/keeper.db")


@pytest.mark.usefixtures("visited")
def test_the_mailboxes_hold_contacts_and_codes_and_nothing_of_a_record(
    site: Site, needles: list[Needle], of_records: list[Needle]
) -> None:
    letters = b"".join(path.read_bytes() for path in subscribers.outbox(site).iterdir())
    assert found(needles, letters) >= {"contact: as it is", "code, as mailed: as it is"}
    assert found(of_records, letters) == set()


@pytest.mark.usefixtures("answer", "wrongs")
def test_no_table_holds_anything_known(site: Site, pushed: Pushed, needles: list[Needle]) -> None:
    search = Search.of(loot.tables(site), needles, pushed.eids[0])
    assert search.leaks == {}
    assert search.looked == ["table vault_epoch, binary"]


@pytest.mark.usefixtures("answer", "wrongs")
def test_nothing_known_went_through_the_broker(
    site: Site, wiretap: Wiretap, needles: list[Needle]
) -> None:
    assert Search.of(loot.broker(site), needles, b"").leaks == {}
    heard = wiretap.heard()
    assert found(needles, heard) == set()
    assert b"icrstore.vault.tasks.seal" in heard
    assert b"icrstore.query.tasks.answer" in heard


@pytest.mark.usefixtures("wrongs")
def test_a_batch_that_nobody_sealed_is_refused_before_it_touches_a_disk(
    site: Site, collector: Clumsy, known: Known
) -> None:
    held = site.sql("SELECT count(*) FROM inbox_batch")
    answered = clumsy.push_in_the_clear(collector, known)
    assert [(each.status, json.loads(each.body)["code"]) for each in answered] == [
        (400, "not-sealed")
    ] * 3
    assert site.sql("SELECT count(*) FROM inbox_batch") == held
