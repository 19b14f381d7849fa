"""Add an ISP, or list those that are there."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.given import authority_name, check_same, public_key, short_name
from accounts.models import Authority, Tenant
from accounts.tenancy import of_tenant, tenants


class Command(BaseCommand):
    help = (
        "Tenants: the ISPs of this installation.\n"
        "  manage.py tenant add isp-one --root isp-root.pub\n"
        "  manage.py tenant authority isp-one police --root police-root.pub\n"
        "  manage.py tenant list\n"
        "Each keeper pins the same roots by its own command line: no row here opens anything."
    )

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="add an ISP")
        add.add_argument("name", help="a short name: letters, digits, . _ -")
        add.add_argument("--root", required=True, help="its root key: base64, or a key file")
        authority = actions.add_parser("authority", help="let an authority lodge warrants")
        authority.add_argument("name", help="the tenant")
        authority.add_argument("authority", help="the authority's name, as its grants say it")
        authority.add_argument("--root", required=True, help="its root key: base64, or a key file")
        actions.add_parser("list", help="who is there")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(options)

    def _add(self, options: dict[str, Any]) -> None:
        name, root = short_name(options["name"]), public_key(options["root"])
        with of_tenant(name):
            held, created = Tenant.objects.get_or_create(name=name, defaults={"root_key": root})
        check_same(f"tenant {name}", held.root_key, root)
        self.stdout.write(f"tenant {name}: {'added' if created else 'was there'}")

    def _authority(self, options: dict[str, Any]) -> None:
        name, root = authority_name(options["authority"]), public_key(options["root"])
        with of_tenant(options["name"]):
            if not Tenant.objects.filter(name=options["name"]).exists():
                raise CommandError(f"no tenant {options['name']}: tenant add comes first")
            held, created = Authority.objects.get_or_create(
                tenant_id=options["name"], name=name, defaults={"root_key": root}
            )
        check_same(f"authority {name}", held.root_key, root)
        self.stdout.write(f"authority {name}: {'added' if created else 'was there'}")

    def _list(self, options: dict[str, Any]) -> None:
        for tenant in tenants():
            with of_tenant(tenant.name):
                names = list(tenant.authority_set.order_by("name").values_list("name", flat=True))
            self.stdout.write(f"{tenant.name}: {tenant.shards} shard(s); {', '.join(names)}")
