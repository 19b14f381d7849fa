"""icr-verify against what two real keeper processes log and cosign."""

import json
from typing import Any

import pytest

from icrstore.keeper.client import Question
from icrstore.query.coverage import Listed, cover
from icrstore.seal.epoch import HOUR, ROLES
from icrstore.verify.icr_verify import CheckFailed, read_trust, verify_package
from icrstore.warrant.statements import HourRange, Request
from icrstore.warrant.strict import dump, encode_base64
from tests.keeper.pair import Lent, Pair, rows_of
from tests.keeper.pairs import pair, template
from tests.keeper.papers import ACCOUNT, AUTHORITY, TENANT, last_hour

__all__ = ["pair", "template"]


@pytest.fixture(scope="module")
def packages(pair: Pair) -> list[dict[str, Any]]:
    """Two questions, each with its own warrant, taken all the way."""
    return [package(pair), package(pair)]


@pytest.fixture(scope="module")
def trust(pair: Pair) -> dict[str, Any]:
    """The trust file of this pair."""
    return read_trust(
        dump(
            {
                "keepers": [
                    {
                        "role": role,
                        "instance": made.instance,
                        "name": made.name,
                        "identity_key": encode_base64(made.identity_key),
                        "log_key": encode_base64(made.log_key),
                        "witness_key": encode_base64(made.witness_key),
                    }
                    for role, made in pair.identities.items()
                ],
                "engines": {"engine-1": encode_base64(pair.public("engine"))},
                "authorities": {AUTHORITY: encode_base64(pair.public("root"))},
                "sealers": {},
                "receipt_key": encode_base64(bytes(32)),
            }
        )
    )


def package(pair: Pair) -> dict[str, Any]:
    """Two hours asked, of which one has an epoch more; the answer's coverage is the engine's."""
    hours = HourRange(last_hour() - HOUR, last_hour() + HOUR)
    sealed = [pair.seal_epoch(hour, rows_of(ACCOUNT)) for hour in (*hours.hours(), last_hour())]
    pair.register(*sealed)
    question = pair.question(hours=(hours,))
    lent = pair.run(question)
    answer = dump(answer_to(question, lent))
    statement = pair.disclosure(question, ACCOUNT, answer=answer)
    disclosed = pair.keepers().disclose(question, statement)
    keepers = {
        role: {
            "name": pair.identities[role].name,
            "commit": lent.commits[role].proven.evidence.to_object(),
            "release": lent.releases[role].evidence.to_object(),
            "disclosure": disclosed[role].to_object(),
        }
        for role in ROLES
    }
    return {
        "v": 1,
        "answer": encode_base64(answer),
        "warrant": question.warrant.to_object(),
        "request": question.request.to_object(),
        "grants": [grant.to_object() for grant in question.grants],
        "disclosure": statement.to_object(),
        "keepers": keepers,
    }


def answer_to(question: Question, lent: Lent) -> dict[str, Any]:
    listed = Listed(*(made.epochs for made in lent.commits.values()))
    hours = cover(Request.parse(question.request).all_hours(), listed, 1, [], {})
    return {
        "v": 1,
        "request_sha256": question.request.sha256.hex(),
        "tenant": TENANT,
        "purpose": "services",
        "notice": None,
        "hours": [hour.to_object() for hour in hours],
        "accounts": [ACCOUNT],
        "records": 0,
        "collapsed": 0,
        "services": [],
        "by_service": [],
        "limits": [],
    }


def test_what_real_keepers_log_passes_every_check(
    packages: list[dict[str, Any]], trust: dict[str, Any]
) -> None:
    for each in packages:
        proven = verify_package(dump(each), trust)
        assert len(proven.checks) == 23
        assert {hour["coverage"] for hour in proven.answer["hours"]} == {"COMPLETE"}
        assert all(hour["epochs"] for hour in proven.answer["hours"])


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("step", ["commit", "release", "disclosure"])
def test_a_step_of_another_question_is_refused(
    packages: list[dict[str, Any]], trust: dict[str, Any], role: str, step: str
) -> None:
    spoilt, other = json.loads(json.dumps(packages))
    spoilt["keepers"][role][step] = other["keepers"][role][step]
    with pytest.raises(CheckFailed) as refused:
        verify_package(dump(spoilt), trust)
    assert refused.value.name == f"{role}-private"
