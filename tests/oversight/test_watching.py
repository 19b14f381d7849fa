"""`icr oversight`: what the administrator hides in the database shows beside both keepers' logs."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from icrstore.keeper.client import KeepersRefused, Question
from icrstore.ledger.models import Checkpoint, Fork, Leaf, Log
from icrstore.notices.models import Notice
from icrstore.query.models import Query
from icrstore.retention.forget import forget
from icrstore.retention.models import Certificate
from icrstore.seal.epoch import ROLES
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.statements import AccountSelector
from icrstore.warrant.strict import dump, encode_base64
from tests.api.web import Web
from tests.desk.office import Ran, icr
from tests.keeper.pair import Pair
from tests.keeper.pairs import copy_pair
from tests.keeper.papers import TENANT, utc_now
from tests.ledger.copies import copy_logs
from tests.oversight.bodies import Body, put
from tests.vault.rooms import Database, Rooms, make_rooms


@dataclass(frozen=True)
class Watch:
    """A site whose database shows what both keepers' logs do."""

    rooms: Rooms
    database: Database
    web: Web
    body: Body
    folder: Path
    answered: Query
    refused: Query

    def icr(self, what: str, *more: object) -> Ran:
        return icr(
            "oversight", what, "--tenant", TENANT, "--key", self.folder / "ada.key",
            "--grant", self.folder / "ada.grant", "--trust", self.folder / "trust.json",
            "--server", f"http://{self.web.authority}", *more,
        )  # fmt: skip

    def differences(self, what: str) -> list[str]:
        ran = self.icr(what, "--json")
        told: list[str] = ran.told["differences"]
        assert ran.status == (65 if told else 0)
        return told

    def grant(self, envelope: Envelope) -> None:
        (self.folder / "ada.grant").write_bytes(envelope.encode())


@dataclass(frozen=True)
class Told:
    """Two keepers whose logs hold one question that was answered and one that was refused."""

    pair: Pair
    answered: bytes
    refused: bytes


