"""``icr-collect key``."""

import argparse
import json
import os
import secrets
from pathlib import Path

from icrstore.collector.config import SECRET_BYTES
from icrstore.shell.keyfile import KeyFile, write_secret
from icrstore.shell.stop import USAGE, Stop

NAME = "key"
ABOUT = "Make this collector's signing key and secret."
TEACHES = """example:
  icr-collect key --out edge-1.key --secret edge-1.secret

Hand the public key to the store's operator, who adds it. Keep both files on this machine only:
the key signs what is pushed, the secret names the batches and locks the spool."""


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the key file to make"
    )
    command.add_argument(
        "--secret", type=Path, required=True, metavar="FILE", help="the secret's file"
    )


def run(given: argparse.Namespace) -> int:
    for path in (given.out, given.secret):
        if path.exists():
            raise Stop(USAGE, f"{path}: it exists, and a key is not replaced: name another")
    made = KeyFile.new("signing", given.out.stem)
    write_secret(given.secret, secrets.token_bytes(SECRET_BYTES))
    made.write(given.out)
    public = made.public_half().to_object()
    if given.json:
        print(json.dumps(public))
    else:
        print(f"public key   {public['public']}\nkey id       {public['keyid']}")
        print(f"fingerprint  {public['fingerprint']}")
        print("Give these to the store's operator; read the fingerprint out to be sure.")
    return os.EX_OK
