"""Rights: who is trusted, for what, is what the last leaf about each says."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from icrstore.keeper import queries, salvage
from icrstore.keeper.budgets import told_of_budget
from icrstore.keeper.fsck.walked import Walked
from icrstore.keeper.pins import told_of_notifier, told_of_peer, told_of_pin
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import pools_of
from icrstore.warrant.strict import StatementError, encode_base64, time_text

# What beside its own members stands in every private text.
_OF_EVERY_LEAF = ("v", "type", "tenant", "nonce")


def rights(walked: Walked) -> Iterator[str]:
    """Where leaves of a type lost their text, somebody compared it instead (`recover`)."""
    for type_, check in (("pin", _pins), ("revoke", _revoked), ("policy", _policies)):
        if salvage.lost_days(walked.tx, walked.name, type_) is None:
            yield from check(walked)


def _pins(walked: Walked) -> Iterator[str]:
    logged: dict[tuple[str, str], Mapping[str, Any]] = {}
    canaries = 0
    for said in walked.rights["pin"]:
        told = {name: value for name, value in said.items() if name not in _OF_EVERY_LEAF}
        if told == {"pin": "canary"}:
            canaries += 1
        else:
            logged[_whose(told)] = told
    held = {_whose(told): told for told in _held(walked)}
    for whose in sorted(logged.keys() | held.keys()):
        if logged.get(whose) != held.get(whose):
            yield f"pin {' '.join(whose)}: not as it was logged"
    kept = queries.canaries(walked.tx, walked.name)
    if canaries != kept:
        yield f"{canaries} canaries are logged, and {kept} are kept"


def _held(walked: Walked) -> Iterator[dict[str, Any]]:
    tx, tenant = walked.tx, walked.tenant
    yield told_of_pin("tenant", tenant.name, tenant.root_key)
    for kind, of, name, key in queries.pins(tx):
        if of == tenant.name:
            yield told_of_pin(kind, name, key)
    for notifier in queries.notifiers(tx):
        if notifier.tenant == tenant.name:
            yield told_of_notifier(notifier)
    for peer in queries.peers(tx):
        yield told_of_peer(peer)
    for kind, most in queries.budgets(tx, tenant.name).items():
        yield told_of_budget(kind, most)


def _whose(told: Mapping[str, Any]) -> tuple[str, str]:
    """What one pin replaces: the pin of the same kind and name; a peer's, of its role."""
    return str(told["pin"]), str(told.get("role") or told.get("kind") or told.get("name"))


def _revoked(walked: Walked) -> Iterator[str]:
    logged = sorted(str(said.get("key")) for said in walked.rights["revoke"])
    held = sorted(
        encode_base64(key)
        for tenant, _, key in queries.revocations(walked.tx)
        if tenant == walked.name
    )
    if logged != held:
        yield "revocations: other keys than were logged"


def _policies(walked: Walked) -> Iterator[str]:
    names = ("policy_sha256", "effective", "from", "to", "valid_to")
    logged = [tuple(said.get(name) for name in names) for said in walked.rights["policy"]]
    try:
        held = [*_pools(walked), *_backfills(walked)]
    except StatementError:
        yield "policies: one that is none"
        return
    if sorted(map(str, logged)) != sorted(map(str, held)):
        yield "policies: others than were logged"


def _pools(walked: Walked) -> Iterator[tuple[str | None, ...]]:
    for statement in queries.policies(walked.tx, walked.name):
        effective, pools = pools_of(Envelope.parse(statement, "policy"))
        yield pools.sha256.hex(), time_text(effective), None, None, None


def _backfills(walked: Walked) -> Iterator[tuple[str | None, ...]]:
    for sha256, *times in queries.backfills(walked.tx, walked.name):
        texts = [time_text(datetime.fromtimestamp(each, UTC)) for each in times]
        yield sha256.hex(), None, *texts
