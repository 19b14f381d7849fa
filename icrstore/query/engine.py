"""The engine: takes one request to both keepers, opens what they lend, answers, and seals.

1. What waits to be sealed is read first, and kept: the keepers fix the epochs once, so a batch that
   is sealed later is in no list, and an engine that begins again must not take it for included.
2. Commit: both keepers check everything by themselves and log the question.
3. Release, then lend: both log the access before either gives its share.
4. Rows are fetched, proven and opened; what is missing names its epoch.
5. Disclose: both keepers log whom the answer names. Only then is it sealed to its recipients.

Every step is safe to take again. An engine that is back within 15 minutes of a crash finishes the
request; after that the keepers end it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from icrstore.keeper.answers import Committed, Proven
from icrstore.keeper.client import Keepers, Question
from icrstore.query.coverage import HourCoverage, Listed, cover
from icrstore.query.keyring import EngineKeys, ShareKey
from icrstore.query.package import check_recipients, package, seal_to, sha256
from icrstore.query.purposes import Found
from icrstore.query.scope import Lending, Scope
from icrstore.query.second import Second
from icrstore.seal.epoch import Role
from icrstore.shell.garbage import uncollected
from icrstore.vault.accepted import Unsealed
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Disclosure
from icrstore.warrant.statements import Request, Warrant
from icrstore.warrant.strict import dump

DEMONSTRATION = "demonstration: both keepers on one host"


@dataclass(frozen=True)
class Steps:
    """What the keepers logged on the way, to be shown with the answer."""

    commits: Mapping[Role, Committed]
    releases: Mapping[Role, Proven]


def answer(
    keys: EngineKeys, keepers: Keepers, question: Question, share_key: ShareKey,
    waiting: Sequence[Unsealed], demonstration: bool, second: Second,
) -> bytes:  # fmt: skip
    """The sealed disclosure of a question. Raises what the keepers' client does, `StatementError`.

    ``waiting``: what was not sealed before the question's *first* commit (`coverage.cover`).
    """
    warrant, request = Warrant.parse(question.warrant), Request.parse(question.request)
    check_recipients(warrant.recipient_keys)
    second.start_for(request)
    commits = keepers.commit(question)
    listed = Listed(*(made.epochs for made in commits.values()))
    scope = Scope(question.tenant, warrant, request, listed.alike)
    second.prepare(scope)
    releases = keepers.release(question, commits)
    lending = keepers.lend(question, commits, releases, share_key.private)

    found, hours = find(scope, listed, lending, waiting, second)
    plain = dump({
        "v": 1,
        "request_sha256": question.request.sha256.hex(),
        "tenant": question.tenant,
        "purpose": warrant.purpose,
        "notice": DEMONSTRATION if demonstration else None,
        "hours": [hour.to_object() for hour in hours],
        "accounts": list(found.records),
        **found.fields,
    })  # fmt: skip
    # From here the disclosure is in both logs: if we stop now it is logged but unread, which is
    # the safe side.
    statement = _disclosure(keys, question, found, plain)
    disclosed = keepers.disclose(question, statement)
    shown = _shown(Steps(commits, releases), disclosed, keepers)
    content = package(plain, question.warrant, question.request, question.grants, statement, shown)
    return seal_to(warrant.recipient_keys, question.request.sha256, content)


def find(
    scope: Scope, listed: Listed, lending: Lending, waiting: Sequence[Unsealed], second: Second
) -> tuple[Found, list[HourCoverage]]:
    """What a purpose makes of the rows of the epochs that the keepers list alike, and the coverage
    of every hour asked for."""
    with uncollected():
        looked = second.look(scope, lending)
        looked.looking.settle(second.write)
        hours = cover(scope.request.all_hours(), listed, looked.shards, waiting, looked.failed)
        return looked.looking.found(hours), hours


def _disclosure(keys: EngineKeys, question: Question, found: Found, plain: bytes) -> Envelope:
    made = Disclosure(
        request_sha256=question.request.sha256,
        accounts=tuple(found.records),
        records=tuple(found.records.values()),
        opened_accounts=found.opened_accounts,
        answer_sha256=sha256(plain),
    )
    return Envelope.sign("disclosure", made.to_fields(), keys.identity)


def _shown(steps: Steps, disclosed: Mapping[Role, Proven], keepers: Keepers) -> dict[str, Any]:
    return {
        role: {
            "name": keepers.name(role),
            "commit": steps.commits[role].proven.evidence.to_object(),
            "release": steps.releases[role].evidence.to_object(),
            "disclosure": disclosed[role].to_object(),
        }
        for role in disclosed
    }
