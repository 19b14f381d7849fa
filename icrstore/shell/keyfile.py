"""Key files: one Ed25519 or hybrid HPKE key as strict JSON, which only its owner can read.

A key file is trusted by whoever runs the command: who can write it can sign, or read answers, as
its owner. So it is written once, with mode 0600, and not read if others could have.
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.shell.harden import Exposed, read_private
from icrstore.shell.stop import DATA, NO_INPUT, USAGE, Stop
from icrstore.warrant.dsse import key_id, raw_public
from icrstore.warrant.strict import Fields, StatementError, decode_base64, dump, parse_object
from icrstore.warrant.strict import encode_base64 as shown
from icrstore.wire import hpke

Use = Literal["signing", "recipient"]
PUBLIC_BYTES: dict[Use, int] = {"signing": 32, "recipient": hpke.PUBLIC_BYTES}
_PRIVATE_BYTES: dict[Use, int] = {"signing": 32, "recipient": hpke.PRIVATE_BYTES}
MODE = 0o600


@dataclass(frozen=True)
class PublicKey:
    """A public half with its owner's name: what is handed to others."""

    use: Use
    name: str
    public: bytes

    @property
    def keyid(self) -> str:
        return key_id(self.public)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key in groups of four, to be read out on the telephone."""
        digits = hashlib.sha256(self.public).hexdigest()
        return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))

    def to_object(self) -> dict[str, Any]:
        return {
            "kind": "icr-public-key",
            "use": self.use,
            "name": self.name,
            "public": shown(self.public),
            "keyid": self.keyid,
            "fingerprint": self.fingerprint,
        }


@dataclass(frozen=True)
class KeyFile(PublicKey):
    """A private key as its file holds it."""

    private: bytes = field(repr=False)

    @classmethod
    def new(cls, use: Use, name: str) -> Self:
        if use == "recipient":
            made = hpke.PrivateKey.generate()
            return cls(use, name, made.public_bytes(), made.private_bytes())
        key = Ed25519PrivateKey.generate()
        return cls(use, name, raw_public(key), key.private_bytes_raw())

    @classmethod
    def read(cls, path: Path, use: Use) -> Self:
        """The key in a file, for one use. Raises `Stop`, naming the file and the mend."""
        made = cls._parse(path, _fields(path, read_secret(path)))
        if made.use != use:
            raise Stop(USAGE, f"{path}: this is a {made.use} key, a {use} key is needed here")
        return made

    @classmethod
    def _parse(cls, path: Path, fields: Fields) -> Self:
        try:
            made = cls(
                use=_use(fields),
                name=fields.text("name"),
                public=fields.base64("public"),
                private=fields.base64("private"),
            )
            fields.finish()
        except StatementError as error:
            raise Stop(
                DATA, f"{path}: not a key file ({error}): make one with `icr key new`"
            ) from None
        if made._derived() != made.public:
            raise Stop(DATA, f"{path}: its halves do not belong together: restore it from a backup")
        return made

    def _derived(self) -> bytes | None:
        if len(self.private) != _PRIVATE_BYTES[self.use]:
            return None
        if self.use == "recipient":
            return hpke.PrivateKey(self.private).public_bytes()
        return raw_public(self.signing())

    def write(self, path: Path) -> None:
        """Write the file for its owner alone. Raises `Stop` rather than replace one."""
        value = {
            "kind": "icr-key",
            "use": self.use,
            "name": self.name,
            "private": shown(self.private),
            "public": shown(self.public),
        }
        write_secret(path, dump(value) + b"\n")

    def signing(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private)

    def recipient(self) -> hpke.PrivateKey:
        return hpke.PrivateKey(self.private)

    def public_half(self) -> PublicKey:
        return PublicKey(self.use, self.name, self.public)


def read_public(given: str, use: Use) -> bytes:
    """A public key from its base64, or from a file. Raises `Stop`."""
    raw = decode_base64(given)
    if raw is None and len(given) < 4096 and Path(given).is_file():
        raw = _public_of_file(Path(given), use)
    if raw is None or len(raw) != PUBLIC_BYTES[use]:
        mend = "give its base64 or its file, see `icr key show`"
        raise Stop(USAGE, f"{given[:64]}: no {use} public key: {mend}")
    return raw


def _public_of_file(path: Path, use: Use) -> bytes | None:
    """From a file of base64 alone, or of a key, private or public, for this use."""
    if (raw := decode_base64(read_file(path).decode("ascii", "replace").strip())) is not None:
        return raw
    made = read_public_file(path)
    return made.public if made.use == use else None


def read_public_file(path: Path) -> PublicKey:
    """The public half in a private or public key file, which spares people the second file.

    Raises `Stop`.
    """
    fields = _fields(path, read_file(path))
    try:
        made = PublicKey(_use(fields), fields.text("name"), fields.base64("public"))
    except StatementError as error:
        raise Stop(DATA, f"{path}: no public key ({error}): see `icr key show`") from None
    if len(made.public) != PUBLIC_BYTES[made.use]:
        raise Stop(DATA, f"{path}: no public key: see `icr key show`")
    return made


def read_secret(path: Path) -> bytes:
    """The bytes of a file that only its owner can read. Raises `Stop`."""
    try:
        return read_private(path)
    except Exposed as error:
        raise Stop(DATA, str(error)) from None
    except OSError as error:
        raise _not_readable(path, error) from None


def write_secret(path: Path, content: bytes) -> None:
    """A new file for its owner alone, on disk when this returns. Raises `Stop`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    except FileExistsError:
        raise Stop(USAGE, f"{path}: it exists, and a key is not replaced: name another") from None
    except OSError as error:
        raise Stop(USAGE, f"{path}: {error.strerror}: name a file that can be made") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_file(path: Path) -> bytes:
    """Raises `Stop`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _not_readable(path, error) from None


def _not_readable(path: Path, error: OSError) -> Stop:
    return Stop(NO_INPUT, f"{path}: {error.strerror}: name a file that can be read")


def _fields(path: Path, content: bytes) -> Fields:
    try:
        fields = Fields(parse_object(content))
        fields.one_of("kind", ("icr-key", "icr-public-key"))
    except StatementError:
        raise Stop(DATA, f"{path}: not a key file: make one with `icr key new`") from None
    return fields


def _use(fields: Fields) -> Use:
    return (
        "recipient" if fields.one_of("use", ("signing", "recipient")) == "recipient" else "signing"
    )
