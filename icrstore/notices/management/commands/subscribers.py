"""Load who the subscribers are, close an account, or count what they are owed."""

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from accounts import given
from icrstore.notices import subscribers
from icrstore.notices.keyring import LOOKUP
from icrstore.notices.names import LookupKey
from icrstore.notices.report import owed
from icrstore.shell.keyfile import read_public_file
from icrstore.shell.stop import Stop


class Command(given.Command):
    help = (
        "Subscribers: whom we owe word of who looked at their records.\n"
        "  manage.py subscribers load isp-one subscribers.csv   (- reads standard input)\n"
        "  manage.py subscribers close isp-one -                (the account on standard input)\n"
        "  manage.py subscribers owed isp-one\n"
        "The file has the columns account,channel,contact; the only channel is email. Lines that\n"
        "cannot be taken are told by number, and the others are loaded. Loaded again, a file\n"
        "changes nothing; a changed contact is told so at the address before."
    )

    def add_arguments(self, parser: Any) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        load = actions.add_parser("load", help="add subscribers, or change their contacts")
        close = actions.add_parser("close", help="end an account's access and its messages")
        owes = actions.add_parser("owed", help="count the notices that nobody was told of")
        for action in (load, close, owes):
            action.add_argument("tenant")
        load.add_argument("file", help="a CSV file, or -")
        close.add_argument("account", help="the account, or - to read it, which no history keeps")

    def handle(self, *args: Any, **options: Any) -> None:
        given.known_tenant(options["tenant"])
        try:
            getattr(self, f"_{options['action']}")(options)
        except Stop as stop:
            raise CommandError(str(stop)) from None

    def _load(self, options: dict[str, Any]) -> None:
        notifier = read_public_file(settings.NOTIFIER_KEY).public
        key, now = LookupKey.read(settings.SECRETS / LOOKUP), timezone.now()
        name = "standard input" if options["file"] == "-" else options["file"]
        try:
            if options["file"] == "-":
                lines = sys.stdin.buffer
                loaded = subscribers.load(options["tenant"], lines, key, notifier, now)
            else:
                with Path(options["file"]).open("rb") as file:
                    loaded = subscribers.load(options["tenant"], file, key, notifier, now)
        except subscribers.NotASubscriberFile:
            why = "the first line must be: account,channel,contact"
            raise CommandError(f"{name}: {why}") from None
        except OSError as error:
            why = f"{error.strerror}: name a file that can be read"
            raise CommandError(f"{name}: {why}") from None
        for number, reason in sorted(loaded.bad.items()):
            self.stderr.write(f"{name}: line {number}: {reason}")
        self.stdout.write(
            f"subscribers: {loaded.new} new, {loaded.changed} changed, {loaded.same} the same,"
            f" {len(loaded.bad)} line(s) not taken"
        )

    def _close(self, options: dict[str, Any]) -> None:
        account = options["account"]
        if account == "-":
            account = sys.stdin.readline().rstrip("\n")
        key = LookupKey.read(settings.SECRETS / LOOKUP)
        try:
            subscribers.close(options["tenant"], account, key, timezone.now())
        except subscribers.NoSubscriber:
            raise CommandError("nobody has that account now") from None
        self.stdout.write("subscriber: closed")

    def _owed(self, options: dict[str, Any]) -> None:
        told = owed(options["tenant"], timezone.now())
        self.stdout.write(f"notices owed: {told.owed}, overdue: {told.overdue}")
        for code, count in sorted(told.why.items()):
            self.stdout.write(f"  {code}: {count}")
