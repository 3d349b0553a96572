"""What a person wants of engines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelshelf.domain.engine_choice import EngineChoice
from modelshelf.domain.engine_wishes import EngineChange, EngineSettings, EngineWish, parse_wishes
from modelshelf.errors import BadInput

NO_FLAG = '{"engine": "llama", "arguments": [], "trust_remote_code": 1, "allow_pickle": false}'


NONE = EngineChoice()
CHOSEN = EngineChoice("llama", ("--threads=2",), trust_remote_code=True, allow_pickle=True)


def test_what_was_chosen_for_a_model_goes_before_the_settings() -> None:
    """What the registry has of a model goes before what SHELF_ENGINES says of its name; trust alone doesn't."""
    settings = EngineSettings(wishes=parse_wishes("a=vllm"))

    assert settings.wish_for("a", CHOSEN) == EngineWish("llama", ("--threads=2",))
    assert settings.wish_for("a", EngineChoice(allow_pickle=True)) == EngineWish("vllm")


CHANGES = {
    "nothing": (EngineChange(), CHOSEN),
    "arguments": (EngineChange(arguments=("threads=3",)), replace(CHOSEN, arguments=("--threads=3",))),
    "hyphens": (EngineChange(arguments=("--main-gpu=1",)), replace(CHOSEN, arguments=("--main-gpu=1",))),
    "another-engine-begins-anew": (EngineChange("vllm"), replace(CHOSEN, engine="vllm", arguments=())),
    "any-engine": (EngineChange("auto"), replace(CHOSEN, engine="", arguments=())),
    "trust": (EngineChange(trust_remote_code=False, allow_pickle=False), EngineChoice("llama", ("--threads=2",))),
}


@pytest.mark.parametrize(("change", "choice"), CHANGES.values(), ids=CHANGES)
def test_a_change_leaves_the_rest(change: EngineChange, choice: EngineChoice) -> None:
    """What a change doesn't name stays, but the arguments of another engine; the registry's text has all of it."""
    assert change.applied(CHOSEN) == choice
    assert EngineChoice.parse(choice.text) == choice
    assert EngineChoice.parse("") == NONE
    assert change.is_empty is (change == EngineChange())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (EngineChange("ollama"), "There is no engine ollama"),
        (EngineChange("url"), "address of another server"),
        (EngineChange("auto", ("threads=3",)), "Arguments are for one engine"),
        (EngineChange("llama", ("api-key=x",)), "--api-key=x isn't an argument that llama may be started with"),
        (EngineChange("transformers", ("attn-implementation=org/kernel",)), "has a value that no engine"),
    ],
)
def test_a_change_that_no_engine_takes_is_refused(change: EngineChange, why: str) -> None:
    """An unknown engine, an argument that it doesn't take, and a value that could be a path are refused."""
    with pytest.raises(BadInput, match=why):
        change.applied(NONE)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"engine": "llama"}', NO_FLAG])
def test_what_the_registry_should_not_have_is_refused(text: object) -> None:
    """A row that somebody else wrote is refused as a whole."""
    with pytest.raises(BadInput):
        EngineChoice.parse(text)


def test_each_model_has_its_wish() -> None:
    """Wishes stand behind the names of models, with semicolons between them; a model without one wants nothing."""
    wishes = parse_wishes(" a=llama --threads=2 --n-gpu-layers=0 ; b=url https://host/sub/v1/; ")
    settings = EngineSettings(wishes=wishes)

    assert settings.wish_for("a", NONE) == EngineWish("llama", ("--threads=2", "--n-gpu-layers=0"))
    assert settings.wish_for("b", NONE) == EngineWish("url", (), "https://host/sub", "")
    assert settings.wish_for("c", NONE) == EngineWish()
    assert [settings.wish_for(name, NONE).text for name in "abc"] == [
        "llama --threads=2 --n-gpu-layers=0",
        "url https://host/sub",
        "",
    ]


@pytest.mark.parametrize(
    "text",
    ["a", "a=", "../a=llama", "a=ollama", "a=llama --api-key=x", "a=url", "a=url file:///etc", "a=url http://h b c"],
)
def test_what_is_no_wish_is_refused(text: str) -> None:
    """A name, an engine, an argument or an address that can't be meant is refused."""
    with pytest.raises(BadInput):
        parse_wishes(text)
