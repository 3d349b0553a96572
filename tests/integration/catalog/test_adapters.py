"""An adapter finds its base model on any tier, and the base model isn't removed by mistake."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
from contextlib import closing

import pytest

from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.world import Home, random_bytes

BASE, LORA = "org/Base", "org/lora"
CONFIG = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/base"}).encode()
SHOW = "import os, sys; print(os.environ['HF_HOME'], sys.argv[1])"
USING = """
import sys, modelshelf
with modelshelf.open() as shelf, shelf.services.loader.using("lora", "a test") as (model, base):
    print(base.path, sorted(lease.model_name for lease in shelf.services.leaser.live()))
"""


@pytest.fixture
def adapted(hub: FakeHub, home: Home) -> Home:
    """A home with an adapter on the primary; the hub has its base model under another spelling."""
    hub.add_repo(BASE, {"config.json": b"{}", "model.safetensors": random_bytes(5000, 1)})
    hub.add_repo(LORA, {"adapter_config.json": CONFIG, "adapter_model.safetensors": random_bytes(900, 2)})
    home.run("add", "lora", LORA).checked()
    return home


def test_the_base_model_of_an_adapter_is_found_on_another_tier(adapted: Home) -> None:
    """An adapter's base model is found on another tier, and both are leased while the adapter is used."""
    adapted.run("add", "base", BASE, "--to", "secondary").checked()
    path = adapted.run("path", "base").checked().out.strip()

    done = adapted.python(USING).checked()

    assert done.out.strip() == f"{path} ['base', 'lora']"
    assert path.startswith(str(adapted.secondary))


def test_load_hands_the_base_model_to_its_process(adapted: Home) -> None:
    """`load` gives its process both folders; only the package that loads adapters is missing here."""
    pytest.importorskip("transformers")
    if importlib.util.find_spec("peft"):
        pytest.skip("peft is here")
    adapted.run("add", "base", BASE, "--to", "secondary").checked()

    done = adapted.run("load", "lora")

    assert (done.code, "peft is not installed" in done.err) == (7, True)


@pytest.mark.parametrize("words", [["load", "lora"], ["run", "lora", "--", "true"]], ids=["load", "run"])
def test_a_missing_base_model_is_named_with_its_command(adapted: Home, words: list[str]) -> None:
    """Without its base model an adapter isn't loaded, and the error has the command; `run` only warns."""
    done = adapted.run(*words)

    assert done.code == (4 if words[0] == "load" else 0)
    assert "lora is an adapter of org/base, which isn't registered." in done.err
    assert "shelf add NAME org/base" in done.err


def test_an_adapter_of_a_folder_is_refused_by_name(hub: FakeHub, home: Home) -> None:
    """An adapter whose base model is a folder is refused by that name."""
    hub.add_repo(LORA, {"adapter_config.json": b'{"base_model_name_or_path": "/root/x"}', "a.bin": random_bytes(9, 2)})
    home.run("add", "lora", LORA).checked()

    done = home.run("load", "lora")

    assert (done.code, "doesn't name the repository of its base model" in done.err) == (2, True)


def test_run_says_where_a_base_model_on_another_tier_is(adapted: Home) -> None:
    """If the base model is on another tier than HF_HOME, `run` notes its folder and the command that moves it."""
    adapted.run("add", "base", BASE, "--to", "secondary").checked()
    path = adapted.run("path", "base").checked().out.strip()

    apart = adapted.run("run", "lora", "--", sys.executable, "-c", SHOW, "{path}").checked()
    adapted.run("move", "base", "primary").checked()
    together = adapted.run("run", "lora", "--", sys.executable, "-c", SHOW, "{path}").checked()

    assert path in apart.err
    assert "shelf move base primary" in apart.err
    assert together.err == ""


def test_the_files_of_a_base_model_stay_while_an_adapter_needs_them(adapted: Home) -> None:
    """A base model's files stay while adapters need them, unless another model of the repository has them."""
    adapted.run("add", "base", BASE, "--to", "secondary").checked()

    refused = adapted.run("rm", "base", "--files", "--json")
    adapted.run("add", "second", BASE).checked()

    assert (refused.code, refused.problem["needed_by"]) == (5, ["lora"])
    adapted.run("rm", "base", "--files").checked()
    forgotten = adapted.run("rm", "second").checked()
    assert "lora can't be loaded without org/Base, the base model." in forgotten.err


