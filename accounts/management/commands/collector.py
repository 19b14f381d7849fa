"""Add, revoke or list the machines that push records."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.given import check_same, public_key, short_name
from accounts.models import Collector, Tenant
from icrstore.warrant.dsse import key_id


class Command(BaseCommand):
    help = (
        "Collectors: the machines at an ISP that push records.\n"
        "  manage.py collector add isp-one edge-1 --key collector.key\n"
        "  manage.py collector revoke isp-one edge-1\n"
        "  manage.py collector list isp-one\n"
        "The key is made where it is used: icr-collect key --out collector.key --secret ..."
    )

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="let a collector push")
        revoke = actions.add_parser("revoke", help="stop a collector's key at once")
        listed = actions.add_parser("list", help="who is there")
        for action in (add, revoke, listed):
            action.add_argument("tenant")
        for action in (add, revoke):
            action.add_argument("name")
        add.add_argument("--key", required=True, help="its public key: base64, or a key file")

    def handle(self, *args: Any, **options: Any) -> None:
        if not Tenant.objects.filter(name=options["tenant"]).exists():
            raise CommandError(f"no tenant {options['tenant']}: tenant add comes first")
        getattr(self, f"_{options['action']}")(options["tenant"], options)

    def _add(self, tenant: str, options: dict[str, Any]) -> None:
        name, key = short_name(options["name"]), public_key(options["key"])
        other = Collector.objects.filter(keyid=key_id(key)).first()
        if other is not None and (other.tenant_id, other.name) != (tenant, name):
            raise CommandError("that key is another collector's: make one of its own")
        held, created = Collector.objects.get_or_create(
            tenant_id=tenant, name=name, defaults={"key": key, "keyid": key_id(key)}
        )
        check_same(f"collector {name}", held.key, key)
        if held.revoked_at is not None:
            raise CommandError(f"collector {name} is revoked for good: add one of another name")
        self.stdout.write(
            f"collector {name}: {'added' if created else 'was there'}, keyid {held.keyid}"
        )

    def _revoke(self, tenant: str, options: dict[str, Any]) -> None:
        changed = Collector.objects.filter(
            tenant_id=tenant, name=options["name"], revoked_at=None
        ).update(revoked_at=timezone.now())
        if not changed:
            raise CommandError(f"no collector {options['name']} in force at {tenant}")
        self.stdout.write(f"collector {options['name']}: revoked")

    def _list(self, tenant: str, options: dict[str, Any]) -> None:
        for row in Collector.objects.filter(tenant_id=tenant).order_by("name"):
            state = "revoked" if row.revoked_at else "in force"
            self.stdout.write(f"{row.name}: keyid {row.keyid}, {state}")
