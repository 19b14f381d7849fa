"""Checks what icrstore hands out by itself: no server, no database, no other file of icrstore.

An answer, an access, a receipt or a certificate. A second implementation, on purpose, of what the
other rooms do: DSSE v1 (secure-systems-lab), RFC 6962 inclusion, C2SP signed-note, tlog-checkpoint
and tlog-cosignature. It needs Python 3.11 and `cryptography`, trusts only the trust file that it is
given, and opens no connection.
"""

import argparse
import base64
import hashlib
import ipaddress
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

OK, FAILED, USAGE, NO_INPUT = 0, 1, 64, 66
ROLES = ("operator", "oversight")
STEPS = ("commit", "release", "disclosure")
SKEW, REQUEST_LIFE, HOUR = timedelta(seconds=120), timedelta(hours=1), timedelta(hours=1)
MOST_BYTES = 256 << 20

Reader = Callable[[Any], Any]


class Wrong(Exception):
    """Something is not what it must be; the message holds nothing of what was read."""


class CheckFailed(Exception):
    """A check failed: its number, its stable name and what is wrong, with those that passed."""

    def __init__(self, name: str, why: str, passed: Sequence["Check"]) -> None:
        super().__init__(f"check {len(passed) + 1} ({name}) failed: {why}")
        self.name, self.why, self.passed = name, why, tuple(passed)


@dataclass(frozen=True)
class Check:
    """A check that passed and what it showed."""

    name: str
    shows: str


@dataclass
class Checks:
    """The checks in order; the first that fails ends them."""

    passed: list[Check] = field(default_factory=list)

    @contextmanager
    def check(self, name: str, shows: str) -> Iterator[None]:
        try:
            yield
        except Wrong as error:
            raise CheckFailed(name, str(error), self.passed) from error
        self.passed.append(Check(name, shows))


# Strict JSON: one spelling of a text, and every field known.


def read_json(raw: bytes) -> Any:
    """The JSON value; refuses duplicate keys, floats, large integers and bytes after the end."""
    if len(raw) > MOST_BYTES:
        raise Wrong("the text is too long")
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_int=_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except (ValueError, RecursionError) as error:
        raise Wrong("it is not strict JSON") from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("duplicate key")
    return dict(pairs)


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > 1 << 53:
        raise ValueError("too large an integer")
    return int(digits)


def _refuse_number(_: str) -> NoReturn:
    raise ValueError("not an integer")


def shape(may: Mapping[str, Reader] | None = None, /, **readers: Reader) -> Reader:
    """A reader of an object with exactly these fields, besides those that it ``may`` have."""
    known = {**readers, **(may or {})}

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Wrong("an object is missing")
        if missing := [name for name in readers if name not in value]:
            raise Wrong(f"the field {missing[0]} is missing")
        if not value.keys() <= known.keys():
            raise Wrong("there is a field that nobody knows")
        return {name: known[name](each) for name, each in value.items()}

    return read


def text(value: Any) -> str:
    if not isinstance(value, str) or not value or re.search("[\ud800-\udfff]", value):
        raise Wrong("a text is missing")
    return value


def integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Wrong("a count is missing")
    return value


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong("a yes or no is missing")
    return value


def version(value: Any) -> int:
    if integer(value) != 1:
        raise Wrong("the version is not 1")
    return 1


def one_of(*allowed: str) -> Reader:
    def read(value: Any) -> str:
        if value not in allowed:
            raise Wrong(f"a value is none of {', '.join(allowed)}")
        return str(value)

    return read


def hexadecimal(size: int) -> Reader:
    def read(value: Any) -> bytes:
        if not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text(value), re.ASCII):
            raise Wrong(f"{size} bytes in hexadecimal are missing")
        return bytes.fromhex(value)

    return read


def base64_bytes(size: int | None = None) -> Reader:
    def read(value: Any) -> bytes:
        try:
            raw = base64.b64decode(value if isinstance(value, str) else "=", validate=True)
        except ValueError as error:
            raise Wrong("base64 is missing") from error
        if base64.b64encode(raw).decode() != value or size not in (None, len(raw)):
            raise Wrong("base64 is missing, or of the wrong length")
        return raw

    return read


def nothing_or(reader: Reader) -> Reader:
    return lambda value: None if value is None else reader(value)


def time(value: Any, digits: int = 6) -> datetime:
    """An aware moment in UTC, from RFC 3339 with an offset; no finer than microseconds."""
    form = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{{1,{digits}}})?(Z|[+-]\d\d:\d\d)"
    if not re.fullmatch(form, text(value), re.ASCII):
        raise Wrong("a time with its offset is missing")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Wrong("a time is impossible") from error


def seen(value: Any) -> datetime:
    """The moment of a record, which may be written to the nanosecond."""
    return time(value, digits=9)


def hour(value: Any) -> datetime:
    moment = time(value)
    if moment.minute or moment.second or moment.microsecond:
        raise Wrong("a time is not a whole hour")
    return moment


