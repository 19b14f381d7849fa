"""Signed notes: what is signed is read back, and whatever is not exact is refused."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.tlog import note
from icrstore.tlog.errors import NoteError
from icrstore.tlog.note import COSIGNATURE, ED25519, Note, Signature, SigningKey, VerifierKey
from tests.tlog.vectors import LOG, LOG_KEY, VECTORS, WITNESS, WITNESS_KEY

BODY = "one line\n\nand one after an empty line: vjätte\n"
SIGNED = Note(BODY, (LOG.sign(BODY),))
STRANGER = SigningKey("stranger.example", Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))

# The example of C2SP signed-note, with the key its signature was made by unknown to us.
C2SP_EXAMPLE = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU"
    "0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)


def test_the_vectors_keys_are_ours() -> None:
    for name, kind, key in (("log_key", ED25519, LOG), ("witness_key", COSIGNATURE, WITNESS)):
        verifier = key.verifier(kind)
        vector = VECTORS[name]
        assert verifier.text() == vector["verifier_key"]
        assert verifier.key_id.hex() == vector["key_id"]
        assert verifier.public.hex() == vector["public"]
        assert VerifierKey.parse(verifier.text()) == verifier


def test_the_specifications_example_parses_and_prints_again() -> None:
    example = note.parse_note(C2SP_EXAMPLE.encode())
    assert example.body.endswith("\n\ned è subito sera.\n")
    assert example.signatures[0].name == "quasimodo.example/salvatore"
    assert example.encode() == C2SP_EXAMPLE.encode()
    with pytest.raises(NoteError, match="unsigned"):
        note.verify(example, [LOG_KEY])


def test_a_signed_note_is_verified_after_parsing() -> None:
    parsed = note.parse_note(SIGNED.encode())
    assert parsed == SIGNED
    assert note.verify(parsed, [LOG_KEY, WITNESS_KEY]) == {LOG_KEY: None}


def test_it_refuses_a_note_with_any_bit_of_it_flipped() -> None:
    encoded = SIGNED.encode()
    for position in range(len(encoded)):
        for bit in range(8):
            broken = bytearray(encoded)
            broken[position] ^= 1 << bit
            with pytest.raises(NoteError):
                note.verify(note.parse_note(bytes(broken)), [LOG_KEY])


def test_it_refuses_a_note_cut_anywhere() -> None:
    encoded = SIGNED.encode()
    for length in range(len(encoded)):
        with pytest.raises(NoteError):
            note.verify(note.parse_note(encoded[:length]), [LOG_KEY])


LINE = SIGNED.signatures[0].line()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "text\n",
        "text\n\n",
        "text\n" + LINE,
        "text" + LINE,
        "text\n\n" + LINE + "\n",
        "text\n\n" + LINE.rstrip("\n"),
        "text\n\n" + LINE + "rest\n",
        "text\n\n" + LINE.replace("\N{EM DASH}", "-"),
        "text\n\n" + LINE.replace(" ", "  ", 1),
        "text\n\n" + LINE.replace("\N{EM DASH} ", "\N{EM DASH}\N{NO-BREAK SPACE}"),
        "text\n\n" + LINE.replace("example", "exa+mple"),
        "text\n\n" + LINE.replace("example", "exa\N{OGHAM SPACE MARK}mple"),
        "text\n\n" + LINE.replace("example", "exa mple"),
        "text\n\n\N{EM DASH}  AAAAAAA=\n",
        "text\n\n\N{EM DASH} name AAAAAA==\n",
        "text\n\n\N{EM DASH} name AAAAAAB\n",
        "text\n\n\N{EM DASH} name AAAAAAF=\n",
        "text\n\n\N{EM DASH} name AAAA-_8=\n",
        "text\n\n\N{EM DASH} name\n",
        "te\txt\n\n" + LINE,
        "te\rxt\n\n" + LINE,
        "te\0xt\n\n" + LINE,
    ],
)
def test_it_refuses_what_is_not_exactly_a_note(text: str) -> None:
    with pytest.raises(NoteError, match="malformed-note"):
        note.parse_note(text.encode())


def test_it_refuses_what_is_not_utf_8() -> None:
    for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x80"):
        with pytest.raises(NoteError, match="malformed-note"):
            note.parse_note(b"text" + bad + b"\n\n" + LINE.encode())


def test_it_refuses_a_note_too_large_to_be_one() -> None:
    text = b"a" * (note.MAX_NOTE_BYTES - len(LINE.encode()) - 2) + b"\n\n"
    assert note.parse_note(text + LINE.encode()).signatures == SIGNED.signatures
    with pytest.raises(NoteError, match="malformed-note"):
        note.parse_note(b"a" + text + LINE.encode())


def test_signatures_by_strangers_are_ignored_even_when_they_share_a_name_or_an_id() -> None:
    namesake = SigningKey(LOG.name, STRANGER.private).sign(BODY)
    same_id = Signature("another.example", LOG_KEY.key_id, b"nonsense")
    long = Signature("pq.example", b"\1\2\3\4", b"\5" * 2420)
    crowded = SIGNED.with_signatures([namesake, same_id, long, STRANGER.sign(BODY)])
    assert note.verify(note.parse_note(crowded.encode()), [LOG_KEY]) == {LOG_KEY: None}
    with pytest.raises(NoteError, match="unsigned"):
        note.verify(Note(BODY, (namesake, same_id, long)), [LOG_KEY])


def test_a_bad_signature_by_a_known_key_condemns_a_note_with_a_good_one() -> None:
    for payload in (b"\0" * 64, b"\0", SIGNED.signatures[0].payload + b"\0"):
        bad = Signature(LOG.name, LOG_KEY.key_id, payload)
        for signatures in ((bad, *SIGNED.signatures), (*SIGNED.signatures, bad)):
            with pytest.raises(NoteError, match="bad-signature"):
                note.verify(Note(BODY, signatures), [LOG_KEY])


def test_a_cosignature_tells_its_time_and_stands_for_no_other() -> None:
    signature = WITNESS.cosign(BODY, 1_767_225_600)
    assert note.verify(Note(BODY, (signature,)), [WITNESS_KEY]) == {WITNESS_KEY: 1_767_225_600}
    for position in range(len(signature.payload)):
        payload = bytearray(signature.payload)
        payload[position] ^= 1
        forged = Signature(signature.name, signature.key_id, bytes(payload))
        with pytest.raises(NoteError, match="bad-signature"):
            note.verify(Note(BODY, (forged,)), [WITNESS_KEY])
    for length in range(1, len(signature.payload)):
        cut = Signature(signature.name, signature.key_id, signature.payload[:length])
        with pytest.raises(NoteError, match="bad-signature"):
            note.verify(Note(BODY, (cut,)), [WITNESS_KEY])


def test_of_two_cosignatures_by_one_witness_the_later_time_counts() -> None:
    for times in ((0, 5), (5, 0), (7, 7), (3, 2)):
        twice = Note(BODY, tuple(WITNESS.cosign(BODY, time) for time in times))
        assert note.verify(twice, [WITNESS_KEY]) == {WITNESS_KEY: max(times)}


def test_a_cosignature_from_beyond_time_is_refused() -> None:
    late = WITNESS.cosign(BODY, 1 << 63)
    with pytest.raises(NoteError, match="bad-signature"):
        note.verify(Note(BODY, (late,)), [WITNESS_KEY])


def test_a_signature_of_one_kind_is_none_of_the_other() -> None:
    as_log = Signature(WITNESS.name, WITNESS_KEY.key_id, WITNESS.sign(BODY).payload)
    as_witness = Signature(LOG.name, LOG_KEY.key_id, LOG.cosign(BODY, 1).payload)
    for signature, key in ((as_log, WITNESS_KEY), (as_witness, LOG_KEY)):
        with pytest.raises(NoteError, match="bad-signature"):
            note.verify(Note(BODY, (signature,)), [key])


def test_the_same_signature_is_kept_once() -> None:
    assert SIGNED.with_signatures(SIGNED.signatures) == SIGNED


def _key_text(name: str, material: bytes, key_id: str | None = None) -> str:
    digest = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4].hex()
    return f"{name}+{key_id or digest}+{base64.b64encode(material).decode()}"


PUBLIC = LOG_KEY.public


def test_the_key_text_builder_of_these_tests_is_right() -> None:
    assert VerifierKey.parse(_key_text("a.example/b", b"\1" + PUBLIC)).public == PUBLIC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+01020304",
        "++",
        "name+01020304+",
        _key_text("name", b"\1" + PUBLIC, "01020304"),
        _key_text("name", b"\2" + PUBLIC),
        _key_text("name", b"\xff" + PUBLIC),
        _key_text("name", b"\1" + PUBLIC[:-1]),
        _key_text("name", b"\1" + PUBLIC + b"\0"),
        _key_text("name", b"\1"),
        _key_text("na me", b"\1" + PUBLIC),
        _key_text("", b"\1" + PUBLIC),
        LOG_KEY.text().replace("113d26f5", "113D26F5"),
        LOG_KEY.text() + "\n",
        LOG_KEY.text() + "+",
        " " + LOG_KEY.text(),
    ],
)
def test_it_refuses_key_texts_that_are_not_exact(text: str) -> None:
    with pytest.raises(NoteError, match="malformed-key"):
        VerifierKey.parse(text)


def test_a_private_key_is_never_shown() -> None:
    assert "private" not in repr(LOG)
    assert json.dumps(VECTORS["log_key"]["seed"]) not in repr(LOG)
