"""deploy/backup.sh takes the keys that may be kept, and never one that must be forgotten."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

from deploy.layout import CODE
from tests.stack import Stack


def backup(var: Path) -> subprocess.CompletedProcess[bytes]:
    script = CODE / "deploy" / "backup.sh"
    return subprocess.run(["sh", script, var], capture_output=True, check=False)


def test_every_key_that_may_be_kept_is_in_it_and_no_link_of_a_chain(stack: Stack) -> None:
    stack.provision()
    var = stack.layout.var
    ended = backup(var)
    assert ended.returncode == 0, ended.stderr
    with tarfile.open(fileobj=io.BytesIO(ended.stdout)) as held:
        names = set(held.getnames())
        content = b"".join((held.extractfile(name) or io.BytesIO()).read() for name in names)
    keys = {"web/receipt.key", "sealer/sealer.key", "engine/engine.key", "engine/storage.key",
            "notifier/notifier.key", "notifier/opening.key", "notifier/lookup.key"}  # fmt: skip
    assert {f"secrets/{key}" for key in keys} <= names
    assert {"public/trust.json", "keeper-operator/keys.json", "keeper-oversight/keys.json"} <= names
    for role in ("operator", "oversight"):
        link = (var / f"keeper-{role}" / "chain.json").read_bytes()
        assert link not in content
    assert (var / "secrets" / "sealer" / "intake.json").read_bytes() not in content
    wrong = ("chain.json", "intake.json", "keeper.db", "pgpass")
    assert not [name for name in names if name.endswith(wrong)]


def test_what_is_no_installation_is_refused(tmp_path: Path) -> None:
    assert backup(tmp_path).returncode == os.EX_USAGE
    assert backup(tmp_path / "nowhere").returncode == os.EX_USAGE
