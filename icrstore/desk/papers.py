"""The papers that people sign at the desk: grants and warrants, read, drafted, shown."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from icrstore.desk.selectors import address_text, target_text
from icrstore.shell.keyfile import KeyFile, read_file, read_public
from icrstore.shell.stop import DATA, USAGE, Stop
from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.revocation import Revocation
from icrstore.warrant.statements import (
    AccountSelector,
    Grant,
    HourRange,
    Purpose,
    Selector,
    Target,
    Warrant,
)
from icrstore.warrant.strict import StatementError, dump, parse_object, time_text

_HOUR = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)(:00)?(:00)?Z?", re.ASCII)


def hour(given: str) -> datetime:
    """A whole UTC hour from ``2026-11-22T08``, with ``:00Z`` or without. Raises `Stop`."""
    made = _HOUR.fullmatch(given)
    try:
        return datetime.fromisoformat(f"{made[1]}T{made[2]}:00:00+00:00" if made else "")
    except ValueError:
        raise Stop(USAGE, f"{given}: no whole UTC hour: write it as 2026-11-22T08") from None


def write_new(path: Path, content: bytes) -> None:
    """A file that was not there: a paper is never written over another. Raises `Stop`."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise Stop(USAGE, f"{path}: it exists and is not replaced: name another") from None
    except OSError as error:
        raise Stop(USAGE, f"{path}: {error.strerror}: name a file that can be made") from None


def read_grants(paths: Sequence[Path]) -> list[Envelope]:
    """The grants in these files, well formed. Raises `Stop`."""
    return [_read_grant(path) for path in paths]


def _read_grant(path: Path) -> Envelope:
    try:
        envelope = Envelope.parse(read_file(path), "grant")
        Grant.parse(envelope)
    except StatementError as error:
        raise Stop(DATA, f"{path}: no grant ({error}): make one with `icr grant`") from None
    return envelope


@dataclass(frozen=True)
class WarrantPaper:
    """A warrant as its file holds it: a draft's exact bytes, or the same bytes signed."""

    envelope: Envelope
    warrant: Warrant

    @classmethod
    def read(cls, path: Path) -> "WarrantPaper":
        """Raises `Stop`; checks no signature."""
        content = read_file(path)
        try:
            is_signed = "payloadType" in parse_object(content)
            envelope = (
                Envelope.parse(content, "warrant")
                if is_signed
                else Envelope("warrant", content, ())
            )
            return cls(envelope, Warrant.parse(envelope))
        except StatementError as error:
            mend = "draft one with `icr warrant draft`"
            raise Stop(DATA, f"{path}: no warrant ({error}): {mend}") from None

    @classmethod
    def read_signed(cls, path: Path) -> "WarrantPaper":
        """A warrant with two signatures. Raises `Stop`."""
        made = cls.read(path)
        if len(made.envelope.signatures) < 2:
            why = "not signed by an applicant and an approver"
            raise Stop(DATA, f"{path}: {why}: each runs `icr warrant sign`")
        return made

    def sign(self, key: KeyFile) -> "WarrantPaper":
        """The same bytes with one more signature. Raises `Stop` if this key signed already."""
        if key.keyid in {each.keyid for each in self.envelope.signatures}:
            why = "this key signed already: the second signature is another person's"
            raise Stop(USAGE, f"{key.name}: {why}")
        return WarrantPaper(self.envelope.add(key.signing()), self.warrant)

    def lines(self) -> list[str]:
        """What it says, for people, with nothing left out but its nonce."""
        shown = self.warrant.to_fields()
        told = [(name, value) for name, value in shown.items() if name not in _SHOWN_APART]
        told.append(("hours", f"{shown['from']} to {shown['to']}"))
        told.append(("valid", f"{shown['valid_from']} to {shown['valid_to']}"))
        told += [_selector_line(each) for each in self.warrant.selectors]
        told += [("target", target_text(each.to_fields())) for each in self.warrant.targets]
        told.append(("answers to", ", ".join(key_id(key) for key in self.warrant.recipient_keys)))
        told.append(("sha256", self.envelope.sha256.hex()))
        signers = ", ".join(each.keyid for each in self.envelope.signatures)
        told.append(("signed by", signers or "nobody"))
        return [f"{name.replace('_', ' '):16} {value}" for name, value in told]

    def to_object(self) -> dict[str, Any]:
        return {
            "warrant": self.warrant.to_fields(),
            "sha256": self.envelope.sha256.hex(),
            "signed_by": [each.keyid for each in self.envelope.signatures],
        }


