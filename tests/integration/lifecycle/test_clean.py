"""`shelf clean` lists what could go, and a person selects from it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from modelshelf.store.layout import Base
from tests.fakes.hub import FakeHub
from tests.terminal import Terminal
from tests.world import Home, random_bytes

YEAR_S = 365 * 86400


@pytest.fixture
def crowded(home: Home, hub: FakeHub) -> Home:
    """A model with an old revision, and three that nobody used for a year, one of them pinned and one leased."""
    for seed, name in enumerate(("now", "idle", "kept", "held")):
        hub.add_repo(f"org/{name}", {"config.json": b"{}", "model.safetensors": random_bytes(100_000, seed)})
        home.run("add", name, f"org/{name}").checked()
    hub.add_repo("org/now", {"config.json": b"{}", "model.safetensors": random_bytes(70_000, 9)})
    home.run("update", "now", "--keep-old").checked()
    home.run("pin", "kept").checked()
    home.run("lease", "held").checked()
    with sqlite3.connect(Base(home.primary).registry) as registry:
        registry.execute("UPDATE models SET arrived_at = arrived_at - ? WHERE model_name != 'now'", (YEAR_S,))
    registry.close()
    return home


def models(home: Home) -> list[str]:
    """Return the models' names."""
    return [model["model_name"] for model in home.run("ls", "--json").checked().json]


@pytest.mark.parametrize("words", [("clean", "--unused", "90"), ("verify", "--all", "--max-age", "1")], ids=" ".join)
def test_a_number_without_a_unit_is_no_duration(crowded: Home, words: tuple[str, ...]) -> None:
    """Who types 90 means days: as seconds, everything would go."""
    refused = crowded.run(*words, "--json")

    assert refused.code == 2
    assert "isn't a duration with its unit" in refused.problem["detail"]


def test_what_is_listed_can_be_deleted(crowded: Home) -> None:
    """`clean` keeps pinned and leased models and names them; the rest is deleted, and registered models stay whole."""
    plan = crowded.run("clean", "--json").checked().json
    asked = crowded.run("clean")

    assert [(item["kind"], item["model_name"], item["hf_path"]) for item in plan["items"]] == [
        ("unused", "idle", "org/idle"),
        ("revision", None, "org/now"),
    ]
    assert plan["kept"] == ["held is used by a person (shelf lease).", "kept is pinned."]
    assert (asked.code, asked.err.splitlines()[-1].startswith("Nothing was deleted.")) == (0, True)
    assert len(models(crowded)) == 4

    refused = crowded.run("clean", "--yes")
    done = crowded.run("clean", "--unused", "90d", "--revisions", "--yes", "--json").checked().json

    assert (refused.code, "--unused 90d, --revisions or --older" in refused.err) == (2, True)
    assert [item["hf_path"] for item in done["removed"]] == ["org/idle", "org/now"]
    assert done["freed_bytes"] >= 200_000
    assert models(crowded) == ["held", "kept", "now"]
    assert crowded.run("verify", "--all").checked().out.endswith("Everything is intact.\n")
    assert crowded.run("clean").checked().out == "Nothing could go.\n"


def test_what_the_primary_shows_of_another_tier_stays(home: Home, hub: FakeHub) -> None:
    """The links by which HF_HOME finds a model of the secondary aren't taken for a revision that nobody needs."""
    hub.add_repo("org/far", {"config.json": b"{}", "model.safetensors": random_bytes(100_000)})
    home.run("add", "far", "org/far", "--to", "secondary").checked()

    cleaned = home.run("clean", "--revisions", "--yes").checked()

    assert cleaned.out == "Nothing could go.\n"
    assert {view["state"] for view in home.run("view", "ls", "--json").checked().json} == {"true"}


def test_what_a_program_has_open_is_kept(crowded: Home) -> None:
    """`clean` looks at all processes once, and names the one that uses a model it would propose."""
    path = crowded.run("path", "idle").checked().out.strip()
    with (Path(path) / "model.safetensors").open("rb"):
        plan = crowded.run("clean", "--json").checked().json

    assert [item["hf_path"] for item in plan["items"]] == ["org/now"]
    assert [why for why in plan["kept"] if why.startswith("idle is used by ") and f"(pid {os.getpid()})" in why]


def test_a_person_ticks(crowded: Home) -> None:
    """Only the numbers that a person types are deleted; an empty answer keeps everything."""
    for answer, left in (("", ["held", "idle", "kept", "now"]), ("9\n1", ["held", "kept", "now"])):
        shelf = Terminal(crowded, "shelf", "clean", columns=120)
        shelf.wait_for("none [none]: ")
        shelf.type(f"{answer}\n")
        screen = shelf.finish()
        assert screen.code == 0, screen.text
        assert models(crowded) == left

    assert "Type numbers from 1 to 2, all, or none." in screen.text
    assert "Removed 1 of 1: freed " in screen.text


def test_a_commit_that_a_newer_registration_replaced_goes(hub: FakeHub, home: Home) -> None:
    """--older deletes the model that is fixed to an old commit, and never the newer one."""
    old = hub.add_repo("org/m", {"config.json": b"{}", "model.safetensors": random_bytes(100_000)})
    home.run("add", "old", "org/m", "--revision", old).checked()
    hub.add_repo("org/m", {"config.json": b"{}", "model.safetensors": random_bytes(90_000)})
    home.run("add", "new", "org/m").checked()

    home.run("clean", "--older", "--yes").checked()

    assert models(home) == ["new"]
    assert home.run("verify", "new").checked()
