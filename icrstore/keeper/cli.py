"""Make and run a keeper, which lends its half of the keys only after it has logged for what.

  python -m icrstore.keeper init --store keeper --role oversight --instance 1 --name keeper.example
  python -m icrstore.keeper pin tenant isp-one KEY --store keeper
  python -m icrstore.keeper serve --store keeper --socket run/keeper.sock
  python -m icrstore.keeper show --store keeper
  python -m icrstore.keeper accesses --store keeper
  python -m icrstore.keeper epochs --store keeper
  python -m icrstore.keeper clock show --store keeper
  python -m icrstore.keeper fsck --store keeper
  python -m icrstore.keeper recover --store keeper --from https://icr.example

It trusts whom it is told to here, and nothing that is sent to it changes that. Compare each key
with its owner. In the store, keys.json and keeper.db can be backed up; chain.json never.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from icrstore.keeper import queries, salvage
from icrstore.keeper.accesses import COLUMNS, asked_of
from icrstore.keeper.budgets import A_DAY, pin_budget
from icrstore.keeper.canaries import pin_canaries
from icrstore.keeper.clock import utc_now
from icrstore.keeper.debts import OVERDUE
from icrstore.keeper.epochs import kept
from icrstore.keeper.errors import Refused
from icrstore.keeper.files import sync_folder
from icrstore.keeper.keeper import STORE, Keeper
from icrstore.keeper.keys import KEYS, Chain, Identity
from icrstore.keeper.mending import MENDS, add_mending
from icrstore.keeper.names import origin_of
from icrstore.keeper.pins import pin, pin_notifier, pin_peer, pin_tenant
from icrstore.keeper.policies import take_late
from icrstore.keeper.queries import NotifierRow, Peer
from icrstore.keeper.recovery import clock_state, confirm
from icrstore.keeper.revocations import revoke
from icrstore.keeper.serve import serve
from icrstore.keeper.store import Store
from icrstore.seal.epoch import ROLES
from icrstore.shell.harden import harden
from icrstore.tlog.note import ED25519, VerifierKey
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.statements import read_account
from icrstore.warrant.strict import (
    Fields,
    StatementError,
    decode_base64,
    dump,
    encode_base64,
)
from icrstore.wire import hpke

_CONFIRM = "compare the clock with another one, then: clock confirm"
_MENDS = {
    "clock-behind": "the clock is before the last leaf: set it, or wait",
    "clock-ahead": f"the last leaf is more than 96 hours ago: {_CONFIRM}",
    "clock-stepped": f"the clock was set while this host ran: {_CONFIRM}",
    **MENDS,
}
_CLOCK = """\
A keeper logs, lends and destroys by its clock, so it believes it only as far as it can check it: it
is never before the last leaf, at most 96 hours after it, and goes on as the boot clock does. After
more than 26 hours nothing is destroyed or lent until the other keeper's clock agrees, which takes
no hand. After more than 96 hours, or when the clock was set, a keeper refuses everything until
somebody has looked at another clock: `clock show` says what it refuses and why, `clock confirm`
writes a `recovery` leaf into every log. A clock that was wrong then stays in the logs for good.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """0, 1 with the reason on stderr, or 65 where `fsck` found faults."""
    harden()
    return run(arguments)


def run(arguments: Sequence[str] | None) -> int:
    """The command alone, for a process that is not the keeper's own."""
    asked = _parser().parse_args(arguments)
    try:
        return asked.run(asked) or 0
    except Refused as refused:
        mend = _MENDS.get(refused.code)
        print(f"refused: {refused.code}{f': {mend}' if mend else ''}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1


def init(asked: argparse.Namespace) -> None:
    """Make a keeper. The file of its keys is written last: without it there is no keeper."""
    folder: Path = asked.store
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / KEYS).exists():
        raise Refused("already-a-keeper")
    identity = Identity.make(asked.role, asked.instance, asked.name)
    Chain.start(utc_now().date()).save(folder)
    Store(folder / STORE).close()
    sync_folder(folder)
    identity.save(folder)
    _print(identity.public(), asked.json)


def show(asked: argparse.Namespace) -> None:
    with closing(Keeper.open(asked.store)) as keeper:
        _print(shown(keeper), asked.json)


