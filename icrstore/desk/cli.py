"""The command ``icr``: keys, grants, warrants, questions and answers, for people at a desk."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from icrstore.desk.asking import Desk, check_answered, make_request
from icrstore.desk.opening import open_answer, report, write_answer
from icrstore.desk.papers import (
    Draft,
    WarrantPaper,
    hour,
    make_grant,
    period,
    read_grants,
    write_new,
)
from icrstore.shell.keyfile import KeyFile, PublicKey, Use, read_public, read_public_file
from icrstore.shell.stop import USAGE, Stop
from icrstore.warrant.statements import GRANT_ROLES, HourRange
from icrstore.warrant.strict import parse_object

Given = argparse.Namespace
Run = Callable[[Given], int]

_USES: dict[str, Use] = {"signing": "signing", "answers": "recipient"}
_EXIT = """exit: 0 done, 64 usage, 65 data refused, 66 no such file, 69 server away or failed,
      77 refused by the server or a keeper, which is named"""


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


# What each command does.


def _key_new(given: Given) -> int:
    made = KeyFile.new(_USES[given.use], given.name)
    made.write(given.out)
    return _tell_key(given, made.public_half())


def _key_show(given: Given) -> int:
    return _tell_key(given, read_public_file(given.file))


def _tell_key(given: Given, key: PublicKey) -> int:
    use = "answers" if key.use == "recipient" else "signing"
    lines = [f"name         {key.name}", f"for          {use}"]
    lines += [f"key id       {key.keyid}", f"fingerprint  {key.fingerprint}"]
    if key.use == "signing":
        lines.append(f"public key   {key.to_object()['public']}")
    return _tell(given, lines, key.to_object())


def _grant(given: Given) -> int:
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


def _draft(given: Given) -> int:
    draft = Draft(
        tenant=given.tenant,
        authority=given.authority,
        instrument=given.instrument,
        basis=given.basis,
        accounts=tuple(given.account),
        hours=period(given.first, given.end),
        valid_days=given.valid_days,
        max_requests=given.max_requests,
        recipients=tuple(given.recipient),
    )
    write_new(given.out, draft.payload())
    return _show_paper(given, WarrantPaper.read(given.out))


def _sign(given: Given) -> int:
    paper = WarrantPaper.read(given.file).sign(KeyFile.read(given.key, "signing"))
    # Replaced whole or not at all: a torn warrant would lose the first signature.
    new = given.file.with_name(given.file.name + ".new")
    write_new(new, paper.envelope.encode() + b"\n")
    new.replace(given.file)
    return _show_paper(given, paper)


def _show(given: Given) -> int:
    return _show_paper(given, WarrantPaper.read(given.file))


def _show_paper(given: Given, paper: WarrantPaper) -> int:
    return _tell(given, paper.lines(), paper.to_object())


def _lodge(given: Given) -> int:
    paper, desk = WarrantPaper.read_signed(given.warrant), _desk(given)
    made = desk.lodge(paper, read_grants(given.grant))
    return _tell(given, [f"lodged: warrant {made}"], {"warrant_sha256": made})


def _ask(given: Given) -> int:
    paper, key = WarrantPaper.read_signed(given.warrant), KeyFile.read(given.key, "signing")
    desk, grants = Desk(_url(given), key), read_grants(given.grant)
    if given.out.exists():
        raise Stop(USAGE, f"{given.out}: it exists and is not replaced: name another")
    warranted = paper.warrant.hours
    hours = HourRange(
        hour(given.first) if given.first else warranted.first,
        hour(given.end) if given.end else warranted.end,
    )
    request = make_request(paper, key, given.account, hours, is_urgent=given.urgent)
    query = desk.put(paper, request, grants)
    if given.no_wait:
        return _tell(given, [f"query {query}: queued"], {"query": query, "state": "queued"})
    print(f"query {query}", file=sys.stderr)
    desk.wait(query)
    return _fetch(given, desk, query)


def _status(given: Given) -> int:
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


def _open(given: Given) -> int:
    key = KeyFile.read(given.key, "recipient")
    package, proven = open_answer(given.file, key, given.trust)
    write_answer(given.out, package, proven)
    checks = f"all {len(proven.checks)} checks passed; answer.json and proof.json in {given.out}"
    told: dict[str, Any] = {"ok": True, "checks": [each.name for each in proven.checks]}
    lines = [] if given.json else [*report(proven), "", checks]
    return _tell(given, lines, {**told, "answer": proven.answer, "folder": str(given.out)})


def _desk(given: Given) -> Desk:
    return Desk(_url(given), KeyFile.read(given.key, "signing"))


def _url(given: Given) -> str:
    if not given.server:
        raise Stop(USAGE, "no server: give --server https://icr.example or set ICR_SERVER")
    return str(given.server)


def _tell(given: Given, lines: Sequence[str], value: dict[str, Any]) -> int:
    print(json.dumps(value, sort_keys=True) if given.json else "\n".join(lines))
    return os.EX_OK


# What people may type.


class _Commands:
    """Adds commands that all have --json and an example under their help."""

    def __init__(self, parser: argparse.ArgumentParser, metavar: str) -> None:
        self._commands = parser.add_subparsers(required=True, metavar=metavar)

    def group(self, name: str, about: str, metavar: str) -> "_Commands":
        return _Commands(self._commands.add_parser(name, help=about, description=about), metavar)

    def add(self, name: str, about: str, run: Run, example: str) -> argparse.ArgumentParser:
        made = self._commands.add_parser(
            name, help=about, description=about, epilog=f"example:\n  {example}"
        )
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
    commands = _Commands(top, "key|grant|warrant|lodge|ask|status|open")
    _add_keys(commands)
    _add_grant(commands)
    _add_warrants(commands)
    _add_asking(commands)
    _add_open(commands)
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
    new = keys.add("new", "Make a key; its file is for its owner alone.", _key_new,
                   "icr key new ada --out ada.key")  # fmt: skip
    new.add_argument("name", help="whose it is")
    new.add_argument("--out", type=Path, required=True, metavar="FILE")
    new.add_argument("--for", dest="use", choices=list(_USES), default="signing",
                     help="to sign with (the default), or to have answers sealed to")  # fmt: skip
    show = keys.add("show", "Show the public half: with --json, a file to hand to others.",
                    _key_show, "icr key show --json ada.key > ada.pub")  # fmt: skip
    show.add_argument("file", type=Path, metavar="FILE")


def _add_grant(commands: _Commands) -> None:
    grant = commands.add(
        "grant",
        "Vouch with a root key that a key is a person's or a machine's.",
        _grant,
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


def _add_warrants(commands: _Commands) -> None:
    warrants = commands.group("warrant", "Draft, sign and show warrants.", "draft|sign|show")
    draft = warrants.add(
        "draft",
        "Write the exact bytes that an applicant and an approver will sign.",
        _draft,
        "icr warrant draft --tenant isp-a --authority police --instrument 'authorisation 7' \\\n"
        "    --basis 's. 61' --purpose services --account line-17 --from 2026-11-22T00 \\\n"
        "    --to 2026-11-23T00 --valid-days 7 --max-requests 3 --recipient desk.pub \\\n"
        "    --out warrant.json",
    )
    for name, about in (
        ("tenant", "the provider"),
        ("authority", "whose root grants the signers' keys"),
        ("instrument", "the legal form and its number"),
        ("basis", "the law, and why this is necessary"),
    ):
        draft.add_argument(f"--{name}", required=True, metavar="TEXT", help=about)
    draft.add_argument("--purpose", required=True, choices=["services"])
    draft.add_argument("--account", required=True, action="append", metavar="X", help="repeatable")
    _add_hours(draft, is_required=True)
    draft.add_argument("--valid-days", type=_positive, required=True, metavar="N", help="from now")
    draft.add_argument("--max-requests", type=_positive, required=True, metavar="N")
    recipients = "public keys to which the answers are sealed"
    draft.add_argument("--recipient", required=True, nargs="+", metavar="FILE", help=recipients)
    draft.add_argument("--out", type=Path, required=True, metavar="FILE")
    sign = warrants.add("sign", "Sign what `icr warrant show` shows; changes FILE.", _sign,
                        "icr warrant sign warrant.json --key ada.key")  # fmt: skip
    sign.add_argument("file", type=Path, metavar="FILE")
    sign.add_argument("--key", type=Path, required=True, metavar="KEYFILE")
    show = warrants.add("show", "Show what a warrant says and who signed it.", _show,
                        "icr warrant show warrant.json")  # fmt: skip
    show.add_argument("file", type=Path, metavar="FILE")


def _add_asking(commands: _Commands) -> None:
    lodge = commands.add("lodge", "Hand a warrant that two people signed to the store.", _lodge,
                         "icr lodge warrant.json --grant *.grant --key ada.key")  # fmt: skip
    lodge.add_argument("warrant", type=Path, metavar="WARRANT")
    _add_grants(lodge)
    _add_server(lodge)
    asks = commands.group("ask", "Put a question under a lodged warrant.", "services")
    ask = asks.add(
        "services",
        "Ask which services an account used; wait for the sealed answer.",
        _ask,
        "icr ask services --warrant warrant.json --account line-17 --key ada.key \\\n"
        "    --grant *.grant --server https://icr.example --out answer.sealed",
    )
    ask.add_argument("--warrant", type=Path, required=True, metavar="FILE")
    ask.add_argument("--account", required=True, action="append", metavar="X", help="repeatable")
    _add_hours(ask, is_required=False)
    ask.add_argument("--urgent", action="store_true", help="seal at once what waits to be sealed")
    ask.add_argument("--out", type=Path, required=True, metavar="FILE", help="the sealed answer")
    ask.add_argument("--no-wait", action="store_true", help="see `icr status` for the answer")
    _add_grants(ask)
    _add_server(ask)
    status = commands.add(
        "status",
        "Say what became of a query; with --out, fetch its sealed answer.",
        _status,
        "icr status 0f3c... --key ada.key --out answer.sealed",
    )
    status.add_argument("query", metavar="ID")
    status.add_argument("--out", type=Path, metavar="FILE", help="the sealed answer")
    _add_server(status)


def _add_open(commands: _Commands) -> None:
    opened = commands.add(
        "open",
        "Decrypt an answer, check everything that proves it, and show it.",
        _open,
        "icr open answer.sealed --key desk.key --trust trust.json --out case-17",
    )
    opened.add_argument("file", type=Path, metavar="FILE")
    opened.add_argument("--key", type=Path, required=True, metavar="RECIPIENTKEY")
    opened.add_argument("--trust", type=Path, required=True, help="the store's public keys")
    opened.add_argument("--out", type=Path, required=True, metavar="DIR")


def _add_hours(command: argparse.ArgumentParser, *, is_required: bool) -> None:
    default = "" if is_required else "; the warrant's if left out"
    command.add_argument("--from", dest="first", required=is_required, metavar="HOUR",
                         help=f"first UTC hour, as 2026-11-22T08{default}")  # fmt: skip
    command.add_argument("--to", dest="end", required=is_required, metavar="HOUR",
                         help=f"the hour before which it ends{default}")  # fmt: skip


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
