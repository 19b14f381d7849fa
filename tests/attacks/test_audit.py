"""The full audit names what the database's administrator did to what is sealed, without a key."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from icrstore.inbox.models import Batch
from icrstore.keeper.cli import run as keeper_command
from icrstore.seal.epoch import HOUR, LIFE_DAYS, ROLES, hour_start
from icrstore.vault.models import Epoch, EpochSeal
from icrstore.vault.months import make_months, month_of
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.strict import dump, encode_base64
from tests.keeper.papers import utc_now
from tests.query.asking import Office, lasting, office
from tests.vault.rooms import RECEIPT_KEY, Database
from tests.vault.test_gaps import gap, telling

__all__ = ["lasting", "office"]

LONG_AGO = hour_start(utc_now()) - timedelta(days=90)


@pytest.fixture(scope="module", autouse=True)
def trust(lasting: Office, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("public") / "trust.json"
    key = encode_base64(bytes(32))
    identity = {"identity_key": key, "log_key": key, "witness_key": key, "instance": 1, "name": "k"}
    sealer = encode_base64(raw_public(lasting.rooms.keys.signing))
    path.write_bytes(dump({
        "keepers": [{**identity, "role": role} for role in ROLES], "engines": {},
        "authorities": {}, "sealers": {"sealer-1": sealer},
        "receipt_key": encode_base64(raw_public(RECEIPT_KEY)),
    }))  # fmt: skip
    before, settings.TRUST = settings.TRUST, path
    yield
    settings.TRUST = before


def audit(*arguments: str) -> tuple[int, list[str]]:
    """Its exit status and its lines."""
    out = StringIO()
    try:
        call_command("audit", *arguments, stdout=out, stderr=StringIO())
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


@pytest.fixture(scope="module")
def lists(lasting: Office, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Both keepers' own lists, as their owners print them."""
    made, folder = [], tmp_path_factory.mktemp("lists")
    for role in ROLES:
        store = lasting.rooms.pair.processes[role].folder
        path = folder / f"{role}.epochs"
        with pytest.MonkeyPatch.context() as patch:
            out = StringIO()
            patch.setattr("sys.stdout", out)
            keeper_command(["epochs", "--store", str(store)])
        path.write_text(out.getvalue())
        made += ["--keeper", str(path)]
    return made


def test_what_was_sealed_has_no_fault(lasting: Office, lists: list[str]) -> None:
    status, lines = audit(*lists)
    assert (status, len(lines)) == (0, 1)
    assert lines[0].startswith("0 faults in 94 epochs and ")
    assert "not compared" in audit()[1][-1]


def test_the_engines_role_is_enough_for_it(database: Database, lasting: Office) -> None:
    try:
        database.use("engine")
        assert audit()[0] == 0
    finally:
        database.use("admin")


def last(office: Office) -> Epoch:
    return Epoch.objects.get(hour=office.rooms.hour)


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values))


def delete_a_row(office: Office) -> None:
    sql("DELETE FROM vault_segment WHERE (epoch_no, label) IN (SELECT epoch_no, label"
        " FROM vault_segment WHERE epoch_no = %s LIMIT 1)", last(office).id)  # fmt: skip


def delete_every_row(office: Office) -> None:
    sql("DELETE FROM vault_segment WHERE epoch_no = %s", last(office).id)


def alter_a_body(office: Office) -> None:
    sql("UPDATE vault_segment SET body = body || '\\x00' WHERE (epoch_no, label) IN"
        " (SELECT epoch_no, label FROM vault_segment WHERE epoch_no = %s LIMIT 1)",
        last(office).id)  # fmt: skip


def add_a_row(office: Office) -> None:
    epoch = last(office)
    sql("INSERT INTO vault_segment VALUES (%s, %s, %s, %s)", epoch.month, epoch.id,
        secrets.token_bytes(16), b"more")  # fmt: skip


def copy_a_row_from_another_epoch(office: Office) -> None:
    other = Epoch.objects.get(hour=office.rooms.hour - HOUR)
    sql("INSERT INTO vault_segment SELECT month, %s, label, body FROM vault_segment"
        " WHERE epoch_no = %s", last(office).id, other.id)  # fmt: skip


def leave_rows_of_no_epoch(office: Office) -> None:
    sql("INSERT INTO vault_segment VALUES (%s, 999999, %s, 'stray')", last(office).month,
        secrets.token_bytes(16))  # fmt: skip


def leave_a_bucket_of_no_epoch(office: Office) -> None:
    sql("INSERT INTO vault_bucket VALUES (%s, 999998, '', 0, '', '')", last(office).month)


def shorten_the_manifest(office: Office) -> None:
    sql("UPDATE vault_bucket SET leaf = substring(leaf FROM 33) WHERE epoch_no = %s",
        last(office).id)  # fmt: skip


def delete_the_manifest(office: Office) -> None:
    sql("DELETE FROM vault_bucket WHERE epoch_no = %s", last(office).id)


def put_a_bucket_where_nobody_looks(office: Office) -> None:
    sql("UPDATE vault_bucket SET begins = sha256('') WHERE epoch_no = %s", last(office).id)


def break_a_path(office: Office) -> None:
    sql("UPDATE vault_bucket SET path = sha256('') WHERE epoch_no = %s", last(office).id)


def take_anothers_statement(office: Office) -> None:
    other = Epoch.objects.get(hour=office.rooms.hour - HOUR)
    Epoch.objects.filter(id=last(office).id).update(statement=other.statement)


