"""Show how far retention has come, and the certificates of one day."""

import json
from datetime import date, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from accounts import given
from accounts.tenancy import of_tenant, tenants
from icrstore.retention.forget import months
from icrstore.retention.models import Certificate
from icrstore.seal.epoch import LIFE_DAYS, ROLES


class Command(given.Command):
    help = (
        "Retention: what has expired, and the certificates that it was destroyed.\n"
        "  manage.py retention status\n"
        "  manage.py retention certificate isp-one 2025-11-22 > day.json   (for icr-verify)\n"
        "From 00:00Z of D+365 each keeper refuses day D, destroys its keys by itself and\n"
        "certifies it; the janitor copies both certificates and removes the rest."
    )

    def add_arguments(self, parser: Any) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("status", help="the last certified days, and the months that are held")
        show = actions.add_parser("certificate", help="both keepers' certificates of a day, JSON")
        show.add_argument("tenant")
        show.add_argument("day", type=date.fromisoformat, help="YYYY-MM-DD")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "status":
            self._status()
        else:
            self._certificate(options["tenant"], options["day"])

    def _status(self) -> None:
        due = timezone.now().date() - timedelta(days=LIFE_DAYS + 1)
        self.stdout.write(f"the last day that has expired: {due}")
        for tenant in tenants():
            with of_tenant(tenant.name):
                for role in ROLES:
                    rows = Certificate.objects.filter(tenant=tenant, role=role)
                    last = rows.order_by("-day").values_list("day", flat=True).first()
                    self.stdout.write(f"{tenant.name}: {role} has certified up to {last or '-'}")
        self.stdout.write(f"months: {', '.join(map(str, months()))}")

    def _certificate(self, tenant: str, day: date) -> None:
        with of_tenant(tenant):
            rows = list(Certificate.objects.filter(tenant=tenant, day=day).order_by("role"))
        if not rows:
            raise CommandError(f"no certificate of {day}: see `manage.py retention status`")
        shown = [{"role": row.role, "evidence": json.loads(bytes(row.evidence))} for row in rows]
        told = {"v": 1, "tenant": tenant, "day": f"{day}", "certificates": shown}
        self.stdout.write(json.dumps(told, indent=2))