def list_of(reader: Reader) -> Reader:
    def read(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Wrong("a list is missing")
        return [reader(item) for item in value]

    return read


def map_of(reader: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Wrong("an object is missing")
        return {name: reader(item) for name, item in value.items()}

    return read


def address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """One value for one address: IPv4 may also be written as ::ffff:a.b.c.d."""
    try:
        made = ipaddress.ip_address(text(value))
    except ValueError as error:
        raise Wrong("an address is missing") from error
    return getattr(made, "ipv4_mapped", None) or made


# Statements, as DESIGN section 7 fixes their fields.

_ACCOUNT = shape(account=text)
_ADDRESSED: dict[str, Reader] = {
    "address": address, "port": nothing_or(integer), "protocol": integer, "at": time,
    "tolerance_seconds": integer,
}  # fmt: skip
_ADDRESS = shape(**_ADDRESSED)
_HOURS = shape(**{"from": hour, "to": hour})
_TARGETED: dict[str, Reader] = {"cidr": text, "from": time, "to": time}
_TARGET = shape(**_TARGETED)


def selector(value: Any) -> dict[str, Any]:
    is_account = isinstance(value, dict) and "account" in value
    made: dict[str, Any] = (_ACCOUNT if is_account else _ADDRESS)(value)
    return made


WARRANT = shape(
    v=version, id=text, nonce=hexadecimal(16), tenant=text, instrument=text, authority=text,
    purpose=one_of("resolve", "services", "reached"), basis=text, selectors=list_of(selector),
    targets=list_of(_TARGET), valid_from=time, valid_to=time, max_requests=integer,
    max_candidates=integer, recipient_keys=list_of(base64_bytes(1216)), notify=one_of("at-once"),
    **{"from": hour, "to": hour},
)  # fmt: skip
REQUEST = shape(
    v=version, request_id=hexadecimal(16), warrant_sha256=hexadecimal(32), created=time,
    selectors=list_of(selector), targets=list_of(_TARGET), hours=list_of(_HOURS),
    urgent=boolean, nonce=hexadecimal(16),
)  # fmt: skip
GRANT = shape(
    v=version, issuer=text, role=text, key=base64_bytes(32), holder=text,
    not_before=time, not_after=time,
)  # fmt: skip
DISCLOSURE = shape(
    v=version, request_sha256=hexadecimal(32), accounts=list_of(text), records=list_of(integer),
    opened_accounts=integer, answer_sha256=hexadecimal(32),
)  # fmt: skip
_SPAN: dict[str, Reader] = {"from": time, "to": time}
_GAP = shape(**_SPAN, why=text)
RECEIPT = shape(
    {"gaps": list_of(_GAP)}, v=version, state=one_of("accepted", "sealed"), tenant=text,
    collector=text, batch_id=hexadecimal(16), stream=text, sequence=integer, shard=integer,
    first_hour=hour, last_hour=hour, at=time, body_sha256=hexadecimal(32), records=integer,
    rejected=list_of(shape(reason=text, count=integer)), epochs=list_of(hexadecimal(16)),
)  # fmt: skip

# Answers: what each purpose says, besides what every answer does.

_EPOCH = shape(eid=hexadecimal(16), statement_sha256=hexadecimal(32))
_HOUR = shape(
    {"why": list_of(text)}, hour=hour, epochs=list_of(_EPOCH),
    coverage=one_of("COMPLETE", "INCOMPLETE", "UNSEALED"),
)  # fmt: skip
_SERVICE = shape(
    {"destination_port": integer}, account=text, destination_address=address, protocol=integer,
    service=text, records=integer, first=seen, last=seen,
)  # fmt: skip
_BY_SERVICE = shape(account=text, service=text, records=integer, destinations=integer)
_RESOLUTION = shape(
    **_ADDRESSED, verdict=one_of("UNIQUE", "HOLDER", "AMBIGUOUS", "NONE", "UNKNOWN"),
    candidates=integer, accounts=list_of(text),
)  # fmt: skip
_REACH = shape(
    {"first": seen, "last": seen}, **_TARGETED, account=text,
    verdict=one_of("YES", "NO", "UNKNOWN"), records=integer,
)  # fmt: skip
_EVERY_ANSWER: dict[str, Reader] = {
    "v": version, "request_sha256": hexadecimal(32), "tenant": text, "purpose": text,
    "notice": nothing_or(text), "hours": list_of(_HOUR), "accounts": list_of(text),
    "limits": list_of(text),
}  # fmt: skip
ANSWERS = {
    "resolve": shape(**_EVERY_ANSWER, resolutions=list_of(_RESOLUTION)),
    "services": shape(**_EVERY_ANSWER, records=integer, collapsed=integer,
                      services=list_of(_SERVICE), by_service=list_of(_BY_SERVICE)),
    "reached": shape(**_EVERY_ANSWER, reached=list_of(_REACH)),
}  # fmt: skip


@dataclass(frozen=True)
class Envelope:
    """A DSSE envelope: the exact bytes that were signed, and by whom."""

    kind: str
    payload: bytes
    signatures: dict[bytes, bytes]

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.payload).digest()

    def is_signed_by(self, key: bytes) -> bool:
        """Whether this key signed; a signature in its name that is not its own is refused."""
        signature = self.signatures.get(hashlib.sha256(key).digest()[:8])
        if signature is None:
            return False
        name = f"application/vnd.icr.{self.kind}.v1+json".encode()
        pae = b"DSSEv1 %d %s %d %s" % (len(name), name, len(self.payload), self.payload)
        if not _is_signature(key, signature, pae):
            raise Wrong(f"a signature on the {self.kind} is not its key's")
        return True


def _is_signature(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def envelope(kind: str) -> Reader:
    signature = shape(keyid=hexadecimal(8), sig=base64_bytes(64))
    read_outside = shape(payloadType=text, payload=base64_bytes(), signatures=list_of(signature))

    def read(value: Any) -> Envelope:
        outside = read_outside(value)
        if outside["payloadType"] != f"application/vnd.icr.{kind}.v1+json":
            raise Wrong(f"an envelope is not of a {kind}")
        signatures = {made["keyid"]: made["sig"] for made in outside["signatures"]}
        if len(signatures) != len(outside["signatures"]):
            raise Wrong("a key signed twice")
        return Envelope(kind, outside["payload"], signatures)

    return read


# The trust file and the package.

_KEEPER_TRUST = shape(
    role=one_of(*ROLES), instance=integer, name=text, identity_key=base64_bytes(32),
    log_key=base64_bytes(32), witness_key=base64_bytes(32),
)  # fmt: skip
_TRUST = shape(
    keepers=list_of(_KEEPER_TRUST), engines=map_of(base64_bytes(32)),
    authorities=map_of(base64_bytes(32)), sealers=map_of(base64_bytes(32)),
    receipt_key=base64_bytes(32),
)  # fmt: skip
_LEAF = {"index": integer, "leaf": text, "private": text, "proof": list_of(hexadecimal(32))}
_EVIDENCE = shape(checkpoint=text, leaves=list_of(shape(**_LEAF)))
_SALTED = shape(checkpoint=text, leaves=list_of(shape(**_LEAF, salt=hexadecimal(16))))
_ACCESS = shape(
    v=version, tenant=text, request_sha256=hexadecimal(32),
    leaves=list_of(shape(keeper=one_of(*ROLES), checkpoint=text, **_LEAF, salt=hexadecimal(16))),
)  # fmt: skip
_KEEPER = shape(name=text, commit=_EVIDENCE, release=_EVIDENCE, disclosure=_SALTED)
_PACKAGE = shape(
    v=version, answer=base64_bytes(), warrant=envelope("warrant"), request=envelope("request"),
    grants=list_of(envelope("grant")), disclosure=envelope("disclosure"),
    keepers=shape(operator=_KEEPER, oversight=_KEEPER),
)  # fmt: skip
_CERTIFICATE = shape(
    v=version, tenant=text, day=text,
    certificates=list_of(shape(role=one_of(*ROLES), evidence=_EVIDENCE)),
)  # fmt: skip
_SHRED = shape(
    v=version, type=one_of("shred"), tenant=text, day=text, epochs=integer, nonce=hexadecimal(16)
)

Trust = dict[str, Any]


def read_trust(raw: bytes) -> Trust:
    """The trust file: the keys that an outsider must know. Raises `Wrong`."""
    made: Trust = _TRUST(read_json(raw))
    return made


@dataclass(frozen=True)
class Proven:
    """What a package proves, once every check has passed."""

    checks: tuple[Check, ...]
    answer: dict[str, Any]
    answer_bytes: bytes
    warrant: dict[str, Any]
    request_sha256: bytes


@dataclass(frozen=True)
class Question:
    """One package, its statements parsed; no signature is checked by building it."""

    package: dict[str, Any]
    warrant: dict[str, Any]
    request: dict[str, Any]
    grants: list[dict[str, Any]]
    disclosure: dict[str, Any]

    @classmethod
    def read(cls, raw: bytes) -> "Question":
        package = _PACKAGE(read_json(raw))
        return cls(
            package,
            WARRANT(read_json(package["warrant"].payload)),
            REQUEST(read_json(package["request"].payload)),
            [GRANT(read_json(each.payload)) for each in package["grants"]],
            DISCLOSURE(read_json(package["disclosure"].payload)),
        )

    def speaks(self) -> dict[str, Any]:
        """What every private text about this question says, whoever logged it."""
        return {
            "tenant": self.warrant["tenant"],
            "request_sha256": self.package["request"].sha256,
            "warrant_sha256": self.package["warrant"].sha256,
            "hours": self.request["hours"],
            "purpose": self.warrant["purpose"],
            "authority": self.warrant["authority"],
            "instrument": self.warrant["instrument"],
        }

    def signers(self, kind: str, role: str) -> list[dict[str, Any]]:
        """The grants of this role, held when the request was made, whose keys signed; one at
        least."""
        created = self.request["created"]
        signed = [
            grant
            for grant in self.grants
            if grant["role"] == role
            and grant["not_before"] - SKEW <= created < grant["not_after"]
            and self.package[kind].is_signed_by(grant["key"])
        ]
        if not signed:
            raise Wrong(f"no granted {role} signed it")
        return signed


def verify_package(raw: bytes, trust: Trust, answer: bytes | None = None) -> Proven:
    """Check a package, and that its answer is ``answer`` if one is given.

    1. package: strict JSON, every field known.
    2. warrant: an applicant and an approver signed it, two keys that its authority's root granted.
    3. request: an investigator so granted signed it, for this warrant, while it was in force.
    4. scope: the request's selectors, targets and hours are within the warrant's.
    5. disclosure: an engine that we trust signed it, for this request and these answer bytes.
    6. answer: it is this request's, hour by hour, of its purpose's form, names whom the disclosure
       names, its verdicts follow from what it says beside them, and so do the counts of records.
    7 to 14, and again 15 to 22 for the other role: the keeper's log, see `_check_keeper`.
    23. coverage: its epochs are those that both keepers committed to; where the keepers differ, an
        hour is INCOMPLETE.

    Raises `CheckFailed`.
    """
    checks = Checks()
    question, hours = _check_question(checks, raw, trust, answer)
    committed = [_check_keeper(checks, question, trust, role) for role in ROLES]
    with checks.check("coverage", "its epochs are those that both keepers committed to"):
        _check_coverage(hours, *committed)
    answer_bytes, sha256 = question.package["answer"], question.package["request"].sha256
    said = read_json(answer_bytes)
    return Proven(tuple(checks.passed), said, answer_bytes, question.warrant, sha256)


def _check_question(
    checks: Checks, raw: bytes, trust: Trust, answer: bytes | None
) -> tuple[Question, list[dict[str, Any]]]:
    """The question, and the hours of its answer with their coverage."""
    with checks.check("package", "strict JSON, every field known"):
        question = Question.read(raw)
    with checks.check("warrant", "an applicant and an approver signed it, granted by the root"):
        _check_warrant(question, trust)
    with checks.check("request", "an investigator signed it, under this warrant, in time"):
        _check_request(question)
    with checks.check("scope", "selectors, targets and hours are within the warrant's"):
        _check_scope(question.request, question.warrant)
    with checks.check("disclosure", "a trusted engine signed it, for this request and answer"):
        _check_disclosure(question, trust)
    with checks.check("answer", "it answers this request, each hour, and names who was logged"):
        said = _check_answer(question, answer)
    return question, said["hours"]


def _check_warrant(question: Question, trust: Trust) -> None:
    root = trust["authorities"].get(question.warrant["authority"])
    if root is None:
        raise Wrong("its authority is not in the trust file")
    for signed, grant in zip(question.package["grants"], question.grants, strict=True):
        if grant["issuer"] != question.warrant["authority"] or not signed.is_signed_by(root):
            raise Wrong("a grant is not the authority's")
    # A key may have both roles, and a person two keys, but nobody approves alone.
    approvers = question.signers("warrant", "approver")
    if not any(
        one["key"] != other["key"] and one["holder"] != other["holder"]
        for one in question.signers("warrant", "applicant")
        for other in approvers
    ):
        raise Wrong("the applicant approved it")


def _check_request(question: Question) -> None:
    question.signers("request", "investigator")
    if question.request["warrant_sha256"] != question.package["warrant"].sha256:
        raise Wrong("it is of another warrant")
    valid_from, valid_to = question.warrant["valid_from"], question.warrant["valid_to"]
    if not valid_from - SKEW <= question.request["created"] < valid_to:
        raise Wrong("the warrant was not in force when it was made")


def _check_scope(request: dict[str, Any], warrant: dict[str, Any]) -> None:
    for name in ("selectors", "targets"):
        if any(asked not in warrant[name] for asked in request[name]):
            raise Wrong(f"{name} reach outside the warrant")
    if not request["selectors"] or not request["hours"]:
        raise Wrong("it asks nothing")
    end = warrant["from"]
    for hours in request["hours"]:
        if not end <= hours["from"] < hours["to"] <= warrant["to"]:
            raise Wrong("hours reach outside the warrant, or are out of order")
        end = hours["to"]


def _check_disclosure(question: Question, trust: Trust) -> None:
    signed, disclosure = question.package["disclosure"], question.disclosure
    if not any(signed.is_signed_by(key) for key in trust["engines"].values()):
        raise Wrong("no engine of the trust file signed it")
    if disclosure["request_sha256"] != question.package["request"].sha256:
        raise Wrong("it is of another request")
    if disclosure["answer_sha256"] != hashlib.sha256(question.package["answer"]).digest():
        raise Wrong("it is of another answer")
    if len(set(disclosure["accounts"])) != len(disclosure["accounts"]):
        raise Wrong("it names an account twice")
    if disclosure["opened_accounts"] < len(disclosure["accounts"]):
        raise Wrong("it names accounts that were not opened")
    if len(disclosure["records"]) != len(disclosure["accounts"]):
        raise Wrong("it does not count the records of each account")


def _check_answer(question: Question, given: bytes | None) -> dict[str, Any]:
    raw = question.package["answer"]
    if given is not None and given != raw:
        raise Wrong("the answer file is not the answer in the package")
    answer = read_json(raw)
    if not isinstance(answer, dict):
        raise Wrong("it is not an object")
    if answer.get("request_sha256") != question.package["request"].sha256.hex():
        raise Wrong("it is of another request")
    if any(answer.get(name) != question.warrant[name] for name in ("tenant", "purpose")):
        raise Wrong("it is of another tenant or purpose")
    said: dict[str, Any] = ANSWERS[question.warrant["purpose"]](answer)
    _check_names(question, answer)
    asked = [moment for hours in question.request["hours"] for moment in _hours_of(hours)]
    if [each["hour"] for each in said["hours"]] != asked:
        raise Wrong("it does not account for each hour that was asked for")
    _VERDICTS[question.warrant["purpose"]](question, said)
    return said


def _check_names(question: Question, answer: dict[str, Any]) -> None:
    named = list_of(text)(answer.get("accounts"))
    disclosed = set(question.disclosure["accounts"])
    if not disclosed == set(named) == set(_accounts_in(answer)):
        raise Wrong("it names other accounts than the disclosure does")
    selectors, warrant = question.request["selectors"], question.warrant
    if warrant["purpose"] == "resolve":
        # What is unique has a name; what is not has names up to the warrant's limit.
        if len(disclosed) > len(selectors) * max(warrant["max_candidates"], 1):
            raise Wrong("it names more accounts than the warrant allows")
    elif disclosed != {each.get("account") for each in selectors}:
        raise Wrong("it names other accounts than those that were asked for")


def _accounts_in(value: Any) -> Iterator[str]:
    """Every account that the answer names anywhere, however deep."""
    if isinstance(value, dict):
        if "account" in value:
            yield text(value["account"])
        yield from list_of(text)(value.get("accounts", []))
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _accounts_in(each)


def _records_of(question: Question) -> dict[str, int]:
    """From how many records of each account the answer was made, as it is logged."""
    disclosure = question.disclosure
    return dict(zip(disclosure["accounts"], disclosure["records"], strict=True))


def _check_resolutions(question: Question, said: dict[str, Any]) -> None:
    """Each address asked for has a verdict that fits its candidates, named if they may be."""
    resolved = said["resolutions"]
    if [{name: each[name] for name in _ADDRESSED} for each in resolved] != (
        question.request["selectors"]
    ):
        raise Wrong("it does not answer for each address that was asked for")
    most = max(question.warrant["max_candidates"], 1)
    for each in resolved:
        candidates, named = each["candidates"], each["accounts"]
        # Without a port, an address that is lent by blocks of ports names nobody.
        is_sure = _is_complete(_time_of(each), said["hours"])
        fits = {
            "NONE": candidates == 0 and is_sure,
            "UNKNOWN": candidates == 0 and not is_sure,
            "AMBIGUOUS": candidates > 0 or each["port"] is None,
        }
        if not fits.get(each["verdict"], candidates == 1):
            raise Wrong("a verdict does not fit its number of candidates, or the coverage")
        # AMBIGUOUS with one candidate: others may fit who are not known, so nobody is named.
        is_open = each["verdict"] == "AMBIGUOUS" and candidates == 1
        told = candidates if candidates <= most and not is_open else 0
        if not len(named) == len(set(named)) == told:
            raise Wrong("it does not name all candidates that may be named, and nobody else")


def _time_of(asked: dict[str, Any]) -> dict[str, Any]:
    """The time asked about, from and to, which is the first moment that is not in it."""
    around = timedelta(seconds=asked["tolerance_seconds"])
    end = asked["at"] + around + timedelta(microseconds=1)
    return {"from": asked["at"] - around, "to": end}


def _check_services(question: Question, said: dict[str, Any]) -> None:
    for table in ("services", "by_service"):
        if sum(each["records"] for each in said[table]) != said["records"]:
            raise Wrong("its tables do not add up to its records")
    if any(each["first"] > each["last"] for each in said["services"]):
        raise Wrong("a service was last used before it was first")
    counted = dict.fromkeys(question.disclosure["accounts"], 0)
    for each in said["services"]:
        counted[each["account"]] += each["records"]
    if counted != _records_of(question):
        raise Wrong("its records are not as many as the disclosure says")


def _check_reached(question: Question, said: dict[str, Any]) -> None:
    """Each account and network asked for has the verdict of its records and its coverage."""
    asked = [
        (selector["account"], *target.values())
        for selector in question.request["selectors"]
        for target in question.request["targets"]
    ]
    if [
        (each["account"], *(each[name] for name in _TARGETED)) for each in said["reached"]
    ] != asked:
        raise Wrong("it does not answer for each account and network that were asked for")
    for each in said["reached"]:
        no = "NO" if _is_complete(each, said["hours"]) else "UNKNOWN"
        if each["verdict"] != ("YES" if each["records"] else no):
            raise Wrong("a verdict does not follow from the records and the coverage")
        if each["records"] > _records_of(question)[each["account"]]:
            raise Wrong("it counts more records than the disclosure does")
        _check_times(each)


def _is_complete(target: dict[str, Any], hours: list[dict[str, Any]]) -> bool:
    """Whether every hour asked for that the target's time touches is COMPLETE, one at least."""
    touched = [
        each["coverage"]
        for each in hours
        if each["hour"] < target["to"] and target["from"] < each["hour"] + HOUR
    ]
    return bool(touched) and set(touched) == {"COMPLETE"}


def _check_times(each: dict[str, Any]) -> None:
    has_times = [name in each for name in ("first", "last")]
    if has_times != [each["verdict"] == "YES"] * 2:
        raise Wrong("a verdict has no times, or times that it cannot have")
    if all(has_times) and not each["from"] <= each["first"] <= each["last"] < each["to"]:
        raise Wrong("a time is not within its target's")


_VERDICTS = {"resolve": _check_resolutions, "services": _check_services, "reached": _check_reached}


def _check_coverage(
    hours: list[dict[str, Any]], commit: dict[str, Any], other: dict[str, Any]
) -> None:
    """The commits hash the epochs by (hour, eid): an answer cannot leave one out, or add one."""
    if any(each["coverage"] == "COMPLETE" and not each["epochs"] for each in hours):
        raise Wrong("an hour without an epoch is called COMPLETE")
    if commit["epochs_sha256"] != other["epochs_sha256"]:
        if not any(each["coverage"] == "INCOMPLETE" for each in hours):
            raise Wrong("the keepers list different epochs, and no hour is called INCOMPLETE")
        return
    listed = [each["eid"] + each["statement_sha256"] for h in hours for each in h["epochs"]]
    if hashlib.sha256(b"".join(listed)).digest() != commit["epochs_sha256"]:
        raise Wrong("its epochs are not those that the keepers committed to")


def _hours_of(hours: dict[str, Any]) -> list[datetime]:
    return [hours["from"] + HOUR * n for n in range((hours["to"] - hours["from"]) // HOUR)]


# What a keeper's log proves.


@dataclass(frozen=True)
class Checkpoint:
    """The size and root of a log, as its note says."""

    text: str
    origin: str
    size: int
    root: bytes
    signatures: tuple[tuple[str, bytes], ...]


def read_checkpoint(note: str) -> Checkpoint:
    """A checkpoint's text and signature lines; checks no signature."""
    body, blank, tail = note.rpartition("\n\n")
    signatures = tuple(_signature_line(line) for line in tail.split("\n")[:-1])
    lines = body.split("\n")
    if not blank or not tail.endswith("\n") or not signatures or len(lines) < 3:
        raise Wrong("a checkpoint is not a signed note")
    if any(ord(c) < 32 and c != "\n" for c in note) or not re.fullmatch(
        r"0|[1-9][0-9]{0,15}", lines[1], re.ASCII
    ):
        raise Wrong("a checkpoint is not well formed")
    root = base64_bytes(32)(lines[2])
    return Checkpoint(body + "\n", lines[0], int(lines[1]), root, signatures)


def _signature_line(line: str) -> tuple[str, bytes]:
    made = re.fullmatch(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/]+=*)", line)
    if made is None:
        raise Wrong("a checkpoint has a line that is no signature")
    return made[1], base64_bytes()(made[2])


def _note_signatures(note: Checkpoint, name: str, kind: int, key: bytes) -> list[bytes]:
    """The signatures in the name of this key; the key's hash is over name, kind and key."""
    key_hash = hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:4]
    return [raw[4:] for line, raw in note.signatures if line == name and raw[:4] == key_hash]


def check_log_signature(note: Checkpoint, key: bytes) -> None:
    found = _note_signatures(note, note.origin, 1, key)
    if not found or not all(_is_signature(key, each, note.text.encode()) for each in found):
        raise Wrong("a checkpoint is not signed by the log's key")


def check_cosignature(note: Checkpoint, name: str, key: bytes) -> None:
    """cosignature/v1: 8 bytes of time, then the signature over that time and the text."""
    found = _note_signatures(note, name, 4, key)
    for each in found:
        message = f"cosignature/v1\ntime {int.from_bytes(each[:8], 'big')}\n{note.text}"
        if not _is_signature(key, each[8:], message.encode()):
            raise Wrong("a checkpoint's cosignature is not the other keeper's")
    if not found:
        raise Wrong("the other keeper did not cosign a checkpoint")


def root_of(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that an audit path leads to (RFC 6962, 2.1.1): the split of the tree, backwards."""
    if not 0 <= index < size or (size == 1) != (not path):
        raise Wrong("an inclusion proof is of the wrong length")
    if size == 1:
        return leaf
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        return _node(root_of(leaf, index, split, path[:-1]), path[-1])
    return _node(path[-1], root_of(leaf, index - split, size - split, path[:-1]))


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Leaf:
    """The public lines of a leaf."""

    type: str
    day: str
    due: str
    private_sha256: bytes


def read_leaf(raw: str) -> Leaf:
    day = r"\d{4}-\d\d-\d\d"
    form = rf"v=1\ntype=([a-z]+)\nday=({day})\ndue=({day}|-)\ntag=[0-9a-f]{{32}}\n"
    made = re.fullmatch(form + r"private-sha256=([0-9a-f]{64})\n", raw, re.ASCII)
    if made is None:
        raise Wrong("a leaf is not well formed")
    return Leaf(made[1], made[2], made[3], bytes.fromhex(made[4]))


_SPEAKS = {
    "v": version, "type": one_of(*STEPS), "tenant": text, "nonce": hexadecimal(16),
    "request_sha256": hexadecimal(32), "warrant_sha256": hexadecimal(32),
    "subject": hexadecimal(32), "hours": list_of(_HOURS), "purpose": text, "authority": text,
    "instrument": text,
}  # fmt: skip
_SPOKEN = _SPEAKS.keys() - {"type", "nonce", "subject"}
_PRIVATE = {
    "commit": shape(**_SPEAKS, epochs_sha256=hexadecimal(32)),
    "release": shape(**_SPEAKS),
    "disclosure": shape(**_SPEAKS, answer_sha256=hexadecimal(32), opened_accounts=integer,
                        records=integer),
}  # fmt: skip


def _check_keeper(checks: Checks, question: Question, trust: Trust, role: str) -> dict[str, Any]:
    """Check one keeper's evidence and return its commit's private text.

    7. keeper: it is in the trust file, and so is one of the other role with other keys.
    8. log: its three checkpoints are signed by its log key, of one log under its name.
    9. witness: the other keeper cosigned each of them.
    10. inclusion: commit, release and disclosure leaves are in the log.
    11. leaf: one for each subject, of its type and day, with its private text's digest.
    12. private: the private texts speak of this request, and of nothing else.
    13. order: commit before release before disclosure.
    14. subjects: each account's salted commitment is the logged one, and so is its count.
    """
    evidence = question.package["keepers"][role]
    with checks.check(f"{role}-keeper", "the trust file has it, and one of the other role"):
        mine, other = _keeper_of(trust, role, evidence["name"])
    with checks.check(f"{role}-log", f"three checkpoints signed by {mine['name']}"):
        notes = {step: read_checkpoint(evidence[step]["checkpoint"]) for step in STEPS}
        _check_notes(list(notes.values()), mine)
    with checks.check(f"{role}-witness", f"each cosigned by {other['name']}"):
        for note in notes.values():
            check_cosignature(note, f"{other['name']}/witness", other["witness_key"])
    with checks.check(f"{role}-inclusion", "commit, release and disclosure leaves are in the log"):
        for step in STEPS:
            _check_inclusion(evidence[step]["leaves"], notes[step])
    with checks.check(f"{role}-leaf", "one a subject, of its type and day, of its private text"):
        _check_leaves(question, evidence)
    with checks.check(f"{role}-private", "the private texts speak of this request"):
        commit = _check_private(question, evidence)
    with checks.check(f"{role}-order", "commit before release before disclosure"):
        _check_order(evidence)
    with checks.check(f"{role}-subjects", "each account's salted commitment is the logged one"):
        _check_subjects(question, evidence)
    return commit


def _keeper_of(trust: Trust, role: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keeper that the package names, and the one that must have cosigned: the other role's."""
    mine = [each for each in trust["keepers"] if (each["role"], each["name"]) == (role, name)]
    others = [each for each in trust["keepers"] if each["role"] != role]
    if len(mine) != 1 or len(others) != 1:
        raise Wrong("the trust file does not have this keeper and one of the other role")
    keys = [each[key] for each in (*mine, *others) for key in ("log_key", "witness_key")]
    if len(set(keys)) != len(keys):
        raise Wrong("one key of the trust file stands for two")
    return mine[0], others[0]


def _check_notes(notes: list[Checkpoint], mine: dict[str, Any]) -> None:
    for note in notes:
        if not re.fullmatch(re.escape(mine["name"]) + "/[0-9a-f]{16}", note.origin, re.ASCII):
            raise Wrong("a checkpoint is of a log that is not under the keeper's name")
        check_log_signature(note, mine["log_key"])
    if len({note.origin for note in notes}) != 1:
        raise Wrong("the checkpoints are of different logs")
    if len({(note.size, note.root) for note in notes}) != len({note.size for note in notes}):
        raise Wrong("two checkpoints of one size have different roots")


def _check_inclusion(leaves: list[dict[str, Any]], note: Checkpoint) -> None:
    for each in leaves:
        leaf = hashlib.sha256(b"\x00" + each["leaf"].encode()).digest()
        if root_of(leaf, each["index"], note.size, each["proof"]) != note.root:
            raise Wrong("a leaf is not in the log")


def _check_leaves(question: Question, evidence: dict[str, Any]) -> None:
    subjects = {
        "commit": len(question.request["selectors"]),
        "release": len(question.request["selectors"]),
        "disclosure": len(question.disclosure["accounts"]),
    }
    days: dict[str, set[str]] = {}
    for step in STEPS:
        leaves = [read_leaf(each["leaf"]) for each in evidence[step]["leaves"]]
        if len(leaves) != subjects[step] or any(leaf.type != step for leaf in leaves):
            raise Wrong(f"there is not one {step} leaf for each subject")
        for leaf, each in zip(leaves, evidence[step]["leaves"], strict=True):
            if leaf.private_sha256 != hashlib.sha256(each["private"].encode()).digest():
                raise Wrong(f"a {step} leaf is of another private text")
            _check_due(step, leaf, question.warrant["purpose"])
        days[step] = {leaf.day for leaf in leaves}
    _check_days(days, question.request["created"])


def _check_due(step: str, leaf: Leaf, purpose: str) -> None:
    """A notice falls due on the day of a release or disclosure that is of an account."""
    owed = step == "disclosure" or (step == "release" and purpose != "resolve")
    if leaf.due != (leaf.day if owed else "-"):
        raise Wrong(f"a {step} leaf's notice is due on another day")


def _check_days(days: dict[str, set[str]], created: datetime) -> None:
    moment, last = created - SKEW, created + REQUEST_LIFE + SKEW
    if not days["commit"] <= {moment.date().isoformat(), last.date().isoformat()}:
        raise Wrong("the commit was logged on another day than the request was made")
    if max(days["commit"]) > min(days["release"]):
        raise Wrong("the release was logged on an earlier day than the commit")
    if days["disclosure"] and max(days["release"]) > min(days["disclosure"]):
        raise Wrong("the disclosure was logged on an earlier day than the release")


def _check_private(question: Question, evidence: dict[str, Any]) -> dict[str, Any]:
    commits = [_read_private("commit", each) for each in evidence["commit"]["leaves"]]
    for step in STEPS:
        expected = {**question.speaks(), "type": step}
        if step == "commit":  # One question has one list of epochs, whichever selector.
            expected["epochs_sha256"] = commits[0]["epochs_sha256"]
        if step == "disclosure":
            expected["answer_sha256"] = question.disclosure["answer_sha256"]
            expected["opened_accounts"] = question.disclosure["opened_accounts"]
        for each in evidence[step]["leaves"]:
            private = _read_private(step, each)
            for name, value in expected.items():
                if private[name] != value:
                    raise Wrong(f"a {step} private text differs in {name}")
    return commits[0]


def _read_private(step: str, leaf: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = _PRIVATE[step](read_json(leaf["private"].encode()))
    return made


def _check_order(evidence: dict[str, Any]) -> None:
    indexes = [[each["index"] for each in evidence[step]["leaves"]] for step in STEPS]
    flat = [index for step in indexes for index in step]
    if len(set(flat)) != len(flat):
        raise Wrong("one leaf stands for two")
    if any(a and b and max(a) >= min(b) for a, b in pairwise(indexes)):
        raise Wrong("the leaves are not in the order commit, release, disclosure")


def _check_subjects(question: Question, evidence: dict[str, Any]) -> None:
    leaves = evidence["disclosure"]["leaves"]
    for (account, records), each in zip(_records_of(question).items(), leaves, strict=True):
        private = _read_private("disclosure", each)
        if private["subject"] != subject(each["salt"], account):
            raise Wrong("an account is not the one that was logged")
        if private["records"] != records:
            raise Wrong("an account has another number of records than was logged")


def subject(salt: bytes, account: str) -> bytes:
    """``SHA-256(enc("icr/v1/subject", salt, account))``: how a log names an account."""
    parts = (b"icr/v1/subject", salt, account.encode())
    encoded = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return hashlib.sha256(encoded).digest()


def verify_access(raw: bytes, account: str, trust: Trust) -> tuple[tuple[Check, ...], Any]:
    """Check what a subscriber downloaded, and return what both keepers logged of this access.

    1. proof: strict JSON, every field known.
    2 to 7, and again 8 to 13 for the other role: the keeper's leaves, see `_check_logged`.
    14. both: the two keepers logged the same.

    Raises `CheckFailed`.
    """
    checks = Checks()
    with checks.check("proof", "strict JSON, every field known"):
        proof = _ACCESS(read_json(raw))
    said, other = (_check_logged(checks, proof, account, trust, role) for role in ROLES)
    with checks.check("both", "the two keepers logged the same"):
        if said != other:
            raise Wrong("the keepers do not say the same")
    return tuple(checks.passed), said[-1]


def _check_logged(
    checks: Checks, proof: dict[str, Any], account: str, trust: Trust, role: str
) -> list[dict[str, Any]]:
    """Check one keeper's leaves about an account and return what they say, in their order.

    1. log: its checkpoints are signed by its log key, of one log under its name.
    2. witness: the other keeper cosigned each of them.
    3. inclusion: each leaf is in the log.
    4. leaf: a release, a disclosure or both, as the purpose has them, each of its private text.
    5. private: the private texts speak of this request alone.
    6. subject: each salted commitment is to this account.
    """
    leaves = sorted(
        (each for each in proof["leaves"] if each["keeper"] == role), key=lambda one: one["index"]
    )
    with checks.check(f"{role}-log", "signed by a keeper of the trust file, of one log"):
        notes = [read_checkpoint(each["checkpoint"]) for each in leaves]
        if not notes:
            raise Wrong("this keeper logged nothing")
        mine, other = _keeper_of(trust, role, notes[0].origin.rpartition("/")[0])
        _check_notes(notes, mine)
    with checks.check(f"{role}-witness", f"each cosigned by {other['name']}"):
        for note in notes:
            check_cosignature(note, f"{other['name']}/witness", other["witness_key"])
    with checks.check(f"{role}-inclusion", "each leaf is in the log"):
        for each, note in zip(leaves, notes, strict=True):
            _check_inclusion([each], note)
    with checks.check(f"{role}-leaf", "of its type and day, of its private text"):
        said = [_read_logged(each) for each in leaves]
    with checks.check(f"{role}-private", "the private texts speak of this request"):
        _check_one_request(proof, said)
    with checks.check(f"{role}-subject", "each salted commitment is to this account"):
        if any(one["subject"] != subject(each["salt"], text(account))
               for one, each in zip(said, leaves, strict=True)):  # fmt: skip
            raise Wrong("it is about another account")
    return [{name: one[name] for name in one if name not in ("nonce", "subject")} for one in said]


def _read_logged(each: dict[str, Any]) -> dict[str, Any]:
    leaf = read_leaf(each["leaf"])
    if leaf.private_sha256 != hashlib.sha256(each["private"].encode()).digest():
        raise Wrong("a leaf is of another private text")
    if leaf.type not in STEPS:
        raise Wrong("a leaf is of no access")
    said = _read_private(leaf.type, each)
    _check_due(leaf.type, leaf, said["purpose"])
    if said["type"] != leaf.type:
        raise Wrong("a private text is of another type")
    return said


def _check_one_request(proof: dict[str, Any], said: list[dict[str, Any]]) -> None:
    purpose, steps = said[0]["purpose"], [one["type"] for one in said]
    # An address's release is nobody's: who is named by it is told by the disclosure.
    may = [["disclosure"]] if purpose == "resolve" else [["release"], ["release", "disclosure"]]
    if steps not in may:
        raise Wrong("there is not one leaf for each step of the access")
    spoken = [{name: one[name] for name in _SPOKEN} for one in said]
    if any(one != spoken[0] for one in spoken):
        raise Wrong("the private texts are of different requests")
    if any(spoken[0][name] != proof[name] for name in ("tenant", "request_sha256")):
        raise Wrong("the private texts are of another request or tenant")


def verify_receipt(raw: bytes, trust: Trust) -> tuple[tuple[Check, ...], dict[str, Any]]:
    """Check a receipt and return what it says.

    1. receipt: strict JSON, every field known.
    2. signature: the inbox's receipt key signed an *accepted* one; a sealer, a *sealed* one.

    Raises `CheckFailed`.
    """
    checks = Checks()
    with checks.check("receipt", "strict JSON, every field known"):
        signed = envelope("receipt")(read_json(raw))
        receipt = RECEIPT(read_json(signed.payload))
    is_sealed = receipt["state"] == "sealed"
    with checks.check("signature", "by a sealer host" if is_sealed else "by the receipt key"):
        keys = trust["sealers"].values() if is_sealed else [trust["receipt_key"]]
        if not any(signed.is_signed_by(key) for key in keys):
            raise Wrong("no key of the trust file that may sign it did")
    return tuple(checks.passed), receipt


def verify_certificate(raw: bytes, trust: Trust) -> tuple[tuple[Check, ...], dict[str, Any]]:
    """Check that both roles certified a day's destruction; say which day, and of how many epochs.

    1. certificate: strict JSON, every field known, one certificate of each role.
    2. log: each checkpoint is signed by the log key of a keeper of that role in the trust file.
    3. witness: the other keeper cosigned it.
    4. inclusion: the leaf is in the log.
    5. leaf: it certifies this day of this tenant, and not before the day's year was over.

    Raises `CheckFailed`.
    """
    checks, epochs = Checks(), {}
    with checks.check("certificate", "strict JSON, every field known, one of each role"):
        shown = _CERTIFICATE(read_json(raw))
        by_role = {one["role"]: one["evidence"] for one in shown["certificates"]}
        if set(by_role) != set(ROLES) or len(shown["certificates"]) != len(ROLES):
            raise Wrong("there is not one certificate of each role")
    for role, evidence in by_role.items():
        epochs[role] = _check_certificate(checks, shown, role, evidence, trust)
    said = {f"epochs_{role}": epochs[role] for role in ROLES}
    return tuple(checks.passed), {"tenant": shown["tenant"], "day": shown["day"], **said}


def _check_certificate(
    checks: Checks, shown: dict[str, Any], role: str, evidence: dict[str, Any], trust: Trust
) -> int:
    """Checks 2 to 5 for one role; how many epochs it says there were."""
    with checks.check(f"{role}-log", "a checkpoint signed by the keeper's log key"):
        note = read_checkpoint(evidence["checkpoint"])
        mine, other = _keeper_of(trust, role, note.origin.rpartition("/")[0])
        _check_notes([note], mine)
    with checks.check(f"{role}-witness", f"cosigned by {other['name']}"):
        check_cosignature(note, f"{other['name']}/witness", other["witness_key"])
    with checks.check(f"{role}-inclusion", "the leaf is in the log"):
        if len(evidence["leaves"]) != 1:
            raise Wrong("there is not one leaf")
        _check_inclusion(evidence["leaves"], note)
    with checks.check(f"{role}-leaf", "of this tenant and day, written when its year was over"):
        return _check_shred(shown, evidence["leaves"][0])


def _check_shred(shown: dict[str, Any], each: dict[str, Any]) -> int:
    leaf, private = read_leaf(each["leaf"]), each["private"].encode()
    if leaf.type != "shred" or leaf.private_sha256 != hashlib.sha256(private).digest():
        raise Wrong("the leaf is no certificate, or of another private text")
    said = _SHRED(read_json(private))
    if (said["tenant"], said["day"]) != (shown["tenant"], shown["day"]):
        raise Wrong("the leaf certifies another day, or another tenant's")
    try:
        over = date.fromisoformat(said["day"]) + timedelta(days=365)
        is_early = date.fromisoformat(leaf.day) < over
    except (ValueError, OverflowError):
        raise Wrong("a day is none") from None
    if is_early:
        raise Wrong("the leaf was written before the day's year was over")
    epochs: int = said["epochs"]
    return epochs


# A log that forked.

_FORK = shape(v=version, notes=list_of(text), path=list_of(hexadecimal(32)))


def verify_fork(raw: bytes, trust: Trust) -> tuple[tuple[Check, ...], dict[str, Any]]:
    """Check that a keeper signed two checkpoints of one log that cannot both be true.

    1. evidence: strict JSON with two checkpoints, the smaller one first, and a path.
    2. log: both are of one log, and signed by the log key of one keeper in the trust file.
    3. fork: of one size they have different roots; or the path leads to the root of the larger, and
       to another root of as many leaves as the smaller one has.

    A consistency proof that fails is no evidence, since anybody can make one; a path that leads to
    the larger root is made of what that keeper signed. Raises `CheckFailed`.
    """
    checks = Checks()
    with checks.check("evidence", "two checkpoints and a path"):
        shown = _FORK(read_json(raw))
        if len(shown["notes"]) != 2:
            raise Wrong("there must be two checkpoints")
        small, large = (read_checkpoint(each) for each in shown["notes"])
        if small.size > large.size:
            raise Wrong("the smaller checkpoint must come first")
    with checks.check("log", "both signed by one keeper's log key"):
        name = small.origin.rpartition("/")[0]
        keepers = [each for each in trust["keepers"] if each["name"] == name]
        if len(keepers) != 1 or small.origin != large.origin:
            raise Wrong("they are not two checkpoints of one log of a keeper in the trust file")
        for note in (small, large):
            check_log_signature(note, keepers[0]["log_key"])
    with checks.check("fork", "no log can have both roots"):
        _check_fork(small, large, shown["path"])
    said = {"keeper": keepers[0]["role"], "log": small.origin}
    return tuple(checks.passed), said | {"sizes": [small.size, large.size]}


def _check_fork(small: Checkpoint, large: Checkpoint, path: Sequence[bytes]) -> None:
    if small.size == large.size or small.size == 0:
        if path or small.size != large.size or small.root == large.root:
            raise Wrong("both can be true")
        return
    begun, whole = _both_roots(small.size, large.size, path)
    if whole != large.root:
        raise Wrong("the path does not lead to the larger checkpoint")
    if begun == small.root:
        raise Wrong("both can be true")


def _both_roots(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of the first ``old`` leaves and of all ``new``: RFC 6962, 2.1.2, backwards, with
    the first node always told."""
    if not path or (old == new) != (len(path) == 1):
        raise Wrong("the path is of the wrong length")
    if old == new:
        return path[0], path[0]
    split = 1 << (new - 1).bit_length() - 1
    if old <= split:
        begun, left = _both_roots(old, split, path[:-1])
        return begun, _node(left, path[-1])
    begun, right = _both_roots(old - split, new - split, path[:-1])
    return _node(path[-1], begun), _node(path[-1], right)


# The command.

_EXAMPLES = """examples:
  icr-verify answer proof.json --trust trust.json --answer answer.json
  icr-verify receipt receipt.json --trust trust.json
  icr-verify access access-1f2e.json --account 12345 --trust trust.json
  icr-verify certificate certificate.json --trust trust.json
  icr-verify fork fork.json --trust trust.json

exit: 0 every check passed, 1 a check failed (named), 64 usage, 66 a file cannot be used"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``icr-verify``; returns its exit status."""
    try:
        given = _parser().parse_args(argv)
    except SystemExit as stop:
        return USAGE if stop.code else OK
    try:
        trust = read_trust(_read_file(given.trust))
        raw = _read_file(given.file)
        answer = _read_file(given.answer) if getattr(given, "answer", None) else None
    except OSError as error:
        return _unusable(str(error.filename), error.strerror or "cannot be read")
    except Wrong as error:
        return _unusable(given.trust, f"it is not a trust file: {error}")
    try:
        checks, says = _verify(given, raw, trust, answer)
    except CheckFailed as error:
        return _tell(given.json, error.passed, {}, error)
    return _tell(given.json, checks, says, None)


def _verify(
    given: argparse.Namespace, raw: bytes, trust: Trust, answer: bytes | None
) -> tuple[tuple[Check, ...], dict[str, Any]]:
    if given.what == "access":
        checks, logged = verify_access(raw, given.account, trust)
        return checks, _told_of(logged)
    if given.what == "answer":
        proven = verify_package(raw, trust, answer)
        said = {"answer_sha256": hashlib.sha256(proven.answer_bytes).hexdigest()}
        return proven.checks, said | {"accounts_named": len(proven.answer["accounts"])}
    if given.what == "certificate":
        return verify_certificate(raw, trust)
    if given.what == "fork":
        return verify_fork(raw, trust)
    checks, receipt = verify_receipt(raw, trust)
    said = {name: receipt[name] for name in ("state", "tenant", "collector", "records")}
    gaps = [f"{one['from']:%Y-%m-%dT%H:%MZ} to {one['to']:%Y-%m-%dT%H:%MZ}, {one['why']}"
            for one in receipt.get("gaps", ())]  # fmt: skip
    return checks, said | {"batch_id": receipt["batch_id"].hex(), "gaps": gaps}


def _told_of(logged: dict[str, Any]) -> dict[str, Any]:
    hours = [f"{one['from']:%Y-%m-%dT%H:%MZ} to {one['to']:%Y-%m-%dT%H:%MZ}"
             for one in logged["hours"]]  # fmt: skip
    said = {name: logged[name] for name in ("tenant", "authority", "purpose", "instrument")}
    said |= {"hours": hours, "answered": logged["type"] == "disclosure"}
    return said | {name: logged[name] for name in ("records",) if name in logged}


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="icr-verify",
        description="Check offline that what you were given is true and not changed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = "answer|access|receipt|certificate|fork"
    commands = top.add_subparsers(dest="what", required=True, metavar=kinds)
    for name, about in (
        ("answer", "a package (proof.json) that `icr open` wrote"),
        ("access", "the proof that a subscriber downloaded, of an access to their records"),
        ("receipt", "a signed receipt of a batch"),
        ("certificate", "both keepers' certificates that a day is destroyed"),
        ("fork", "that a keeper signed two histories of one log"),
    ):
        command = commands.add_parser(name, help=about, description=f"Check {about}.")
        command.add_argument("file", metavar="FILE", help=about)
        command.add_argument("--trust", required=True, help="the installation's public keys")
        command.add_argument("--json", action="store_true", help="one JSON object on stdout")
        if name == "access":
            command.add_argument("--account", required=True, help="whose records they are")
        if name == "answer":
            command.add_argument("--answer", help="the answer.json that must be the proven one")
    return top


def _read_file(path: str) -> bytes:
    return Path(path).read_bytes()


def _unusable(path: str, why: str) -> int:
    print(f"icr-verify: {path}: {why}", file=sys.stderr)
    return NO_INPUT


def _tell(
    as_json: bool, passed: Sequence[Check], says: dict[str, Any], error: CheckFailed | None
) -> int:
    if as_json:
        told: dict[str, Any] = {"ok": error is None, **says}
        told["checks"] = [{"check": each.name, "shows": each.shows} for each in passed]
        if error:
            told["failed"] = {"check": error.name, "why": error.why}
        print(json.dumps(told, sort_keys=True))
        return FAILED if error else OK
    for number, each in enumerate(passed, 1):
        print(f"{number:3}  ok      {each.name:20} {each.shows}")
    if error:
        print(f"{len(passed) + 1:3}  FAILED  {error.name:20} {error.why}")
        return FAILED
    print(f"all {len(passed)} checks passed")
    for name, value in says.items():
        print(f"     {name}: {value}")
    return OK


if __name__ == "__main__":
    sys.exit(main())
