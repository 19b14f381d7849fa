"""List batches that were set aside, have one tried again, or see how collectors' clocks go."""

from typing import Any

from django.core.management.base import CommandError

from accounts import given
from accounts.tenancy import of_tenant, tenants
from icrstore.inbox.clocks import LAST, clocks
from icrstore.inbox.models import MOST_TRIES, Batch
from icrstore.warrant.strict import time_text


class Command(given.Command):
    help = (
        "Batches that no sealer could seal: set aside after three tries of their own, so that the\n"
        "others go on. Their hours stay UNSEALED, and their collectors keep them in their spools.\n"
        "  manage.py inbox list\n"
        "  manage.py inbox retry BATCH_ID    once what failed is mended: see the sealer's log\n"
        "  manage.py inbox clocks            by how much each collector's clock is off"
    )

    def add_arguments(self, parser: Any) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="which batches are set aside")
        actions.add_parser("clocks", help="by how much each collector's clock is off")
        retry = actions.add_parser("retry", help="let sealers try one again")
        retry.add_argument("batch_id", help="32 hex digits, as `list` and the log show them")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "list":
                self._list()
            case "clocks":
                self._clocks()
            case _:
                self._retry(options["batch_id"])

    def _list(self) -> None:
        for tenant in tenants():
            with of_tenant(tenant.name):
                aside = Batch.objects.filter(
                    tenant=tenant, state=Batch.ACCEPTED, tries__gte=MOST_TRIES
                )
                for batch in aside.defer("body").select_related("collector").order_by("id"):
                    self.stdout.write(
                        f"{bytes(batch.batch_id).hex()}  {tenant.name}  {batch.collector.name}"
                        f"  {batch.stream} {batch.sequence}  {batch.body_bytes} bytes"
                        f"  accepted {time_text(batch.accepted_at)}: batch-poison"
                    )

    def _clocks(self) -> None:
        for tenant in tenants():
            for clock in clocks(tenant.name):
                self.stdout.write(
                    f"{tenant.name}  {clock.collector}: {clock.ahead.total_seconds():+.0f} s at"
                    f" {time_text(clock.measured_at)}, of {LAST} batches at most"
                    f" {clock.worst.total_seconds():+.0f} s"
                )

    def _retry(self, batch_id: str) -> None:
        try:
            wanted = bytes.fromhex(batch_id)
        except ValueError:
            raise CommandError("a batch's id is 32 hex digits: see `inbox list`") from None
        count = 0
        for tenant in tenants():
            with of_tenant(tenant.name):
                count += Batch.objects.filter(
                    tenant=tenant, batch_id=wanted, state=Batch.ACCEPTED, tries__gte=MOST_TRIES
                ).update(tries=0)
        if not count:
            raise CommandError("no batch of this id is set aside: see `inbox list`")
        self.stdout.write(f"batch {batch_id}: sealers try it again within seconds")
