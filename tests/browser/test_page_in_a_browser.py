"""The shortest way through the page: a first run, a download as it comes, and what screen readers need."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import DEADLINE_MS, MB, REPO, serious
from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes

expect.set_options(timeout=DEADLINE_MS)


def test_the_first_model_comes_while_one_looks(hub: FakeHub, home: Home, look: Callable[..., Page]) -> None:
    """From an empty library a model is added; its progress and then its bar appear without a reload."""
    hub.add_repo(REPO, {"config.json": b"{}", "model.safetensors": random_bytes(8 * MB)})
    hub.pause(after_bytes=3 * MB)
    with home.serve() as server:
        page = look(server.url)
        expect(page.get_by_role("heading", name="Your shelf is empty")).to_be_visible()
        page.get_by_role("link", name="Add a model…").click()
        page.get_by_role("textbox", name="Hub id, URL or search words").fill(REPO)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("heading", name="Activity")).to_be_visible()
        expect(page.get_by_role("progressbar")).to_be_visible()
        storage = look(server.url)
        expect(storage.locator(".flows")).to_contain_text("name")
        hub.resume()
        expect(page.get_by_role("progressbar")).to_have_count(0)
        expect(page.locator(".hist")).to_contain_text("pulled")
        expect(storage.locator(".tm-wide a")).to_have_count(1)
        expect(storage.locator(".flows")).to_have_count(0)
        assert serious(storage) == []
