"""What a log, a note or a witness refuses, under one base with stable reason codes."""


class LogError(Exception):
    """Refused; `reason` is a stable code that tests and other machines may compare."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProofError(LogError):
    """The proof does not prove it.

    Reasons: `malformed` (a hash that is not 32 bytes, an impossible index or size), `proof-length`
    (too few or too many hashes), `wrong-root`, and for consistency also `wrong-old-root`.
    """


class NoteError(LogError):
    """The note or checkpoint is not what it must be.

    Reasons: `malformed-note`, `malformed-key`, `malformed-checkpoint`, `bad-signature` (by a key
    that we know), `unsigned` (by none that we know), `wrong-origin`, `not-cosigned`.
    """