def break_the_statement(office: Office) -> None:
    Epoch.objects.filter(id=last(office).id).update(statement=b"{")


def sign_the_statement_oneself(office: Office) -> None:
    true = Envelope.parse(bytes(last(office).statement), "epoch")
    forged = replace(true, signatures=()).add(Ed25519PrivateKey.generate())
    Epoch.objects.filter(id=last(office).id).update(statement=forged.encode())


def say_another_hour(office: Office) -> None:
    Epoch.objects.filter(id=last(office).id).update(hour=office.rooms.hour - 5 * HOUR)


def deny_that_a_keeper_logged_it(office: Office) -> None:
    EpochSeal.objects.filter(epoch=last(office), role="oversight").update(acknowledged_at=None)


def delete_a_seal(office: Office) -> None:
    EpochSeal.objects.filter(epoch=last(office), role="operator").delete()


def delete_the_epoch(office: Office) -> None:
    epoch = last(office)
    epoch.seals.all().delete()
    epoch.delete()


@pytest.mark.parametrize(
    ("deed", "found"),
    [(delete_a_row, "1 rows missing"), (delete_every_row, "2 rows missing"),
     (alter_a_body, "1 rows altered"), (add_a_row, "1 rows not in its manifest"),
     (copy_a_row_from_another_epoch, "2 rows not in its manifest"),
     (leave_rows_of_no_epoch, "1 rows of no epoch"),
     (leave_a_bucket_of_no_epoch, "1 rows of no epoch"),
     (shorten_the_manifest, "its manifest is not the one of its statement"),
     (delete_the_manifest, "its manifest is not the one of its statement"),
     (put_a_bucket_where_nobody_looks, "its manifest is not the one of its statement"),
     (break_a_path, "its manifest is not the one of its statement"),
     (take_anothers_statement, "its row says something else than its statement"),
     (break_the_statement, "its statement is none"),
     (sign_the_statement_oneself, "no sealer host of the trust file signed its statement"),
     (say_another_hour, "its row says something else than its statement"),
     (deny_that_a_keeper_logged_it, "keeper oversight-1: not yet logged"),
     (delete_a_seal, "keeper operator-1: not handed in"),
     (delete_the_epoch, "rows of no epoch")],
)  # fmt: skip
def test_each_deed_is_named(office: Office, deed: Callable[[Office], None], found: str) -> None:
    deed(office)
    status, lines = audit("--from", f"{office.rooms.hour - 5 * HOUR:%Y-%m-%d}")
    assert status == 65
    assert any(found in line for line in lines[:-1]), lines
    assert not lines[-1].startswith("0 faults")


def test_an_epoch_that_is_gone_or_planted_shows_against_the_keepers_lists(
    office: Office, lists: list[str]
) -> None:
    eid = bytes(last(office).eid).hex()
    for table in ("vault_segment", "vault_bucket"):
        sql(f"DELETE FROM {table} WHERE epoch_no = %s", last(office).id)
    delete_the_epoch(office)
    status, lines = audit(*lists)
    assert (status, len(lines)) == (65, 3)
    for role, line in zip(ROLES, lines, strict=False):
        assert line.endswith(f"epoch {eid}: the {role} keeper logged it: not here")


def test_other_days_and_providers_are_left_alone(office: Office) -> None:
    delete_a_row(office)
    assert audit("--to", "2026-01-02")[0] == 0
    with pytest.raises(CommandError):
        audit("isp-nobody")


def test_rows_of_expired_days_are_no_fault_until_their_month_goes(office: Office) -> None:
    """Their epochs are forgotten by the day, they by the month."""
    living = office.rooms.now.replace(hour=0, minute=0, second=0) - timedelta(days=LIFE_DAYS)
    expired, whole = living - timedelta(days=1), living.replace(day=28) + timedelta(days=7)
    for day in (expired, whole):
        make_months(day)
        sql("INSERT INTO vault_segment VALUES (%s, 999999, '', '')", month_of(day))
    for arguments in ((), ("--from", f"{expired - timedelta(days=40):%Y-%m-%d}")):
        status, lines = audit(*arguments)
        assert (status, len(lines)) == (65, 2)
        assert lines[0].startswith(f"month {month_of(whole)}: 1 rows of no epoch")


def test_what_is_no_keepers_list_is_refused(lasting: Office, tmp_path: Path) -> None:
    path = tmp_path / "list"
    for content in ("", "{}", '{"role":"operator"}'):
        path.write_text(content)
        with pytest.raises(CommandError, match="no keeper's list"):
            audit("--keeper", str(path))


HIDING: dict[str, dict[str, Any]] = {
    "a gap that is told of no more": {"gaps": []},
    "hours that are not its own": {"first_hour": LONG_AGO, "last_hour": LONG_AGO},
    "a time at which it did not come": {"accepted_at": LONG_AGO + timedelta(days=1)},
    "another number": {"sequence": 1_000_000},
    "a receipt that nobody signed": {"sealed_receipt": b"{}"},
    "no receipt": {"receipt": b"{}"},
}


@pytest.mark.parametrize("deed", HIDING)
def test_a_batchs_row_that_says_something_else_than_was_signed_is_a_fault(
    office: Office, deed: str
) -> None:
    batch = office.rooms.take(telling([gap(office.rooms.hour)]))
    office.seal()
    assert audit()[0] == 0
    Batch.objects.filter(id=batch.id).update(**HIDING[deed])
    status, lines = audit()
    assert status == 65
    assert any(" batch " in line and " of edge-1: " in line for line in lines)
