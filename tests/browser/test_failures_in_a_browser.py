"""What goes wrong, in a browser: a download that fails and is tried again, a server that goes and comes back."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import ALL, DEADLINE_MS, MB, REPO
from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes

pytestmark = ALL
expect.set_options(timeout=DEADLINE_MS)


def test_a_failed_download_is_tried_again(hub: FakeHub, home: Home, look: Callable[..., Page]) -> None:
    """A download that the hub refuses stands first, with the reason; once the hub gives it, Retry brings it."""
    hub.add_repo(REPO, {"config.json": b"{}", "model.safetensors": random_bytes(MB)})
    hub.fail("*/model.safetensors", status=403)
    home.run("add", "m", REPO)
    with home.serve() as server:
        page = look(f"{server.url}/activity")
        decision = page.locator("#decide-m")
        expect(decision).to_be_visible()
        hub.heal()
        decision.get_by_role("button", name="Retry").click()
        expect(page.get_by_text("Nothing needs a decision.")).to_be_visible()
        expect(page.locator(".hist").get_by_text("pulled")).to_be_visible()


def test_a_pause_outlives_the_server(hub: FakeHub, home: Home, look: Callable[..., Page]) -> None:
    """A download that is paused in a browser waits through a restart of the server, and is resumed there."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(8 * MB)})
    hub.pause(after_bytes=2 * MB)
    home.run("add", "m", REPO, "--no-download").checked()
    with home.serve() as server:
        page = look(f"{server.url}/models/m/actions")
        page.get_by_role("button", name="Download").click()
        page.get_by_role("button", name="Pause pull m").click()
        expect(page.get_by_role("button", name="Resume pull m")).to_be_visible()
    hub.resume()
    with home.serve() as server:
        page = look(f"{server.url}/activity")
        page.get_by_role("button", name="Resume pull m").click()
        expect(page.locator(".hist")).to_contain_text("pulled")


def test_a_shells_job_is_seen(hub: FakeHub, home: Home, look: Callable[..., Page]) -> None:
    """A download that a shell started appears on the open page, and can be cancelled there."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(8 * MB)})
    hub.pause(after_bytes=2 * MB)
    with home.serve() as server:
        page = look(f"{server.url}/activity")
        shell = home.start("add", "m", REPO)
        expect(page.get_by_role("progressbar")).to_be_visible()
        page.get_by_role("button", name="Cancel pull m").click()
        expect(page.get_by_role("progressbar")).to_have_count(0)
        hub.resume()
        shell.finish()


def test_two_browsers_see_the_same(hub: FakeHub, home: Home, look: Callable[..., Page]) -> None:
    """What one browser pins, another one shows without a reload."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(MB)})
    home.run("add", "m", REPO).checked()
    with home.serve() as server:
        one, other = look(f"{server.url}/models"), look(f"{server.url}/models/m")
        expect(other.get_by_role("button", name="Pin", exact=True)).to_be_visible()
        one.get_by_role("link", name="Actions for m").click()
        one.get_by_role("dialog").get_by_role("button", name="Pin").click()
        expect(other.get_by_role("button", name="Unpin")).to_be_visible()
