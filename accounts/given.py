"""What operators give on the command line: keys, names, tenants; and how help is laid out."""

import argparse
import re
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Tenant
from accounts.tenancy import of_tenant
from icrstore.shell.keyfile import read_public
from icrstore.shell.stop import Stop
from icrstore.warrant.strict import Fields, StatementError


class Command(BaseCommand):
    """A command whose help keeps its lines, with examples among them."""

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)


def known_tenant(given: str) -> Tenant:
    """The tenant of that name. Raises `CommandError`."""
    with of_tenant(given):
        tenant = Tenant.objects.filter(name=given).first()
    if tenant is None:
        raise CommandError(f"no tenant {given}: tenant add comes first")
    return tenant


def public_key(given: str) -> bytes:
    """32 bytes of an Ed25519 public key: base64, or a file that has one. Raises `CommandError`."""
    try:
        return read_public(given, "signing")
    except Stop as stop:
        raise CommandError(str(stop)) from None


def is_short_name(given: str) -> bool:
    """Whether it can be a tenant's or collector's name, which becomes part of file names."""
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", given, re.ASCII))


def short_name(given: str) -> str:
    """A tenant's or collector's. Raises `CommandError`."""
    if not is_short_name(given):
        raise CommandError("a name has at most 64 letters, digits, . _ - and begins with no mark")
    return given


def authority_name(given: str) -> str:
    """As its grants and warrants can say it. Raises `CommandError`."""
    try:
        return Fields({"name": given}).text("name", 64)
    except StatementError:
        raise CommandError(
            "an authority's name has 1 to 64 bytes of composed Unicode (NFC) on one line"
        ) from None


def check_same(name: str, held: bytes | memoryview, given: bytes) -> None:
    """Whoever adds a name again means the same key. Raises `CommandError`."""
    if bytes(held) != given:
        raise CommandError(f"{name} is there with another key: a key is not replaced")