def test_a_base_model_goes_with_its_adapter(adapted: Home) -> None:
    """A base model and its adapter can be removed by one command, whichever is named first."""
    adapted.run("add", "base", BASE).checked()

    planned = adapted.run("rm", "base", "lora", "--files", "--dry-run").checked()
    done = adapted.run("rm", "base", "lora", "--files").checked()

    assert planned.err.count("Would free") == 2
    assert done.out.startswith("Removed lora: ")
    assert adapted.run("ls", "--json").checked().json == []


def test_show_tells_an_adapter_and_its_base_both_ways(adapted: Home) -> None:
    """`show` says of an adapter what it is laid on, registered or not, and of a base which adapters it has."""
    alone = adapted.run("show", "lora").checked().out
    adapted.run("add", "base", BASE, "--to", "secondary").checked()

    lora, base = (adapted.run("show", name).checked().out for name in ("lora", "base"))
    told = adapted.run("show", "lora", "--json").checked().json

    assert "org/base (not registered: shelf add NAME org/base)" in " ".join(alone.split())
    assert "adapter of: org/base (here as base)" in " ".join(lora.split())
    assert "base of: lora" in " ".join(base.split())
    assert (told["adapter_of"], told["bases"], told["base_of"]) == ("org/base", ["base"], [])
    assert adapted.run("show", "base", "--json").checked().json["base_of"] == ["lora"]


def test_clean_names_the_adapters_that_keep_a_base(adapted: Home) -> None:
    """A base model that nobody used stays, with the names of its adapters; those may go."""
    adapted.run("add", "base", BASE).checked()

    plan = adapted.run("clean", "--unused", "0s", "--json").checked().json

    assert [item["model_name"] for item in plan["items"]] == ["lora"]
    assert plan["kept"] == ["base is the base model of lora."]


def test_a_base_that_an_adapter_here_needs_does_not_leave_first(hub: FakeHub, home: Home) -> None:
    """When room is made, a base with an adapter that came lately stays, and an idle model that came later leaves."""
    sizes = {"base": 3_000_000, "idle": 3_000_000, "more": 3_000_000}
    for seed, (name, size) in enumerate(sizes.items()):
        hub.add_repo(f"org/{name}", {"config.json": b"{}", "model.safetensors": random_bytes(size, seed)})
    hub.add_repo(LORA, {"adapter_config.json": CONFIG, "adapter_model.safetensors": random_bytes(900, 9)})
    for name in ("base", "idle"):
        home.run("add", name, f"org/{name}").checked()
    home.run("add", "lora", LORA).checked()
    with home.open() as shelf:
        used = shelf.tiers()[0].usage.apparent_bytes
    home.extra["PRIMARY_CACHE_LIMIT_GB"] = str((used + 3_200_000) / 1e9)

    added = home.run("add", "more", "org/more").checked()

    assert "Evicting idle" in added.err
    with home.open() as shelf:
        where = {model.row.model_name: model.row.cache_location for model in shelf.models()}
    assert where == {"base": "primary", "idle": "secondary", "lora": "primary", "more": "primary"}


def test_the_order_of_leaving_heeds_adapters_and_what_is_mirrored(hub: FakeHub, home: Home) -> None:
    """What clients' requests brought leaves first, then the least recently used, a base as late as its adapter."""
    for seed, name in enumerate(("base", "idle", "fetched")):
        hub.add_repo(f"org/{name}", {"config.json": b"{}", "model.safetensors": random_bytes(5000, seed)})
    hub.add_repo(LORA, {"adapter_config.json": CONFIG, "adapter_model.safetensors": random_bytes(900, 9)})
    with home.open() as shelf:
        for name, repo_id in (("base", "org/base"), ("idle", "org/idle"), ("lora", LORA), ("fetched", "org/fetched")):
            shelf.register(name, repo_id)
        with closing(sqlite3.connect(home.primary / "modelshelf/registry.db")) as registry, registry:
            registry.execute("UPDATE models SET mirrored = 'open' WHERE model_name = 'fetched'")
        tier = shelf.services.tiers.settings.primary

        order = shelf.services.mover.room.next_to_leave(tier, lambda known: False)

    assert [one.model_name for one in order] == ["fetched", "idle", "base", "lora"]


