"""A real browser: Debian's Chromium without a window, and what can be asked of any page in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
LOOKS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((320, "light"), (1280, "dark"))
# WCAG 2.1 at the levels A and AA, and what axe-core calls good practice.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


@contextmanager
def chromium() -> Iterator[Browser]:
    """With a new empty profile, which is deleted with it. Skips where there is none."""
    if not CHROMIUM.exists():
        pytest.skip("needs chromium: as root, apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS])
        try:
            yield browser
        finally:
            browser.close()


def check_page(page: Page, picture: Path) -> None:
    """Nothing overflows or breaks WCAG 2.1 AA, narrow and light or wide and dark; with pictures."""
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=picture.with_suffix(f".{width}.{scheme}.png"), full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, picture.name
        found = Axe().run(page, options=RULES).response
        assert [rule["id"] for rule in found["violations"]] == [], (picture.name, scheme)
        assert found["passes"], picture.name
