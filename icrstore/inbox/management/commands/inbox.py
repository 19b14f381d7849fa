"""List batches that were set aside, or have one tried again."""

from typing import Any

from django.core.management.base import CommandError

from accounts import given
from accounts.tenancy import of_tenant, tenants
from icrstore.inbox.models import MOST_TRIES, Batch
from icrstore.warrant.strict import time_text


class Command(given.Command):
    help = (
        "Batches that no sealer could seal: set aside after three tries of their own, so that the\n"
        "others go on. Their hours stay UNSEALED, and their collectors keep them in their spools.\n"
        "  manage.py inbox list\n"
        "  manage.py inbox retry BATCH_ID    once what failed is mended: the sealer's log says what"
    )

    def add_arguments(self, parser: Any) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="which batches are set aside")
        retry = actions.add_parser("retry", help="let sealers try one again")
        retry.add_argument("batch_id", help="32 hex digits, as `list` and the log show them")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "list":
            self._list()
        else:
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
