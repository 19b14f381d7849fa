"""Whoever can write the database can neither plant a record nor take one away unseen.

One question over ten hours, in each of which the database's administrator has done one thing, with
the help of a thief who knows which rows are whose. Then all is put back and asked again.
"""

import secrets
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy import services
from icrstore.keeper.client import KeeperRefused
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.statements import Grant
from icrstore.warrant.strict import encode_base64, time_text
from tests.attacks import administrator as do
from tests.attacks.administrator import Planted, Target
from tests.attacks.conftest import Atoms, Pushed
from tests.attacks.known import Known, Record
from tests.attacks.thief import Selector, StolenRow, rows_of
from tests.site import TENANT, Site

NOWHERE = "192.0.2.66"  # the destination of every planted record


@dataclass(frozen=True)
class Scene:
    """One hour: its true epoch, the rows in it of the two accounts asked for, and an epoch that
    an outsider would have there."""

    site: Site
    target: Target
    rows: list[StolenRow]
    light: list[StolenRow]
    heavy: list[StolenRow]
    planted: Planted
    numbers: list[int]  # of epochs to be deleted afterwards


def delete_a_row(at: Scene) -> None:
    (row,) = at.light
    do.delete_rows(at.site, at.target, [row])


def delete_all_rows_of_an_account(at: Scene) -> None:
    first, second = at.heavy
    do.delete_rows(at.site, at.target, [first, second])


def replace_a_body(at: Scene) -> None:
    (row,) = at.light
    do.replace_body(at.site, at.target, row, row.body[:1] + secrets.token_bytes(len(row.body) - 1))


def swap_two_bodies(at: Scene) -> None:
    (row,) = at.light
    other = next(each for each in at.rows if each != row)
    do.replace_body(at.site, at.target, row, other.body)
    do.replace_body(at.site, at.target, other, row.body)


def delete_the_epoch(at: Scene) -> None:
    do.delete_epoch(at.site, at.target)


def edit_the_manifest(at: Scene) -> None:
    (row,) = at.light
    do.forget_row(at.site, at.target, row)


def exchange_the_epoch(at: Scene) -> None:
    """The true one's name on an outsider's rows, manifest and statement."""
    do.delete_epoch(at.site, at.target)
    at.numbers.append(do.plant(at.site, at.planted, datetime.now(UTC), eid=at.target.eid))


def plant_an_epoch(at: Scene) -> None:
    at.numbers.append(do.plant(at.site, at.planted, datetime.now(UTC)))


def plant_under_a_true_statement(at: Scene) -> None:
    """A sealer host's own statement, copied from the epoch beside it."""
    ((statement,),) = at.site.sql(
        "SELECT statement FROM vault_epoch WHERE id = %s", at.target.number
    )
    at.numbers.append(do.plant(at.site, at.planted, datetime.now(UTC), statement=statement))


def have_the_sealer_register_it(at: Scene) -> None:
    """The true sealer host takes it to the keepers; what they refuse, the database then denies."""
    at.numbers.append(do.plant(at.site, at.planted, None))
    told = "acknowledged_at IS NOT NULL OR refused <> ''"
    seals = f"vault_epochseal WHERE epoch_id = {at.numbers[-1]}"
    at.site.wait_for(f"SELECT bool_and({told}) FROM {seals}")
    at.site.sql(
        "UPDATE vault_epochseal SET acknowledged_at = now() WHERE epoch_id = %s", at.numbers[-1]
    )


Deed = Callable[[Scene], None]
MISSING, OTHER = "a row is missing", "a row is not the one sealed"
DESTROYED: dict[Deed, str] = {
    delete_a_row: MISSING,
    replace_a_body: OTHER,
    delete_all_rows_of_an_account: MISSING,  # the third hour has the many
    swap_two_bodies: OTHER,
    delete_the_epoch: "it is not in the store",
    edit_the_manifest: "its manifest is not the one of its statement",
    exchange_the_epoch: "its statement is not the one that the keepers logged",
}
PLANTED: tuple[Deed, ...] = (
    plant_an_epoch,
    plant_under_a_true_statement,
    have_the_sealer_register_it,
)


@dataclass(frozen=True)
class Story:
    """What was asked before and after, and what each deed was done to."""

    scenes: dict[Deed, Scene]
    answer: dict[str, Any]
    put_back: dict[str, Any]
    refusals: list[str]

    def hour(self, deed: Deed) -> dict[str, Any]:
        wanted = time_text(self.scenes[deed].target.hour)
        (found,) = (hour for hour in self.answer["hours"] if hour["hour"] == wanted)
        return dict(found)


@pytest.fixture(scope="module")
def story(site: Site, pushed: Pushed, atoms: Atoms) -> Story:
    known, deeds = pushed.known, (*DESTROYED, *PLANTED)
    targets = sorted((Target.find(site, eid) for eid in pushed.eids), key=lambda each: each.hour)
    asked = [light_of(known), known.heavy]
    with do.put_back(site, targets) as numbers:
        scenes = {
            deed: scene(site, known, target, atoms, numbers)
            for deed, target in zip(deeds, targets, strict=True)
        }
        for deed, at in scenes.items():
            deed(at)
        answer = site.ask(asked, known.first, known.end)
        refusals = site.sql(
            "SELECT DISTINCT refused FROM vault_epochseal WHERE epoch_id = %s", numbers[-1]
        )
    return Story(
        scenes, answer, site.ask(asked, known.first, known.end), [code for (code,) in refusals]
    )


