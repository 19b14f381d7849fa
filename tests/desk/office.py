"""A folder of papers and keys for the people of the tests, whose keys are the genuine story's."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icrstore.desk import cli
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import raw_public
from icrstore.warrant.strict import dump
from tests.verify import genuine

PERSONS = ("applicant", "approver", "investigator")
ACCOUNT = "household-1"


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self.out)
        return made


def icr(*arguments: object) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main([str(each) for each in arguments])
    return Ran(status, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Office:
    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Office":
        made = cls(folder)
        for name in ("root", *PERSONS):
            key = genuine.key_of(name)
            file = KeyFile("signing", name, raw_public(key), key.private_bytes_raw())
            file.write(folder / f"{name}.key")
        recipient = genuine.recipient()
        file = KeyFile("recipient", "desk", recipient.public_bytes(), recipient.private_bytes())
        file.write(folder / "desk.key")
        (folder / "trust.json").write_bytes(dump(genuine.trust()))
        for person in PERSONS:
            granted = made.grant(person, made.path(f"{person}.key"), made.path(f"{person}.grant"))
            assert granted.status == 0
        return made

    def path(self, name: str) -> Path:
        return self.folder / name

    def grant(self, role: str, key: object, out: Path) -> Ran:
        return icr("grant", "--root", self.path("root.key"), "--issuer", "police", "--role", role,
                   "--holder", role, "--key", key, "--days", 90, "--out", out)  # fmt: skip

    def draft(self, *more: object) -> Ran:
        """A draft for purpose 2, of one account and six hours."""
        return self.draft_for("services", "--account", ACCOUNT, "--from", "2026-11-22T00",
                              "--to", "2026-11-22T06", *more)  # fmt: skip

    def draft_for(self, purpose: str, *about: object) -> Ran:
        return icr("warrant", "draft", "--tenant", "isp-a", "--authority", "police",
                   "--instrument", "authorisation 7", "--basis", "s. 61", "--purpose", purpose,
                   "--valid-days", 7, "--max-requests", 3, "--recipient", self.path("desk.key"),
                   "--out", self.path("warrant.json"), *about)  # fmt: skip

    def sign(self, person: str) -> Ran:
        key = self.path(f"{person}.key")
        return icr("warrant", "sign", self.path("warrant.json"), "--key", key, "--json")

    def warrant(self) -> Path:
        """A warrant that an applicant and an approver signed."""
        return self.signed(self.draft())

    def signed(self, drafted: Ran) -> Path:
        ran = (drafted, self.sign("applicant"), self.sign("approver"))
        assert [each.status for each in ran] == [0, 0, 0], drafted.err
        return self.path("warrant.json")

    def grants(self) -> list[object]:
        return ["--grant", *(self.path(f"{person}.grant") for person in PERSONS)]

    def lodge(self, url: str) -> Ran:
        return icr("lodge", self.path("warrant.json"), *self.grants(), "--server", url, "--json",
                   "--key", self.path("applicant.key"))  # fmt: skip

    def ask(self, url: str, *more: object, account: str = ACCOUNT) -> Ran:
        return self.ask_for("services", url, "--account", account, *more)

    def ask_for(self, purpose: str, url: str, *about: object) -> Ran:
        return icr("ask", purpose, "--warrant", self.path("warrant.json"), *self.grants(),
                   "--key", self.path("investigator.key"), "--server", url,
                   "--out", self.path("answer.sealed"), "--json", *about)  # fmt: skip

    def open(self, *more: object, key: str = "desk.key") -> Ran:
        sealed, trust = self.path("answer.sealed"), self.path("trust.json")
        return icr("open", sealed, "--key", self.path(key), "--trust", trust,
                   "--out", self.path("case"), *more)  # fmt: skip
