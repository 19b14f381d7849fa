"""Recovery: a keeper whose store was put back from a copy takes its logs up again.

What its logs forgot is published (`/ledger/ROLE/PSEUDONYM`) up to what the other keeper cosigned.
The leaves come back; the private text behind them does not, nor do the atoms, questions and debts
of that time. So nothing more is lent under a warrant that may have been used in it, and epochs come
back only as the very leaves that they are (`Ledger.restore`). What this store wrote since, and the
other keeper never cosigned, is taken back and logged anew, but for questions: nothing was lent by
those.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icrstore.keeper import clock, queries, salvage
from icrstore.keeper.debts import account_of
from icrstore.keeper.errors import Refused
from icrstore.keeper.evidence import EvidenceError, LogKeys, check_cosigned
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.leaves import Leaf, LeafText
from icrstore.keeper.ledger import Draft, Ledger
from icrstore.keeper.names import is_log_of
from icrstore.keeper.published import Fetch, PublishedLog, read_log
from icrstore.keeper.queries import Tenant
from icrstore.keeper.salvage import Recovered
from icrstore.keeper.store import Store
from icrstore.keeper.witness import SCHEMA, STORE, cosigned, remember
from icrstore.tlog.checkpoint import Checkpoint, parse_checkpoint
from icrstore.tlog.note import parse_note
from icrstore.warrant.strict import parse_object

# Leaves by which nobody was asked about, and which change nobody's right. All others but questions
# may have.
_HARMLESS = ("policy", "epoch", "expired", "refusal", "notice", "shred", "recovery")
_QUESTIONS = ("commit", "release", "disclosure")
_OF_EVERY_LEAF = ("v", "type", "tenant", "subject", "nonce")


@dataclass(frozen=True)
class Outcome:
    """What became of one log: how many leaves it had in common with what is published, how many
    came back without their private text (by type), and how many were logged anew."""

    tenant: str
    kept: int
    lost: Mapping[str, int]
    anew: int


def recover(keeper: Keeper, fetch: Fetch, pins_compared: bool) -> list[Outcome]:
    """Put every log right and end the quarantine; nothing, where nothing was wrong.

    1. What is published of each log holds, and is no older than what the peer is known to have
       cosigned.
    2. The key chain is where the last certificate says that it was: an older one would revive days.
    3. The witness remembers what it cosigned.
    4. Where trust was given or taken in the time that is lost, somebody compared it. A log of ours
       that is younger than the copy is of a tenant pinned then: nobody here can say of which, so
       it is given up.
    5. From here the logs are right: leaves, rows and the quarantine's end are one transaction. The
       clock is in doubt until the peer's agrees.

    Safe to repeat: until 5 the quarantine holds. Raises Refused.
    """
    # 1.
    published = _published(keeper, fetch)
    # 2.
    _check_chain(keeper, published)
    # 3.
    _remind_witness(keeper, fetch)
    with keeper.write_recovering() as call:
        wrong = [one for one in published if _is_behind(call, *one)]
        if not wrong and not salvage.is_quarantined(call.tx):
            return []
        # 4.
        is_changed = _lost_logs(call, published) or any(_trust_changed(call, *one) for one in wrong)
        if is_changed and not pins_compared:
            raise Refused("pins-lost")
        # 5.
        made = [_put_right(call, tenant, log) for tenant, log in published]
        salvage.end_quarantine(call.tx, call.unix_seconds)
        clock.doubt(call.tx)
    return made


def _published(keeper: Keeper, fetch: Fetch) -> list[tuple[Tenant, PublishedLog]]:
    own = keeper.identity
    with keeper.store.read() as tx:
        tenants, evidence = queries.tenants(tx), salvage.quarantines(tx)
        keys = keeper.own_log_keys(queries.peer(tx, keeper.peer_role))
        origins = {t.name: Ledger(tx, own, t).origin for t in tenants}
    made = [(t, read_log(fetch, own.role, origins[t.name], keys)) for t in tenants]
    floors = [shown for one in evidence for shown in _cosigned(one.note, keys)]
    for _, log in made:
        of_log = [shown for shown in floors if shown.origin == log.checkpoint.origin]
        if not all(log.holds(shown) for shown in of_log):
            raise Refused("published-too-old")
    return made


def _cosigned(note: bytes, keys: LogKeys) -> list[Checkpoint]:
    try:
        return [check_cosigned(note, keys)[0]]
    except EvidenceError:
        return []


def _check_chain(keeper: Keeper, published: Sequence[tuple[Tenant, PublishedLog]]) -> None:
    """Days that were certified as destroyed do not come back with an old file.

    A certificate was written on the chain's own day, which had been agreed upon by then; other
    leaves may be of a clock in doubt.
    """
    chain, today = keeper.chain(), keeper.clock().date()
    leaves = [leaf for _, log in published for leaf in log.leaves]
    if max((leaf.day for leaf in leaves), default="") > today.isoformat():
        raise Refused("clock-behind", 503)
    certified = max((leaf.day for leaf in leaves if leaf.type == "shred"), default="")
    if certified > chain.day.isoformat():
        chain.advance(today.fromisoformat(certified)).save(keeper.folder)


def _remind_witness(keeper: Keeper, fetch: Fetch) -> None:
    """What the copies of the peer's logs show that we cosigned, where it is more than we know.

    Raises Refused(peer-forked) where what is known to have been cosigned is not in it.
    """
    store = Store(keeper.folder / STORE, SCHEMA)
    try:
        with keeper.store.read() as tx:
            peer = queries.peer(tx, keeper.peer_role)
            keys = keeper.peer_log_keys(peer)
        with store.read() as tx:
            known = {o: n for o, n in cosigned(tx).items() if is_log_of(peer.name, o)}
        for origin, note in known.items():
            log = read_log(fetch, keeper.peer_role, origin, keys)
            before = parse_checkpoint(note.body)
            if before.size > log.checkpoint.size:
                continue
            if not log.holds(before):
                raise Refused("peer-forked")
            with store.write() as tx:
                remember(tx, log.checkpoint, parse_note(log.note))
    finally:
        store.close()


def _common(call: Call, tenant: Tenant, log: PublishedLog) -> int:
    """How many leaves, from the first on, this store and the published log have alike."""
    own = queries.leaf_texts(call.tx, tenant.name, 0, tenant.size)
    pairs = zip(own, log.entries, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(own), len(log.leaves)))


def _is_behind(call: Call, tenant: Tenant, log: PublishedLog) -> bool:
    return _common(call, tenant, log) < log.checkpoint.size


def _lost_logs(call: Call, published: Sequence[tuple[Tenant, PublishedLog]]) -> set[str]:
    """The logs that it was shown its own signature of, and has no tenant for."""
    shown = {one.origin for one in salvage.quarantines(call.tx)}
    return shown - {log.checkpoint.origin for _, log in published}


def _trust_changed(call: Call, tenant: Tenant, log: PublishedLog) -> bool:
    lost = log.leaves[_common(call, tenant, log) :]
    return any(leaf.type not in (*_HARMLESS, *_QUESTIONS) for leaf in lost)


def _put_right(call: Call, tenant: Tenant, log: PublishedLog) -> Outcome:
    kept = _common(call, tenant, log)
    is_behind = kept < log.checkpoint.size
    voided = _cut(call, tenant, kept) if is_behind else []
    ledger = call.ledger(tenant.name)
    for leaf in log.leaves[kept:]:
        ledger.take_back(leaf)
    lost = Counter(leaf.type for leaf in log.leaves[kept:])
    told = {"recovery": "log", "kept": kept, "lost": lost.total()}
    said = ledger.append(Draft("recovery", told), call.now)
    questions = sum(lost[type_] for type_ in _QUESTIONS)
    salvage.add_recovered(call.tx, tenant.name, Recovered(said.index, call.unix_seconds, questions))
    anew = sum(_log_anew(call, ledger, tenant.name, each) for each in voided)
    return Outcome(tenant.name, kept, lost, anew)


def _cut(call: Call, tenant: Tenant, kept: int) -> list[tuple[Leaf, bytes]]:
    """Take our leaves from ``kept`` on out of the log; those that are more than a question, each
    with the account that it is of, if any."""
    lost = salvage.lost_leaves(call.tx, tenant.name)
    ledger = call.ledger(tenant.name)
    numbers = [n for n in range(kept, tenant.size) if n not in lost]
    leaves = [leaf for number in numbers for leaf in ledger.leaves(number, 1)]
    made = [
        (leaf, _account(call, tenant.name, leaf))
        for leaf in leaves
        if LeafText.parse(leaf.text).type not in _QUESTIONS
    ]
    salvage.cut_log(call.tx, tenant.name, kept)
    return made


def _account(call: Call, tenant: str, leaf: Leaf) -> bytes:
    """Whose notice it is, while its debt is there still."""
    said = parse_object(leaf.private.encode())
    return account_of(call, tenant, said["told_leaf"]) if said["type"] == "notice" else b""


def _log_anew(call: Call, ledger: Ledger, tenant: str, voided: tuple[Leaf, bytes]) -> bool:
    """Whether a leaf was added for what this one said. What it stands for is in the store still."""
    leaf, account = voided
    said = parse_object(leaf.private.encode())
    told = {name: value for name, value in said.items() if name not in _OF_EVERY_LEAF}
    if said["type"] == "expired":
        asked = queries.request(call.tx, bytes.fromhex(told["request_sha256"]))
        if asked is None:
            return False
        if salvage.may_have_ended(call.tx, tenant, asked.commit_leaf):
            queries.mark_open(call.tx, asked.sha256)
            return False
    if said["type"] == "notice":
        debt = queries.debt_of_leaf(call.tx, tenant, told["told_leaf"])
        if debt is None:
            return False
        made = ledger.append(Draft("notice", told, account, is_account=True), call.now)
        queries.mark_told(call.tx, tenant, debt.number, made.index)
        return True
    draft = Draft(said["type"], told)
    if ledger.restore(draft):
        return False
    made = ledger.append(draft, call.now)
    if said["type"] == "shred":
        queries.add_shred(call.tx, tenant, told["day"], made.index)
    return True