@pytest.fixture(scope="module")
def told(template: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Only to be copied: nobody asks these keepers anything more."""
    with copy_pair(template, tmp_path_factory.mktemp("told")) as pair:
        yield Told(pair, ask(pair).request.sha256, refuse(pair).request.sha256)


@pytest.fixture
def watch(told: Told, database: Database, web: Web, tmp_path: Path) -> Watch:
    return open_watch(told, database, web, tmp_path)


def open_watch(told: Told, database: Database, web: Web, tmp_path: Path) -> Watch:
    rooms, body = make_rooms(told.pair, tmp_path), Body().pin(TENANT)
    person = KeyFile("signing", "ada", raw_public(body.person), body.person.private_bytes_raw())
    person.write(tmp_path / "ada.key")
    (tmp_path / "trust.json").write_bytes(dump(trust(told.pair)))
    refusals = [{"keeper": role, "code": "expired"} for role in ROLES]
    made = Watch(
        rooms, database, web, body, tmp_path,
        put(rooms.tenant, selectors=2, sha256=told.answered),
        put(rooms.tenant, sha256=told.refused, state="refused", keepers=refusals),
    )  # fmt: skip
    made.grant(body.grant())
    copy_logs(database, told.pair)
    return made


def ask(pair: Pair) -> Question:
    """About two accounts, so that each keeper writes two commit and two release leaves."""
    selectors = AccountSelector("a-1"), AccountSelector("a-2")
    question = pair.question(pair.warrant(pair.warrant_of(selectors=selectors)))
    pair.run(question)
    return question


def refuse(pair: Pair) -> Question:
    question = pair.question(pair.warrant(pair.warrant_of(valid_to=utc_now())))
    with contextlib.suppress(KeepersRefused):
        pair.keepers().commit(question)
        raise AssertionError
    return question


def trust(pair: Pair) -> dict[str, object]:
    keepers = [
        {"role": one.role, "instance": one.instance, "name": one.name,
         "identity_key": encode_base64(one.identity_key), "log_key": encode_base64(one.log_key),
         "witness_key": encode_base64(one.witness_key)}
        for one in pair.identities.values()
    ]  # fmt: skip
    return {"keepers": keepers, "engines": {}, "authorities": {}, "sealers": {},
            "receipt_key": encode_base64(bytes(32))}  # fmt: skip


@pytest.mark.parametrize("what", ["accesses", "refusals", "notices", "gaps"])
def test_where_nothing_is_hidden_nothing_differs(watch: Watch, what: str) -> None:
    assert watch.differences(what) == []
    ran = watch.icr(what)
    assert (ran.status, ran.err) == (0, "")
    assert "DIFFERS" not in ran.out
    for role in ROLES:
        assert f"{role} keeper's log demo.icrstore/{role}-1/" in ran.out


def test_a_table_has_a_line_for_each_row(watch: Watch) -> None:
    lines = watch.icr("accesses").out.splitlines()
    assert lines[0] == "accesses"
    assert lines[1].split()[:3] == ["request_sha256", "warrant_sha256", "authority"]
    digest = bytes(watch.answered.sha256).hex()[:16]
    assert any(line.split()[:1] == [digest] and "answered" in line for line in lines)
    refusals = watch.icr("refusals").out
    assert "operator: expired, oversight: expired" in refusals
    assert digest not in refusals


@pytest.mark.parametrize("what", ["accesses", "refusals"])
def test_what_was_forgotten_after_its_year_is_not_taken_for_hidden(watch: Watch, what: str) -> None:
    long_ago = utc_now() - timedelta(days=400)
    Query.objects.update(created_at=long_ago, ended_at=long_ago)
    for role in ROLES:
        Certificate.objects.create(
            tenant=watch.rooms.tenant, role=role, instance=1, epochs=0, evidence=b"",
            day=(utc_now() - timedelta(days=366)).date(),
        )  # fmt: skip
    forget()
    assert watch.differences(what) == []


def test_a_hidden_access_shows_at_both_keepers(watch: Watch) -> None:
    watch.answered.delete()
    for what in ("accesses", "refusals"):
        told = watch.differences(what)
        assert [line.split()[1] for line in told] == list(ROLES)
        assert all("2 commit leaves, the database shows 1: some are hidden" in one for one in told)
    assert "DIFFERS: the operator keeper logged 2 commit" in watch.icr("accesses").out


def test_a_hidden_refusal_shows_at_both_keepers(watch: Watch) -> None:
    watch.refused.delete()
    told = watch.differences("refusals")
    assert len(told) == 2
    assert all("logged 1 refusal leaves, the database shows 0" in one for one in told)


def test_a_refusal_that_is_passed_off_as_one_keepers_shows(watch: Watch) -> None:
    Query.objects.filter(id=watch.refused.id).update(
        keepers=[{"keeper": "operator", "code": "expired"}]
    )
    (told,) = watch.differences("refusals")
    assert told.startswith("the oversight keeper logged 1 refusal")


def test_an_answer_that_no_keeper_logged_shows(watch: Watch) -> None:
    put(watch.rooms.tenant, selectors=3)
    told = watch.differences("accesses")
    assert len(told) == 2
    assert all("the database shows 5 commit leaves" in one for one in told)


def test_a_question_that_never_reached_the_database_shows(
    own_pair: Pair, database: Database, web: Web, tmp_path: Path
) -> None:
    """An engine that was taken over asks the keepers by itself."""
    made = open_watch(Told(own_pair, bytes(32), refuse(own_pair).request.sha256),
                      database, web, tmp_path)  # fmt: skip
    made.answered.delete()
    assert made.differences("accesses") == []
    ask(own_pair)
    assert made.differences("accesses") == []  # not copied yet
    copy_logs(database, own_pair)
    assert len(made.differences("accesses")) == 2


def test_a_telling_that_only_the_database_has_shows(watch: Watch) -> None:
    notice = Notice.objects.create(
        tenant=watch.rooms.tenant, lookup=b"", request_sha256=bytes(32),
        newest_leaf_at=utc_now(), next_attempt_at=utc_now(),
    )  # fmt: skip
    notice.leaves.create(
        tenant=watch.rooms.tenant, role="oversight", number=1, leaf=1, is_disclosure=False,
        is_proven=True, owed_at=utc_now(), sealed=b"", logged=True,
    )  # fmt: skip
    (told,) = watch.differences("notices")
    assert "the database shows 1 notice leaves, the oversight keeper's log has 0" in told


def test_a_copy_that_was_altered_cut_or_taken_away_is_told_of(watch: Watch) -> None:
    log = Log.objects.get(role="operator")
    commit = Leaf.objects.filter(log=log, text__contains="type=commit").first()
    assert commit is not None
    Leaf.objects.filter(pk=commit.pk).update(text=commit.text.replace("commit", "pin"))
    (told,) = watch.differences("accesses")
    assert "the entries do not have the signed root" in told
    Leaf.objects.filter(pk=commit.pk).delete()
    (told,) = watch.differences("accesses")
    assert told.startswith("the operator keeper's log")
    Checkpoint.objects.filter(log=log).delete()
    Leaf.objects.filter(log=log).delete()
    log.node_set.all().delete()
    (told,) = watch.differences("accesses")
    log.delete()
    (told,) = watch.differences("accesses")
    assert told == "the store has no copy of the operator keeper's log"


def test_a_copy_that_is_old_is_told_of(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icrstore.desk.watching.OLD", timedelta(0))
    assert len(watch.differences("accesses")) == 2
    assert "later leaves are missing" in watch.differences("accesses")[0]


def test_a_trust_file_of_another_installation_believes_no_log(watch: Watch, template: Pair) -> None:
    other = trust(watch.rooms.pair)
    for keeper in other["keepers"]:  # type: ignore[attr-defined]
        keeper["log_key"] = encode_base64(bytes(31) + b"\1")
    (watch.folder / "trust.json").write_bytes(dump(other))
    assert len(watch.differences("accesses")) == 2


def test_who_is_not_let_in_is_told_by_what(watch: Watch) -> None:
    def why() -> str:
        ran = watch.icr("accesses", "--json")
        assert ran.status in (65, 77)
        return str(ran.told["why"])

    watch.grant(watch.body.grant(not_after=utc_now()))
    assert "have a new one signed" in why()
    watch.grant(watch.body.grant(role="investigator"))
    assert "role investigator" in why()
    watch.grant(watch.body.grant(key=bytes(32)))
    assert "another key" in why()
    watch.grant(watch.body.grant(root=watch.body.person))
    assert "unknown-key" in why()
    (watch.folder / "trust.json").write_text("{}")
    assert "trust.json" in why()
    assert json.loads(watch.icr("gaps", "--json").out)["ok"] is False


def test_a_log_that_forked_is_told_of_with_where_the_evidence_is(watch: Watch) -> None:
    log = Log.objects.get(role="operator")
    Fork.objects.create(log=log, found_at=utc_now(), evidence="{}")
    place = f"/ledger/operator/{log.pseudonym}/fork"
    told = f"the operator keeper's log forked: keep {place}, and check it by icr-verify fork"
    for what in ("accesses", "gaps"):
        assert watch.differences(what) == [told]
