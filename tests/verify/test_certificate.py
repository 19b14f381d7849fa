"""Shredding certificates by real keepers: the program believes both, whole, or neither."""

import copy
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from icrstore.keeper.calls import Keeper
from icrstore.keeper.courier import Courier
from icrstore.keeper.leaves import LeafText
from icrstore.seal.epoch import ROLES, other_role
from icrstore.verify.icr_verify import (
    CheckFailed,
    Wrong,
    _check_shred,
    main,
    read_trust,
    verify_certificate,
)
from icrstore.warrant.strict import dump, encode_base64
from tests.keeper.pair import Pair
from tests.keeper.pairs import copy_still
from tests.keeper.papers import TENANT, utc_now

AHEAD = timedelta(hours=25)
Shown = dict[str, Any]


@pytest.fixture(scope="module")
def pair(template: Pair, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One that has lived for a day."""
    with copy_still(template, tmp_path_factory.mktemp("shredding")) as made:
        made.live_until(AHEAD)
        yield made


@pytest.fixture(scope="module")
def trust_file(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    keepers = [
        {"role": role, "instance": one.instance, "name": one.name,
         "identity_key": encode_base64(one.identity_key), "log_key": encode_base64(one.log_key),
         "witness_key": encode_base64(one.witness_key)}
        for role, one in pair.identities.items()
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("trust") / "trust.json"
    path.write_bytes(dump({
        "keepers": keepers, "engines": {}, "authorities": {}, "sealers": {},
        "receipt_key": encode_base64(bytes(32)),
    }))  # fmt: skip
    return path


@pytest.fixture(scope="module")
def pages(pair: Pair) -> dict[str, list[Any]]:
    """Each keeper's certificates."""
    with pair.serving_ahead(AHEAD):
        keepers = {
            role: Keeper(pair.identities[role], pair.processes[role].address, None)
            for role in ROLES
        }
        return {
            role: Courier(keeper, keepers[other_role(role)]).certificates(
                TENANT, utc_now().date() - timedelta(days=900)
            )[0]
            for role, keeper in keepers.items()
        }


@pytest.fixture
def shown(pages: dict[str, list[Any]]) -> Shown:
    certificates = [
        {"role": role, "evidence": page[0].evidence.to_object()} for role, page in pages.items()
    ]
    day = f"{pages['operator'][0].day}"
    return copy.deepcopy({"v": 1, "tenant": TENANT, "day": day, "certificates": certificates})


def test_both_keepers_certificates_hold(shown: Shown, trust_file: Path) -> None:
    checks, said = verify_certificate(dump(shown), read_trust(trust_file.read_bytes()))
    assert len(checks) == 9
    assert said == {
        "tenant": TENANT, "day": shown["day"], "epochs_operator": 0, "epochs_oversight": 0,
    }  # fmt: skip


def one_role(shown: Shown) -> None:
    del shown["certificates"][1]


def twice_one_role(shown: Shown) -> None:
    shown["certificates"][1] = shown["certificates"][0]


def swapped(shown: Shown) -> None:
    shown["certificates"][0]["role"], shown["certificates"][1]["role"] = "oversight", "operator"


def another_day(shown: Shown) -> None:
    shown["day"] = "2020-01-01"


def another_tenant(shown: Shown) -> None:
    shown["tenant"] = "zulu"


def more_epochs(shown: Shown) -> None:
    leaf = shown["certificates"][0]["evidence"]["leaves"][0]
    leaf["private"] = leaf["private"].replace('"epochs":0', '"epochs":9')


def written_later(shown: Shown) -> None:
    leaf = shown["certificates"][0]["evidence"]["leaves"][0]
    leaf["leaf"] = leaf["leaf"].replace("day=", "day=9").replace("day=92", "day=9")


def no_cosignature(shown: Shown) -> None:
    evidence = shown["certificates"][0]["evidence"]
    evidence["checkpoint"] = "".join(evidence["checkpoint"].splitlines(keepends=True)[:-1])


def no_leaf(shown: Shown) -> None:
    shown["certificates"][0]["evidence"]["leaves"] = []


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (one_role, "certificate"), (twice_one_role, "certificate"), (swapped, "oversight-log"),
        (another_day, "operator-leaf"), (another_tenant, "operator-leaf"),
        (more_epochs, "operator-leaf"), (written_later, "operator-inclusion"),
        (no_cosignature, "operator-witness"), (no_leaf, "operator-inclusion"),
    ],
)  # fmt: skip
def test_what_was_changed_is_named(
    shown: Shown, trust_file: Path, spoil: Callable[[Shown], None], check: str
) -> None:
    spoil(shown)
    with pytest.raises(CheckFailed) as failed:
        verify_certificate(dump(shown), read_trust(trust_file.read_bytes()))
    assert failed.value.name == check


@pytest.mark.parametrize(("days", "holds"), [(365, True), (364, False)])
def test_a_day_certified_before_its_year_was_over_is_told(days: int, holds: bool) -> None:
    """As a keeper with a wrong clock, or one that lies, would sign it."""
    day = utc_now().date()
    told = {"v": 1, "type": "shred", "tenant": TENANT, "day": f"{day}", "epochs": 3}
    private = dump({**told, "nonce": "00" * 16})
    written = f"{day + timedelta(days=days)}"
    leaf = LeafText("shred", written, "-", bytes(16), hashlib.sha256(private).digest())
    each = {"leaf": leaf.encode().decode(), "private": private.decode()}
    shown = {"tenant": TENANT, "day": f"{day}"}
    if holds:
        assert _check_shred(shown, each) == 3
    else:
        with pytest.raises(Wrong, match="year"):
            _check_shred(shown, each)


def test_the_command_says_so(
    shown: Shown, trust_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(shown))
    arguments = ["certificate", str(path), "--trust", str(trust_file)]
    assert main(arguments) == 0
    assert "all 9 checks passed" in capsys.readouterr().out
    more_epochs(shown)
    path.write_text(json.dumps(shown))
    assert main([*arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["failed"]["check"] == "operator-leaf"
