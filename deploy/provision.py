"""Keys for every process, pins for the keepers, and the trust file that everyone checks by.

A keeper that runs elsewhere is told nothing from here: its owner gives us what it is, once, and
runs the pins that we write down for them.

  python -m deploy.provision keeper FILE
        trusts it; FILE is what `python -m icrstore.keeper show --json` says there
  python -m deploy.provision tenant NAME --root ROOT.pub --grant FILE [--authority NAME=ROOT.pub]
        lets an ISP in, or adds an authority; FILE is the ISP's grant to the sealer host
"""

import argparse
import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy import services
from deploy.layout import CODE, Layout, NotPrepared
from icrstore.seal.intake import hour_number
from icrstore.shell.harden import harden
from icrstore.shell.keyfile import read_public
from icrstore.shell.stop import Stop
from icrstore.warrant.strict import encode_base64

if TYPE_CHECKING:  # an installation provisions itself with the functions below
    from deploy.installation import Installation

ENGINE, NOTIFIER, SEALER = "engine-1", "notifier-1", "sealer-1"
TRUST = "trust.json"
_IDENTITY = ("role", "instance", "name", "identity_key", "log_key", "witness_key")
_PINS_HEAD = """\
# What this keeper is asked to trust. Compare each key with its owner's, then: sh FILE STORE
set -eu"""
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
        _pin(site, role, "peer", other, told["name"], *keys_of)
    storage = {"key": _public(site, "engine", "storage.key")}
    _publish(site, "engine-storage.json", storage)
    opening = _public(site, "notifier", "opening.key")
    shown = {"kind": "icr-public-key", "use": "recipient", "name": NOTIFIER, "public": opening}
    _publish(site, "notifier.json", shown)
    write_trust(site, {}, {SEALER: _public(site, "sealer", "sealer.key")})


def confirm_clocks(site: "Installation") -> None:
    """Let a demonstration's keepers go on that were switched off for days. Safe to repeat.

    Anywhere else a person looks at another clock first: here nothing but made-up records is lost.
    """
    for role in services.KEEPER_ROLES:
        state = json.loads(_keeper(site, role, "clock", "show", "--json"))
        if state["refuses"] in ("clock-ahead", "clock-stepped"):
            print(f"keeper {role}: silent since {state['last_leaf_at']}, clock confirmed for you")
            _keeper(site, role, "clock", "confirm")


def add_tenant(site: "Installation", name: str, root: Path, authorities: Mapping[str, str]) -> None:
    """Let in an ISP with its root key file and its authorities' root keys (base64). Repeatable.

    Here its root key lies beside us; otherwise it signs the grant where it is kept, and `admit`
    takes that.
    """
    public = json.loads(root.read_text())["public"]
    target = site.layout.secrets("sealer") / f"{name}.grant"
    grant = target.read_bytes() if target.exists() else _sign_grant(site, name, root)
    admit(site, name, public, grant, authorities)


def admit(
    site: "Installation", name: str, root: str, grant: bytes, authorities: Mapping[str, str]
) -> None:
    """Let in an ISP by its root's public key, with its grant to the sealer host. Repeatable."""
    site.manage("tenant", "add", name, "--root", root)
    for authority, key in authorities.items():
        site.manage("tenant", "authority", name, authority, "--root", key)
    engine = _public(site, "engine", "engine.key")
    notifier = [_public(site, "notifier", file) for file in ("notifier.key", "opening.key")]
    for role in services.KEEPER_ROLES:
        _pin(site, role, "tenant", name, root)
        for authority, key in authorities.items():
            _pin(site, role, "authority", authority, key, "--tenant", name)
        _pin(site, role, "engine", ENGINE, engine, "--tenant", name)
        _pin(site, role, "notifier", NOTIFIER, *notifier, "--tenant", name)
    site.layout.write_secret("sealer", f"{name}.grant", grant)
    # By it the sealer knows the ISP's collectors: not by what the database says.
    site.layout.write_secret("sealer", f"{name}.root", root.encode())
    write_trust(site, authorities, {})


def write_trust(
    site: "Installation", authorities: Mapping[str, str], sealers: Mapping[str, str]
) -> Path:
    """The public keys by which anyone checks what comes from here; adds to what is there."""
    before = _trusted(site)
    return _publish(site, TRUST, {
        "keepers": [keeper_identity(site, role) for role in services.KEEPER_ROLES],
        "engines": {ENGINE: _public(site, "engine", "engine.key")},
        "authorities": {**before.get("authorities", {}), **authorities},
        "sealers": {**before.get("sealers", {}), **sealers},
        "receipt_key": _public(site, "web", "receipt.key"),
    })  # fmt: skip


def require_keepers(site: "Installation") -> None:
    """Raises NotPrepared if a keeper runs elsewhere and nobody has told us who it is."""
    for role in services.keepers_elsewhere(site.layout):
        keeper_identity(site, role)


def take_keeper(site: "Installation", told: Mapping[str, Any]) -> None:
    """Keep what a keeper elsewhere is. Raises NotPrepared if another was kept before."""
    identity = {name: told[name] for name in _IDENTITY}
    before = _trusted(site)
    known = {one["role"]: one for one in before.get("keepers", [])}
    if known.setdefault(identity["role"], identity) != identity:
        raise NotPrepared(f"another {identity['role']} keeper is trusted in {trust_file(site)}")
    _publish(site, TRUST, {**before, "keepers": list(known.values())})