_SHOWN_APART = (
    "v", "nonce", "from", "to", "valid_from", "valid_to", "selectors", "targets", "recipient_keys",
)  # fmt: skip


def _selector_line(selector: Selector) -> tuple[str, str]:
    if isinstance(selector, AccountSelector):
        return "account", selector.account
    return "address", address_text(selector.to_fields())


def make_grant(
    root: KeyFile, *, issuer: str, role: str, holder: str, key: bytes, days: int
) -> Envelope:
    """A root's word that a key is its holder's, from now on for some days. Raises `Stop`."""
    now = datetime.now(UTC).replace(microsecond=0)
    made = Grant(issuer, role, key, holder, now, now + timedelta(days=days))
    envelope = Envelope.sign("grant", made.to_fields(), root.signing())
    try:
        Grant.parse(envelope)
    except StatementError as error:
        raise Stop(USAGE, f"this cannot stand in a grant ({error}): give it otherwise") from None
    return envelope


def make_revocation(
    root: KeyFile, *, issuer: str, tenant: str, key: bytes, reason: str | None
) -> Envelope:
    """A root's word that a key which it granted signs nothing at a tenant any more. Raises
    `Stop`."""
    now = datetime.now(UTC).replace(microsecond=0)
    made = Revocation(tenant, issuer, key, now, reason)
    envelope = Envelope.sign("revoke", made.to_fields(), root.signing())
    try:
        Revocation.parse(envelope)
    except StatementError as error:
        why = f"this cannot stand in a revocation ({error}): give it otherwise"
        raise Stop(USAGE, why) from None
    return envelope


@dataclass(frozen=True)
class Draft:
    """What an applicant gives; everything else in a warrant follows or is drawn."""

    tenant: str
    authority: str
    instrument: str
    basis: str
    purpose: Purpose
    selectors: tuple[Selector, ...]
    targets: tuple[Target, ...]
    hours: HourRange
    valid_days: int
    max_requests: int
    max_candidates: int
    recipients: tuple[str, ...]

    def payload(self) -> bytes:
        """The exact bytes to be signed, in force from now on. Raises `Stop`."""
        now = datetime.now(UTC).replace(microsecond=0)
        made = Warrant(
            id=f"{now.date()}-{secrets.token_hex(4)}",
            nonce=secrets.token_bytes(16),
            tenant=self.tenant,
            instrument=self.instrument,
            authority=self.authority,
            purpose=self.purpose,
            basis=self.basis,
            selectors=self.selectors,
            targets=self.targets,
            hours=self.hours,
            valid_from=now,
            valid_to=now + timedelta(days=self.valid_days),
            max_requests=self.max_requests,
            max_candidates=self.max_candidates,
            recipient_keys=tuple(read_public(each, "recipient") for each in self.recipients),
        )
        payload = dump(made.to_fields())
        try:
            Warrant.parse(Envelope("warrant", payload, ()))
        except StatementError as error:
            why = f"this cannot stand in a warrant ({error}): give it otherwise"
            raise Stop(USAGE, why) from None
        return payload


def period(first: str, end: str) -> HourRange:
    """Whole UTC hours, the first included and the last excluded. Raises `Stop`."""
    made = HourRange(hour(first), hour(end))
    if made.end <= made.first:
        raise Stop(USAGE, f"{time_text(made.end)}: ends before it begins: --to is after --from")
    return made
