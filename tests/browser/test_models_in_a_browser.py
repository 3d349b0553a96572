"""Models by hand: sorted, searched, moved, dragged, pinned, deleted; on a desktop and a phone, with keys alone too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from modelshelf.domain.models import Registration
from tests.browser.conftest import ALL, DEADLINE_MS, serious
from tests.world import Home, Server, wait_until

pytestmark = ALL
expect.set_options(timeout=DEADLINE_MS)
SCREENS = ("/", "/models", "/models/apple", "/add", "/activity", "/running", "/playground", "/doctor", "/settings")
MORE = ("/tools", "/more", "/keys", "/move?model=apple", "/remove?model=apple", "/models/apple/actions", "/make-room")


def rows(page: Page) -> list[str]:
    """Return the names of the models in the table."""
    names: list[str] = page.locator("tr[data-model]").evaluate_all("found => found.map(row => row.dataset.model)")
    return names


def test_the_table_is_sorted_and_searched(library: Server, look: Callable[..., Page]) -> None:
    """A head sorts; what is typed filters at once, is in the address, and survives a reload."""
    page = look(f"{library.url}/models?sort=name")
    assert rows(page) == ["apple", "banana", "cherry"]

    page.get_by_role("link", name="Size").click()
    page.wait_for_url("**/models?sort=size")
    assert set(rows(page)[:2]) == {"banana", "cherry"}
    page.get_by_role("searchbox", name="Filter models").fill("an")
    expect(page.locator("tr[data-model]")).to_have_count(1)
    page.wait_for_url("**q=an**")
    assert "sort=size" in page.url
    page.reload()
    assert rows(page) == ["banana"]


def test_more_rows_come_while_one_scrolls(home: Home, look: Callable[..., Page]) -> None:
    """Of many models the first come at once, the others as one nears them; keys and a selection reach those too."""
    with home.open() as shelf:
        for number in range(130):
            wanted = Registration(f"m{number:03}", f"org/m{number:03}", "primary")
            shelf.services.registry.add_model(wanted, str(home.primary))
    with home.serve() as server:
        page = look(f"{server.url}/models?sort=name")
        assert len(rows(page)) == 40
        page.locator("tr[data-model]").last.scroll_into_view_if_needed()
        expect(page.locator("#m-m079")).to_be_attached()
        page.locator("#m-m079").scroll_into_view_if_needed()
        expect(page.locator("#m-m119")).to_be_attached()
        page.get_by_role("checkbox", name="Select m100").check()
        page.locator("#m-m100").focus()
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.dataset.model") == "m101"
        page.keyboard.press("x")
        home.run("pin", "m000").checked()
        expect(page.locator("#m-m000").get_by_role("img", name="pinned")).to_be_attached()
        expect(page.get_by_role("toolbar")).to_contain_text("2 selected")
        assert rows(page) == [f"m{number:03}" for number in range(len(rows(page)))]
        page.reload()
        expect(page.locator("#m-m101")).to_be_attached()


def test_several_models_are_moved_at_once(library: Server, look: Callable[..., Page]) -> None:
    """Two selected models move after their plan was shown, and the table follows."""
    page = look(f"{library.url}/models?sort=name")
    for name in ("apple", "banana"):
        page.get_by_role("checkbox", name=f"Select {name}").check()
    page.get_by_role("toolbar").get_by_role("button", name="Move…", exact=True).click()
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("Move 2 models")
    sheet.get_by_role("button", name="Move ").click()
    expect(page.get_by_role("heading", name="Activity")).to_be_visible()
    page.goto(f"{library.url}/models?sort=name")
    expect(page.locator("#m-apple .tier")).to_have_text("secondary")
    expect(page.locator("#m-cherry .tier")).to_have_text("primary")


def test_a_model_that_a_filter_hides_is_not_selected(library: Server, look: Callable[..., Page]) -> None:
    """Where a filter hides a selected model, what is done with the selection leaves it alone."""
    page = look(f"{library.url}/models?sort=name")
    page.get_by_role("checkbox", name="Select apple").check()
    page.get_by_role("searchbox", name="Filter models").fill("banana")
    expect(page.locator("#m-apple")).to_have_count(0)
    expect(page.get_by_role("toolbar")).to_be_hidden()
    page.get_by_role("checkbox", name="Select banana").check()
    page.get_by_role("toolbar").get_by_role("button", name="Remove", exact=False).click()
    expect(page.get_by_role("dialog")).to_contain_text("Remove banana?")


def test_a_model_is_dragged_to_a_tier(library: Server, look: Callable[..., Page]) -> None:
    """A row that is dropped on a tier shows the plan of that move."""
    page = look(f"{library.url}/models?sort=name")

    page.locator("#m-cherry .nm-c .r").drag_to(page.locator('.rail [data-tier="secondary"]'))

    expect(page.get_by_role("dialog")).to_contain_text("Move cherry to secondary")


def test_keys_alone_do_it_too(library: Server, look: Callable[..., Page]) -> None:
    """Keys reach a row, pin and unpin it and open its plan; it keeps the focus, also once a dialog was closed."""
    page = look(f"{library.url}/models?sort=name")
    page.keyboard.press("j")
    page.keyboard.press("p")
    pin = page.locator("#m-apple").get_by_role("img", name="pinned")
    expect(pin).to_be_visible()
    page.keyboard.press("p")
    expect(pin).to_have_count(0)
    assert not library.get("/api/models/apple")["pinned"]
    page.keyboard.press("Delete")
    expect(page.get_by_role("dialog")).to_contain_text("Remove apple?")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("m")
    expect(page.get_by_role("dialog")).to_contain_text("Move banana")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.activeElement.dataset.model") == "banana"


def test_a_long_name_stays_in_its_column(home: Home, look: Callable[..., Page]) -> None:
    """A name without a break fits its column, and the sidebar shows the whole name of each tier."""
    with home.open() as shelf:
        shelf.services.registry.add_model(Registration("x" * 77, "org/m", "primary"), str(home.primary))
    (home.secondary / "hub").mkdir(parents=True)
    (home.secondary / "hub" / "notes.txt").write_bytes(bytes(888_000))
    with home.serve(SECONDARY_CACHE_LIMIT_GB="0.8888") as server:
        page = look(f"{server.url}/models")
        name, cell = page.locator("a.nm").bounding_box(), page.locator("td.c-name").bounding_box()
        cut = page.locator(".rail b").evaluate_all("found => found.filter(one => one.scrollWidth > one.clientWidth)")

    assert name is not None
    assert cell is not None
    assert name["x"] + name["width"] <= cell["x"] + cell["width"]
    assert cut == []


def test_a_model_is_deleted_with_its_name(library: Server, look: Callable[..., Page]) -> None:
    """The last copy goes only when its name was typed; the question says the bytes."""
    page = look(f"{library.url}/models")
    page.get_by_role("link", name="Actions for cherry").click()
    page.get_by_role("dialog").get_by_role("link", name="Remove…").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("frees 6.0\u00a0MB")
    question.get_by_role("radio", name="Delete the files too").check()
    question.get_by_role("textbox").fill("cherry")
    question.get_by_role("button", name="Remove").click()
    expect(page.locator("#m-cherry")).to_have_count(0)
    wait_until(lambda: len(library.get("/api/models")) == 2, "the deletion")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_every_screen_can_be_used_by_all(library: Server, look: Callable[..., Page], width: int, dark: bool) -> None:
    """axe-core finds nothing serious on any screen, and none is wider than its window."""
    page = look(library.url, width=width, dark=dark)
    found: dict[str, list[str]] = {}
    for path in (*SCREENS, *MORE):
        page.goto(library.url + path)
        if said := serious(page):
            found[path] = said
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path

    assert found == {}
