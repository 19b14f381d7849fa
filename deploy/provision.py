"""Keys for every process, pins for the keepers, and the trust file that everyone checks by.

For the demonstration, the tests and small installations: here one hand does what at a real one the
provider, the oversight body and the authority each do on a machine of their own.
"""

import json
import secrets
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy import services
from icrstore.seal.intake import hour_number

if TYPE_CHECKING:  # an installation provisions itself with the functions below
    from deploy.installation import Installation

ENGINE, NOTIFIER = "engine-1", "notifier-1"
_ROLE_KEYS = {
    "web": (("receipt.key", "signing"),),
    "sealer": (("sealer.key", "signing"),),
    "engine": (("engine.key", "signing"), ("storage.key", "answers")),
    "notifier": (("notifier.key", "signing"), ("opening.key", "answers")),
}


def provision(site: "Installation") -> None:
    """Everything that an installation without tenants needs. Safe to repeat.

    The keepers must serve: their own commands pin each to the other.
    """
    for role, keys in _ROLE_KEYS.items():
        for name, use in keys:
            _make_key(site, role, name, use)
    intake = site.layout.secrets("sealer") / "intake.json"
    if not intake.exists():
        chain = {"number": hour_number(datetime.now(UTC)) - 1, "link": secrets.token_hex(32)}
        site.layout.write_secret("sealer", intake.name, json.dumps(chain).encode())
    _share_lookup_key(site)
    for role, other in (("operator", "oversight"), ("oversight", "operator")):
        told = keeper_identity(site, other)
        keys_of = (told["log_key"], told["witness_key"])
        _keeper(site, role, "pin", "peer", other, told["name"], *keys_of)
    storage = {"key": _public(site, "engine", "storage.key")}
    _publish(site, "engine-storage.json", storage)
    opening = _public(site, "notifier", "opening.key")
    shown = {"kind": "icr-public-key", "use": "recipient", "name": NOTIFIER, "public": opening}
    _publish(site, "notifier.json", shown)
    write_trust(site, {}, {})


def add_tenant(site: "Installation", name: str, root: Path, authorities: Mapping[str, str]) -> None:
    """Let in an ISP with its root key file and its authorities' root keys (base64). Repeatable."""
    public = json.loads(root.read_text())["public"]
    site.manage("tenant", "add", name, "--root", public)
    for authority, key in authorities.items():
        site.manage("tenant", "authority", name, authority, "--root", key)
    for role in services.KEEPER_ROLES:
        _keeper(site, role, "pin", "tenant", name, public)
        for authority, key in authorities.items():
            _keeper(site, role, "pin", "authority", authority, key, "--tenant", name)
        engine = _public(site, "engine", "engine.key")
        _keeper(site, role, "pin", "engine", ENGINE, engine, "--tenant", name)
        keys = [_public(site, "notifier", file) for file in ("notifier.key", "opening.key")]
        _keeper(site, role, "pin", "notifier", NOTIFIER, *keys, "--tenant", name)
    _grant_sealer(site, name, root)
    write_trust(site, dict(authorities), {"sealer-1": _public(site, "sealer", "sealer.key")})


def write_trust(
    site: "Installation", authorities: Mapping[str, str], sealers: Mapping[str, str]
) -> Path:
    """The public keys by which anyone checks what comes from here; adds to what is there."""
    path = trust_file(site)
    before: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return _publish(site, path.name, {
        "keepers": [keeper_identity(site, role) for role in services.KEEPER_ROLES],
        "engines": {ENGINE: _public(site, "engine", "engine.key")},
        "authorities": {**before.get("authorities", {}), **authorities},
        "sealers": {**before.get("sealers", {}), **sealers},
        "receipt_key": _public(site, "web", "receipt.key"),
    })  # fmt: skip


def trust_file(site: "Installation") -> Path:
    return site.layout.var / "public" / "trust.json"


def keeper_identity(site: "Installation", role: str) -> dict[str, Any]:
    """What a keeper says of itself: role, instance, name and its three public keys."""
    shown = json.loads(_keeper(site, role, "show", "--json"))
    wanted = ("role", "instance", "name", "identity_key", "log_key", "witness_key")
    return {name: shown[name] for name in wanted}


def _share_lookup_key(site: "Installation") -> None:
    """One key by which web, the notifier and the command line find subscribers."""
    holders = ("admin", "notifier", "web")
    files = {role: site.layout.secrets(role) / "lookup.key" for role in holders}
    held = [path.read_bytes() for path in files.values() if path.exists()]
    key = held[0] if held else secrets.token_hex(32).encode()
    for role, path in files.items():
        if not path.exists():
            site.layout.write_secret(role, path.name, key)


def _grant_sealer(site: "Installation", tenant: str, root: Path) -> None:
    """The tenant's root vouches for the sealer host; keepers take epochs from no other."""
    target = site.layout.secrets("sealer") / f"{tenant}.grant"
    if target.exists():
        return
    draft = root.with_suffix(".sealer-grant")
    site.run(
        "admin", "icr", "grant", "--root", str(root), "--issuer", tenant, "--role", "sealer",
        "--holder", "sealer-1", "--key", _public(site, "sealer", "sealer.key"),
        "--days", "365", "--out", str(draft),
    )  # fmt: skip
    site.layout.write_secret("sealer", target.name, draft.read_bytes())
    draft.unlink()


def _make_key(site: "Installation", role: str, name: str, use: str) -> None:
    """A key is made by the uid that will use it, and never leaves its folder."""
    path = site.layout.secrets(role) / name
    if not path.exists():
        site.run(role, "icr", "key", "new", name, "--for", use, "--out", str(path))


def _public(site: "Installation", role: str, name: str) -> str:
    path = site.layout.secrets(role) / name
    return str(json.loads(site.run(role, "icr", "key", "show", str(path), "--json"))["public"])


def _keeper(site: "Installation", role: str, *arguments: str) -> str:
    store = str(services.keeper_store(site.layout, role))
    command = (sys.executable, "-m", "icrstore.keeper", *arguments)
    return site.run(f"keeper-{role}", *command, "--store", store)


def _publish(site: "Installation", name: str, value: Mapping[str, Any]) -> Path:
    """Write a file that anyone may read, whole or not at all."""
    path = site.layout.var / "public" / name
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    draft.chmod(0o644)
    return draft.replace(path)