def trust_file(site: "Installation") -> Path:
    return site.layout.var / "public" / TRUST


def pins_file(site: "Installation", role: str) -> Path:
    """The commands that the owner of a keeper elsewhere runs on its host."""
    return site.layout.var / "public" / f"pins-{role}.sh"


def keeper_identity(site: "Installation", role: str) -> dict[str, Any]:
    """What a keeper says of itself: role, instance, name and its three public keys."""
    if role not in services.keepers_elsewhere(site.layout):
        shown = json.loads(site.ask(*_keeper_command(site, role, "show", "--json")))
        return {name: shown[name] for name in _IDENTITY}
    for known in _trusted(site).get("keepers", []):
        if known["role"] == role:
            return dict(known)
    raise NotPrepared(
        f"the {role} keeper runs elsewhere and is not known yet: python -m deploy.provision --help"
    )


def _share_lookup_key(site: "Installation") -> None:
    """One key by which web, the notifier and the command line find subscribers."""
    holders = ("admin", "notifier", "web")
    files = {role: site.layout.secrets(role) / "lookup.key" for role in holders}
    held = [path.read_bytes() for path in files.values() if path.exists()]
    key = held[0] if held else secrets.token_hex(32).encode()
    for role, path in files.items():
        if not path.exists():
            site.layout.write_secret(role, path.name, key)


def _sign_grant(site: "Installation", tenant: str, root: Path) -> bytes:
    """The tenant's root vouches for the sealer host; keepers take epochs from no other."""
    draft = root.with_suffix(".sealer-grant")
    site.run(
        "admin", "icr", "grant", "--root", str(root), "--issuer", tenant, "--role", "sealer",
        "--holder", SEALER, "--key", _public(site, "sealer", "sealer.key"),
        "--days", "365", "--out", str(draft),
    )  # fmt: skip
    signed = draft.read_bytes()
    draft.unlink()
    return signed


def _make_key(site: "Installation", role: str, name: str, use: str) -> None:
    """A key is made by the uid that will use it, and never leaves its folder."""
    path = site.layout.secrets(role) / name
    if not path.exists():
        site.run(role, "icr", "key", "new", name, "--for", use, "--out", str(path))


def _public(site: "Installation", role: str, name: str) -> str:
    path = site.layout.secrets(role) / name
    return str(json.loads(site.ask(role, "icr", "key", "show", str(path), "--json"))["public"])


def _pin(site: "Installation", role: str, *pin: str) -> None:
    """At a keeper of ours; for another's, write down what its owner must do."""
    if role not in services.keepers_elsewhere(site.layout):
        _keeper(site, role, "pin", *pin)
        return
    path = pins_file(site, role)
    lines = path.read_text().splitlines() if path.exists() else [_PINS_HEAD]
    command = f'python -m icrstore.keeper pin {shlex.join(pin)} --store "$1"'
    if command not in lines:
        path.write_text("\n".join([*lines, command, ""]))
        path.chmod(0o644)


def _trusted(site: "Installation") -> dict[str, Any]:
    path = trust_file(site)
    made: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return made


def _keeper(site: "Installation", role: str, *arguments: str) -> str:
    return site.run(*_keeper_command(site, role, *arguments))


def _keeper_command(site: "Installation", role: str, *arguments: str) -> tuple[str, ...]:
    """Who runs it, and what."""
    store = str(services.keeper_store(site.layout, role))
    command = (sys.executable, "-m", "icrstore.keeper", *arguments)
    return (f"keeper-{role}", *command, "--store", store)


def _publish(site: "Installation", name: str, value: Mapping[str, Any]) -> Path:
    """Write a file that anyone may read, whole or not at all."""
    path = site.layout.var / "public" / name
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    draft.chmod(0o644)
    return draft.replace(path)


def _root(given: str) -> str:
    return encode_base64(read_public(given, "signing"))


def main() -> int:
    # Not above: an installation provisions itself with this module.
    from deploy.installation import Installation

    harden()
    parser = argparse.ArgumentParser(
        prog="python -m deploy.provision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="what", required=True)
    keeper = commands.add_parser("keeper", help="trust a keeper that somebody else runs")
    keeper.add_argument("file", type=Path)
    tenant = commands.add_parser("tenant", help="let an ISP in, or add an authority to it")
    tenant.add_argument("name")
    tenant.add_argument("--root", required=True, help="its root's public key, or a file of it")
    tenant.add_argument("--grant", required=True, type=Path, help="its root's, of role sealer")
    tenant.add_argument("--authority", action="append", default=[], metavar="NAME=ROOT.pub")
    asked = parser.parse_args()
    site = Installation(Layout(Path(os.environ.get("ICR_VAR") or CODE / "var").absolute(), 0))
    site.layout.create()
    try:
        if asked.what == "keeper":
            take_keeper(site, json.loads(asked.file.read_bytes()))
        else:
            pairs = [one.partition("=")[::2] for one in asked.authority]
            authorities = {name: _root(key) for name, key in pairs}
            admit(site, asked.name, _root(asked.root), asked.grant.read_bytes(), authorities)
    except (NotPrepared, OSError, ValueError, KeyError, Stop) as problem:
        print(problem, file=sys.stderr)
        return os.EX_CONFIG
    for role in services.keepers_elsewhere(site.layout):
        print(f"for the owner of the {role} keeper: {pins_file(site, role)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
