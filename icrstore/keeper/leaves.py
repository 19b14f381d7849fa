"""Leaves: the public lines that a log holds, and the private text behind each.

The keeper that writes them and every reader that checks them use this one module (icr-verify has
its own). Nothing here is secret, and nothing is believed before `icrstore.keeper.evidence` did.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from icrstore.warrant.statements import Request, Warrant
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object

MOST_PRIVATE_BYTES = 1 << 18
TYPES = (
    "pin", "revoke", "policy", "epoch", "commit", "release", "expired", "disclosure", "refusal",
    "notice", "shred", "recovery",
)  # fmt: skip
_DAY = r"\d{4}-\d\d-\d\d"
_LEAF = re.compile(
    rf"v=1\ntype=({'|'.join(TYPES)})\nday=({_DAY})\ndue=({_DAY}|-)\n"
    r"tag=([0-9a-f]{32})\nprivate-sha256=([0-9a-f]{64})\n",
    re.ASCII,
)


class LeafError(Exception):
    """The text is not a leaf, or not the leaf that it is shown as."""


@dataclass(frozen=True)
class LeafText:
    """A leaf's public lines; ``due`` is the day on which its subscriber is told, or ``-``."""

    type: str
    day: str
    due: str
    tag: bytes
    private_sha256: bytes

    def encode(self) -> bytes:
        return (
            f"v=1\ntype={self.type}\nday={self.day}\ndue={self.due}\n"
            f"tag={self.tag.hex()}\nprivate-sha256={self.private_sha256.hex()}\n"
        ).encode("ascii")

    @classmethod
    def parse(cls, text: str) -> "LeafText":
        """Raises `LeafError` for every spelling but the one that `encode` writes."""
        found = _LEAF.fullmatch(text)
        if found is None:
            raise LeafError("not a leaf")
        kind, day, due, tag, sha256 = found.groups()
        return cls(kind, day, due, bytes.fromhex(tag), bytes.fromhex(sha256))


@dataclass(frozen=True)
class Leaf:
    """A leaf with what stays private: ``salt`` opens the subject's commitment, and only a keeper
    and whom it answers have it (empty where there is none)."""

    index: int
    text: str
    private: str
    salt: bytes = b""

    def to_object(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "leaf": self.text,
            "private": self.private,
            "salt": self.salt.hex(),
        }

    @classmethod
    def read(cls, value: Any, place: str) -> "Leaf":
        """Raises StatementError; checks nothing but the layout."""
        fields = Fields(value, place)
        made = cls(
            fields.integer("index", 0, 1 << 53),
            read_lines(fields, "leaf"),
            fields.text("private", MOST_PRIVATE_BYTES),
            read_salt(fields),
        )
        fields.finish()
        return made


def read_salt(fields: Fields) -> bytes:
    """Sixteen bytes in hex, or none."""
    value = fields.take("salt")
    return Fields({"salt": value}).hexadecimal("salt", 16) if value else b""


def read_lines(fields: Fields, name: str) -> str:
    """A text that may be empty or hold newlines, which `Fields.text` refuses."""
    value = fields.take(name)
    if not isinstance(value, str) or len(value) > 1 << 17:
        raise StatementError("not-a-text", name)
    return value


def told_of(
    type_: str, warrant: Warrant, warrant_sha256: bytes, request: Request, request_sha256: bytes
) -> dict[str, Any]:
    """What the private text of a commit, release or disclosure says of its request."""
    return {
        "v": 1,
        "type": type_,
        "tenant": warrant.tenant,
        "request_sha256": request_sha256.hex(),
        "warrant_sha256": warrant_sha256.hex(),
        "hours": [hours.to_fields() for hours in request.hours],
        "purpose": warrant.purpose,
        "authority": warrant.authority,
        "instrument": warrant.instrument,
    }


# What a private text holds beyond `told_of`, by type.
_BESIDES = {
    "commit": {"nonce", "subject", "epochs_sha256"},
    "release": {"nonce", "subject"},
    "disclosure": {"nonce", "subject", "answer_sha256", "opened_accounts", "records"},
}


def check_told(leaf_text: str, private: str, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The private text of a leaf, once it says exactly what is ``told`` and the leaf names it.

    Raises `LeafError`.
    """
    leaf = LeafText.parse(leaf_text)
    if leaf.type != told["type"]:
        raise LeafError("another type")
    if hashlib.sha256(private.encode()).digest() != leaf.private_sha256:
        raise LeafError("another private text")
    try:
        said = parse_object(private.encode())
    except StatementError as error:
        raise LeafError("no private text") from error
    if dump(said) != private.encode() or said.keys() != told.keys() | _BESIDES[leaf.type]:
        raise LeafError("no private text")
    if any(said[name] != value for name, value in told.items()):
        raise LeafError("of another request")
    return said
