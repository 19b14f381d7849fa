"""What a thief of one keeper has: nothing that opens a row, and no trace of who was asked for."""

import socket
from pathlib import Path

import pytest

from icrstore.seal.epoch import ROLES, Role, share
from icrstore.seal.rows import RowError, SelectorKeys
from icrstore.warrant.statements import AccountSelector
from icrstore.warrant.strict import decode_base64, parse_object
from tests.keeper.pair import Pair, rows_of
from tests.keeper.papers import ACCOUNT, last_hour

SECRET_ACCOUNT = "zoe-who-must-not-be-found"


def files_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_the_complete_store_of_one_keeper_opens_nothing(own_pair: Pair) -> None:
    accounts = (AccountSelector(SECRET_ACCOUNT),)
    sealed = own_pair.seal_epoch(last_hour(), rows_of(SECRET_ACCOUNT))
    own_pair.register(sealed)
    warrant = own_pair.warrant(own_pair.warrant_of(selectors=accounts))
    lent = own_pair.run(own_pair.question(warrant))
    own_pair.keepers().disclose(lent.question, own_pair.disclosure(lent.question, SECRET_ACCOUNT))
    assert own_pair.open_rows(lent, sealed, accounts[0])
    own_pair.stop()
    for role in ROLES:
        process = own_pair.processes[role]
        held = files_of(process.folder) + process.log.read_bytes()
        for atom in sealed.atoms.values():
            assert atom not in held
        for shares in lent.shares.values():
            assert not any(one in held for several in shares.values() for one in several)
        assert SECRET_ACCOUNT.encode() not in held
        # The search can find: the epoch's name is there in the clear.
        assert sealed.epoch.eid in held


@pytest.mark.parametrize("role", ROLES)
def test_one_share_gives_no_key(pair: Pair, role: Role) -> None:
    sealed = pair.seal_epoch(last_hour(), rows_of(ACCOUNT))
    name, eid = ACCOUNT.encode(), sealed.epoch.eid
    own = share(sealed.atoms[role], "account", name)
    ((label, body),) = sealed.rows.items()
    for one, other in [(own, own), (own, bytes(32)), (bytes(32), own), (own, b""), (b"", own)]:
        keys = SelectorKeys(one, other, eid, "account", name)
        assert keys.label_and_key(0)[0] != label
        with pytest.raises(RowError):
            keys.open(0, body)


def test_a_share_of_one_account_opens_no_other(pair: Pair) -> None:
    sealed = pair.seal_epoch(last_hour(), rows_of(ACCOUNT, "18-max"))
    pair.register(sealed)
    lent = pair.run(pair.question())
    eid = sealed.epoch.eid
    one, other = (lent.shares[role][eid, AccountSelector(ACCOUNT)][0] for role in ROLES)
    keys = SelectorKeys(one, other, eid, "account", b"18-max")
    assert list(keys.open_all(sealed.rows.get)) == []
    assert not any((eid, AccountSelector("18-max")) in lent.shares[role] for role in ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_private_files_are_private_and_no_private_key_is_ever_printed(
    pair: Pair, role: Role
) -> None:
    folder = pair.processes[role].folder
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}
    kept = parse_object((folder / "keys.json").read_bytes())
    shown = str(pair.show(role)) + pair.processes[role].log.read_text()
    for name in ("identity", "log", "witness", "storage"):
        assert kept[name] not in shown
        key = decode_base64(kept[name])
        assert key is not None
        assert key.hex() not in shown
    socket = pair.processes[role].socket
    assert socket.stat().st_mode & 0o777 == 0o660


def test_the_access_log_holds_nothing_that_was_asked(pair: Pair) -> None:
    pair.day_key("operator", last_hour().date().isoformat())
    pair.raw("operator").call("GET", "/zoe?account=zoe", {})
    # Refused before it is known which door it would be.
    for path in (b"/zoe%1b[2J", b"/\x1bzoe"):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(pair.processes["operator"].socket))
            raw.sendall(b"POST " + path + b" HTTP/1.1\r\n\r\n")
            # Its line is written before the connection ends.
            while raw.recv(1 << 12):
                pass
    lines = pair.processes["operator"].log.read_text()
    assert "GET /v1/key-schedule 200" in lines
    assert "GET - 404" in lines
    assert "POST - 411" in lines
    assert "zoe" not in lines
    assert "demo" not in lines
