"""Our own vectors of a log, which another language may read too."""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.tlog.merkle import Tree
from icrstore.tlog.note import SigningKey, VerifierKey

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "tlog.json").read_text(encoding="utf-8")
)


def _signing_key(vector: dict[str, str]) -> SigningKey:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["seed"]))
    return SigningKey(vector["name"], private)


LEAVES = [bytes.fromhex(each) for each in VECTORS["leaves"]]
TREE = Tree(LEAVES)
ROOTS = [bytes.fromhex(each) for each in VECTORS["roots"]]
ORIGIN: str = VECTORS["log_key"]["name"]
LOG = _signing_key(VECTORS["log_key"])
LOG_KEY = VerifierKey.parse(VECTORS["log_key"]["verifier_key"])
WITNESS = _signing_key(VECTORS["witness_key"])
WITNESS_KEY = VerifierKey.parse(VECTORS["witness_key"]["verifier_key"])
CHECKPOINTS: dict[int, dict[str, Any]] = {each["size"]: each for each in VECTORS["checkpoints"]}
