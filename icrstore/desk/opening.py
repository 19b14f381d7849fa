"""Opens a sealed answer: decrypts it, checks everything that icr-verify checks, keeps both."""

from pathlib import Path

from icrstore.desk.asking import SEALED_FILE
from icrstore.seal.encode import enc
from icrstore.shell.keyfile import KeyFile, read_file, write_secret
from icrstore.shell.stop import DATA, REFUSED, USAGE, Stop
from icrstore.verify import icr_verify
from icrstore.verify.icr_verify import CheckFailed, Proven, Wrong
from icrstore.wire import hpke


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
