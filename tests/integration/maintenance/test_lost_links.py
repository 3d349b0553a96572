"""Caches that lost their links in a copy: nothing is deleted, and links are restored offline."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelshelf.domain.job_params import GcParams
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.builders import Drawn, commit, lay_out
from tests.fakes.clock import Later
from tests.invariants import violations
from tests.world import Home, load_offline, tree

REPO = "org/name"
DRAWING = f"""
    model {REPO}
      commit a main
        config.json 200
        sub/tokenizer.json 3000
        model.safetensors 300000
"""
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def drawn(home: Home) -> Drawn:
    """An unregistered model in the primary base."""
    return lay_out(home.primary, DRAWING)


def lose_links(drawn: Drawn, how: str) -> None:
    """Remove the links of all snapshots, as a copy does."""
    for link in [path for path in drawn.base.hub.rglob("*") if path.is_symlink()]:
        target = link.readlink()
        link.unlink()
        if how == "text":
            link.write_text(str(target))
        elif how == "xsym":
            link.write_text(f"XSym\n{len(str(target)):04}\n{'0' * 32}\n{target}\n".ljust(1067))
        elif how == "moved":
            link.symlink_to(f"/gone/hub/models--org--name/blobs/{target.name}")


def collect(shelf: Shelf) -> list[str]:
    """Return the kinds of garbage that gc would delete an hour later."""
    plans = replace(shelf.services.collector, clock=Later()).plan(GcParams())
    return [item.kind for _, plan in plans for item in plan.items]


@pytest.mark.parametrize("listed", [True, False], ids=["with a list", "without"])
@pytest.mark.parametrize("how", ["text", "xsym", "moved", "gone"])
def test_adopt_links_anew(home: Home, drawn: Drawn, how: str, listed: bool) -> None:
    """If a list or a link's text says which file a blob was, adopt links, verifies and registers it."""
    before = tree(drawn.base.repo(REPO).snapshot(commit("a")))
    lose_links(drawn, how)
    if not listed:
        shutil.rmtree(drawn.base.repo(REPO).trees)
    with home.open(HF_ENDPOINT=NOWHERE) as shelf:
        assert collect(shelf) == []

        done = shelf.adopt(str(home.primary), "leave")

        if how == "gone" and not listed:
            assert done["registered"] == []
            assert "no list here says which file each one is" in done["models"][0]["detail"]
            assert collect(shelf) == []
            return
        assert done["registered"] == ["name"]
        assert "get new ones" in done["models"][0]["detail"]
        assert violations(shelf) == []
    assert tree(load_offline(home, home.primary, REPO)) == before


@pytest.mark.parametrize("how", ["text", "xsym", "moved", "gone"])
def test_a_registered_model_is_linked_anew_offline(home: Home, drawn: Drawn, how: str) -> None:
    """`ls` says that only the links are missing, and `verify --repair` restores them without the hub."""
    before = tree(drawn.base.repo(REPO).snapshot(commit("a")))
    home.run("adopt", str(home.primary), "--leave").checked()
    lose_links(drawn, how)

    model = home.run("show", "name", "--json").checked().json
    assert model["state"] == "partial"
    assert "shelf verify name --repair restores them" in model["detail"]
    home.run("verify", "name", "--repair", HF_ENDPOINT=NOWHERE).checked()

    assert home.run("show", "name", "--json").checked().json["state"] == "ready"
    assert tree(Path(home.run("path", "name").checked().out.strip())) == before
    assert not any(Base(home.primary).quarantine.glob("*"))


def test_adopt_mends_a_registered_model_too(home: Home, drawn: Drawn) -> None:
    """Running adopt on a base restores the links of its registered models."""
    home.run("adopt", str(home.primary), "--leave").checked()
    lose_links(drawn, "gone")

    home.run("adopt", str(home.primary), "--leave", HF_ENDPOINT=NOWHERE).checked()

    assert home.run("show", "name", "--json").checked().json["state"] == "ready"


def test_a_text_without_its_blob_is_refused_by_name(home: Home, drawn: Drawn) -> None:
    """A text file is never taken for the weights that it names."""
    lose_links(drawn, "text")
    drawn.base.repo(REPO).blob(drawn.digest(REPO, "a", "model.safetensors")).unlink()

    done = home.run("adopt", str(home.primary), "--leave", "--json").checked().json

    assert done["registered"] == []
    assert done["models"][0]["detail"] == (
        "model.safetensors is a link that became a text file, and its blob isn't here."
    )


def test_verify_and_doctor_name_what_lost_its_links(home: Home, drawn: Drawn) -> None:
    """Verify and doctor name the repository that lost its links and the command that restores them."""
    home.run("tiers").checked()
    lose_links(drawn, "gone")

    said = home.run("verify", "--all", "--json")
    assert said.code == 6
    lost = next(f for f in said.json["result"]["findings"] if f["kind"] == "lost_links")
    assert lost["detail"].startswith("3 of its files lost their links")
    assert lost["hint"] == f"shelf adopt {home.primary}"
    assert "3 of its files lost their links" in home.run("doctor").out
    drawn.base.repo(REPO).tree(commit("a")).unlink()
    assert "All of its files lost their links" in home.run("doctor").out
    assert "3 blobs of org/name (303.2 kB) may only have lost their links" in home.run("gc", "--dry-run").err


def test_a_dry_run_of_gc_says_why_and_how_old(home: Home) -> None:
    """Each entry of `gc --dry-run` has its reason and age, as text and as JSON."""
    lay_out(home.primary, "model dead/one\n commit b main\n partial 700")
    with home.open() as shelf:
        plans = replace(shelf.services.collector, clock=Later()).plan(GcParams())
    [plan] = [plan for _, plan in plans if plan.items]
    assert all(item.why and item.age_s > 3600 for item in plan.items)

    shown = home.run("gc", "--dry-run", "--json").checked().json
    assert all({"why", "age_s"} <= item.keys() for tier in shown["tiers"] for item in tier["items"])