def shown(keeper: Keeper) -> dict[str, Any]:
    """Everything that is pinned, how long the logs are and what is owed; nothing private."""
    now = int(keeper.clock().timestamp()) + 1
    late = now - int(OVERDUE.total_seconds())
    with keeper.store.read() as tx:
        return {
            **keeper.identity.public(),
            "tenants": [
                {"tenant": t.name, "key": encode_base64(t.root_key), "leaves": t.size,
                 "notices_owed": queries.debts_untold(tx, t.name, now),
                 "notices_overdue": queries.debts_untold(tx, t.name, late),
                 "budgets": {**A_DAY, **queries.budgets(tx, t.name)},
                 "canaries": queries.canaries(tx, t.name),
                 "vkey": _vkey(keeper, origin_of(keeper.identity.name, t.pseudonym)),
                 "origin": origin_of(keeper.identity.name, t.pseudonym)}
                for t in queries.tenants(tx)
            ],
            "pins": [
                {"kind": kind, "tenant": tenant, "name": name, "key": encode_base64(key)}
                for kind, tenant, name, key in queries.pins(tx)
            ],
            "revocations": [
                {"tenant": tenant, "issuer_key": encode_base64(root), "key": encode_base64(key)}
                for tenant, root, key in queries.revocations(tx)
            ],
            "notifiers": [
                {"tenant": n.tenant, "name": n.name, "key": encode_base64(n.key),
                 "sealing_key": encode_base64(n.sealing_key)}
                for n in queries.notifiers(tx)
            ],
            "peers": [
                {"role": p.role, "name": p.name, "log_key": encode_base64(p.log_key),
                 "witness_key": encode_base64(p.witness_key)}
                for p in queries.peers(tx)
            ],
            "quarantine": [one.origin for one in salvage.quarantines(tx)],
            "strangers": queries.strangers(tx),
        }  # fmt: skip


def _vkey(keeper: Keeper, origin: str) -> str:
    """A log's key as an outside witness pins it (C2SP signed-note)."""
    return VerifierKey(origin, ED25519, raw_public(keeper.identity.log)).text()


def show_clock(asked: argparse.Namespace) -> None:
    with closing(Keeper.open(asked.store)) as keeper:
        _print(clock_state(keeper), asked.json)


def confirm_clock(asked: argparse.Namespace) -> None:
    with closing(Keeper.open(asked.store)) as keeper:
        state = clock_state(keeper)
        print(f"this clock says {state['now']}; the last leaf was at {state['last_leaf_at']}")
        print("confirmed" if confirm(keeper) else "nothing to confirm: this keeper refuses nothing")


def accesses(asked: argparse.Namespace) -> None:
    with closing(Keeper.open(asked.store)) as keeper:
        rows = asked_of(keeper)
    if asked.json:
        print(dump({"accesses": rows}).decode())
        return
    for row in rows:
        print("  ".join(str(row.get(name, "-")) for name in COLUMNS))


def epochs(asked: argparse.Namespace) -> None:
    """A line for each, to be compared with the store by `manage.py audit`."""
    with closing(Keeper.open(asked.store)) as keeper:
        for row in kept(keeper):
            print(dump(row).decode())


def _pin_tenant(asked: argparse.Namespace) -> None:
    with closing(Keeper.open(asked.store)) as keeper:
        pin_tenant(keeper, asked.name, asked.key, asked.replace)


def _pin(asked: argparse.Namespace) -> None:
    with closing(Keeper.open(asked.store)) as keeper:
        pin(keeper, asked.kind, asked.tenant, asked.name, asked.key, asked.replace)


def _pin_notifier(asked: argparse.Namespace) -> None:
    made = NotifierRow(asked.tenant, asked.name, asked.key, asked.sealing_key)
    with closing(Keeper.open(asked.store)) as keeper:
        pin_notifier(keeper, made, asked.replace)


def _pin_budget(asked: argparse.Namespace) -> None:
    with closing(Keeper.open(asked.store)) as keeper:
        pin_budget(keeper, asked.of, asked.tenant, asked.a_day, asked.replace)


def _pin_canaries(asked: argparse.Namespace) -> None:
    try:
        accounts = [read_account(line, "") for line in asked.file.read_text("utf-8").splitlines()]
    except (StatementError, UnicodeDecodeError):
        # Without its message: it must not repeat an account.
        raise Refused("no-list-of-accounts") from None
    with closing(Keeper.open(asked.store)) as keeper:
        print(f"{pin_canaries(keeper, asked.tenant, accounts)} new")


def _revoke(asked: argparse.Namespace) -> None:
    try:
        envelope = Envelope.parse(asked.file.read_bytes(), "revoke")
        with closing(Keeper.open(asked.store)) as keeper:
            print("revoked" if revoke(keeper, envelope) else "it was revoked before")
    except StatementError as error:
        raise Refused(error.code) from None


def _pin_peer(asked: argparse.Namespace) -> None:
    peer = Peer(asked.role, asked.name, asked.log_key, asked.witness_key)
    with closing(Keeper.open(asked.store)) as keeper:
        pin_peer(keeper, peer, asked.replace)


def _policy(asked: argparse.Namespace) -> None:
    try:
        envelope = Envelope.parse(asked.file.read_bytes(), "policy")
        with closing(Keeper.open(asked.store)) as keeper:
            take_late(keeper, envelope)
    except StatementError as error:
        raise Refused(error.code) from None


