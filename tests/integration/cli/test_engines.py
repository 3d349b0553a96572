"""`shelf engines`: what is installed, and what would serve a model."""

from __future__ import annotations

from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.world import Home

LLAMA_SERVER = {"LLAMA_SERVER": "/bin/true"}
NO_LLAMA = {"LLAMA_SERVER": "/bin/none"}


def test_it_lists_every_engine_with_its_reason(home: Home) -> None:
    """Each engine is listed with whether it is here, and where or why not."""
    listed = home.run("engines", "--json", **LLAMA_SERVER).checked().json

    assert [one["engine"] for one in listed] == ["vllm", "mlx", "llama", "transformers", "embeddings", "url"]
    assert all(one["installed"] != bool(one["detail"]) for one in listed)
    llama = listed[2]
    assert (llama["installed"], llama["where"], llama["formats"]) == (True, "LLAMA_SERVER=/bin/true", ["GGUF"])
    assert "LLAMA_SERVER=/bin/true" in home.run("engines", **LLAMA_SERVER).checked().out


def test_it_says_what_would_serve_a_model(home: Home, hub: FakeHub) -> None:
    """For a GGUF it names llama, what may be asked of it, its memory, and why the others don't serve it."""
    header = {
        "general.architecture": "llama",
        "llama.block_count": 30,
        "llama.context_length": 4096,
        "llama.embedding_length": 576,
        "llama.attention.head_count": 9,
    }
    hub.add_repo("org/tiny", {"tiny.gguf": gguf(header)})
    home.run("add", "tiny", "org/tiny").checked()

    view = home.run("engines", "tiny", "--json", **LLAMA_SERVER).checked().json

    assert (view["engine"], view["kind"]) == ("llama", "generate")
    assert "chat/completions" in view["endpoints"]
    assert view["memory_bytes"] > 30 * 576 * 4096
    assert {"engine": "mlx", "detail": "It takes safetensors, not GGUF."} in view["others"]
    shown = home.run("engines", "tiny", **LLAMA_SERVER).checked().out
    assert "llama" in shown
    assert "It serves GGUF and is installed." in shown


def test_a_person_chooses_the_engine_of_a_model(home: Home, hub: FakeHub) -> None:
    """`add` and `engines` choose an engine with its arguments, which is shown; what isn't there changes nothing."""
    hub.add_repo("org/tiny", {"tiny.gguf": gguf({"general.architecture": "llama"})})
    refused = home.run("add", "tiny", "org/tiny", "--engine", "llama", **NO_LLAMA)
    assert (refused.code, "llama can't be used here" in refused.err, home.run("ls", "--json").json) == (2, True, [])

    home.run("add", "tiny", "org/tiny", "--engine", "llama", "--engine-arg", "threads=3", **LLAMA_SERVER).checked()
    assert "llama --threads=3" in home.run("show", "tiny").checked().out
    home.run("engines", "tiny", "--engine-arg", "threads=4", "--allow-pickle", **LLAMA_SERVER).checked()
    wrong = home.run("engines", "tiny", "--engine-arg", "host=0.0.0.0", **LLAMA_SERVER)

    assert (wrong.code, "--host=0.0.0.0 isn't an argument" in wrong.err) == (2, True)
    shown = home.run("show", "tiny", "--json").checked().json
    assert {key: shown[key] for key in ("engine", "engine_args", "allow_pickle", "trust_remote_code")} == {
        "engine": "llama", "engine_args": ["--threads=4"], "allow_pickle": True, "trust_remote_code": False,
    }  # fmt: skip
    assert home.run("engines", "tiny", "--json", **LLAMA_SERVER).json["detail"] == "The model names it."


def test_what_nothing_serves_says_so(home: Home, hub: FakeHub) -> None:
    """A model of a format that nothing serves is refused as bad input."""
    hub.add_repo("org/onnx", {"model.onnx": b"onnx"})
    home.run("add", "onnx", "org/onnx").checked()

    refused = home.run("engines", "onnx", "--json")

    assert refused.code == 2
    assert refused.problem["detail"] == "Nothing that is installed here serves ONNX."