def light_of(known: Known) -> str:
    """An account with a row in every hour."""
    return known.accounts[2]


def scene(site: Site, known: Known, target: Target, atoms: Atoms, numbers: list[int]) -> Scene:
    rows, eid = rows_of(site, [target.eid]), target.eid

    def rows_of_account(account: str) -> list[StolenRow]:
        selector = Selector.account(account)
        keys = selector.keys(eid, *(selector.share(atoms[role][eid]) for role in ROLES))
        labels = {keys.label_and_key(chunk)[0] for chunk in range(3)}
        return [row for row in rows if row.label in labels]

    light, heavy = rows_of_account(light_of(known)), rows_of_account(known.heavy)
    planted = do.make_epoch(site, forged(known, target), Ed25519PrivateKey.generate())
    return Scene(site, target, rows, light, heavy, planted, numbers)


def forged(known: Known, target: Target) -> list[Record]:
    """Records of that hour that nobody made."""
    model = next(record for record in known.records if record.account == light_of(known))
    start = int(target.hour.timestamp()) * 10**6
    return [model._replace(observed_at=start + n, destination_address=NOWHERE) for n in range(5)]


def destroyed_hours(story: Story) -> frozenset[datetime]:
    return frozenset(story.scenes[deed].target.hour for deed in DESTROYED)


@pytest.mark.parametrize("deed", DESTROYED)
def test_an_hour_that_lost_something_says_so_and_names_the_epoch(story: Story, deed: Deed) -> None:
    told, eid = story.hour(deed), story.scenes[deed].target.eid
    assert told["coverage"] == "INCOMPLETE"
    assert told["why"] == [f"epoch {eid.hex()}: {DESTROYED[deed]}"]


@pytest.mark.parametrize("deed", PLANTED)
def test_a_planted_epoch_is_not_even_listed(story: Story, deed: Deed) -> None:
    told, at = story.hour(deed), story.scenes[deed]
    assert told["coverage"] == "COMPLETE"
    listed = {epoch["eid"] for epoch in told["epochs"]}
    assert at.target.eid.hex() in listed
    assert at.planted.epoch.eid.hex() not in listed


def test_no_planted_record_is_in_the_answer(story: Story) -> None:
    assert story.answer["services"]
    assert NOWHERE not in {row["destination_address"] for row in story.answer["services"]}


def test_the_records_of_all_other_hours_are_answered(story: Story, known: Known) -> None:
    light, heavy = light_of(known), known.heavy
    whole = story.scenes[delete_all_rows_of_an_account].target.hour
    assert counted(story.answer, light) == known.services(light, destroyed_hours(story) - {whole})
    assert counted(story.answer, heavy) == Counter()


def test_what_was_put_back_is_complete_again(story: Story, known: Known) -> None:
    assert {hour["coverage"] for hour in story.put_back["hours"]} == {"COMPLETE"}
    for account in (light_of(known), known.heavy):
        assert counted(story.put_back, account) == known.services(account)


def test_the_audit_finds_what_was_put_back_whole(site: Site, story: Story) -> None:
    """As its operator runs it, with the lists that both keepers print."""
    site.wait_logged()
    run, public = site.installation.run, site.stack.layout.var / "public"
    given: list[str] = []
    for role in ROLES:
        store = str(services.keeper_store(site.stack.layout, role))
        command = (sys.executable, "-m", "icrstore.keeper", "epochs", "--store", store)
        path = public / f"{role}.epochs"
        path.write_text(run(f"keeper-{role}", *command))
        path.chmod(0o644)
        given += ["--keeper", str(path)]
    said = run("engine", sys.executable, "manage.py", "audit", TENANT, *given)
    assert said.startswith("0 faults in ")


def test_the_keepers_refused_what_the_true_sealer_brought_them(story: Story) -> None:
    assert story.refusals == ["no-sealer"]


@pytest.mark.parametrize("role", ROLES)
def test_a_keeper_registers_nothing_for_an_outsider(
    site: Site, known: Known, story: Story, role: Role
) -> None:
    outsider = Ed25519PrivateKey.generate()
    made = do.make_epoch(site, forged(known, story.scenes[plant_an_epoch].target), outsider)
    keeper = do.keepers(site, outsider)[role]
    true_grant = Envelope.parse(
        (site.stack.layout.secrets("sealer") / f"{TENANT}.grant").read_bytes(), "grant"
    )
    forged_grant = Envelope.sign(
        "grant",
        {**Grant.parse(true_grant).to_fields(), "key": encode_base64(raw_public(outsider))},
        outsider,
    )
    for grants in ([true_grant], [forged_grant], [true_grant, forged_grant]):
        with pytest.raises(KeeperRefused):
            keeper.register([(made.statement, made.seals[role])], grants)


def counted(answer: dict[str, Any], account: str) -> Counter[tuple[str, int, int]]:
    return Counter({
        (row["destination_address"], row["protocol"], row["destination_port"]): row["records"]
        for row in answer["services"]
        if row["account"] == account
    })  # fmt: skip
