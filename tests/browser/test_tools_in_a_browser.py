"""Views and the doctor by hand: what would be done is shown first, and a refusal says why."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import ALL, DEADLINE_MS, MB, serious
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.world import Home, Server, random_bytes

pytestmark = ALL
expect.set_options(timeout=DEADLINE_MS)


def test_a_view_is_added_and_removed(hub: FakeHub, home: Home, look: Callable[..., Page]) -> None:
    """The plan of a view names the model that LM Studio can't read and why; then its link is there, and goes again."""
    hub.add_repo("org/gguf", {"m-Q4_K_M.gguf": gguf({"general.architecture": "llama"}) + random_bytes(MB)})
    hub.add_repo("org/plain", {"config.json": b"{}", "model.safetensors": random_bytes(MB, 1)})
    home.run("add", "readable", "org/gguf").checked()
    home.run("add", "plain", "org/plain").checked()
    root = home.root / "studio"
    with home.serve() as server:
        page = look(f"{server.url}/tools")
        page.get_by_role("combobox", name="Program").select_option("lmstudio")
        page.get_by_label("Folder").fill(str(root))
        page.get_by_role("button", name="Show the plan…").click()
        plan = page.get_by_role("dialog")
        expect(plan).to_contain_text("LM Studio reads GGUF files and models of MLX")
        assert serious(page) == []
        assert not root.exists()
        plan.get_by_role("button", name="Link 1 model").click()
        expect(page.get_by_role("heading", name="LM Studio")).to_be_visible()
        assert [path.name for path in root.rglob("*.gguf")] == ["m-Q4_K_M.gguf"]
        page.get_by_role("button", name="Sync all views").click()
        page.get_by_role("link", name="Remove the view for LM Studio").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove 1 link").click()
        expect(page.get_by_role("link", name="Remove the view for LM Studio")).to_have_count(0)
        assert not list(root.rglob("*.gguf"))


def test_a_view_that_cannot_be_says_why(library: Server, look: Callable[..., Page]) -> None:
    """A chosen model that the program can't read is refused at once, and so is a program without a folder."""
    page = look(f"{library.url}/tools")
    page.get_by_role("combobox", name="Models").select_option("apple")
    page.get_by_role("button", name="Show the plan…").click()
    plan = page.get_by_role("dialog")
    expect(plan).to_contain_text("apple can't be in this view")
    expect(plan.locator("form").get_by_role("button")).to_have_count(0)
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Program").select_option("comfyui")
    page.get_by_role("button", name="Show the plan…").click()
    expect(page.get_by_role("dialog")).to_contain_text("needs a folder")


def test_the_doctor_fixes_what_is_safe(library: Server, home: Home, look: Callable[..., Page]) -> None:
    """A ref that names another commit is shown, its repair too, and is as it was after the button."""
    ref = home.primary / "hub/models--org--apple/refs/main"
    commit = ref.read_text()
    ref.write_text("0" * 40)
    page = look(f"{library.url}/doctor")
    page.get_by_role("link", name="Fix 1 automatically…").click()
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("apple")
    assert ref.read_text() == "0" * 40
    sheet.get_by_role("button", name="Fix 1 finding").click()
    expect(page.get_by_role("heading", name="Fixed")).to_be_visible()
    assert ref.read_text() == commit
    expect(page.get_by_role("link", name="Fix 1 automatically…")).to_have_count(0)
