"""Tags: computed again for every leaf whose account is known, in the order of the log."""

from collections import defaultdict
from collections.abc import Iterator

from icrstore.keeper import queries, salvage
from icrstore.keeper.fsck.walked import Walked
from icrstore.keeper.leaves import LeafError, LeafText


def tags(walked: Walked) -> Iterator[str]:
    """The n-th leaf of a subject has its n-th tag; after a recovery n counts from its leaf on."""
    counted: dict[tuple[bytes, str], int] = defaultdict(int)
    recoveries = [one.leaf for one in salvage.recovered(walked.tx, walked.name)]
    for number, account in sorted(walked.accounts.items()):
        lines = _lines(walked, number)
        if lines is None:
            continue
        first = max((leaf for leaf in recoveries if leaf < number), default=0)
        subject = account, lines.day[:7]
        nth = max(counted[subject], first)
        counted[subject] = nth + 1
        if walked.ledger.tag(account, lines.day, nth) != lines.tag:
            yield f"leaf {number}: another tag than its subject's"


def _lines(walked: Walked, number: int) -> LeafText | None:
    """What is no leaf was told of before."""
    text = b"".join(queries.leaf_texts(walked.tx, walked.name, number, 1))
    try:
        return LeafText.parse(text.decode("ascii"))
    except (LeafError, UnicodeDecodeError):
        return None
