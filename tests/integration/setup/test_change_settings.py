"""Changing the settings file: from a shell, over HTTP and with the page, with what each change causes shown first."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.integration.server.test_page import browse
from tests.world import Home, random_bytes

MB = 10**6
SECRET = "hf_" + "s" * 34


@pytest.fixture
def written(hub: FakeHub, home: Home) -> tuple[Home, Path]:
    """A home with two models of 2 MB, whose tiers a settings file names."""
    path = home.env_file
    path.write_text(
        f"# mine\nPRIMARY_CACHE_PATH={home.primary}\nSECONDARY_CACHE_PATH={home.secondary}\n"
        f"PRIMARY_CACHE_LIMIT_GB=1 # the fast one\nHF_TOKEN={SECRET}\n"
    )
    path.chmod(0o640)
    home.extra |= {"PRIMARY_CACHE_PATH": "", "SECONDARY_CACHE_PATH": ""}
    for name in ("old", "new"):
        hub.add_repo(f"org/{name}", {"model.safetensors": random_bytes(2 * MB, len(name) + ord(name[0]))})
        home.run("add", name, f"org/{name}").checked()
    return home, path


def test_a_lower_limit_says_who_would_leave_and_is_written_with_a_backup(written: tuple[Home, Path]) -> None:
    """A dry run names the model that has to leave; the change keeps comments, order and mode, and the old file."""
    home, path = written
    before = path.read_text()

    plan = home.run("config", "set", "PRIMARY_CACHE_LIMIT_GB=0.003", "--dry-run", "--json").checked().json
    assert path.read_text() == before
    assert "these move to the secondary: " in " ".join(plan["changes"][0]["effects"])

    done = home.run("config", "set", "PRIMARY_CACHE_LIMIT_GB=0.003", "--json").checked().json
    assert path.read_text() == before.replace("GB=1 #", "GB=0.003 #")
    assert Path(done["backup"]).read_text() == before
    changed = path.read_text()
    home.run("config", "set", "MAX_MOVES=9").checked()
    assert [file.read_text() for file in path.parent.glob(f"{path.name}.*")] == [changed]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_with_a_mistake_is_never_written(written: tuple[Home, Path]) -> None:
    """All mistakes of a change are named together, over HTTP and in a shell, and the file stays."""
    home, path = written
    before = path.read_text()
    wanted = {"PROMOTE": "sometimes", "PRIMARY_CACHE_LIMIT_GB": "x"}

    with home.serve() as server:
        answer = server.ask("PUT", "/api/settings", {"settings": wanted})
        assert answer.status == 400
        assert {problem["name"] for problem in answer.json["problems"]} == set(wanted)
        elsewhere = server.ask("PUT", "/api/settings", {"settings": {"SECONDARY_CACHE_PATH": "/etc/x"}})
        assert (elsewhere.status, elsewhere.json["problems"][0]["name"]) == (403, "SECONDARY_CACHE_PATH")
        relative = server.ask("PUT", "/api/settings", {"settings": {"SECONDARY_CACHE_PATH": "x"}})
        assert relative.status == 403
    assert home.run("config", "set", "PROMOTE=sometimes").code == 2
    apart = home.run("config", "set", "MAX_MOVES", "2")
    assert apart.err.endswith("hint: shelf config set MAX_MOVES=2\n")
    assert path.read_text() == before


def test_a_secret_is_never_shown(written: tuple[Home, Path]) -> None:
    """Neither the command nor HTTP nor the page shows a secret, only that it is set."""
    home, _ = written
    with home.serve() as server:
        shown = json.dumps(server.get("/api/settings")) + browse(server, "/settings").text
        shown += json.dumps(server.ask("PUT", "/api/settings", {"settings": {"PROMOTE": "never"}}).json)
    shown += home.run("config", "--json").checked().out

    assert SECRET not in shown
    assert '"HF_TOKEN": true' in shown


def test_a_changed_base_says_what_becomes_of_the_old_one(written: tuple[Home, Path]) -> None:
    """Without its secondary the library says that its models there stay, and are offline."""
    home, _ = written
    home.run("move", "old", "secondary").checked()

    plan = home.run("config", "unset", "SECONDARY_CACHE_PATH", "--dry-run", "--json").checked().json

    assert "1 model (2.0 MB) stays in" in plan["changes"][0]["effects"][0]


def test_the_page_shows_the_plan_and_writes_only_what_was_shown(written: tuple[Home, Path]) -> None:
    """A change of the file after the plan was shown is shown anew; a mistake stands at its field, inert."""
    home, path = written
    with home.serve() as server:
        hostile = "<img src=x onerror=alert(1)>"
        wrong = browse(server, f"/settings/plan?PROMOTE=never&MAX_MOVES={hostile.replace(' ', '%20')}")
        assert (wrong.status, hostile in wrong.text) == (400, False)
        assert 'id="why-MAX_MOVES"' in wrong.text
        sheet = browse(server, "/settings/plan?PROMOTE=never").text
        seen = sheet.partition('name="seen" value="')[2].partition('"')[0]
        path.write_text(path.read_text() + "MAX_MOVES=3\n")
        stale = browse(server, "/settings", {"seen": seen, "PROMOTE": "never"})
        assert (stale.status, "PROMOTE" in path.read_text()) == (409, False)
        again = stale.text.partition('name="seen" value="')[2].partition('"')[0]
        done = browse(server, "/settings", {"seen": again, "PROMOTE": "never"})
        assert done.status == 303
        assert "was written after this server started" in browse(server, "/settings").text
    assert path.read_text().endswith("MAX_MOVES=3\nPROMOTE=never\n")


def test_a_broken_library_does_not_keep_its_settings_from_being_mended(home: Home) -> None:
    """`shelf config set` replaces a wrong setting although no library can be opened with it."""
    path = home.env_file
    path.write_text("SHELF_LOG=text\nPROMOTE=sometimes\n")

    result = home.run("config", "set", "PROMOTE=never").checked()

    assert "nobody knows what the change would cause" in result.err
    assert path.read_text() == "SHELF_LOG=text\nPROMOTE=never\n"
