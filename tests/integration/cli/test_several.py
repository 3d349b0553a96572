"""Commands that take several names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.hub import FakeHub
from tests.world import Home, Result, random_bytes

Cli = Callable[..., Result]


@pytest.fixture
def two(hub: FakeHub, home: Home) -> None:
    """Models a and b, not downloaded."""
    for seed, name in enumerate("ab"):
        hub.add_repo(f"org/{name}", {"config.json": b"{}", "model.safetensors": random_bytes(10_000, seed)})
        home.run("add", name, f"org/{name}", "--no-download").checked()


@pytest.mark.usefixtures("two")
def test_each_name_is_worked_on_once(home: Home, cli: Cli) -> None:
    """Each name gets a line or object once, in order; a single name gets the object alone."""
    assert [line.split(",")[0] for line in cli("pull", "b", "a", "b").checked().out.splitlines()] == [
        "b: ready",
        "a: ready",
    ]
    assert [model["pinned"] for model in cli("pin", "a", "b", "--json").checked().json] == [True, True]
    assert cli("unpin", "a", "--json").checked().json["pinned"] is False
    planned = cli("move", "a", "b", "secondary", "--dry-run").checked()
    assert [line.split(":")[0] for line in planned.out.splitlines() if "→" in line] == ["a", "b"]
    assert [m["state"] for m in cli("move", "a", "b", "secondary", "--json").checked().json] == ["ready", "ready"]
    assert cli("verify", "a", "b").checked().out.startswith("Read ")
    assert [plan["is_current"] for plan in cli("update", "a", "b", "--json").checked().json] == [True, True]
    assert all(blob.is_symlink() for blob in (home.primary / "hub/models--org--a/blobs").iterdir())  # a view


@pytest.mark.usefixtures("two")
def test_several_are_shown_and_warmed(cli: Cli) -> None:
    """`show` and `warm` take several names: with --json one is an object as before, several are a list."""
    cli("pull", "a", "b").checked()

    for verb in ("show", "warm"):
        assert cli(verb, "a", "--json").checked().json["model_name"] == "a"
        assert [one["model_name"] for one in cli(verb, "b", "a", "--json").checked().json] == ["b", "a"]
    assert [line for line in cli("show", "a", "b").checked().out.splitlines() if line.startswith("name:")][1:]
    assert len(cli("warm", "a", "b").checked().out.splitlines()) == 2


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("verb", ["pull", "pin", "move", "update", "verify"])
def test_a_name_that_is_none_stops_all_before_the_first(cli: Cli, verb: str) -> None:
    """If one name is unknown, no model is changed."""
    refused = cli(verb, "a", "c", *(["secondary"] if verb == "move" else []))

    assert (refused.code, refused.out) == (4, "")
    assert refused.err.startswith("error: There is no model c.")
    (shown, _) = cli("ls", "--json").checked().json
    assert (shown["state"], shown["pinned"], shown["cache_location"]) == ("registered", False, "primary")


@pytest.mark.usefixtures("two")
def test_one_that_fails_does_not_stop_the_others(hub: FakeHub, cli: Cli) -> None:
    """If one model fails, the others are still done; its error is below its name and decides the exit code."""
    hub.fail("/org/a/resolve/*", status=403)

    said = cli("pull", "a", "b")

    assert (said.code, said.out.split(",")[0]) == (3, "b: ready")
    assert said.err.startswith("a:\nerror: ")


@pytest.mark.usefixtures("two")
def test_a_word_that_is_no_tier_may_have_meant_a_name(cli: Cli) -> None:
    """`mv a b` with an unknown tier b gets a hint with the rename command."""
    refused = cli("mv", "a", "z")

    assert (refused.code, refused.out) == (2, "")
    assert "'z' isn't a tier." in refused.err
    assert refused.err.endswith("To give a model another name: shelf rename NAME z\n")


def test_files_are_left_out(hub: FakeHub, cli: Cli) -> None:
    """--exclude leaves files out, of all or of those that --include selects."""
    hub.add_repo("org/m", {"config.json": b"{}", "model.safetensors": b"s", "model.bin": b"b", "extra.bin": b"e"})
    cli("add", "rest", "org/m", "--exclude", "*.bin").checked()
    cli("add", "some", "org/m", "--include", "*.bin", "--exclude", "extra*").checked()

    named = {n: [f["path"] for f in cli("show", n, "--json").json["files"]] for n in ("rest", "some")}

    assert named == {"rest": ["config.json", "model.safetensors"], "some": ["model.bin"]}
