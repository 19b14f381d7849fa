"""``icr-collect enrol``."""

import argparse
import json
import os
from pathlib import Path

from icrstore.collector.enrol import enrol
from icrstore.warrant.strict import encode_base64

NAME = "enrol"
ABOUT = "Become a collector of a store, by a one-use token."
TEACHES = """example:
  icr-collect enrol https://icr.example TOKEN --config edge-1.toml

TOKEN is what the store's operator has from `manage.py collector enrol`; it serves once, within
24 hours. Makes edge-1.key and edge-1.secret beside the config, hands in the public key, pins the
store's keys, and writes the config that `icr-collect push` reads. Compare the fingerprints with
the operator. Then the provider's root vouches for the public key that is shown (`icr grant --role
collector`), and the operator stores that (`manage.py collector grant`): nothing is taken before."""


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("url", metavar="URL", help="the store: https://icr.example")
    command.add_argument("token", metavar="TOKEN", help="from the store's operator")
    made = "the config to write: TOML, or JSON if it ends in .json"
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help=made)


def run(given: argparse.Namespace) -> int:
    enrolled = enrol(given.url, given.token, given.config)
    keys = (enrolled.own, enrolled.sealer, enrolled.receipts)
    if given.json:
        print(json.dumps({
            "tenant": enrolled.tenant, "collector": enrolled.collector,
            **dict(zip(("own", "sealer", "receipts"), (k.to_object() for k in keys), strict=True)),
        }))  # fmt: skip
        return os.EX_OK
    print(f"enrolled as {enrolled.collector} of {enrolled.tenant}; {given.config} is ready")
    for name, key in zip(("own key", "sealer", "receipts"), keys, strict=True):
        print(f"{name:<12} {key.fingerprint}")
    print(f"{'public key':<12} {encode_base64(enrolled.own.public)}")
    print("Compare the fingerprints with the store's operator, and have the provider's root vouch")
    print("for the public key: `icr grant --role collector`. Nothing is taken before.")
    return os.EX_OK
