"""One telling of the story: where its papers lie, and how a person's command is shown and run."""

import hashlib
import itertools
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from deploy import services
from deploy.installation import Installation
from deploy.supervisor import drop_to

WIDTH = 96
_CONTINUED = " \\"
# Of a table that an answer prints, so many lines are shown; all of it is in answer.json.
MOST_LINES = 15
ALL = 1000
WAIT_SECONDS = 120.0


class Untrue(Exception):
    """Something that the demonstration promises did not happen."""


class Telling:
    """Keys and configs are kept in `folder`, so that a later telling goes on with them.

    All people work in that one folder here, with nothing in their environment but where the
    programs and the server are; `case` is the folder of this telling's papers in it.
    """

    def __init__(self, site: Installation, source: Path | None) -> None:
        self.site = site
        # Every log has a provider of its own, so that none is mixed up with another.
        name = "one" if source is None else _digest(source)
        self.tenant, self.collector = f"isp-{name}", f"gateway-{name}"
        self.now = datetime.now(UTC)
        self.folder = site.layout.var / "people"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        cases = (f"case-{number}" for number in itertools.count(1))
        self.case = next(case for case in cases if not (self.folder / case).exists())
        (self.folder / self.case).mkdir(mode=0o700)
        self._chapters = 0
        self._env = self._environment()

    def chapter(self, title: str) -> None:
        self._chapters += 1
        say(f"\n{self._chapters}. {title}\n")

    def show(self, who: str, *argv: str, most: int = ALL) -> str:
        """Run a command as `who` types it and show at most so many lines of what it prints.

        All that it printed is returned. Raises CalledProcessError.
        """
        say("\n".join(_wrapped(f"{who}$", argv)))
        printed = self.run(*argv)
        for line in list(_shortened(printed))[:most]:
            say(f"  {line}".rstrip())
        return printed

    def show_verified(self, who: str, *argv: str) -> None:
        """The same without the line of each check that passed; they are counted below these."""
        printed = self.show(who, *argv, most=0)
        for line in printed.splitlines():
            if " ok " not in line:
                say(f"  {line}")

    def run(self, *argv: str) -> str:
        """The same unseen; what it printed. A word with a * is the files that it matches."""
        words = [word for each in argv for word in self._matches(each)]
        ended = subprocess.run(
            [*drop_to(None), *words],
            env=self._env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ended.returncode:
            say(ended.stdout.rstrip())
            raise subprocess.CalledProcessError(ended.returncode, [argv[0]])
        return ended.stdout.rstrip()

    def key(self, name: str, use: str = "signing") -> str:
        """The file of this person's key, made at the first telling."""
        if not (self.folder / f"{name}.key").exists():
            self.run("icr", "key", "new", name, "--for", use, "--out", f"{name}.key")
        return f"{name}.key"

    def public(self, key: str) -> str:
        """The public half of a key file, in base64."""
        return str(json.loads((self.folder / key).read_bytes())["public"])

    def _matches(self, word: str) -> list[str]:
        if "*" not in word:
            return [word]
        return sorted(path.name for path in self.folder.glob(word))

    def _environment(self) -> dict[str, str]:
        """Also written to a file, so that whoever reads the story can go on by hand."""
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        told = services.environment(self.site.layout, "admin")
        manage = shlex.join([sys.executable, str(self.site.layout.code / "manage.py")])
        _write_program(tools / "manage.py", [*_exports(told), f'exec {manage} "$@"'])
        env = {
            "PATH": f"{tools}:{told['PATH']}",
            "LANG": told["LANG"],
            "ICR_SERVER": self.site.layout.url,
        }
        (self.folder / "by-hand").write_text("\n".join([*_exports(env), ""]))
        return env


def say(words: str) -> None:
    print(words, flush=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def _wrapped(prompt: str, argv: Sequence[str]) -> Iterator[str]:
    """The command as it could be pasted, on lines that a terminal holds."""
    line = prompt
    for part in _parts(argv):
        if len(line) + len(part) + len(_CONTINUED) >= WIDTH:
            yield line + _CONTINUED
            line = "   "
        line += f" {part}"
    yield line


def _parts(argv: Sequence[str]) -> Iterator[str]:
    """The words, quoted where a shell needs it, an option with its value."""
    part = ""
    for word in argv:
        if part and (word.startswith("--") or not part.startswith("--") or " " in part):
            yield part
            part = ""
        quoted = word if "*" in word else shlex.quote(word)
        part = f"{part} {quoted}" if part else quoted
    yield part


def _shortened(text: str) -> Iterator[str]:
    """Each paragraph, the long ones cut."""
    run: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line:
            run.append(line)
            continue
        yield from run[:MOST_LINES]
        if len(run) > MOST_LINES:
            yield f"  ... and {len(run) - MOST_LINES} more lines"
        yield ""
        run = []


def _exports(env: dict[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in env.items()]


def _write_program(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o700)
