"""The collector's configuration: where to push, with which key, and whose receipts to believe.

Its owner trusts it: who can write it can send the records to another server, sealed to that
server's key.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icrstore.shell.keyfile import read_secret
from icrstore.shell.stop import DATA, NO_INPUT, Stop
from icrstore.warrant.strict import Fields, StatementError

SECRET_BYTES = 32
_EXAMPLE = "see `icr-collect push --help` for an example"


@dataclass(frozen=True)
class Config:
    """One collector's settings; paths are taken from the folder of the config file."""

    server: str
    key: Path
    secret: Path
    spool: Path
    sealer_key: bytes
    receipt_key: bytes

    @classmethod
    def read(cls, path: Path) -> "Config":
        """From TOML, or JSON if the name ends in .json. Raises `Stop`, naming the field."""
        try:
            fields = Fields(_parse(path))
            made = cls(
                server=fields.text("server"),
                key=path.parent / fields.text("key"),
                secret=path.parent / fields.text("secret"),
                spool=path.parent / fields.text("spool"),
                sealer_key=fields.base64("sealer_key", 32),
                receipt_key=fields.base64("receipt_key", 32),
            )
            fields.finish()
        except StatementError as error:
            raise Stop(DATA, f"{path}: {error}: {_EXAMPLE}") from None
        return made

    def collector_secret(self) -> bytes:
        """The 32 bytes that name batches and lock the spool. Raises `Stop`."""
        secret = read_secret(self.secret)
        if len(secret) != SECRET_BYTES:
            why = f"not {SECRET_BYTES} bytes: make a secret with `icr-collect key`"
            raise Stop(DATA, f"{self.secret}: {why}")
        return secret


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text("utf-8")
        made: Mapping[str, Any] = (
            json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        )
        return made
    except OSError as error:
        raise Stop(NO_INPUT, f"{path}: {error.strerror}: name a config file") from None
    except ValueError as error:
        raise Stop(DATA, f"{path}: neither TOML nor JSON ({error}): {_EXAMPLE}") from None
