"""What was not proven sealed before a query's first commit, as its row keeps it for a crash.

The engine signs it, and for the very key to which the keepers lend: who writes the database could
else make an hour look complete, or have an engine that begins anew sign what waits only then, while
the keepers' lists are of before.
"""

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.vault.accepted import Unsealed
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.strict import Fields, StatementError, time_text

KIND = "waiting"
# No statement that anybody hands in: the engine wrote it, so it may be as long as what waits. In a
# jsonb no text is longer.
_LONGEST = 256 << 20


def keep(waiting: Sequence[Unsealed], engine_key_sha256: bytes, key: Ed25519PrivateKey) -> Envelope:
    told = [
        {
            "since": time_text(one.since),
            "first": time_text(one.first),
            "last": time_text(one.last),
            "what": one.what,
            "is_gap": one.is_gap,
        }
        for one in waiting
    ]
    made = {"v": 1, "engine_key_sha256": engine_key_sha256.hex(), "waiting": told}
    return Envelope.sign(KIND, made, key)


def kept(value: Any, engine_key_sha256: bytes, key: Ed25519PrivateKey) -> list[Unsealed]:
    """Raises `StatementError` unless this engine kept it for this key (its statement's digest)."""
    envelope = Envelope.read(value, KIND, longest=_LONGEST)
    envelope.verify(raw_public(key))
    fields = envelope.fields(_LONGEST)
    if fields.hexadecimal("engine_key_sha256", 32) != engine_key_sha256:
        raise StatementError("wrong-engine-key", KIND)
    made = fields.items("waiting", _read, 0, _LONGEST)
    fields.finish()
    return list(made)


def _read(value: Any, place: str) -> Unsealed:
    fields = Fields(value, place)
    made = Unsealed(
        since=fields.time("since"),
        first=fields.hour("first"),
        last=fields.hour("last"),
        what=fields.text("what"),
        is_gap=fields.boolean("is_gap"),
    )
    fields.finish()
    return made
