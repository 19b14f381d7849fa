"""Compare every sealed row, and every batch, with what was signed and logged of it."""

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from accounts import given
from accounts.given import known_tenant
from accounts.tenancy import tenants
from icrstore.seal.epoch import LIFE_DAYS, first_living
from icrstore.shell.stop import DATA
from icrstore.vault.audit import Audit, Lists, Span, audit_strays, audit_tenant, read_list
from icrstore.vault.audit_batches import audit_batches
from icrstore.warrant.strict import StatementError
from icrstore.warrant.trust import Trust


class Command(given.Command):
    help = (
        "A full audit: makes every epoch's manifest again from its rows, and compares it with\n"
        "what a sealer host signed and the keepers logged, and every batch with its receipts. It\n"
        "reads every row, and opens none.\n"
        "  manage.py audit                               every provider, every day that lives\n"
        "  manage.py audit isp-one --from 2026-11-01 --to 2026-11-08\n"
        "  manage.py audit --keeper operator.epochs --keeper oversight.epochs\n"
        "The last compares with the keepers' own lists, from their hosts:\n"
        "  python -m icrstore.keeper epochs --store STORE > operator.epochs\n"
        "Run it as the engine, which may read rows: python -m deploy.supervisor run engine ...\n"
        "It ends with 0 and a summary, or with 65 and a line for each fault."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("tenant", nargs="?", help="one provider; else every one")
        parser.add_argument("--from", dest="first", type=_day, metavar="DAY", help="first UTC day")
        parser.add_argument("--to", dest="end", type=_day, metavar="DAY", help="the day after")
        parser.add_argument("--keeper", action="append", default=[], type=Path, metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        living = first_living(timezone.now())
        span = Span(
            options["first"] or living,
            options["end"] or living + timedelta(days=LIFE_DAYS + 2),
        )
        names = [known_tenant(options["tenant"]).name] if options["tenant"] else [
            tenant.name for tenant in tenants()
        ]  # fmt: skip
        trust = Trust.parse(settings.TRUST.read_bytes())
        sealers = list(trust.sealers.values())
        audit = Audit(self.stdout.write, self.stderr.write)
        for name in names:
            audit_tenant(audit, name, span, sealers, _lists(options["keeper"], name, span))
            audit_batches(audit, name, span, trust)
        audit_strays(audit, span, living)
        compared = "" if options["keeper"] else ", not compared with the keepers' own lists"
        self.stdout.write(
            f"{audit.faults} faults in {audit.epochs} epochs and {audit.rows} rows,"
            f" {audit.batches} batches{compared}"
        )
        if audit.faults:
            sys.exit(DATA)


def _lists(paths: list[Path], tenant: str, span: Span) -> Lists:
    try:
        return dict(read_list(path, tenant, span) for path in paths)
    except (OSError, ValueError, StatementError) as error:
        raise CommandError(
            f"no keeper's list ({error}): make it with `python -m icrstore.keeper epochs`"
        ) from None


def _day(text: str) -> datetime:
    day = date.fromisoformat(text)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
