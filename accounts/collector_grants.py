"""A collector's grant: the tenant's root vouches that a key is the collector's.

It proves itself, so it may lie in the database: whoever checks it has the root from somewhere else.
"""

from accounts.models import Collector
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import Grant
from icrstore.warrant.strict import StatementError

ROLE = "collector"


class NotGranted(Exception):
    """The tenant's root vouches for no key of this collector."""


def grant_of(collector: Collector, root: bytes) -> Grant:
    """The grant of this very collector by this root, signature checked. Raises `NotGranted`.

    When it ends is for the caller to look at. When it began was asked as it was stored: one that
    was renewed vouches also for what was signed under the one before and still waits.
    """
    try:
        envelope = Envelope.parse(bytes(collector.grant or b""), "grant")
        envelope.verify(root)
        grant = Grant.parse(envelope)
    except StatementError as error:
        raise NotGranted from error
    if (grant.issuer, grant.role, grant.holder) != (collector.tenant_id, ROLE, collector.name):
        raise NotGranted
    return grant
