"""Invite, add, grant, limit, revoke or list the machines that push records."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from accounts import given
from accounts.collector_grants import NotGranted, grant_of
from accounts.enrolments import NotEnrolled, Pins, invite
from accounts.given import check_same, known_tenant, public_key, short_name
from accounts.models import Collector, Enrolment
from accounts.tenancy import of_caller, of_tenant
from icrstore.shell.keyfile import PublicKey
from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.statements import Grant
from icrstore.warrant.strict import StatementError, time_text

QUOTAS = ("hour_batches", "hour_bytes", "day_batches", "day_bytes")
# A batch of the largest body is taken by any quota (`inbox.accept`).
LEAST = {"batches": 1, "bytes": 64 << 20}


class Command(given.Command):
    help = (
        "Collectors: the machines at an ISP that push records.\n"
        "  manage.py collector enrol isp-one edge-1      prints a token for `icr-collect enrol`\n"
        "  manage.py collector add isp-one edge-1 --key collector.key\n"
        "  manage.py collector grant edge-1.grant        its root's word, from `icr grant`\n"
        "  manage.py collector revoke isp-one edge-1\n"
        "  manage.py collector quota isp-one edge-1 --day-bytes 100000000000\n"
        "  manage.py collector list isp-one\n"
        "The key is made where it is used, by `icr-collect enrol` or `icr-collect key`."
    )

    def add_arguments(self, parser: Any) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        enrol = actions.add_parser("enrol", help="print a token with which one may enrol")
        add = actions.add_parser("add", help="let a collector push")
        revoke = actions.add_parser("revoke", help="stop a collector's key at once")
        listed = actions.add_parser("list", help="who is there")
        grant = actions.add_parser("grant", help="keep the root's word that a key is a collector's")
        grant.add_argument("file", type=Path, help="from `icr grant --role collector`")
        quota = actions.add_parser("quota", help="show or set what it may hand in; more waits")
        for action in (enrol, add, revoke, listed, quota):
            action.add_argument("tenant")
        for action in (enrol, add, revoke, quota):
            action.add_argument("name")
        for name in QUOTAS:
            of, unit = name.split("_")
            quota.add_argument(f"--{of}-{unit}", type=int, help=f"{unit} in a UTC {of}")
        add.add_argument("--key", required=True, help="its public key: base64, or a key file")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "grant":
            self._grant(options["file"])
            return
        with of_tenant(known_tenant(options["tenant"]).name):
            getattr(self, f"_{options['action']}")(options["tenant"], options)

    def _enrol(self, tenant: str, options: dict[str, Any]) -> None:
        name = short_name(options["name"])
        try:
            pins = Pins.read(settings.TRUST)
            token = invite(known_tenant(tenant), name, pins, timezone.now())
        except NotEnrolled as refused:
            raise CommandError(refused.mend) from None
        sealer = PublicKey("signing", "sealer", pins.sealer_key)
        receipts = PublicKey("signing", "receipts", pins.receipt_key)
        self.stdout.write(
            f"token        {token}\nserves once, within 24 hours; on the collector:\n"
            f"  icr-collect enrol URL TOKEN --config {name}.toml\n"
            f"then, where the provider's root key is kept, with the key that `enrol` shows:\n"
            f"  icr grant --root ROOT.key --issuer {tenant} --role collector --holder {name}"
            f" --key KEY --days 365 --out {name}.grant\n"
            f"and here: manage.py collector grant {name}.grant\n"
            f"It will show these fingerprints:\nsealer       {sealer.fingerprint}\n"
            f"receipts     {receipts.fingerprint}"
        )

    def _add(self, tenant: str, options: dict[str, Any]) -> None:
        name, key = short_name(options["name"]), public_key(options["key"])
        with of_caller(key_id(key)):
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

    def _grant(self, file: Path) -> None:
        grant, encoded = _read_grant(file)
        with of_tenant(known_tenant(grant.issuer).name):
            held = Collector.objects.select_related("tenant").filter(
                tenant_id=grant.issuer, name=grant.holder, revoked_at=None
            ).first()  # fmt: skip
            if held is None:
                raise CommandError(f"no collector {grant.holder} in force at {grant.issuer}")
            check_same(f"collector {held.name}", held.key, grant.key)
            held.grant = encoded
            try:
                grant_of(held, bytes(held.tenant.root_key))
            except NotGranted:
                raise CommandError(
                    f"{file}: the root of {grant.issuer} did not sign it for a collector:"
                    " make one with `icr grant --role collector`"
                ) from None
            held.save(update_fields=["grant"])
        self.stdout.write(f"collector {held.name}: granted until {time_text(grant.not_after)}")

    def _revoke(self, tenant: str, options: dict[str, Any]) -> None:
        changed = Collector.objects.filter(
            tenant_id=tenant, name=options["name"], revoked_at=None
        ).update(revoked_at=timezone.now())
        # An invitation that nobody has used yet is stopped with it.
        ended, _ = Enrolment.objects.filter(
            tenant_id=tenant, name=options["name"], used_at=None
        ).delete()
        if not changed and not ended:
            raise CommandError(f"no collector {options['name']} in force at {tenant}")
        self.stdout.write(f"collector {options['name']}: revoked")

    def _quota(self, tenant: str, options: dict[str, Any]) -> None:
        held = Collector.objects.filter(tenant_id=tenant, name=options["name"]).first()
        if held is None:
            raise CommandError(f"no collector {options['name']} at {tenant}")
        given_now = [name for name in QUOTAS if options[name] is not None]
        for name in given_now:
            if options[name] < LEAST[name.split("_")[1]]:
                raise CommandError(f"{name}: less than one batch may be: give more, or revoke it")
            setattr(held, name, options[name])
        held.save(update_fields=given_now)
        told = ", ".join(f"{name.replace('_', ' ')} {getattr(held, name)}" for name in QUOTAS)
        self.stdout.write(f"collector {held.name}: {told}")

    def _list(self, tenant: str, options: dict[str, Any]) -> None:
        for row in Collector.objects.filter(tenant_id=tenant).order_by("name"):
            state = "revoked" if row.revoked_at else "in force" if row.grant else "no grant yet"
            self.stdout.write(f"{row.name}: keyid {row.keyid}, {state}")


def _read_grant(file: Path) -> tuple[Grant, bytes]:
    """A grant that holds now, as its file has it. Raises `CommandError`."""
    try:
        encoded = file.read_bytes()
        grant = Grant.parse(Envelope.parse(encoded, "grant"))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}: name a grant's file") from None
    except StatementError as error:
        raise CommandError(f"{file}: no grant ({error}): make one with `icr grant`") from None
    if not grant.not_before <= timezone.now() < grant.not_after:
        raise CommandError(f"{file}: it does not hold now: make another with `icr grant`")
    return grant, encoded
