"""Public keys as operators give them: base64, or a file that has one."""

import json
from pathlib import Path

from django.core.management.base import CommandError

from icrstore.warrant.strict import decode_base64


def public_key(given: str) -> bytes:
    """32 bytes of an Ed25519 public key. Raises `CommandError` with the mend."""
    text = given
    if Path(given).is_file():
        text = Path(given).read_text().strip()
        if text.startswith("{"):
            text = str(json.loads(text).get("public", ""))
    key = decode_base64(text)
    if key is None or len(key) != 32:
        raise CommandError(
            "not an Ed25519 public key: give 44 characters of base64, or the file that"
            " `icr key new` or `icr-collect key` wrote"
        )
    return key
