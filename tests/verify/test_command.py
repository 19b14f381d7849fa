"""icr-verify as people run it: alone, isolated, from another folder."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from icrstore.verify import icr_verify
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.gaps import Gap
from icrstore.warrant.machines import Receipt
from icrstore.warrant.strict import decode_base64, dump
from tests.verify import genuine
from tests.verify.test_access import proof_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing of icrstore in it but the one file, a package and the trust."""
    shutil.copy(icr_verify.__file__, tmp_path / "icr_verify.py")
    (tmp_path / "proof.json").write_bytes(genuine.package_bytes())
    (tmp_path / "answer.json").write_bytes(decode_base64(genuine.package()["answer"]) or b"")
    (tmp_path / "trust.json").write_bytes(dump(genuine.trust()))
    return tmp_path


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", "icr_verify.py", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def receipt(state: str, signer: str) -> Envelope:
    made = Receipt(
        state, "isp-a", "edge-1", bytes(16), "main", 1, 0,
        genuine.HOURS.first, genuine.HOURS.first, genuine.NOW, hashlib.sha256(b"body").digest(),
        records=7, rejected={"time-too-old": 2}, epochs=(bytes(16),),
        gaps=(Gap(genuine.HOURS.first, genuine.NOW, "spool-full"),) if state == "sealed" else (),
    )  # fmt: skip
    return Envelope.sign("receipt", made.to_fields(), genuine.key_of(signer))


def test_it_runs_alone_and_says_each_check(folder: Path) -> None:
    ran = run(folder, "answer", "proof.json", "--trust", "trust.json", "--answer", "answer.json")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:23]] == [[str(n), "ok"] for n in range(1, 24)]
    assert lines[23] == "all 23 checks passed"


def test_it_names_the_check_that_failed(folder: Path) -> None:
    package = genuine.package()
    package["keepers"]["operator"]["disclosure"]["leaves"][0]["salt"] = "00" * 16
    (folder / "proof.json").write_bytes(dump(package))
    ran = run(folder, "answer", "proof.json", "--trust", "trust.json")
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[-1].split()[:3] == ["14", "FAILED", "operator-subjects"]
    told = json.loads(run(folder, "answer", "proof.json", "--trust", "trust.json", "--json").stdout)
    assert (told["ok"], told["failed"]["check"]) == (False, "operator-subjects")
    assert len(told["checks"]) == 13


def test_it_refuses_another_answer_file(folder: Path) -> None:
    (folder / "answer.json").write_bytes(b"{}")
    ran = run(folder, "answer", "proof.json", "--trust", "trust.json", "--answer", "answer.json")
    assert ran.returncode == 1
    assert "FAILED  answer" in ran.stdout


def test_a_subscriber_is_told_what_their_proof_says(folder: Path) -> None:
    (folder / "access.json").write_bytes(dump(proof_of(genuine.story())))
    arguments = ("access", "access.json", "--trust", "trust.json", "--account")
    ran = run(folder, *arguments, genuine.ACCOUNTS[0])
    assert (ran.returncode, ran.stderr) == (0, "")
    for said in ("all 14 checks passed", "authority: police", "instrument: authorisation 7",
                 "2026-11-22T08:00Z to 2026-11-22T10:00Z", "answered: True",
                 "records: 3"):  # fmt: skip
        assert said in ran.stdout
    told = json.loads(run(folder, *arguments, genuine.ACCOUNTS[0], "--json").stdout)
    assert (told["ok"], told["records"], told["purpose"]) == (True, 3, "services")
    refused = run(folder, *arguments, genuine.ACCOUNTS[1])
    assert refused.returncode == 1
    assert "FAILED  operator-subject" in refused.stdout
    assert "police" not in refused.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["answer"],
        ["answer", "proof.json"],
        ["all"],
        ["receipt", "r", "--answer", "a"],
        ["access", "a.json", "--trust", "trust.json"],
    ],
)
def test_wrong_usage_exits_64(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert icr_verify.main(arguments) == 64
    assert "usage: icr-verify" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["proof.json", "trust.json", "answer.json"])
def test_a_file_that_cannot_be_read_exits_66_and_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    ran = run(folder, "answer", "proof.json", "--trust", "trust.json", "--answer", "answer.json")
    assert ran.returncode == 66
    assert missing in ran.stderr


@pytest.mark.parametrize("spoil", ["{}", "[]", "", '{"keepers":1}'])
def test_a_trust_file_that_is_none_exits_66(folder: Path, spoil: str) -> None:
    (folder / "trust.json").write_text(spoil)
    ran = run(folder, "answer", "proof.json", "--trust", "trust.json")
    assert ran.returncode == 66
    assert "not a trust file" in ran.stderr


def test_help_teaches_by_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert icr_verify.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "icr-verify answer proof.json --trust trust.json" in shown
    assert "icr-verify access access-1f2e.json --account 12345 --trust trust.json" in shown


@pytest.mark.parametrize(("state", "signer"), [("accepted", "receipts"), ("sealed", "sealer")])
def test_a_receipt_is_believed_from_whoever_may_sign_it(
    folder: Path, state: str, signer: str
) -> None:
    (folder / "receipt.json").write_bytes(receipt(state, signer).encode())
    ran = run(folder, "receipt", "receipt.json", "--trust", "trust.json", "--json")
    told: dict[str, Any] = json.loads(ran.stdout)
    assert ran.returncode == 0
    assert (told["state"], told["records"], told["collector"]) == (state, 7, "edge-1")
    assert [each.split(", ")[1] for each in told["gaps"]] == ["spool-full"] * (state == "sealed")


@pytest.mark.parametrize(
    ("state", "signer"), [("accepted", "sealer"), ("sealed", "receipts"), ("sealed", "engine")]
)
def test_a_receipt_signed_by_another_is_refused(folder: Path, state: str, signer: str) -> None:
    (folder / "receipt.json").write_bytes(receipt(state, signer).encode())
    ran = run(folder, "receipt", "receipt.json", "--trust", "trust.json")
    assert ran.returncode == 1
    assert "FAILED  signature" in ran.stdout


def test_no_byte_of_a_receipt_may_change() -> None:
    raw = receipt("sealed", "sealer").encode()
    trust = icr_verify.read_trust(dump(genuine.trust()))
    for position in range(len(raw)):
        spoilt = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises(icr_verify.CheckFailed):
            icr_verify.verify_receipt(spoilt, trust)
