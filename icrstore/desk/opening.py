"""Opens a sealed answer: decrypts it, checks everything that icr-verify checks, then shows it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from icrstore.desk.asking import SEALED_FILE, printable
from icrstore.desk.papers import read_file
from icrstore.seal.encode import enc
from icrstore.shell.keyfile import KeyFile, write_secret
from icrstore.shell.stop import DATA, REFUSED, USAGE, Stop
from icrstore.verify import icr_verify
from icrstore.verify.icr_verify import CheckFailed, Proven, Wrong
from icrstore.wire import hpke

TOP_DESTINATIONS = 20
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}


def open_answer(sealed: Path, key: KeyFile, trust: Path) -> tuple[bytes, Proven]:
    """The package inside, every check passed. Raises `Stop`; nothing unproven is shown.

    1. The file is sealed to this key, for the query that it names.
    2. The package passes every check of icr-verify, with the accounts as both keepers logged them.
    3. It is of that query.
    """
    query, package = _unseal(sealed, key)
    try:
        known = icr_verify.read_trust(read_file(trust))
    except Wrong as error:
        raise Stop(DATA, f"{trust}: no trust file ({error}): fetch it from the store") from None
    try:
        proven = icr_verify.verify_package(package, known)
    except CheckFailed as error:
        why = "this answer is not to be believed or used: report it to oversight"
        raise Stop(DATA, f"{sealed}: {error}: {why}") from None
    if proven.request_sha256 != query:
        raise Stop(DATA, f"{sealed}: the answer inside is to another request: report it")
    return package, proven


def _unseal(path: Path, key: KeyFile) -> tuple[bytes, bytes]:
    try:
        made = SEALED_FILE(icr_verify.read_json(read_file(path)))
    except Wrong as error:
        mend = "give the file that `icr ask` wrote"
        raise Stop(DATA, f"{path}: no sealed answer ({error}): {mend}") from None
    ours = [each["sealed"] for each in made["sealed"] if each["keyid"].hex() == key.keyid]
    if not ours:
        raise Stop(REFUSED, f"{path}: not sealed to this key: the warrant names others")
    try:
        info = enc(b"icr/v1/answer", made["query"])
        return made["query"], hpke.open_(key.recipient(), info, ours[0])
    except hpke.DoesNotOpen:
        raise Stop(DATA, f"{path}: corrupted or tampered with: fetch it again") from None


def write_answer(folder: Path, package: bytes, proven: Proven) -> None:
    """answer.json and proof.json, for their owner alone. Raises `Stop` rather than replace one."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(USAGE, f"{folder}: {error.strerror}: name a folder that can be made") from None
    write_secret(folder / "answer.json", proven.answer_bytes)
    write_secret(folder / "proof.json", package)


def report(proven: Proven) -> Iterator[str]:
    """The service report for people. Raises `Stop` for an answer of another form."""
    try:
        yield from _report(proven.answer, proven.warrant)
    except (KeyError, TypeError, ValueError, AttributeError):
        why = "proven, but of a form that this version cannot show: read answer.json"
        raise Stop(DATA, why) from None


def _report(answer: dict[str, Any], warrant: dict[str, Any]) -> Iterator[str]:
    instrument, authority = printable(warrant["instrument"]), printable(warrant["authority"])
    yield f"services, under {instrument} of {authority}, from {printable(answer['tenant'])}"
    if answer["notice"]:
        yield f"NOTE {printable(answer['notice'])}"
    yield ""
    yield from _coverage(answer["hours"])
    yield f"records     {answer['records']}, and {answer['collapsed']} equal to one of them"
    for account in answer["accounts"]:
        yield from _account(answer, account)
    yield ""
    yield "What this cannot show:"
    yield from (f"  - {printable(limit)}" for limit in answer["limits"])


def _coverage(hours: list[dict[str, Any]]) -> Iterator[str]:
    """One line for each state, its hours joined to ranges."""
    by_state: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in hours:
        by_state[each["coverage"]].append(each)
    for state in ("COMPLETE", "INCOMPLETE", "UNSEALED"):
        if found := by_state[state]:
            ranges = ", ".join(_ranges(datetime.fromisoformat(each["hour"]) for each in found))
            reasons = sorted({printable(why) for each in found for why in each.get("why", ())})
            because = f" ({'; '.join(reasons)})" if reasons else ""
            yield f"{state:11} {len(found)} of {len(hours)} hours: {ranges}{because}"


def _ranges(hours: Iterable[datetime]) -> Iterator[str]:
    first = end = None
    for each in hours:
        if first and end and each != end:
            yield _range(first, end)
            first = None
        first, end = first or each, each + timedelta(hours=1)
    if first and end:
        yield _range(first, end)


def _range(first: datetime, end: datetime) -> str:
    shown = f"{end:%H}" if end.date() == first.date() else f"{end:%Y-%m-%d %H}"
    return f"{first:%Y-%m-%d %H} to {shown} UTC"


def _account(answer: dict[str, Any], account: str) -> Iterator[str]:
    def of_account(name: str) -> list[dict[str, Any]]:
        return sorted(
            (each for each in answer[name] if each["account"] == account),
            key=lambda each: -each["records"],
        )

    yield ""
    yield f"account {printable(account)}"
    yield f"  {'service':24} {'records':>10} {'destinations':>13}"
    for each in of_account("by_service"):
        service = printable(each["service"])
        yield f"  {service:24} {each['records']:10} {each['destinations']:13}"
    services = of_account("services")
    yield f"  most used destinations, {min(TOP_DESTINATIONS, len(services))} of {len(services)}"
    for each in services[:TOP_DESTINATIONS]:
        seen = f"{printable(each['first'])} to {printable(each['last'])}"
        service = printable(each["service"])
        yield f"  {_destination(each):46} {service:16} {each['records']:8}  {seen}"


def _destination(each: dict[str, Any]) -> str:
    protocol = _PROTOCOLS.get(each["protocol"], f"protocol {each['protocol']}")
    port = each.get("destination_port")
    shown = f"{protocol}/{port}" if port is not None else protocol
    return f"{printable(each['destination_address'])} {shown}"
