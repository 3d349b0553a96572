"""An adapter finds its base model on any tier, and the base model isn't removed by mistake."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from tests.fakes.hub import FakeHub
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
