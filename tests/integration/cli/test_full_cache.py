"""A new user whose cache already has models."""

from __future__ import annotations

import pytest

from tests.builders import put
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.world import Home, random_bytes


@pytest.fixture
def full(home: Home, hub: FakeHub) -> Home:
    """A user whose programs downloaded two models and who has no library."""
    for seed, name in enumerate("ab"):
        hub.add_repo(f"org/{name}", {"config.json": b"{}", "model.safetensors": random_bytes(100_000, seed)})
        home.hf(home.root / "home/.cache/huggingface", "download", f"org/{name}").checked()
    return home


@pytest.mark.parametrize("place", ["elsewhere", "there"])
def test_ls_and_doctor_name_what_can_be_adopted(full: Home, place: str) -> None:
    """`ls` and `doctor` name what can be adopted, with size and command, until it is adopted."""
    usual = full.root / "home/.cache/huggingface"
    if place == "there":
        full.extra["PRIMARY_CACHE_PATH"] = str(usual)

    listed = full.run("ls").checked()
    examined = full.run("doctor", "--json").json

    assert listed.out == ""
    assert listed.err.startswith("No models yet, but 2 models (2")
    assert listed.err.endswith(" kB) are in ~/.cache/huggingface: shelf adopt\n")
    (found,) = [one for one in examined["findings"] if "not in the library" in one["detail"]]
    assert (found["command"], found["severity"]) == ("shelf adopt", "info")

    full.run("adopt", "--leave").checked()
    assert [model["model_name"] for model in full.run("ls", "--json").checked().json] == ["a", "b"]
    assert "not in the library" not in full.run("doctor").out


def test_init_names_what_is_not_in_the_library_yet(full: Home) -> None:
    """`init` names what its primary base's library lacks, with what can be done there, and nothing once it is taken."""
    usual = full.root / "home/.cache/huggingface"
    words = ("init", "--no-speed", "--here", "--force", "--primary", str(usual))

    before = full.run(*words).checked().err
    full.run("adopt", "--leave", PRIMARY_CACHE_PATH=str(usual)).checked()
    after = full.run(*words).checked().err

    assert "2 models (2" in before
    assert f"shelf adopt {usual} --leave\n" in before
    assert "adopt" not in after


def test_another_hf_home_is_named_whole(full: Home) -> None:
    """If HF_HOME is set, the adopt command has that path."""
    cache = full.root / "cache of mine"
    full.hf(cache, "download", "org/a").checked()

    said = full.run("ls", HF_HOME=str(cache)).checked().err

    assert said.endswith(f" is in {cache}: shelf adopt '{cache}'\n")


@pytest.mark.parametrize("name", ["HF_HOME", "HF_HUB_CACHE"])
def test_adopt_looks_where_programs_look(full: Home, name: str) -> None:
    """Without a path adopt takes the cache that the environment names, and names the usual one as well."""
    cache = full.root / "cache of mine"
    full.hf(cache, "download", "org/a").checked()
    full.extra[name] = str(cache / "hub") if name == "HF_HUB_CACHE" else str(cache)

    looked = full.run("adopt").checked()

    assert f"shelf adopt {cache} --leave\n  1 registered in place\n" in looked.out
    assert looked.err == "Also there: ~/.cache/huggingface (shelf adopt ~/.cache/huggingface)\n"
    assert full.run("adopt", "--leave", "--json").checked().json["path"] == str(cache)


def test_adopt_names_the_cache_that_the_environment_names(full: Home) -> None:
    """A look at one cache names the one of HF_HOME, in quotes where a shell wants them."""
    cache = full.root / "cache of mine"
    full.hf(cache, "download", "org/a").checked()

    looked = full.run("adopt", "~/.cache/huggingface", HF_HOME=str(cache)).checked()

    assert looked.err == f"Also there: '{cache}' (shelf adopt '{cache}')\n"


def test_adopt_takes_the_usual_cache_where_hf_home_is_a_tier(full: Home) -> None:
    """Where HF_HOME is the library's own base, adopt without a path means ~/.cache/huggingface."""
    looked = full.run("adopt", "--leave", "--dry-run", "--json", HF_HOME=str(full.primary)).checked()

    assert looked.json["path"] == str(full.root / "home/.cache/huggingface")


def test_what_stays_is_told_where_it_is(full: Home) -> None:
    """Behind a link in the place of the cache, adopt tells the path of what isn't a model as it is on the disk."""
    usual, real = full.root / "home/.cache/huggingface", full.root / "large/cache"
    put(usual / "datasets/rows.arrow", b"rows")
    real.parent.mkdir()
    usual.rename(real)
    usual.symlink_to(real)
    full.extra["PRIMARY_CACHE_PATH"] = str(usual)

    said = full.run("adopt", "--leave").checked().err

    assert f"datasets: {real}/datasets (4 B): " in said


def test_another_programs_models_are_named(home: Home) -> None:
    """Where only LM Studio has models, `ls` says where, and with what they are taken in."""
    put(home.root / "home/.lmstudio/models/org/tiny-GGUF/tiny-Q4_1.gguf", gguf({}))

    said = home.run("ls").checked().err

    assert said == "No models yet, but another program's are in ~/.lmstudio/models: shelf adopt --all\n"


def test_an_empty_cache_is_no_news(home: Home) -> None:
    """Without a model anywhere, `ls` says how to add the first one."""
    assert home.run("ls").checked().err.startswith("No models yet. To add one: shelf add ORG/MODEL.")


def test_files_that_stayed_are_named_where_no_model_is_left(home: Home, hub: FakeHub) -> None:
    """After `shelf rm` without `--files`, `ls` and `reconcile` say what is still on the tiers, and what to type."""
    hub.add_repo("org/stays", {"config.json": b"{}"})
    home.run("add", "m", "org/stays", "--to", "secondary").checked()
    home.run("rm", "m").checked()

    listed = home.run("ls").checked().err
    reconciled = home.run("reconcile").checked().err

    assert listed.startswith("No models yet, but 1 repository on the tiers (")
    assert listed.endswith(" kB) has no name: shelf ls --all\n")
    assert f"To register: shelf adopt {home.secondary} --leave" in reconciled
