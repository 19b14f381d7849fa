"""What an ISP does: it joins, enrols its collector, says whom to tell, and pushes."""

import csv
import re
import time
from pathlib import Path

from deploy import provision
from deploy.demo.day import Day
from deploy.demo.telling import Telling, Untrue, say

AUTHORITY = "police"
_FINGERPRINT = re.compile(r"^(sealer|receipts) +(\S.*)$", re.MULTILINE)


def join(telling: Telling) -> None:
    """The ISP and the authority whose warrants it must obey, by their roots' public halves."""
    root, police = telling.key(f"{telling.tenant}-root"), telling.key("police-root")
    telling.show("isp", "manage.py", "tenant", "add", telling.tenant, "--root", root)
    telling.show(
        "isp", "manage.py", "tenant", "authority", telling.tenant, AUTHORITY, "--root", police
    )
    roots = {AUTHORITY: telling.public(police)}
    provision.add_tenant(telling.site, telling.tenant, telling.folder / root, roots)
    say("Both keepers' operators pin the two roots at their keepers, which no program of the")
    say("store can do.\n")
    (telling.folder / "trust.json").write_bytes(provision.trust_file(telling.site).read_bytes())


def enrol(telling: Telling) -> None:
    """A one-use token makes a collector; its key never leaves the machine where it is made."""
    name, config = telling.collector, f"{telling.collector}.toml"
    if (telling.folder / config).exists():
        point_to(telling.folder / config, telling.site.layout.url)
        say(f"{name} is enrolled since an earlier telling.\n")
        return
    invited = telling.show("isp", "manage.py", "collector", "enrol", telling.tenant, name)
    token = re.search(r"^token +(\S+)$", invited, re.MULTILINE)
    if token is None:
        raise Untrue("no token was printed")
    enrolled = telling.show(
        "gateway", "icr-collect", "enrol", telling.site.layout.url, token[1],
        "--config", config,
    )  # fmt: skip
    if sorted(_FINGERPRINT.findall(invited)) != sorted(_FINGERPRINT.findall(enrolled)):
        raise Untrue("the fingerprints differ")
    say("The fingerprints are the same on both sides: nobody is between them. Where the ISP's root")
    say("key is kept, it vouches for the gateway's: without that no sealer takes a batch of it.\n")
    grant = f"{name}.root-grant"
    telling.show(
        "isp", "icr", "grant", "--root", f"{telling.tenant}-root.key", "--issuer", telling.tenant,
        "--role", "collector", "--holder", name, "--key", f"{name}.key", "--days", "365",
        "--out", grant,
    )  # fmt: skip
    telling.show("isp", "manage.py", "collector", "grant", grant)


def point_to(config: Path, url: str) -> None:
    """The server of this telling: another port, where that of an earlier one was taken."""
    text = re.sub(r'(?m)^server = ".*"$', f'server = "{url}"', config.read_text())
    draft = config.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(config)


def load_subscribers(telling: Telling, day: Day) -> None:
    """Whom to tell; each line is sealed to the notifier as it is read."""
    path = telling.folder / "subscribers.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("account", "channel", "contact"))
        rows.writerow((day.account, "email", "household@example.net"))
    telling.show("isp", "manage.py", "subscribers", "load", telling.tenant, path.name)
    path.unlink()


def push(telling: Telling, day: Day) -> None:
    started = time.monotonic()
    telling.show(
        "gateway", "icr-collect", "push", day.log.name, *day.whose,
        "--config", f"{telling.collector}.toml",
    )  # fmt: skip
    took = time.monotonic() - started
    say(f"Pushed, sealed by the hour, logged by both keepers in {took:.1f} s.")
