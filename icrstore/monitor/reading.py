"""A keeper's log as its copy shows it: believed by the trust file, and read leaf by leaf."""

from collections.abc import Callable

from icrstore.keeper.evidence import LogKeys
from icrstore.keeper.leaves import LeafError, LeafText
from icrstore.keeper.names import is_log_of, pseudonym_of
from icrstore.seal.epoch import Role
from icrstore.tlog.errors import LogError
from icrstore.tlog.follow import Followed, Seen, Source, follow
from icrstore.warrant.trust import Trust

Fetch = Callable[[str], bytes]  # the bytes at a path of the store

_WHY = {
    "unsigned": "its checkpoint is not signed by its keeper",
    "not-cosigned": "its checkpoint is not cosigned by the other keeper",
    "entries-differ": "the entries do not have the signed root",
    "fewer-leaves": "it has fewer leaves than it had: cut off, or an old copy",
    "forked": "it forked: what was signed before is not the beginning of what is signed now",
}


class NotProven(Exception):
    """The copy does not lead to what the log signed; the message says what failed."""


def source_of(fetch: Fetch, trust: Trust, origin: str) -> tuple[Role, Source]:
    """Whose log it is, and by whom it must be signed. Raises `NotProven`."""
    own = next((one for one in trust.keepers if is_log_of(one.name, origin)), None)
    if own is None:
        raise NotProven("it is of no keeper that the trust file names")
    other = next(one for one in trust.keepers if one.role != own.role)
    keys = LogKeys(own.name, own.log_key, other.name, other.witness_key)
    place = f"/ledger/{own.role}/{pseudonym_of(origin)}"
    return own.role, Source(
        fetch=lambda path: fetch(f"{place}/{path}"),
        origin=origin,
        log_key=keys.log_verifier(origin),
        witness=keys.witness,
    )


def read_new(source: Source, before: Seen | None) -> tuple[Followed, list[LeafText]]:
    """What is new in a log since ``before``, checked, and its leaves.

    Raises `NotProven`, with `Forked` as its cause where the log convicted itself.
    """
    try:
        followed = follow(source, before)
    except LogError as error:
        raise NotProven(_WHY.get(error.reason, error.reason)) from error
    return followed, [_leaf(entry) for entry in followed.entries]


def _leaf(entry: bytes) -> LeafText:
    try:
        return LeafText.parse(entry.decode("ascii"))
    except (LeafError, UnicodeDecodeError):
        raise NotProven("an entry is no leaf") from None
