"""The page in Chromium, against a real server. Without a Chromium these tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.fakes.hub import FakeHub
from tests.world import Home, Server, random_bytes

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
AXE = (Path(__file__).parent / "static" / "axe-core" / "axe.min.js").read_text()
ALL = pytest.mark.skipif(not os.environ.get("SHELF_BROWSER"), reason="runs with make test-browser")
DEADLINE_MS = 120_000
POLICY = "Content Security Policy"
"""What a browser says of what its policy forbids. It also says when a server has gone, as it does in these tests."""
REPO = "org/name"
MB = 10**6


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium. Playwright runs an event loop in this thread, so it ends before tests that need one of their own."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=DEADLINE_MS)
        yield chromium
        chromium.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages; at the end none may have had a script that failed, or anything that its policy forbids."""
    contexts, said = [], list[str]()

    def open_page(address: str, *, width: int = 1280, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
        )
        context.set_default_timeout(DEADLINE_MS)
        context.set_default_navigation_timeout(DEADLINE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if POLICY in message.text else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def library(hub: FakeHub, home: Home) -> Iterator[Server]:
    """A server whose library has three models."""
    for name in ("apple", "banana", "cherry"):
        hub.add_repo(
            f"org/{name}", {"config.json": b"{}", "model.safetensors": random_bytes(len(name) * MB, len(name))}
        )
        home.run("add", name, f"org/{name}").checked()
    with home.serve() as server:
        yield server


def serious(page: Page) -> list[str]:
    """Return what axe-core finds serious on a page."""
    page.evaluate(AXE)
    found: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html']:.160}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
