"""What the oversight body reads on its own machine: its keeper's log, with its private texts."""

import contextlib
import io
import json

from icrstore.keeper import cli
from icrstore.seal.epoch import ROLES, Role
from tests.keeper.pair import Pair, code_of
from tests.keeper.papers import ACCOUNT, AUTHORITY, TENANT, utc_now


def told(pair: Pair, role: Role, *more: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert cli.run(["accesses", "--store", str(pair.processes[role].folder), *more]) == 0
    return out.getvalue()


def test_it_lists_every_access_and_refusal_with_its_reason_and_nobody_it_was_about(
    pair: Pair,
) -> None:
    question = pair.question()
    pair.run(question)
    pair.keepers().disclose(question, pair.disclosure(question, ACCOUNT))
    late = pair.question(pair.warrant(pair.warrant_of(valid_to=utc_now())))
    assert code_of(lambda: pair.keepers().commit(late)) == "expired"
    for role in ROLES:
        rows = json.loads(told(pair, role, "--json"))["accesses"]
        of_question = [
            row for row in rows if row["request_sha256"] == question.request.sha256.hex()
        ]
        assert [row["type"] for row in of_question] == ["commit", "release", "disclosure"]
        for row in of_question:
            assert row["warrant_sha256"] == question.warrant.sha256.hex()
            assert (row["tenant"], row["authority"]) == (TENANT, AUTHORITY)
        (refusal,) = [row for row in rows if row["request_sha256"] == late.request.sha256.hex()]
        assert (refusal["type"], refusal["code"]) == ("refusal", "expired")
        lines = told(pair, role)
        assert lines.count("\n") == len(rows)
        assert ACCOUNT not in lines + json.dumps(rows)
        assert "subject" not in json.dumps(rows)
