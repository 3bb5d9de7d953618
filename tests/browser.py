"""A headless Chromium (Debian's) for the pages that an operator sees.

``RATCHET_SCREENSHOTS`` names a directory that pictures are written to.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
# It asks nobody outside for anything; root has no sandbox.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 120_000  # a page of a busy machine


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; without Chromium the test fails where tests must not be skipped (``CI``)."""
    if not Path(CHROMIUM).exists():
        said = "no Chromium: 'make browser' installs Debian's"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        try:
            yield opened
        finally:
            opened.close()


def open_page(
    browser: Browser, user: tuple[str, str] | None = None, width: int = 1400, height: int = 1000
) -> Page:
    """A page of a new profile; ``user`` answers a server that asks for a name and a password."""
    known = {"username": user[0], "password": user[1]} if user else None
    context = browser.new_context(
        viewport={"width": width, "height": height},
        http_credentials=known,  # type: ignore[arg-type]
    )
    context.set_default_timeout(PATIENCE_MS)
    return context.new_page()


def enter_prefect(page: Page, address: str, auth: str) -> None:
    """Open Prefect's list of runs, through its form for the password."""
    page.goto(f"{address}/login?redirect=/runs", wait_until="domcontentloaded")
    page.locator("input[type=password]").fill(auth)
    page.keyboard.press("Enter")
    page.get_by_text("Flow runs").first.wait_for()


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like now, if a directory for pictures was named."""
    if folder := os.environ.get("RATCHET_SCREENSHOTS"):
        page.wait_for_timeout(3000)  # animations
        page.screenshot(path=Path(folder) / f"{name}.png")
