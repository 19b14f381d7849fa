"""Needles: every way in which a known account, address or run of ports could lie in the clear.

Each is one pattern of bytes. Text is looked for as UTF-8, UTF-16, hex and base64 at all three
offsets; bytes raw, as hex and as base64. zstd frames are inflated and searched too, and a segment
before it is sealed shows by the byte planes of its ports.
"""

import base64
import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import zstandard

from tests.attacks.known import Known
from tests.attacks.subscribers import Secrets

_ZSTD = b"\x28\xb5\x2f\xfd"
_INFLATED_BYTES = 1 << 22


@dataclass(frozen=True)
class Needle:
    """A name such as "account: base64+1", and where it first occurs in some bytes (-1: nowhere)."""

    name: str
    where: Callable[[bytes], int]


Disguise = Callable[[bytes], bytes]


def _base64(offset: int) -> Disguise:
    """As it stands within base64 of something longer, ``offset`` bytes after a multiple of three:
    without the characters that its neighbours have a part in."""

    def disguise(content: bytes) -> bytes:
        encoded = base64.b64encode(bytes(offset) + content)
        end = len(encoded) - 4 if (offset + len(content)) % 3 else len(encoded)
        return encoded[-(-offset * 4 // 3) : end]

    return disguise


BINARY: dict[str, Disguise] = {
    "as it is": bytes,
    "hex": lambda content: content.hex().encode(),
    "HEX": lambda content: content.hex().upper().encode(),
    **{f"base64+{offset}": _base64(offset) for offset in range(3)},
}
_TEXT: dict[str, Disguise] = {
    **BINARY,
    "UTF-16LE": lambda text: text.decode().encode("utf-16-le"),
    "UTF-16BE": lambda text: text.decode().encode("utf-16-be"),
}

# How a whole file is spelled in each of these ways.
SPELLINGS: dict[str, Disguise] = {
    **{name: disguise for name, disguise in BINARY.items() if not name.startswith("base64")},
    "base64": base64.b64encode,
    "UTF-16LE": lambda content: content.decode("latin-1").encode("utf-16-le"),
    "UTF-16BE": lambda content: content.decode("latin-1").encode("utf-16-be"),
}


def needles_of(known: Known) -> list[Needle]:
    """Every needle of these records."""
    marks = known.marks
    v4, v6 = marks.v4_text(0)[:-1], marks.v6_text(1)[:-2]
    ports = [port.to_bytes(2, "little") for port in marks.ports]
    mapped = bytes(10) + b"\xff\xff" + marks.v4
    digest = hashlib.sha256(known.heavy.encode()).digest()
    return [
        *_plain("account", marks.account.encode(), _TEXT),
        *_plain("account, digest", digest, BINARY),
        *_plain("IPv4 address, text", v4.encode(), _TEXT),
        *_plain("IPv4 address, mapped", mapped, BINARY),
        *_plain("IPv6 address, text", v6.encode(), _TEXT),
        *_plain("IPv6 address, bytes", marks.v6, BINARY),
        *_plain("ports, little-endian", b"".join(ports), BINARY),
        *_plain("ports, big-endian", b"".join(port[::-1] for port in ports), BINARY),
        *_plain("ports, low plane", bytes(port[0] for port in ports), BINARY),
        *_plain("ports, high plane", bytes(port[1] for port in ports), BINARY),
        _pattern("ports, text", _run_of_numbers(marks.ports)),
        _pattern("IPv4 address, two near", _two_near(marks.v4)),
    ]


def needles_of_subscribers(known: Known, secrets: Secrets) -> list[Needle]:
    """Of the contacts of known subscribers, their codes and their browsers' cookies."""
    contact = known.marks.contact.encode()
    return [
        *_plain("contact", contact, _TEXT),
        *(needle for code in secrets.codes for needle in _code(code)),
        *(
            needle
            for cookie in dict.fromkeys(secrets.cookies)
            for needle in _plain("cookie", cookie.encode(), _TEXT)
        ),
    ]


def _code(code: str) -> Iterator[Needle]:
    """As it is mailed, and as its eight digits: those in the clear only where they are the whole
    number, since within longer ones chance would find them."""
    digits = code.replace(" ", "").encode()
    yield from _plain("code, as mailed", code.encode(), _TEXT)
    yield _pattern("code", rb"(?<![0-9A-Za-z+/])" + digits + rb"(?![0-9A-Za-z+/])")
    encoded = {name: disguise for name, disguise in _TEXT.items() if name != "as it is"}
    yield from _plain("code", digits, encoded)


def found(needles: list[Needle], content: bytes) -> set[str]:
    """The names of the needles in some bytes, and in whatever was compressed there by zstd."""
    searched = [content, *inflated(content)]
    return {needle.name for needle in needles if any(needle.where(each) >= 0 for each in searched)}


def _plain(what: str, content: bytes, disguises: dict[str, Disguise]) -> Iterator[Needle]:
    for name, disguise in disguises.items():
        pattern = disguise(content)
        if len(pattern) < 8:
            raise ValueError("a needle that chance could find")
        yield Needle(f"{what}: {name}", partial(_find, pattern))


def _find(pattern: bytes, content: bytes) -> int:
    return content.find(pattern)


def _pattern(name: str, pattern: bytes) -> Needle:
    compiled = re.compile(pattern, re.DOTALL)

    def where(content: bytes) -> int:
        match = compiled.search(content)
        return match.start() if match else -1

    return Needle(f"{name}: as it is", where)


def _run_of_numbers(ports: tuple[int, ...]) -> bytes:
    """The ports in decimal, one after the other, whatever stands between two of them."""
    return rb".{1,400}?".join(b"%d" % port for port in ports)


def _two_near(network: bytes) -> bytes:
    """Two addresses of the network as four bytes each: one alone could be there by chance."""
    one = re.escape(network) + rb"[\x64-\xd4]"
    return one + rb".{0,60}?" + one


def inflated(content: bytes) -> Iterator[bytes]:
    """What every zstd frame in some bytes holds, its first 4 MiB at most."""
    at = content.find(_ZSTD)
    while at >= 0:
        inflate = zstandard.ZstdDecompressor().decompressobj().decompress
        # Four bytes may look like a frame's first by chance.
        with contextlib.suppress(zstandard.ZstdError):
            yield inflate(content[at : at + _INFLATED_BYTES])
        at = content.find(_ZSTD, at + 1)