def _serve(asked: argparse.Namespace) -> None:
    serve(asked.store, asked.socket)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m icrstore.keeper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    made = _command(commands, "init", "make a keeper", init)
    made.add_argument("--role", required=True, choices=ROLES)
    made.add_argument("--instance", required=True, type=int, help="1, unless its role has several")
    made.add_argument("--name", required=True, help="like a host's; its logs bear it for good")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")

    _add_pins(commands.add_parser("pin", help="trust a key"))

    about = "log a policy late, which sealers could not bring while this keeper was down"
    made = _command(commands, "policy", about, _policy)
    made.add_argument("file", type=Path, help="as `icr policy pools` wrote it")

    made = _command(
        commands, "revoke", "take back a key, as the root that granted it says", _revoke
    )
    made.add_argument("file", type=Path, help="as `icr revoke` wrote it")

    made = _command(commands, "show", "show who is trusted, and what is owed", show)
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")

    _add_clock(commands.add_parser(
        "clock", help="what the keeper thinks of its clock; confirm it after a long silence",
        description=_CLOCK,
    ))  # fmt: skip
    add_mending(commands, _command)
    _command(commands, "epochs", "list the epochs that it logged, for an audit", epochs)
    made = _command(commands, "accesses", "list who asked and who was refused", accesses)
    made.description = "From this keeper's own log: what nobody elsewhere can hide. Not about whom."
    made.add_argument("--json", action="store_true")

    made = _command(commands, "serve", "lend, until SIGTERM", _serve)
    made.add_argument("--socket", required=True, type=Path, help="the Unix socket to make")
    return parser


def _add_pins(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(required=True, metavar="KIND", dest="kind")

    made = _command(kinds, "tenant", "the root of an ISP", _pin_tenant)
    made.add_argument("name", type=_name)
    made.add_argument("key", type=_key)
    made.add_argument("--replace", action="store_true", help="instead of the key pinned before")

    for kind in ("authority", "engine"):
        made = _command(kinds, kind, f"a key of an {kind}", _pin)
        made.add_argument("name", type=_name)
        made.add_argument("key", type=_key)
        made.add_argument("--tenant", required=True)
        made.add_argument("--replace", action="store_true", help="instead of the key pinned before")

    made = _command(kinds, "notifier", "who tells a tenant's subscribers", _pin_notifier)
    made.add_argument("name", type=_name)
    made.add_argument("key", type=_key, help="by which it signs")
    made.add_argument("sealing_key", type=_sealing_key, help="to which what is due is sealed")
    made.add_argument("--tenant", required=True)
    made.add_argument("--replace", action="store_true", help="instead of the key pinned before")

    made = _command(kinds, "budget", "how many questions each may put in a UTC day", _pin_budget)
    made.add_argument("of", choices=A_DAY, help="officer: an investigator, by name")
    made.add_argument("a_day", type=_count, help=f"until pinned: {A_DAY}")
    made.add_argument("--tenant", required=True)
    made.add_argument("--replace", action="store_true", help="instead of the number pinned before")

    about = "accounts that nobody has: who names one gets nothing, and an ALERT is in the log"
    made = _command(kinds, "canaries", about, _pin_canaries)
    made.add_argument("file", type=Path, help="one account a line, the same at both keepers")
    made.add_argument("--tenant", required=True)

    made = _command(kinds, "peer", "the keeper of the other role", _pin_peer)
    made.add_argument("role", choices=ROLES)
    made.add_argument("name", type=_name)
    made.add_argument("log_key", type=_key)
    made.add_argument("witness_key", type=_key)
    made.add_argument("--replace", action="store_true", help="instead of the key pinned before")


def _add_clock(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_subparsers(required=True, metavar="STEP")
    made = _command(steps, "show", "the time, the last leaf, and what is refused", show_clock)
    made.add_argument("--json", action="store_true")
    _command(steps, "confirm", "say that this clock is right, as a leaf", confirm_clock)


def _command(commands: Any, name: str, help_: str, run: Any) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=help_)
    made.add_argument("--store", required=True, type=Path, help="this keeper's folder")
    made.set_defaults(run=run)
    return made


def _key(value: str) -> bytes:
    """32 bytes in base64. argparse turns ValueError into its own message, without the value's."""
    key = decode_base64(value)
    if key is None or len(key) != 32:
        raise argparse.ArgumentTypeError("a key is 32 bytes in base64")
    return key


def _count(value: str) -> int:
    if not value.isdecimal() or len(value) > 7:
        raise argparse.ArgumentTypeError("write a number from 0 to 9999999")
    return int(value)


def _sealing_key(value: str) -> bytes:
    """An HPKE public key: 1,216 bytes in base64 to which something can be sealed."""
    key = decode_base64(value) or b""
    try:
        hpke.seal(key, b"", b"")
    except ValueError:
        raise argparse.ArgumentTypeError("a sealing key is 1216 bytes in base64") from None
    return key


def _name(value: str) -> str:
    try:
        return Fields({"name": value}).text("name", 64)
    except StatementError as error:
        raise argparse.ArgumentTypeError(error.code) from None


def _print(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(dump(told).decode())
        return
    for name, value in told.items():
        print(f"{name}: {value if isinstance(value, str | int) else dump({'': value}).decode()}")
