"""icr-verify against what two real keeper processes log and cosign."""

import json
from typing import Any

import pytest

from icrstore.seal.epoch import ROLES
from icrstore.verify.icr_verify import CheckFailed, read_trust, verify_package
from icrstore.warrant.statements import Request
from icrstore.warrant.strict import dump, encode_base64, time_text
from tests.keeper.pair import ACCOUNT, AUTHORITY, TENANT, Pair, pair, template

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
    question = pair.question()
    answer = dump(answer_to(question.request.sha256.hex(), Request.parse(question.request)))
    lent = pair.run(question)
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


def answer_to(request_sha256: str, request: Request) -> dict[str, Any]:
    hours = [{"hour": time_text(hour), "coverage": "UNSEALED"} for hour in request.all_hours()]
    return {
        "v": 1,
        "request_sha256": request_sha256,
        "tenant": TENANT,
        "purpose": "services",
        "hours": hours,
        "accounts": [ACCOUNT],
    }


def test_what_real_keepers_log_passes_every_check(
    packages: list[dict[str, Any]], trust: dict[str, Any]
) -> None:
    for each in packages:
        proven = verify_package(dump(each), trust)
        assert len(proven.checks) == 23


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
