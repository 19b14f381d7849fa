"""Add an ISP, an authority or an oversight body, or list those that are there."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from django.core.management.base import CommandError
from django.utils import timezone

from accounts import given
from accounts.given import authority_name, check_same, known_tenant, public_key, short_name
from accounts.models import Authority, OversightBody, Policy, Revocation, Tenant
from accounts.policies import SOONEST, add_backfill, add_policy, policies_of, read_backfill
from accounts.revocations import add_revocation, revocations_of
from accounts.tenancy import of_tenant, tenants
from icrstore.warrant import revocation
from icrstore.warrant.backfill import LONGEST
from icrstore.warrant.strict import StatementError

P = TypeVar("P")

_MEND = (
    "make it anew by `icr policy pools`, `icr policy backfill` or `icr revoke`, with its root key"
)
_MENDS = {
    "too-soon": f"name an hour that begins in {SOONEST} or later: keepers must learn it before",
    "expired": "it is over: make one that is valid",
    "valid-too-long": f"a backfill is valid for at most {LONGEST.days} days: make another",
    "unknown-issuer": "`--issuer` of `icr revoke` is an authority here, or this tenant",
    "policy-differs": "another policy holds from that hour already: name another hour",
}


def _added(
    add: Callable[[Tenant, bytes, datetime], tuple[P, bool]], tenant: Tenant, path: Path
) -> tuple[P, bool]:
    """What a file holds, kept. Raises `CommandError`."""
    try:
        return add(tenant, path.read_bytes(), timezone.now())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}: name a file that can be read") from None
    except StatementError as error:
        raise CommandError(f"{path}: {error}: {_MENDS.get(error.code, _MEND)}") from None


def _said_of(row: Policy) -> str:
    """Its digest, and what each keeper said of it last."""
    return f"{bytes(row.sha256).hex()[:16]}  {_said_by_keepers(row)}"


def _said_by_keepers(row: Policy | Revocation) -> str:
    said = ", ".join(f"{name}: {word}" for name, word in sorted(row.keepers.items()))
    return said or "no keeper has it yet"


def _add_revocation(
    tenant: Tenant, encoded: bytes, _: datetime
) -> tuple[revocation.Revocation, bool]:
    return add_revocation(tenant, encoded)


class Command(given.Command):
    help = (
        "Tenants: the ISPs of this installation.\n"
        "  manage.py tenant add isp-one --root isp-root.pub\n"
        "  manage.py tenant authority isp-one police --root police-root.pub\n"
        "  manage.py tenant oversight isp-one commissioner --root commissioner-root.pub\n"
        "  manage.py tenant pools isp-one pools.policy    (made by `icr policy pools`)\n"
        "  manage.py tenant pools isp-one                 what holds, and which keepers logged it\n"
        "  manage.py tenant backfill isp-one old.policy   (made by `icr policy backfill`)\n"
        "  manage.py tenant revoke isp-one ada.revoke     (made by `icr revoke`)\n"
        "  manage.py tenant plain isp-one on              let web seal what senders cannot\n"
        "  manage.py tenant list\n"
        "Each keeper pins the same roots by its own command line: no row here opens anything."
    )

    def add_arguments(self, parser: Any) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="add an ISP")
        add.add_argument("name", help="a short name: letters, digits, . _ -")
        add.add_argument("--root", required=True, help="its root key: base64, or a key file")
        for action, body, help_ in (
            ("authority", "authority", "let an authority lodge warrants"),
            ("oversight", "body", "let an oversight body read who asked, and what is missing"),
        ):
            made = actions.add_parser(action, help=help_)
            made.add_argument("name", help="the tenant")
            made.add_argument("body", metavar=body.upper(), help="its name, as its grants say it")
            made.add_argument("--root", required=True, help="its root key: base64, or a key file")
        pools = actions.add_parser("pools", help="load a signed policy of address pools, or list")
        pools.add_argument("name", help="the tenant")
        pools.add_argument("file", nargs="?", type=Path, help="as `icr policy pools` wrote it")
        late = actions.add_parser("backfill", help="let a collector bring in old hours, or list")
        late.add_argument("name", help="the tenant")
        late.add_argument("file", nargs="?", type=Path, help="as `icr policy backfill` wrote it")
        gone = actions.add_parser("revoke", help="take back a key that a root granted, or list")
        gone.add_argument("name", help="the tenant")
        gone.add_argument("file", nargs="?", type=Path, help="as `icr revoke` wrote it")
        plain = actions.add_parser("plain", help="whether collectors may push NDJSON, CSV, Arrow")
        plain.add_argument("name", help="the tenant")
        plain.add_argument("takes", choices=("on", "off"), help="web sees these records, and seals")
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
        self._body(Authority, OversightBody, options)

    def _oversight(self, options: dict[str, Any]) -> None:
        self._body(OversightBody, Authority, options)

    def _body(
        self,
        model: type[Authority] | type[OversightBody],
        other: type[Authority] | type[OversightBody],
        options: dict[str, Any],
    ) -> None:
        name, root = authority_name(options["body"]), public_key(options["root"])
        tenant = known_tenant(options["name"])
        with of_tenant(tenant.name):
            # Who watches is nobody who is watched: one root must not vouch for both.
            if other.objects.filter(tenant=tenant, root_key=root).exists():
                raise CommandError(
                    "that root is of an authority and of an oversight body: make two"
                )
            if model is OversightBody and bytes(tenant.root_key) == root:
                raise CommandError("that root is the tenant's own: an oversight body has another")
            held, created = model.objects.get_or_create(
                tenant=tenant, name=name, defaults={"root_key": root}
            )
        check_same(f"{options['action']} {name}", held.root_key, root)
        self.stdout.write(f"{options['action']} {name}: {'added' if created else 'was there'}")

    def _pools(self, options: dict[str, Any]) -> None:
        tenant = known_tenant(options["name"])
        if options["file"] is not None:
            self._load(tenant, options["file"])
        for row in policies_of(tenant.name):
            self.stdout.write(f"{row.effective:%Y-%m-%dT%H:%MZ} on  {_said_of(row)}")

    def _load(self, tenant: Tenant, path: Path) -> None:
        policy, is_new = _added(add_policy, tenant, path)
        how = "loaded" if is_new else "was there"
        self.stdout.write(f"{len(policy.pools)} pools of {tenant.name}: {how}")

    def _backfill(self, options: dict[str, Any]) -> None:
        tenant = known_tenant(options["name"])
        if options["file"] is not None:
            policy, is_new = _added(add_backfill, tenant, options["file"])
            how = "loaded" if is_new else "was there"
            self.stdout.write(f"backfill by {policy.collector} of {tenant.name}: {how}")
        for row in policies_of(tenant.name, "backfill"):
            if (held := read_backfill(row)) is not None:
                told = held.to_fields()
                hours = f"{told['from']} to {told['to']} until {told['valid_to']}"
                self.stdout.write(f"{held.collector}  {hours}  {_said_of(row)}")

    def _revoke(self, options: dict[str, Any]) -> None:
        tenant = known_tenant(options["name"])
        if options["file"] is not None:
            revoked, is_new = _added(_add_revocation, tenant, options["file"])
            how = "revoked" if is_new else "was revoked before"
            self.stdout.write(f"a key of {revoked.issuer} at {tenant.name}: {how}")
        for row in revocations_of(tenant.name):
            self.stdout.write(f"{row.issuer}  {row.keyid}  {_said_by_keepers(row)}")

    def _plain(self, options: dict[str, Any]) -> None:
        tenant = known_tenant(options["name"])
        with of_tenant(tenant.name):
            Tenant.objects.filter(name=tenant.name).update(takes_plain=options["takes"] == "on")
        self.stdout.write(f"plain bodies of {tenant.name}: {options['takes']}")

    def _list(self, options: dict[str, Any]) -> None:
        for tenant in tenants():
            with of_tenant(tenant.name):
                names = list(tenant.authority_set.order_by("name").values_list("name", flat=True))
                bodies = tenant.oversightbody_set.order_by("name").values_list("name", flat=True)
                watched = f"; watched by {', '.join(bodies)}" if bodies else ""
            plain = "; takes plain bodies" if tenant.takes_plain else ""
            shown = f"{tenant.shards} shard(s); {', '.join(names)}{watched}{plain}"
            self.stdout.write(f"{tenant.name}: {shown}")
