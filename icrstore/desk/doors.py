"""What each command of ``icr`` does: a door that reads what was typed, makes one call, tells.

Every command takes the parsed arguments, returns its exit status and raises `Stop`.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from icrstore.desk.asking import Asked, Desk, check_answered, make_request
from icrstore.desk.opening import open_answer, write_answer
from icrstore.desk.papers import (
    Draft,
    WarrantPaper,
    hour,
    make_grant,
    make_revocation,
    period,
    read_grants,
    write_new,
)
from icrstore.desk.policies import read_pools
from icrstore.desk.report import report
from icrstore.desk.selectors import (
    hours_of,
    selectors_of,
    target,
)
from icrstore.desk.watching import Seen, check_grant, table, watch
from icrstore.shell.keyfile import (
    KeyFile,
    PublicKey,
    Use,
    read_file,
    read_public,
    read_public_file,
)
from icrstore.shell.stop import DATA, USAGE, Stop
from icrstore.warrant.backfill import Backfill
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import HourRange, PoolPolicy, Selector, Warrant
from icrstore.warrant.strict import StatementError, parse_object, time_text
from icrstore.warrant.trust import Trust

Given = argparse.Namespace

USES: dict[str, Use] = {"signing": "signing", "answers": "recipient"}


def key_new(given: Given) -> int:
    made = KeyFile.new(USES[given.use], given.name)
    made.write(given.out)
    return _tell_key(given, made.public_half())


def key_show(given: Given) -> int:
    return _tell_key(given, read_public_file(given.file))


def _tell_key(given: Given, key: PublicKey) -> int:
    use = "answers" if key.use == "recipient" else "signing"
    lines = [f"name         {key.name}", f"for          {use}"]
    lines += [f"key id       {key.keyid}", f"fingerprint  {key.fingerprint}"]
    if key.use == "signing":
        lines.append(f"public key   {key.to_object()['public']}")
    return _tell(given, lines, key.to_object())


def grant(given: Given) -> int:
    root = KeyFile.read(given.root, "signing")
    public = read_public(given.key, "signing")
    made = make_grant(
        root, issuer=given.issuer, role=given.role, holder=given.holder, key=public, days=given.days
    )
    write_new(given.out, made.encode() + b"\n")
    told = parse_object(made.payload)
    keyid = PublicKey("signing", given.holder, public).keyid
    until = f"until {told['not_after']}: key id {keyid}, in {given.out}"
    return _tell(given, [f"{given.issuer} grants {given.role} to {given.holder}, {until}"], told)


def revoke(given: Given) -> int:
    root = KeyFile.read(given.root, "signing")
    public = read_public(given.key, "signing")
    made = make_revocation(
        root, issuer=given.issuer, tenant=given.tenant, key=public, reason=given.reason
    )
    write_new(given.out, made.encode() + b"\n")
    keyid = PublicKey("signing", given.issuer, public).keyid
    told = f"{given.issuer} takes back key id {keyid} at {given.tenant}: in {given.out}"
    return _tell(given, [told, "nothing is revoked before both keepers have it"],
                 parse_object(made.payload))  # fmt: skip


def policy_pools(given: Given) -> int:
    pools, effective = read_pools(given.file), hour(given.first)
    if effective <= datetime.now(UTC):
        why = "that hour has begun: keepers refuse the policy; name one that is still to come"
        raise Stop(USAGE, f"{given.first}: {why}")
    made = PoolPolicy(given.tenant, effective, pools)
    root = KeyFile.read(given.root, "signing")
    envelope = Envelope.sign("policy", made.to_fields(), root.signing())
    write_new(given.out, envelope.encode() + b"\n")
    from_ = time_text(effective)
    told = f"{len(pools)} pools of {given.tenant} from {from_} on: in {given.out}"
    return _tell(given, [told, f"sha256 {envelope.sha256.hex()}"], made.to_fields())


def policy_backfill(given: Given) -> int:
    hours = period(given.first, given.end)
    now = datetime.now(UTC).replace(microsecond=0)
    made = Backfill(given.tenant, given.collector, hours, now + timedelta(days=given.valid_days))
    root = KeyFile.read(given.root, "signing")
    envelope = Envelope.sign("policy", made.to_fields(), root.signing())
    try:
        Backfill.parse(envelope).check_valid(now)
    except StatementError as error:
        raise Stop(USAGE, f"the keepers would refuse this ({error}): give it otherwise") from None
    write_new(given.out, envelope.encode() + b"\n")
    told = f"{made.collector} may bring in {len(hours.hours())} hours: in {given.out}"
    return _tell(given, [told, f"sha256 {envelope.sha256.hex()}"], made.to_fields())


def draft(given: Given) -> int:
    selectors = selectors_of(given.account, given.address)
    if not selectors:
        why = "nobody to ask about: give --account, or --address for purpose resolve"
        raise Stop(USAGE, why)
    hours = _hours_of_draft(given, selectors)
    draft = Draft(
        tenant=given.tenant,
        authority=given.authority,
        instrument=given.instrument,
        basis=given.basis,
        purpose=given.purpose,
        selectors=selectors,
        targets=tuple(target(each, hours) for each in given.target),
        hours=hours,
        valid_days=given.valid_days,
        max_requests=given.max_requests,
        max_candidates=given.max_candidates,
        recipients=tuple(given.recipient),
    )
    write_new(given.out, draft.payload())
    return _show_paper(given, WarrantPaper.read(given.out))


def _hours_of_draft(given: Given, selectors: Sequence[Selector]) -> HourRange:
    """The hours given, or those that the times of addresses can fall in. Raises `Stop`."""
    if given.first and given.end:
        return period(given.first, given.end)
    touched = hours_of(selectors)
    if given.first or given.end or not touched:
        raise Stop(USAGE, "no hours: give --from and --to")
    return HourRange(touched[0].first, touched[-1].end)


def sign(given: Given) -> int:
    paper = WarrantPaper.read(given.file).sign(KeyFile.read(given.key, "signing"))
    # Replaced whole or not at all: a torn warrant would lose the first signature.
    new = given.file.with_name(given.file.name + ".new")
    write_new(new, paper.envelope.encode() + b"\n")
    new.replace(given.file)
    return _show_paper(given, paper)


def show(given: Given) -> int:
    return _show_paper(given, WarrantPaper.read(given.file))


def _show_paper(given: Given, paper: WarrantPaper) -> int:
    return _tell(given, paper.lines(), paper.to_object())


def lodge(given: Given) -> int:
    paper, desk = WarrantPaper.read_signed(given.warrant), _desk(given)
    made = desk.lodge(paper, read_grants(given.grant))
    return _tell(given, [f"lodged: warrant {made}"], {"warrant_sha256": made})


def ask(given: Given) -> int:
    paper, key = WarrantPaper.read_signed(given.warrant), KeyFile.read(given.key, "signing")
    desk, grants = Desk(_url(given), key), read_grants(given.grant)
    if given.out.exists():
        raise Stop(USAGE, f"{given.out}: it exists and is not replaced: name another")
    asked = _asked(given, paper.warrant)
    request = make_request(paper, key, asked, is_urgent=given.urgent)
    query = desk.put(paper, request, grants)
    if given.no_wait:
        return _tell(given, [f"query {query}: queued"], {"query": query, "state": "queued"})
    print(f"query {query}", file=sys.stderr)
    desk.wait(query)
    return _fetch(given, desk, query)


def _asked(given: Given, warrant: Warrant) -> Asked:
    """What is typed, and everything that the warrant allows where nothing is. Raises `Stop`."""
    if warrant.purpose != given.purpose:
        why = f"the warrant is for purpose {warrant.purpose}: `icr ask {warrant.purpose}`"
        raise Stop(DATA, why)
    selectors = selectors_of(given.account, given.address) or warrant.selectors
    if given.purpose == "resolve":
        return Asked(selectors, (), hours_of(selectors))
    allowed = warrant.hours
    targets = tuple(target(each, allowed) for each in given.target) or warrant.targets
    hours = HourRange(
        hour(given.first) if given.first else allowed.first,
        hour(given.end) if given.end else allowed.end,
    )
    return Asked(selectors, targets, (hours,))


def status(given: Given) -> int:
    desk = _desk(given)
    query = desk.status(given.query)
    if given.out:
        check_answered(query)
    if given.out and query.state == "answered":
        return _fetch(given, desk, given.query)
    return _tell(given, query.lines(), query.to_object())


def _fetch(given: Given, desk: Desk, query: str) -> int:
    write_new(given.out, desk.fetch(query) + b"\n")
    lines = [f"answered: the sealed answer is in {given.out}, read it with `icr open`"]
    return _tell(given, lines, {"query": query, "state": "answered", "file": str(given.out)})


def open_(given: Given) -> int:
    key = KeyFile.read(given.key, "recipient")
    package, proven = open_answer(given.file, key, given.trust)
    write_answer(given.out, package, proven)
    checks = f"all {len(proven.checks)} checks passed; answer.json and proof.json in {given.out}"
    told: dict[str, Any] = {"ok": True, "checks": [each.name for each in proven.checks]}
    lines = [] if given.json else [*report(proven), "", checks]
    return _tell(given, lines, {**told, "answer": proven.answer, "folder": str(given.out)})


def oversight(given: Given) -> int:
    """0, or 65 where the database and a keeper's log differ."""
    key, (grant,) = KeyFile.read(given.key, "signing"), read_grants([given.grant])
    check_grant(grant, key, datetime.now(UTC))
    try:
        trust = Trust.parse(read_file(given.trust))
    except StatementError as error:
        raise Stop(
            DATA, f"{given.trust}: no trust file ({error}): fetch it from the store"
        ) from None
    seen = watch(Desk(_url(given), key), given.tenant, given.what, grant, trust)
    _tell(given, list(_lines_of(seen)), seen.to_object())
    return DATA if seen.differences else os.EX_OK


def _lines_of(seen: Seen) -> Iterator[str]:
    for name, rows in seen.lists.items():
        yield from (name, *table(rows), "")
    for log in seen.logs:
        counted = ", ".join(f"{n} {kind}" for kind, n in sorted(log.leaves.items()))
        yield f"{log.role} keeper's log {log.origin}: {counted}"
        yield f"  {log.size} leaves, cosigned {log.cosigned_at:%Y-%m-%d %H:%M} UTC"
    yield f"database: {json.dumps(seen.database, sort_keys=True)}"
    yield from (f"DIFFERS: {line}" for line in seen.differences)


def _desk(given: Given) -> Desk:
    return Desk(_url(given), KeyFile.read(given.key, "signing"))


def _url(given: Given) -> str:
    if not given.server:
        raise Stop(USAGE, "no server: give --server https://icr.example or set ICR_SERVER")
    return str(given.server)


def _tell(given: Given, lines: Sequence[str], value: dict[str, Any]) -> int:
    print(json.dumps(value, sort_keys=True) if given.json else "\n".join(lines))
    return os.EX_OK
