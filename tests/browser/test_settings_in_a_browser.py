"""What a full tier asks of a person, and settings with a mistake in them."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import ALL, DEADLINE_MS, MB, serious
from tests.fakes.hub import FakeHub
from tests.world import Home, Server, random_bytes, wait_until

pytestmark = ALL
expect.set_options(timeout=DEADLINE_MS)


def test_room_is_made_on_a_full_tier(hub: FakeHub, home: Home, look: Callable[..., Page]) -> None:
    """A tier past its threshold says so; its button shows who would move, and after that they are on the secondary."""
    home.extra["PRIMARY_CACHE_LIMIT_GB"] = "0.02"
    for number in range(3):
        hub.add_repo(f"org/{number}", {"model.safetensors": random_bytes(6 * MB, number)})
        home.run("add", f"m{number}", f"org/{number}").checked()
    with home.serve() as server:
        page = look(server.url)
        expect(page.locator(".shelf .note")).to_contain_text("% full")
        page.get_by_role("link", name="Make room…").click()
        sheet = page.get_by_role("dialog")
        sheet.get_by_label("So that this fits").fill("5 MB")
        sheet.get_by_role("button", name="Update plan").click()
        expect(sheet).to_contain_text("What moves, least recently used first")
        assert serious(page) == []
        assert {model["cache_location"] for model in server.get("/api/models")} == {"primary"}
        sheet.get_by_role("button", name=re.compile(r"Move \d models?")).click()
        wait_until(
            lambda: "secondary" in {model["cache_location"] for model in server.get("/api/models")}, "the first move"
        )
        expect(page.locator(".shelf .note")).to_have_count(0)


def test_a_mistake_in_the_settings_stands_at_its_field(library: Server, home: Home, look: Callable[..., Page]) -> None:
    """A limit that isn't one is refused at its field and nothing is written; the right one is shown, then written."""
    page = look(f"{library.url}/settings")
    limit = page.locator('[name="PRIMARY_CACHE_LIMIT_GB"]')
    limit.fill("-5")
    page.get_by_role("button", name="Look at the changes…").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was written.")
    expect(limit).to_have_attribute("aria-invalid", "true")
    expect(limit).to_have_value("-5")
    assert serious(page) == []
    assert home.env_file.read_text() == ""

    limit.fill("50")
    page.get_by_role("button", name="Look at the changes…").click()
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("PRIMARY_CACHE_LIMIT_GB")
    sheet.get_by_role("button", name="Write the settings").click()
    expect(page.locator('[name="PRIMARY_CACHE_LIMIT_GB"]')).to_have_value("50")
    assert "PRIMARY_CACHE_LIMIT_GB=50" in page.locator(".head code").inner_text() or any(
        "PRIMARY_CACHE_LIMIT_GB=50" in path.read_text() for path in home.root.rglob(".env")
    )


def test_the_server_restarts_with_what_was_written(home: Home, look: Callable[..., Page]) -> None:
    """After a change the page offers to restart the server, stays until it is there again, and then shows the limit."""
    with home.serve("env") as server:
        page = look(f"{server.url}/settings")
        page.locator('[name="PRIMARY_CACHE_LIMIT_GB"]').fill("50")
        page.get_by_role("button", name="Look at the changes…").click()
        page.get_by_role("dialog").get_by_role("button", name="Write the settings").click()
        page.get_by_role("button", name="Restart the server").click()
        expect(page.get_by_role("button", name="Restart the server")).to_have_count(0)
        page.get_by_role("link", name="Storage").click()
        expect(page.locator(".shelf").first).to_contain_text("of 50 GB")
        assert server.process.poll() is None
