"""`shelf fit`: whether a model fits the memory."""

from __future__ import annotations

from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.world import Home

LLAMA_SERVER = {"LLAMA_SERVER": "/bin/true"}
HEADER = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.context_length": 4096,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
}


def test_it_tells_what_a_context_takes(home: Home, hub: FakeHub) -> None:
    """Weights, cache and engine are told for the context that was asked for, and a small model fits."""
    hub.add_repo("org/tiny", {"tiny.gguf": gguf(HEADER)})
    home.run("add", "tiny", "org/tiny").checked()

    view = home.run("fit", "tiny", "--context", "1000", "--json", **LLAMA_SERVER).checked().json
    shown = home.run("fit", "tiny", **LLAMA_SERVER).checked().out

    assert (view["context"], view["kv_cache_bytes"]) == (1000, 2 * 2 * 2 * 64 * 1000)
    assert view["needs_bytes"] == view["weights_bytes"] + view["kv_cache_bytes"] + view["engine_bytes"]
    assert (view["fits"], view["fits_machine"], view["largest_context"]) == (True, True, 4096)
    assert "It fits" in shown
    assert "The longest context that fits has 4096 tokens." in shown


def test_more_than_it_was_trained_for_is_told(home: Home, hub: FakeHub) -> None:
    """A context that fits the memory, but is longer than the model was trained for, is told as such."""
    hub.add_repo("org/tiny", {"tiny.gguf": gguf(HEADER)})
    home.run("add", "tiny", "org/tiny").checked()

    shown = home.run("fit", "tiny", "--context", "8192", **LLAMA_SERVER).checked().out

    assert "It fits" in shown
    assert "But it was trained for 4096 tokens at most." in shown


def test_a_model_that_does_not_tell_its_shape_is_guessed(home: Home, hub: FakeHub) -> None:
    """Of a header without shapes the weights and a fifth more are told, and no context."""
    hub.add_repo("org/tiny", {"tiny.gguf": gguf({"general.architecture": "llama"})})
    home.run("add", "tiny", "org/tiny").checked()

    view = home.run("fit", "tiny", "--json", **LLAMA_SERVER).checked().json

    assert (view["context"], view["largest_context"]) == (None, None)
    assert view["needs_bytes"] > view["engine_bytes"]
    assert "tiny takes about" in home.run("fit", "tiny", **LLAMA_SERVER).checked().out


def test_several_models_are_told_one_after_the_other(home: Home, hub: FakeHub) -> None:
    """What can't be told of one, which nothing serves, keeps none of the others from being told."""
    hub.add_repo("org/tiny", {"tiny.gguf": gguf(HEADER)})
    hub.add_repo("org/text", {"notes.txt": b"x"})
    home.run("add", "tiny", "org/tiny").checked()
    home.run("add", "text", "org/text").checked()

    shown = home.run("fit", "text", "tiny", **LLAMA_SERVER)
    listed = home.run("fit", "text", "tiny", "--json", **LLAMA_SERVER).json

    assert shown.code == 2
    assert "tiny takes" in shown.out
    assert shown.err.startswith("text:\nerror: ")
    assert [set(view) & {"error", "fits"} for view in listed] == [{"error"}, {"fits"}]
