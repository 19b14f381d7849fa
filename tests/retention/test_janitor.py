"""The janitor at work: told by beat, by its own worker, with its own rights."""

import secrets
import sqlite3
import sys
from contextlib import closing

import pytest

from deploy import services
from deploy.provision import confirm_clocks
from icrstore.celery import app
from tests.site import Site


def test_beat_says_look_to_a_queue_that_the_janitor_takes(site: Site) -> None:
    name = "icrstore.retention.tasks.retain"
    assert name in {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert app.amqp.router.route({}, name)["queue"].name == "retain"
    # It can say "look", and nothing else.
    told = site.stack.env("beat")
    assert not {"ICR_DATABASE_URL", "ICR_KEEPERS"} & told.keys()


def test_its_look_reaches_both_keepers_and_the_database(site: Site) -> None:
    nonce, told_before = secrets.token_hex(8), len(site.stack.log("janitor"))
    site.sql("INSERT INTO accounts_nonce (keyid, nonce, expires_at) VALUES ('k', %s, now() - "
             "interval '1 hour')", nonce)  # fmt: skip
    say = "from icrstore.celery import app; app.send_task('icrstore.retention.tasks.retain')"
    site.installation.run("beat", sys.executable, "-c", say)
    site.wait_for(f"SELECT count(*) = 0 FROM accounts_nonce WHERE nonce = '{nonce}'")
    # It was forgotten after the certificates were asked for, of which nobody complained.
    assert "certificates:" not in site.stack.log("janitor")[told_before:]


def test_a_demonstration_that_lay_for_a_week_goes_on(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    store = services.keeper_store(site.stack.layout, "operator") / "keeper.db"
    with closing(sqlite3.connect(store)) as held, held:
        held.execute("UPDATE clock SET last_leaf_at = last_leaf_at - 7 * 86400, boot = ''")
    confirm_clocks(site.installation)
    assert "keeper operator: silent since" in capsys.readouterr().out
    confirm_clocks(site.installation)
    assert capsys.readouterr().out == ""
    site.wait_ready()
