"""What a keeper refuses, and the one failure that it does not survive."""

# Reasons that are in the leaf and for oversight: who was refused reads "refused" for each of them.
WITHHELD = frozenset({"canary", "revoked"})


class KeeperError(Exception):
    """Something that a keeper will not or cannot do."""


class Refused(KeeperError):
    """Refused. ``code`` is stable and holds nothing of what was asked; ``status`` is HTTP's."""

    def __init__(self, code: str, status: int = 403) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


class StoreLost(KeeperError):
    """A write failed, so nobody knows what is durable: nothing is answered until a restart."""


class DayGone(KeeperError):
    """The key of that day can no longer be computed, by anyone."""
