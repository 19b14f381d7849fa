"""What an authority does: two people sign a warrant, a third asks under it, the desk opens."""

import json
from dataclasses import dataclass
from typing import Any

from deploy.demo.provider import AUTHORITY
from deploy.demo.telling import Telling, say

PEOPLE = ("applicant", "approver", "investigator")


@dataclass(frozen=True)
class Answered:
    """The query's id, which is its request's digest, and the opened answer."""

    query: str
    answer: dict[str, Any]


def prepare(telling: Telling) -> None:
    """Keys of three people, granted by the authority's root, and the desk's, to read answers."""
    telling.key("desk", "answers")
    root = telling.key("police-root")
    missing = [role for role in PEOPLE if not (telling.folder / f"{role}.grant").exists()]
    for role in missing:
        key = telling.key(role)
        grant = (
            "icr", "grant", "--root", root, "--issuer", AUTHORITY, "--role", role, "--holder",
            f"the {role}", "--key", key, "--days", "90", "--out", f"{role}.grant",
        )  # fmt: skip
        if role == "investigator":
            telling.show("police", *grant)
        else:
            telling.run(*grant)
    say("An applicant, an approver and an investigator hold a key each; the police's root vouches")
    say("for them. Answers are sealed to the desk's key.")


def warrant(telling: Telling, purpose: str, *about: str) -> None:
    """Drafted, signed by two people and lodged with the store."""
    path = f"{telling.case}/{purpose}.json"
    telling.show(
        "applicant", "icr", "warrant", "draft", "--tenant", telling.tenant,
        "--authority", AUTHORITY, "--instrument", "authorisation 2026/17",
        "--basis", "s. 61: a made-up case",
        "--purpose", purpose, *about, "--valid-days", "7", "--max-requests", "3",
        "--recipient", "desk.key", "--out", path, most=0,
    )  # fmt: skip
    for who in ("applicant", "approver"):
        telling.show(who, "icr", "warrant", "sign", path, "--key", f"{who}.key", most=0)
    telling.show(
        "applicant", "icr", "lodge", path, "--grant", "*.grant", "--key", "applicant.key", most=0
    )


def ask(telling: Telling, purpose: str) -> Answered:
    """All that the warrant allows; the opened answer is in the case's folder."""
    paper, sealed = f"{telling.case}/{purpose}.json", f"{telling.case}/{purpose}.sealed"
    telling.show(
        "investigator", "icr", "ask", purpose, "--warrant", paper, "--grant", "*.grant",
        "--key", "investigator.key", "--out", sealed, most=0,
    )  # fmt: skip
    telling.show(
        "desk", "icr", "open", sealed, "--key", "desk.key", "--trust", "trust.json",
        "--out", f"{telling.case}/{purpose}",
    )  # fmt: skip
    query = json.loads((telling.folder / sealed).read_bytes())["query"]
    answer = (telling.folder / telling.case / purpose / "answer.json").read_bytes()
    return Answered(query, json.loads(answer))