def test_a_base_that_has_to_leave_goes_with_a_word(hub: FakeHub, home: Home) -> None:
    """Where only a base can make room, it leaves, and the plan names the adapter that stays without it."""
    for seed, name in enumerate(("base", "more")):
        hub.add_repo(f"org/{name}", {"config.json": b"{}", "model.safetensors": random_bytes(3_000_000, seed)})
    hub.add_repo(LORA, {"adapter_config.json": CONFIG, "adapter_model.safetensors": random_bytes(900, 9)})
    home.run("add", "base", "org/base").checked()
    home.run("add", "lora", LORA).checked()
    with home.open() as shelf:
        used = shelf.tiers()[0].usage.apparent_bytes
    home.extra["PRIMARY_CACHE_LIMIT_GB"] = str((used + 3_200_000) / 1e9)

    plan = home.run("add", "more", "org/more", "--dry-run", "--json").checked().json
    added = home.run("add", "more", "org/more").checked()

    assert [(gone["model_name"], gone["needed_by"]) for gone in plan["makes_room"]] == [("base", ["lora"])]
    assert "to secondary, though lora needs it as the base model." in added.err


@pytest.fixture
def in_gguf(hub: FakeHub, home: Home) -> Home:
    """A home with an adapter in GGUF, and a GGUF that was made from the base model that it names."""
    says = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "general.base_model.count": 1,
        "general.base_model.0.repo_url": "https://huggingface.co/org/Base",
    }
    hub.add_repo(LORA, {"lora-F16.gguf": gguf(says) + random_bytes(900, 2)})
    card = b"---\nbase_model: org/base\n---\n"
    whole = gguf({"general.architecture": "llama", "general.type": "model"})
    hub.add_repo("other/Base-GGUF", {"README.md": card, "base-Q4_K_M.gguf": whole + random_bytes(5000, 1)})
    home.run("add", "lora", LORA).checked()
    return home


def test_an_adapter_in_gguf_is_told_by_its_keys(in_gguf: Home) -> None:
    """A GGUF file that says that it is an adapter is shown as one, with the base model that it names."""
    shown = in_gguf.run("show", "lora", "--json").checked().json

    assert (shown["format"], shown["facts"]["architecture"]) == ("GGUF adapter", "lora adapter")
    assert (shown["adapter_of"], shown["facts"]["base_models"]) == ("org/Base", ["org/Base"])
    refused = in_gguf.run("load", "lora")
    assert (refused.code, "lora is an adapter of org/Base, which isn't registered." in refused.err) == (4, True)


def test_an_adapter_in_gguf_finds_what_was_made_from_its_base(in_gguf: Home) -> None:
    """Its base is the GGUF whose README names the same base model, and that isn't removed by mistake."""
    in_gguf.run("add", "base", "other/Base-GGUF").checked()

    shown = in_gguf.run("show", "lora", "--json").checked().json
    refused = in_gguf.run("rm", "base", "--files", "--json")

    assert shown["bases"] == ["base"]
    assert (refused.code, refused.problem["needed_by"]) == (5, ["lora"])
    assert in_gguf.run("show", "base", "--json").checked().json["base_of"] == ["lora"]


def test_an_adapter_in_gguf_without_its_base_is_refused(hub: FakeHub, home: Home) -> None:
    """An adapter in GGUF that names no base model is refused by its file's name."""
    hub.add_repo(LORA, {"lora.gguf": gguf({"general.type": "adapter"}) + random_bytes(9, 2)})
    home.run("add", "lora", LORA).checked()

    done = home.run("load", "lora")

    assert (done.code, "lora.gguf doesn't name the repository of its base model" in done.err) == (2, True)


def test_an_adapter_in_gguf_may_name_its_base_beside_it(hub: FakeHub, home: Home) -> None:
    """Where the file's own metadata names no base model, peft's file beside it does."""
    hub.add_repo(BASE, {"base.gguf": gguf({"general.architecture": "llama"})})
    lora = gguf({"general.type": "adapter"}) + random_bytes(9, 2)
    hub.add_repo(LORA, {"lora.gguf": lora, "adapter_config.json": CONFIG})
    for name, repo_id in (("base", BASE), ("lora", LORA)):
        home.run("add", name, repo_id).checked()

    assert home.run("show", "lora", "--json").checked().json["bases"] == ["base"]
