"""An oversight body's day on real processes: pinned, granted, and reading what both logs hold."""

import json

from deploy import provision
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import raw_public
from icrstore.warrant.strict import encode_base64
from tests.desk.office import Ran, icr
from tests.oversight.bodies import Body
from tests.site import TENANT, Site, last_hours

COPIED = """
SELECT count(*) = 2 FROM (
    SELECT log_id FROM ledger_leaf WHERE strpos(text, 'type=disclosure') > 0 GROUP BY 1) AS held
"""


def test_a_body_is_pinned_and_its_person_sees_what_was_asked(site: Site) -> None:
    body = Body("commissioner")
    root = encode_base64(raw_public(body.root))
    site.installation.manage("tenant", "oversight", TENANT, body.name, "--root", root)
    query = asked(site)
    ran = read(site, body)
    # Other tests of this site play the administrator who hides what was asked.
    assert ran.status in (0, 65), ran.err
    told = ran.told
    row = next(one for one in told["accesses"] if one["request_sha256"] == query)
    assert (row["state"], row["authority"], row["selectors"]) == ("answered", "police", 1)
    assert [log["keeper"] for log in told["logs"]] == ["operator", "oversight"]
    assert all(log["leaves"]["commit"] > 0 for log in told["logs"])
    listed = json.loads(provision._keeper(site.installation, "oversight", "accesses", "--json"))
    of_query = [one["type"] for one in listed["accesses"] if one["request_sha256"] == query]
    assert of_query == ["commit", "release", "disclosure"]


def asked(site: Site) -> str:
    """A question that was answered, and copied from both logs."""
    site.wait_ready()
    first, end = last_hours(2)
    warrant = site.warrant(["line-oversight"], first, end)
    site.lodge(warrant)
    query = site.put(site.request(warrant, ["line-oversight"], first, end))
    assert site.wait(query)["state"] == "answered"
    site.wait_for(COPIED)
    return query


def read(site: Site, body: Body) -> Ran:
    key, grant = site.folder / "ada.oversight.key", site.folder / "ada.oversight.grant"
    private = body.person.private_bytes_raw()
    KeyFile("signing", "ada", raw_public(body.person), private).write(key)
    grant.write_bytes(body.grant().encode())
    return icr(
        "oversight", "accesses", "--tenant", TENANT, "--key", key, "--grant", grant,
        "--trust", provision.trust_file(site.installation), "--server", site.url, "--json",
    )  # fmt: skip
