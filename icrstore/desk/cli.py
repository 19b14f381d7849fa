"""The command ``icr``: keys, grants, warrants, questions and answers, for people at a desk."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from icrstore.desk import doors
from icrstore.desk.selectors import (
    ADDRESS_FORM,
    TARGET_FORM,
    TOLERANCE_SECONDS,
)
from icrstore.shell.harden import harden
from icrstore.shell.stop import USAGE, Stop
from icrstore.warrant.backfill import LONGEST
from icrstore.warrant.statements import GRANT_ROLES, PURPOSES, Purpose

Given = argparse.Namespace
Run = Callable[[Given], int]

_EXIT = """exit: 0 done, 64 usage, 65 data refused, 66 no such file, 69 server away or failed,
      77 refused by the server or a keeper, which is named"""


def program() -> int:
    """The command in a process of its own, which will hold keys."""
    harden()
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns an exit status of sysexits."""
    try:
        given = _parser().parse_args(argv)
    except SystemExit as stop:
        return USAGE if stop.code else os.EX_OK
    try:
        done: int = given.run(given)
        return done
    except Stop as stop:
        if given.json:
            print(json.dumps({"ok": False, "status": stop.status, "why": str(stop)}))
        print(f"icr: {stop}", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        print("icr: interrupted; a request that was put goes on: see `icr status`", file=sys.stderr)
        return 130


# What people may type.


class _Commands:
    """Adds commands that all have --json and an example under their help."""

    def __init__(self, parser: argparse.ArgumentParser, metavar: str) -> None:
        self._commands = parser.add_subparsers(required=True, metavar=metavar)

    def group(self, name: str, about: str, metavar: str) -> "_Commands":
        return _Commands(self._commands.add_parser(name, help=about, description=about), metavar)

    def add(self, name: str, about: str, run: Run, example: str) -> argparse.ArgumentParser:
        made = self._commands.add_parser(
            name, help=about.partition("\n")[0], description=about,
            epilog=f"example:\n  {example}",
        )  # fmt: skip
        made.formatter_class = argparse.RawDescriptionHelpFormatter
        made.add_argument("--json", action="store_true", help="one JSON object on stdout")
        made.set_defaults(run=run)
        return made


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="icr",
        description="Put authorised questions to a store of internet connection records.",
        epilog=_LIFE + _EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = _Commands(top, "key|grant|revoke|warrant|lodge|ask|status|open|oversight|policy")
    _add_keys(commands)
    _add_grant(commands)
    _add_revoke(commands)
    _add_warrants(commands)
    _add_asking(commands)
    _add_open(commands)
    _add_policies(commands)
    _add_oversight(commands)
    return top


_LIFE = """a question from beginning to end:
  icr key new ada --out ada.key                     each person makes a key,
  icr key new desk --for answers --out desk.key     and the desk one to read answers with
  icr grant --root root.key ...                     the authority's root vouches for the persons
  icr warrant draft ... ; icr warrant sign ...      an applicant drafts; she and an approver sign
  icr lodge warrant.json ...                        the store takes the warrant
  icr ask services --warrant warrant.json ...       an investigator asks under it
  icr open answer.sealed ...                        decrypts the answer, checks it, shows it

"""


def _add_keys(commands: _Commands) -> None:
    keys = commands.group("key", "Make and show keys.", "new|show")
    new = keys.add("new", "Make a key; its file is for its owner alone.", doors.key_new,
                   "icr key new ada --out ada.key")  # fmt: skip
    new.add_argument("name", help="whose it is")
    new.add_argument("--out", type=Path, required=True, metavar="FILE")
    new.add_argument("--for", dest="use", choices=list(doors.USES), default="signing",
                     help="to sign with (the default), or to have answers sealed to")  # fmt: skip
    show = keys.add("show", "Show the public half: with --json, a file to hand to others.",
                    doors.key_show, "icr key show --json ada.key > ada.pub")  # fmt: skip
    show.add_argument("file", type=Path, metavar="FILE")


def _add_grant(commands: _Commands) -> None:
    grant = commands.add(
        "grant",
        "Vouch with a root key that a key is a person's or a machine's.",
        doors.grant,
        "icr grant --root root.key --issuer police --role investigator \\\n"
        "    --holder 'Ada Hart' --key ada.pub --days 90 --out ada.grant",
    )
    grant.add_argument("--root", type=Path, required=True, metavar="KEYFILE")
    grant.add_argument("--issuer", required=True, metavar="NAME", help="whose root it is")
    grant.add_argument("--role", required=True, choices=GRANT_ROLES)
    grant.add_argument("--holder", required=True, metavar="TEXT", help="who holds the key")
    grant.add_argument("--key", required=True, metavar="PUBLIC", help="base64, or a file of it")
    grant.add_argument("--days", type=_positive, required=True, metavar="N")
    grant.add_argument("--out", type=Path, required=True, metavar="FILE")


def _add_revoke(commands: _Commands) -> None:
    revoke = commands.add(
        "revoke",
        "Take back, with the root key that granted it, a person's or a sealer host's key.",
        doors.revoke,
        "icr revoke --root root.key --issuer police --tenant isp-a \\\n"
        "    --key ada.pub --reason 'left' --out ada.revoke\n"
        "it holds once it is loaded, and the sealers have taken it to the keepers:\n"
        "  manage.py tenant revoke isp-a ada.revoke",
    )
    revoke.add_argument("--root", type=Path, required=True, metavar="KEYFILE")
    revoke.add_argument("--issuer", required=True, metavar="NAME", help="as in the grant")
    revoke.add_argument("--tenant", required=True, metavar="NAME", help="the provider")
    revoke.add_argument("--key", required=True, metavar="PUBLIC", help="base64, or a file of it")
    revoke.add_argument("--reason", metavar="TEXT", help="stands in the logs' private texts")
    revoke.add_argument("--out", type=Path, required=True, metavar="FILE")


def _add_warrants(commands: _Commands) -> None:
    warrants = commands.group("warrant", "Draft, sign and show warrants.", "draft|sign|show")
    draft = warrants.add(
        "draft",
        "Write the exact bytes that an applicant and an approver will sign.",
        doors.draft,
        "icr warrant draft --tenant isp-a --authority police --instrument 'authorisation 7' \\\n"
        "    --basis 's. 61' --purpose services --account line-17 --from 2026-11-22T00 \\\n"
        "    --to 2026-11-23T00 --valid-days 7 --max-requests 3 --recipient desk.pub \\\n"
        "    --out warrant.json\n"
        "who held an address and port, instead of --account and hours:\n"
        "  ... --purpose resolve --address 198.51.100.200,2001,tcp,2026-11-22T21:25:00Z ...\n"
        "whether an account reached a network:\n"
        "  ... --purpose reached --account line-17 --target 192.0.2.0/24 ...",
    )
    for name, about in (
        ("tenant", "the provider"),
        ("authority", "whose root grants the signers' keys"),
        ("instrument", "the legal form and its number"),
        ("basis", "the law, and why this is necessary"),
    ):
        draft.add_argument(f"--{name}", required=True, metavar="TEXT", help=about)
    draft.add_argument("--purpose", required=True, choices=PURPOSES)
    _add_accounts(draft)
    _add_addresses(draft)
    _add_targets(draft)
    _add_hours(draft, "for resolve, those that the times can fall in if left out")
    draft.add_argument("--valid-days", type=_positive, required=True, metavar="N", help="from now")
    draft.add_argument("--max-requests", type=_positive, required=True, metavar="N")
    draft.add_argument("--max-candidates", type=_candidates, default=0, metavar="N",
                       help="for resolve: name several who fit, up to so many")  # fmt: skip
    recipients = "public keys to which the answers are sealed"
    draft.add_argument("--recipient", required=True, nargs="+", metavar="FILE", help=recipients)
    draft.add_argument("--out", type=Path, required=True, metavar="FILE")
    sign = warrants.add("sign", "Sign what `icr warrant show` shows; changes FILE.", doors.sign,
                        "icr warrant sign warrant.json --key ada.key")  # fmt: skip
    sign.add_argument("file", type=Path, metavar="FILE")
    sign.add_argument("--key", type=Path, required=True, metavar="KEYFILE")
    show = warrants.add("show", "Show what a warrant says and who signed it.", doors.show,
                        "icr warrant show warrant.json")  # fmt: skip
    show.add_argument("file", type=Path, metavar="FILE")


def _add_asking(commands: _Commands) -> None:
    lodge = commands.add(
        "lodge",
        "Hand a warrant that two people signed to the store.",
        doors.lodge,
        "icr lodge warrant.json --grant *.grant --key ada.key",
    )
    lodge.add_argument("warrant", type=Path, metavar="WARRANT")
    _add_grants(lodge)
    _add_server(lodge)
    asks = commands.group(
        "ask", "Put a question under a lodged warrant: all that it allows, or a part.",
        "|".join(PURPOSES),
    )  # fmt: skip
    resolve = _add_ask(asks, "resolve", "Ask who held an address and port at a time",
                       "--address 198.51.100.200,2001,tcp,2026-11-22T21:25:00Z")  # fmt: skip
    _add_addresses(resolve)
    services = _add_ask(asks, "services", "Ask which services an account used",
                        "--account line-17")  # fmt: skip
    reached = _add_ask(asks, "reached", "Ask whether an account reached a network",
                       "--account line-17 --target 192.0.2.0/24")  # fmt: skip
    for each in (services, reached):
        _add_accounts(each)
        _add_hours(each, "the warrant's if left out")
    _add_targets(reached)
    status = commands.add(
        "status",
        "Say what became of a query; with --out, fetch its sealed answer.",
        doors.status,
        "icr status 0f3c... --key ada.key --out answer.sealed",
    )
    status.add_argument("query", metavar="ID")
    status.add_argument("--out", type=Path, metavar="FILE", help="the sealed answer")
    _add_server(status)


def _add_ask(
    asks: _Commands, purpose: Purpose, about: str, example: str
) -> argparse.ArgumentParser:
    ask = asks.add(
        purpose,
        f"{about}; wait for the sealed answer.",
        doors.ask,
        f"icr ask {purpose} --warrant warrant.json --key ada.key --grant *.grant \\\n"
        f"    {example} \\\n"
        "    --server https://icr.example --out answer.sealed",
    )
    ask.set_defaults(purpose=purpose, account=[], address=[], target=[])
    ask.add_argument("--warrant", type=Path, required=True, metavar="FILE")
    ask.add_argument("--urgent", action="store_true", help="seal at once what waits to be sealed")
    ask.add_argument("--out", type=Path, required=True, metavar="FILE", help="the sealed answer")
    ask.add_argument("--no-wait", action="store_true", help="see `icr status` for the answer")
    _add_grants(ask)
    _add_server(ask)
    return ask


def _add_open(commands: _Commands) -> None:
    opened = commands.add(
        "open",
        "Decrypt an answer, check everything that proves it, and show it.",
        doors.open_,
        "icr open answer.sealed --key desk.key --trust trust.json --out case-17",
    )
    opened.add_argument("file", type=Path, metavar="FILE")
    opened.add_argument("--key", type=Path, required=True, metavar="RECIPIENTKEY")
    opened.add_argument("--trust", type=Path, required=True, help="the store's public keys")
    opened.add_argument("--out", type=Path, required=True, metavar="DIR")


def _add_policies(commands: _Commands) -> None:
    policies = commands.group("policy", "Rule with a provider's root key.", "pools|backfill")
    pools = policies.add(
        "pools",
        "Say how a provider's public addresses are lent.\n"
        "It reads a table with the columns\n"
        "  cidr    a network, as 198.51.100.0/24; of several the longest counts, then the last\n"
        "  prefix  the bits that one subscriber has: 32 an address, 56 a home's IPv6 network\n"
        "  block   ports lent at once to one subscriber: 512; 65536 where they are not lent so\n"
        "What no line holds goes by 32 (of IPv6 64) and 65536. An empty table ends all pools.",
        doors.policy_pools,
        "icr policy pools pools.csv --tenant isp-a --from 2026-12-01T00 --root root.key \\\n"
        "    --out pools.policy\n"
        "the sealers take it to the keepers once it is loaded:\n"
        "  manage.py tenant pools isp-a pools.policy",
    )
    pools.add_argument("file", type=Path, metavar="CSV")
    pools.add_argument("--tenant", required=True, metavar="NAME")
    pools.add_argument("--from", dest="first", required=True, metavar="HOUR",
                       help="the UTC hour from which it holds, as 2026-12-01T00")  # fmt: skip
    pools.add_argument("--root", type=Path, required=True, metavar="KEYFILE")
    pools.add_argument("--out", type=Path, required=True, metavar="FILE")
    backfill = policies.add(
        "backfill",
        "Let one collector bring in hours that are long over: sealers otherwise reject records\n"
        "more than 48 hours late, and keepers refuse hours more than 96 hours old.",
        doors.policy_backfill,
        "icr policy backfill --tenant isp-a --collector edge-1 --from 2026-10-01T00 \\\n"
        "    --to 2026-10-03T00 --valid-days 7 --root root.key --out october.policy\n"
        "once it is loaded, the collector pushes what waits there as too-old\n"
        "  manage.py tenant backfill isp-a october.policy\n"
        "  icr-collect backfill --from 2026-10-01T00:00Z --to 2026-10-03T00:00Z \\\n"
        "    --config edge-1.toml",
    )
    backfill.add_argument("--tenant", required=True, metavar="NAME")
    backfill.add_argument("--collector", required=True, metavar="NAME")
    backfill.add_argument("--from", dest="first", required=True, metavar="HOUR",
                          help="the first UTC hour, as 2026-10-01T00")  # fmt: skip
    backfill.add_argument("--to", dest="end", required=True, metavar="HOUR",
                          help="the hour before which it ends")  # fmt: skip
    backfill.add_argument("--valid-days", type=_positive, required=True, metavar="N",
                          help=f"from now, at most {LONGEST.days}")  # fmt: skip
    backfill.add_argument("--root", type=Path, required=True, metavar="KEYFILE")
    backfill.add_argument("--out", type=Path, required=True, metavar="FILE")


def _add_oversight(commands: _Commands) -> None:
    lists = commands.group(
        "oversight",
        "Read, as an oversight body, who asked and what is missing; checked by both keepers' logs.",
        "accesses|refusals|notices|gaps",
    )
    for what, about in (
        ("accesses", "Every question, by whom, under which warrant, and what became of it."),
        ("refusals", "Every question that a keeper refused, and why."),
        ("notices", "What subscribers are owed, what is overdue, and why."),
        ("gaps", "Batches that never came or wait too long, hours that are not sealed."),
    ):
        made = lists.add(
            what, f"{about}\nExit 65 where the database and a keeper's log differ.",
            doors.oversight,
            f"icr oversight {what} --tenant isp-a --key ada.key --grant ada.grant \\\n"
            "    --trust trust.json --server https://icr.example",
        )  # fmt: skip
        made.set_defaults(what=what)
        made.add_argument("--tenant", required=True, metavar="NAME", help="the provider")
        made.add_argument("--grant", type=Path, required=True, metavar="FILE",
                          help="yours, by the oversight body's root")  # fmt: skip
        made.add_argument("--trust", type=Path, required=True, help="the store's public keys")
        _add_server(made)


def _add_accounts(command: argparse.ArgumentParser) -> None:
    command.add_argument("--account", action="append", default=[], metavar="X", help="repeatable")


def _add_addresses(command: argparse.ArgumentParser) -> None:
    about = "PROTOCOL is tcp, udp or a number; TIME has its offset, give or take SECONDS"
    command.add_argument("--address", action="append", default=[], metavar=ADDRESS_FORM,
                         help=f"repeatable; {about} ({TOLERANCE_SECONDS} if left out)")  # fmt: skip


def _add_targets(command: argparse.ArgumentParser) -> None:
    about = "with the time in which it was the service's, if not all hours of the warrant"
    command.add_argument("--target", action="append", default=[], metavar=TARGET_FORM,
                         help=f"repeatable; a network, {about}")  # fmt: skip


def _add_hours(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument("--from", dest="first", metavar="HOUR",
                         help=f"first UTC hour, as 2026-11-22T08; {default}")  # fmt: skip
    command.add_argument("--to", dest="end", metavar="HOUR",
                         help="the hour before which it ends")  # fmt: skip


def _add_grants(command: argparse.ArgumentParser) -> None:
    command.add_argument("--grant", type=Path, required=True, nargs="+", metavar="FILE",
                         help="of every key that signed")  # fmt: skip


def _add_server(command: argparse.ArgumentParser) -> None:
    command.add_argument("--key", type=Path, required=True, metavar="KEYFILE", help="your own")
    command.add_argument("--server", default=os.environ.get("ICR_SERVER"), metavar="URL",
                         help="or ICR_SERVER in the environment")  # fmt: skip


def _positive(text: str) -> int:
    made = int(text)
    if not 1 <= made <= 10_000:
        raise ValueError
    return made


def _candidates(text: str) -> int:
    return 0 if text == "0" else _positive(text)
