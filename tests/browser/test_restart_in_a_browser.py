"""A server that ends in the middle of a download and comes back, seen in a browser that stays open."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import ALL, DEADLINE_MS, MB, REPO
from tests.fakes.hub import FakeHub
from tests.world import Home, free_port, random_bytes

pytestmark = ALL
expect.set_options(timeout=DEADLINE_MS)


def test_a_download_outlives_its_server_on_an_open_page(hub: FakeHub, home: Home, look: Callable[..., Page]) -> None:
    """A page that stays open through a restart says that the server is away, then shows the download going on."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(8 * MB)})
    hub.pause(after_bytes=2 * MB)
    home.run("add", "m", REPO, "--no-download").checked()
    port = str(free_port())
    with home.serve(SHELF_PORT=port) as server:
        page = look(f"{server.url}/models/m/actions")
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_role("progressbar", name="m: 2.0")).to_be_visible()
    expect(page.get_by_text("The server isn’t reachable.")).to_be_visible()
    expect(page.get_by_role("progressbar", name="m: 2.0")).to_be_visible()
    before = len(hub.requests)
    with home.serve(SHELF_PORT=port):
        expect(page.get_by_text("The server isn’t reachable.")).to_be_hidden()
        page.get_by_role("button", name="Pause pull m").click()
        page.get_by_role("button", name="Resume pull m").click()
        expect(page.get_by_role("button", name="Pause pull m")).to_be_visible()
        hub.resume()
        expect(page.locator(".hist")).to_contain_text("pulled")
    asked = [request.range for request in hub.requests[before:] if "/resolve/" in request.path and request.range]
    assert asked
    assert not [one for one in asked if one.startswith("bytes=0-")]
