"""An oversight body's day on real processes: pinned, granted, and reading what both logs hold."""

import json
import subprocess
import time

import pytest

from deploy import provision
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import raw_public
from icrstore.warrant.strict import encode_base64
from tests.oversight.bodies import Body
from tests.site import TENANT, Site, last_hours

pytestmark = pytest.mark.usefixtures("site")


def test_a_body_is_pinned_and_its_person_sees_what_was_asked(site: Site) -> None:
    body = Body("commissioner")
    root = encode_base64(raw_public(body.root))
    site.installation.manage("tenant", "oversight", TENANT, body.name, "--root", root)
    site.wait_ready()
    first, end = last_hours(2)
    warrant = site.warrant(["line-oversight"], first, end)
    site.lodge(warrant)
    query = site.put(site.request(warrant, ["line-oversight"], first, end))
    assert site.wait(query)["state"] == "answered"
    person = site.folder / "ada.oversight.key"
    KeyFile("signing", "ada", raw_public(body.person), body.person.private_bytes_raw()).write(
        person
    )
    grant = site.folder / "ada.oversight.grant"
    grant.write_bytes(body.grant().encode())
    told = read(site, "--key", str(person), "--grant", str(grant))
    row = next(one for one in told["accesses"] if one["request_sha256"] == query)
    assert (row["state"], row["authority"], row["selectors"]) == ("answered", "police", 1)
    assert {log["keeper"] for log in told["logs"]} == {"operator", "oversight"}
    assert all(log["leaves"]["commit"] > 0 for log in told["logs"])
    listed = json.loads(
        provision._keeper(site.installation, "oversight", "accesses", "--json")
    )["accesses"]  # fmt: skip
    assert {one["type"] for one in listed if one["request_sha256"] == query} == {
        "commit", "release", "disclosure",
    }  # fmt: skip


def read(site: Site, *who: str) -> dict[str, list[dict[str, object]]]:
    """Once the copies hold as many commits; other tests' databases may hide what theirs asked."""
    trust = str(provision.trust_file(site.installation))
    command = ["icr", "oversight", "accesses", "--tenant", TENANT, "--trust", trust,
               "--server", site.url, *who, "--json"]  # fmt: skip
    deadline = time.monotonic() + 30
    while True:
        try:
            out = site.run(*command)
        except subprocess.CalledProcessError as ended:
            assert ended.returncode == 65, ended.stderr
            out = ended.stdout
        made: dict[str, list[dict[str, object]]] = json.loads(out)
        if len(made["logs"]) == 2 or time.monotonic() > deadline:
            return made
        time.sleep(0.5)
