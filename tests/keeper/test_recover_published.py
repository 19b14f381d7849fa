"""What a keeper is given to recover from is believed in nothing, and asked for where it is."""

import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from icrstore.keeper.cli import run
from icrstore.keeper.errors import Refused
from icrstore.keeper.keys import Identity
from icrstore.keeper.names import witness_key_name
from icrstore.keeper.published import source
from icrstore.keeper.quarantine import take_own
from icrstore.keeper.recover import recover
from icrstore.seal.epoch import ROLES, other_role
from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint
from icrstore.tlog.merkle import root_of
from icrstore.tlog.note import SigningKey
from tests.keeper.outside import Outside
from tests.keeper.story import Story, code, is_quarantined, story
from tests.keeper.test_quarantine import signed

__all__ = ["story"]


def refused(story: Story, published: Path) -> str:
    """The code by which it stays in quarantine, with its log as it was."""
    with story.pair.owner(story.role) as keeper, pytest.raises(Refused) as caught:
        recover(keeper, source(str(published)), pins_compared=False)
    assert is_quarantined(story)
    return caught.value.code


def test_what_is_published_is_believed_in_nothing(story: Story) -> None:
    outside = story.outside
    good = outside.publish(story.folder / "good")
    own = next((good / "ledger" / story.role).iterdir())
    bundle = next((own / "tile/entries").rglob("*[0-9]"))
    entries, note = bundle.read_bytes(), (own / "checkpoint").read_text()
    for at in range(0, len(entries), 97):
        bundle.write_bytes(entries[:at] + bytes([entries[at] ^ 1]) + entries[at + 1 :])
        assert refused(story, good) == "published-wrong"
    bundle.write_bytes(entries)
    lines = note.splitlines(keepends=True)
    for wrong in ("".join(lines[:-1]), "".join(lines[:-2]) + lines[-1], note.replace("a", "b")):
        (own / "checkpoint").write_text(wrong)
        assert refused(story, good) == "published-wrong"
    bundle.unlink()
    (own / "checkpoint").write_text(note)
    assert refused(story, good) == "not-published"
    bundle.write_bytes(entries)
    with story.pair.owner(story.role) as keeper:
        assert recover(keeper, source(str(good)), pins_compared=False)


def test_a_copy_that_ends_before_what_the_peer_cosigned_is_refused(story: Story) -> None:
    """With the last leaf missing the log would fork again."""
    pair, role = story.pair, story.role
    old = Outside(pair)
    old.seen = {each: list(story.outside.seen[each]) for each in ROLES}
    old.notes = dict(story.outside.notes)
    # The peer cosigned the log before it was copied, too: a genuine note, and an old one.
    old.notes[role] = story.outside.history[role][0]
    old.seen[role] = old.seen[role][: int(old.notes[role].splitlines()[1])]
    assert refused(story, old.publish(story.folder / "old")) == "published-too-old"


def test_a_log_that_is_younger_than_the_copy_is_given_up_by_whoever_compares_and_then_for_good(
    story: Story,
) -> None:
    """A tenant was pinned since: nothing that is left can say whose log it was."""
    shown, another = (signed(story.pair, story.role, size, pseudonym="0" * 16) for size in (3, 4))
    story.recover()
    with story.pair.owner(story.role) as keeper:
        assert take_own(keeper, shown) == {"is_quarantined": True}
    assert code(story.recover) == "pins-lost"
    assert is_quarantined(story)
    assert story.recover(pins_compared=True)
    with story.pair.owner(story.role) as keeper:
        for note in (shown, another):
            assert take_own(keeper, note) == {"is_quarantined": False}
        # Another log that it does not have is news.
        younger = signed(story.pair, story.role, 3, pseudonym="1" * 16)
        assert take_own(keeper, younger) == {"is_quarantined": True}


def test_a_peer_that_forked_meanwhile_is_told_of(story: Story) -> None:
    peer, outside = other_role(story.role), story.outside
    entries = outside.seen[peer]
    entries[3] = entries[3].replace(b"day=2", b"day=1")
    entries += entries[:9]
    note = outside.notes[peer].splitlines()
    forked = Checkpoint(note[0], len(entries), root_of(entries))
    folders = {role: story.pair.processes[role].folder for role in ROLES}
    log = SigningKey(note[0], Identity.load(folders[peer]).log)
    own = Identity.load(folders[story.role])
    witness = SigningKey(witness_key_name(own.name), own.witness)
    outside.notes[peer] = (
        sign_checkpoint(forked, log).encode().decode() + witness.cosign(forked.body(), 1).line()
    )
    assert refused(story, outside.publish(story.folder / "forked")) == "peer-forked"


def test_the_command_says_what_is_to_be_done(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(story.store)
    assert run(["recover", "--store", store, "--from", str(story.folder)]) == 1
    assert "not-published: " in capsys.readouterr().err
    assert run(["recover", "--store", store, "--from", str(story.folder / "nowhere")]) == 1
    assert "neither a folder" in capsys.readouterr().err
    published = str(story.outside.publish(story.folder / "published"))
    assert run(["recover", "--store", store, "--from", published]) == 0
    assert "lost texts: 1 commit, 1 disclosure, 1 epoch, 1 release" in capsys.readouterr().out
    assert run(["recover", "--store", store, "--from", published]) == 0
    assert "nothing to recover" in capsys.readouterr().out


def test_it_reads_a_stores_url_as_it_reads_a_folder(story: Story) -> None:
    folder = story.outside.publish(story.folder / "published")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with story.pair.owner(story.role) as keeper:
            assert code(lambda: recover(keeper, source(f"{url}/x"), False)) == "not-published"
            assert recover(keeper, source(url), pins_compared=False)
        server.shutdown()
    assert not is_quarantined(story)
    for other in ("http://icr.example", "ftp://127.0.0.1", "nowhere"):
        with pytest.raises(ValueError, match="neither a folder nor https"):
            source(other)
