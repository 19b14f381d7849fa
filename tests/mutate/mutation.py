"""What a mutation is: one check, how it is taken out, and the test that must see it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    """``before``, which stands once in ``file``, becomes ``after``; then ``test`` must turn red.

    Most checks are a ``raise``: by default it is passed over. ``test`` is a pytest node, the
    smallest that shows it.
    """

    name: str
    file: str
    before: str
    test: str
    after: str = "pass"

    def why_stale(self, root: Path) -> str:
        """Why it says nothing any more of the tree under ``root``; empty if it still does."""
        source = root / self.file
        count = source.read_text().count(self.before) if source.exists() else 0
        if count != 1:
            return f"{self.file} has {self.before!r} {count} times: it must stand there once"
        file, _, name = self.test.partition("::")
        function = name.partition("[")[0]
        if not (root / file).exists() or f"def {function}(" not in (root / file).read_text():
            return f"there is no test {self.test}"
        return ""

    def of(self, source: str) -> str:
        """The file's text without the check. Raises SyntaxError if that is no Python any more."""
        made = source.replace(self.before, self.after)
        if self.file.endswith(".py"):
            compile(made, self.file, "exec")
        return made
