"""Enrolment: keys made here, the public one handed in with a one-use token, the store's pinned.

What a stop half way leaves can be used by running it again: the key is kept, and the store gives
the same key the same answer.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from icrstore.collector.config import SECRET_BYTES
from icrstore.shell.client import Server, fields_of, not_understood, problem
from icrstore.shell.enrolment import is_token, vouches_for
from icrstore.shell.keyfile import KeyFile, PublicKey, write_secret
from icrstore.shell.stop import DATA, REFUSED, TEMPORARY, USAGE, Stop
from icrstore.warrant.strict import StatementError, encode_base64
from icrstore.wire.errors import CallFailed


@dataclass(frozen=True)
class Enrolled:
    """Whom the store takes us for, our own public key, and the two that are pinned."""

    tenant: str
    collector: str
    own: PublicKey
    sealer: PublicKey
    receipts: PublicKey


def enrol(url: str, token: str, config: Path) -> Enrolled:
    """Make the key and the secret beside ``config``, enrol, and write it. Raises `Stop`."""
    if config.exists():
        raise Stop(USAGE, f"{config}: it exists: this collector is enrolled, or name another")
    if not is_token(token):
        raise Stop(USAGE, "not a whole token: paste what `manage.py collector enrol` printed")
    key = _keys(config)
    enrolled = _hand_in(Server(url, key.signing()), token, key.public_half())
    # From here the store knows the key; the config is written last and says that all is well.
    write_secret(config, _config(url, config, enrolled).encode())
    return enrolled


def _keys(config: Path) -> KeyFile:
    """The key, with its secret beside it; those that an earlier try left are used."""
    key, secret = config.with_suffix(".key"), config.with_suffix(".secret")
    if not secret.exists():
        write_secret(secret, secrets.token_bytes(SECRET_BYTES))
    if not key.exists():
        KeyFile.new("signing", config.stem).write(key)
    return KeyFile.read(key, "signing")


def _hand_in(server: Server, token: str, own: PublicKey) -> Enrolled:
    try:
        response = server.post("/v1/enrolments", {"token": token, "key": encode_base64(own.public)})
    except CallFailed as error:
        raise Stop(TEMPORARY, f"the server does not answer ({error.reason}): try again") from None
    if response.status != 201:
        code, _, detail = problem(response)
        why = f"{code or response.status}: {detail}" if detail else code or str(response.status)
        raise Stop(REFUSED, f"the server does not enrol this collector ({why})")
    fields = fields_of(response)
    try:
        tenant, collector = fields.text("tenant", 64), fields.text("collector", 64)
        sealer, receipts = fields.base64("sealer_key", 32), fields.base64("receipt_key", 32)
        fields.finish()
    except StatementError as error:
        raise not_understood(error) from None
    if not vouches_for(token, sealer, receipts):
        raise Stop(DATA, "these are not the keys that the token vouches for: somebody is between "
                   "this machine and the store; tell its operator")  # fmt: skip
    return Enrolled(
        tenant,
        collector,
        own,
        PublicKey("signing", "sealer", sealer),
        PublicKey("signing", "receipts", receipts),
    )


def _config(url: str, path: Path, enrolled: Enrolled) -> str:
    settings = {
        "server": url,
        "key": path.with_suffix(".key").name,
        "secret": path.with_suffix(".secret").name,
        "spool": path.with_suffix(".spool").name,
        "sealer_key": encode_base64(enrolled.sealer.public),
        "receipt_key": encode_base64(enrolled.receipts.public),
    }
    if path.suffix == ".json":
        return json.dumps(settings, indent=2) + "\n"
    # A basic string of TOML is written as JSON writes it.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
