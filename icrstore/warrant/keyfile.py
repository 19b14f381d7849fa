"""Key files: one private key each, as JSON that only its owner may read."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.warrant.dsse import raw_public
from icrstore.warrant.strict import Fields, dump, encode_base64, parse_object
from icrstore.wire import hpke


def write_signing_key(path: Path, name: str) -> Ed25519PrivateKey:
    """Make an Ed25519 key and keep it at ``path``, which must not exist (FileExistsError)."""
    key = Ed25519PrivateKey.generate()
    _write(path, "signing", name, key.private_bytes_raw(), raw_public(key))
    return key


def write_recipient_key(path: Path, name: str) -> hpke.PrivateKey:
    """Make a hybrid HPKE key to which answers are sealed; as `write_signing_key`."""
    key = hpke.PrivateKey.generate()
    _write(path, "recipient", name, key.private_bytes(), key.public_bytes())
    return key


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key of a key file. Raises `StatementError`, OSError."""
    return Ed25519PrivateKey.from_private_bytes(_private(path, "signing", 32))


def load_recipient_key(path: Path) -> hpke.PrivateKey:
    """The HPKE key of a key file. Raises `StatementError`, OSError."""
    return hpke.PrivateKey(_private(path, "recipient", hpke.PRIVATE_BYTES))


def _private(path: Path, use: str, size: int) -> bytes:
    fields = Fields(parse_object(path.read_bytes()), path.name)
    fields.one_of("kind", ("icr-key",))
    fields.one_of("use", (use,))
    return fields.base64("private", size)


def _write(path: Path, use: str, name: str, private: bytes, public: bytes) -> None:
    content = dump({
        "kind": "icr-key", "use": use, "name": name,
        "private": encode_base64(private), "public": encode_base64(public),
    })  # fmt: skip
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content + b"\n")
        file.flush()
        os.fsync(file.fileno())
