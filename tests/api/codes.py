"""Every code that a door can refuse with, found in the source: whoever refuses writes it there."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Where the doors' refusals are raised.
PLACES = (
    "api/*.py", "api/pages/*.py", "accounts/enrolments.py", "accounts/principals.py",
    "icrstore/inbox/accept.py", "icrstore/inbox/limits.py", "icrstore/query/lodge.py",
    "icrstore/query/package.py",
    "icrstore/warrant/*.py", "icrstore/wire/digest.py", "icrstore/wire/signatures.py",
    "icrstore/web.py",
)  # fmt: skip
# Which argument is the code, and at which status it is answered; None: as the first argument says.
RAISED = {
    "Problem": (1, None),
    "response": (1, None),
    "_answer": (2, None),
    "hexadecimal": (2, 404),
    "SignatureRefused": (0, 401),
    "DigestRefused": (0, 401),
    "StatementError": (0, 422),
    "_refuse": (0, 422),
    "NotEnrolled": (0, 403),
    "BatchError": (0, 400),
    "_match": (None, 400),
    "IntakeKeyGone": (0, 409),
    "SequenceUsed": (0, 409),
    "TooMuch": (0, 429),
    "Refusal": (2, None),
}
ROLES = ("applicant", "approver", "investigator")
# Raised in these places, and never at a door.
ELSEWHERE = {
    "name-taken": "manage.py collector enrol says it",
    "unsignable": "whoever signs is told, not whoever verifies",
    "not-one-for-each": "a keeper says it of an engine's disclosure",
    "valid-too-long": "manage.py tenant backfill, icr policy backfill and keepers say it",
    "not-a-power-of-two": "manage.py tenant pools, icr policy pools and keepers say it",
    "blocks-need-whole-addresses": "manage.py tenant pools, icr policy pools and keepers say it",
    "not-the-usual-spelling": "manage.py tenant pools, icr policy pools and keepers say it",
}
# Places that hand on a code which somebody else has written.
HANDED_ON = {"code", "error.code", "error.reason", "refused.reason", "reason", "refusal.code"}


@dataclass(frozen=True)
class Raised:
    """A code at a status, and where it is written."""

    status: int
    code: str
    place: str


def raised() -> Iterator[Raised]:
    """Raises AssertionError for a code that is not written out where it is raised."""
    for pattern in PLACES:
        for path in sorted(ROOT.glob(pattern)):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield from _of_call(node, f"{path.relative_to(ROOT)}:{node.lineno}")


def _of_call(call: ast.Call, place: str) -> Iterator[Raised]:
    name = ast.unparse(call.func).rpartition(".")[2]
    at, status = RAISED.get(name, (None, None))
    if at is None or len(call.args) <= at:
        return
    if status is None:
        first = call.args[1 if name == "Refusal" else at - 1]
        status = int(ast.unparse(first)) if isinstance(first, ast.Constant) else 0
    for code in _codes(call.args[at], place):
        if code not in ELSEWHERE:
            yield Raised(status, code, place)


def _codes(argument: ast.expr, place: str) -> list[str]:
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    if isinstance(argument, ast.IfExp):
        return _codes(argument.body, place) + _codes(argument.orelse, place)
    written = ast.unparse(argument)
    if written == "f'no-{role}'":
        return [f"no-{role}" for role in ROLES]
    assert written in HANDED_ON, f"{place}: write the code out where it is raised: {written}"
    return []
