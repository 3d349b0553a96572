"""What `shelf show` says about a model."""

from __future__ import annotations

import json

import pytest
from demo.build_models import find_gguf

from tests.fakes.hub import FakeHub
from tests.headers import gguf, safetensors
from tests.terminal import shelf_on_terminal
from tests.world import Home

GQA = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "max_position_embeddings": 1000,
}
MODEL = {
    "config.json": json.dumps(GQA).encode(),
    "model-1-of-2.safetensors": safetensors({"a.weight": ("BF16", [100, 10])}),
    "model-2-of-2.safetensors": safetensors({"b.weight": ("BF16", [50, 10])}),
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a.weight": "model-1-of-2.safetensors", "b.weight": "model-2-of-2.safetensors"}}
    ).encode(),
    "model.fp16.safetensors": safetensors({"a.weight": ("F16", [9000, 10])}),
    "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}',
    "README.md": b"---\nlicense: apache-2.0\nbase_model: org/base\ntags:\n- chat\n---\n# Hello\n",
}


def shown(home: Home, name: str = "m") -> dict[str, str]:
    """Return the lines that `shelf show` prints before the files."""
    lines = home.run("show", name).checked().out.partition("\n\n")[0].splitlines()
    assert len({len(line) - len(line.partition(":")[2].lstrip()) for line in lines}) == 1, "the values are aligned"
    return {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}


def test_a_real_gguf_file_says_what_it_is(home: Home, hub: FakeHub) -> None:
    """A published GGUF model is described by its header."""
    hub.add_repo("org/name-GGUF", {"name-Q4_1.gguf": find_gguf()})
    home.run("add", "m", "org/name-GGUF").checked()

    said = shown(home)

    assert (
        said
        | {
            "architecture": "llama",
            "parameters": "134.5 M",
            "context": "8192 tokens",
            "quantisation": "Q4_1",
            "format": "GGUF",
            "license": "apache-2.0",
            "chat template": "yes, in name-Q4_1.gguf",
            "runs with": "llama.cpp, transformers",
            "memory": "287.1 MB: weights 98.4 MB, KV cache 188.7 MB for 8192 tokens",
        }
        == said
    )


def test_a_model_in_parts_says_what_it_is(home: Home, hub: FakeHub) -> None:
    """config.json, the weights that the index names, the tokenizer and the README describe a sharded model."""
    hub.add_repo("org/name", MODEL)
    home.run("add", "m", "org/name").checked()

    said = shown(home)

    assert (
        said
        | {
            "architecture": "Qwen3MoeForCausalLM",
            "parameters": "1.5 k (128 experts, 8 for each token)",
            "context": "1000 tokens",
            "quantisation": "BF16",
            "format": "safetensors",
            "license": "apache-2.0",
            "chat template": "yes, in tokenizer_config.json",
            "runs with": "transformers, vLLM, mlx",
            "made from": "org/base",
            "tags": "chat",
        }
        == said
    )
    facts = home.run("show", "m", "--json").json["facts"]
    assert facts["memory"]["kv_cache_bytes"] == 2 * 4 * 2 * 2 * 16 * 1000


def test_what_is_not_there_is_unknown_and_the_rest_is_said(home: Home, hub: FakeHub) -> None:
    """If files are missing or the tier is offline, only what the list of files tells is shown."""
    hub.add_repo("org/name", MODEL)
    home.run("add", "m", "org/name").checked()
    snapshot = home.primary / "hub/models--org--name/snapshots"
    next(snapshot.rglob("model-2-of-2.safetensors")).unlink()

    assert (shown(home)["parameters"], shown(home)["architecture"]) == ("unknown", "Qwen3MoeForCausalLM")

    home.run("add", "far", "org/name", "--to", "secondary").checked()
    home.secondary.rename(home.root / "unplugged")
    said = shown(home, "far")

    assert (said["state"].partition(":")[0], said["format"], said["license"]) == ("offline", "safetensors", "unknown")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"config.json": b'{"architectures": ["BertModel"]}', "model.safetensors": safetensors({"a": ("F32", [9])})},
            {"architecture": "BertModel", "memory": "69 B for the weights; it keeps no cache", "chat template": "no"},
        ),
        (
            {"adapter_config.json": b'{"peft_type": "LORA", "base_model_name_or_path": "org/base"}',
             "adapter_model.safetensors": safetensors({"a.weight": ("F32", [9])})},
            {"architecture": "LORA adapter", "made from": "org/base", "parameters": "9", "memory": "unknown"},
        ),
        (
            {"model_index.json": b'{"_class_name": "FluxPipeline"}', "vae/x.safetensors": safetensors({})},
            {"architecture": "FluxPipeline", "runs with": "diffusers", "parameters": "unknown"},
        ),
        (
            {"m-Q4_0.gguf": gguf({}), "m-Q8_0.gguf": gguf({"general.file_type": 7, "a": "b"})},
            {"quantisation": "Q8_0 (there are Q4_0 too)", "chat template": "no"},
        ),
        (
            {"m.gguf": b"GGUF" + b"\xff" * 100, "tokenizer_config.json": b"[]", "chat_template.jinja": b"x"},
            {"architecture": "unknown", "context": "unknown", "chat template": "yes, in chat_template.jinja"},
        ),
        ({"m.gguf": b"GGUF" + b"\xff" * 100}, {"chat template": "unknown", "quantisation": "unknown"}),
    ],
    ids=["an embedding model", "an adapter", "a pipeline", "two quantisations", "damaged headers", "nothing to read"],
)  # fmt: skip
def test_other_kinds_of_models(home: Home, hub: FakeHub, files: dict[str, bytes], said: dict[str, str]) -> None:
    """Embedding models, adapters, pipelines and quantisations are recognised; anything else is unknown."""
    hub.add_repo("org/name", files)
    home.run("add", "m", "org/name").checked()

    found = shown(home)

    assert found | said == found


def test_a_file_that_cannot_be_read_is_named(home: Home, hub: FakeHub) -> None:
    """A file that isn't what its name says is named with the reason."""
    hub.add_repo("org/name", {**MODEL, "config.json": b"{"})
    home.run("add", "m", "org/name").checked()

    facts = home.run("show", "m", "--json").checked().json["facts"]

    assert [line.partition(" ")[0] for line in facts["unread"]] == ["config.json"]
    assert (facts["architecture"], facts["parameters"]) == (None, 1500)


def test_a_model_before_its_commit_is_known(home: Home, hub: FakeHub) -> None:
    """A model registered while the hub was unreachable has no facts yet."""
    hub.stop()
    home.run("add", "m", "org/name", "--no-download").checked()

    assert {shown(home)[name] for name in ("architecture", "format", "memory", "runs with")} == {"unknown"}


def test_it_fits_a_terminal_of_80_columns(home: Home, hub: FakeHub) -> None:
    """On a terminal no line is wider than the screen, and a chosen quantisation is shown by name."""
    hub.add_repo("org/name-GGUF", {"name-Q4_1.gguf": find_gguf()})
    home.run("add", "m", "org/name-GGUF:Q4_1", "--include", "*.md").checked()

    lines = shelf_on_terminal(home, "show", "m").lines

    assert max(map(len, lines)) <= 80
    assert [line.split(maxsplit=1)[1] for line in lines if line.startswith("include:")] == ["Q4_1, *.md"]


def test_a_listing_tells_how_weights_are_written_without_reading_them(home: Home, hub: FakeHub) -> None:
    """Format and quantisation are noted when a model arrives, and noted again when the registry is rebuilt."""
    hub.add_repo("org/tensors", MODEL)
    hub.add_repo("org/renamed-GGUF", {"weights.gguf": gguf({"general.architecture": "llama", "general.file_type": 15})})
    for name in ("tensors", "renamed-GGUF"):
        home.run("add", name, f"org/{name}").checked()
    written = {"tensors": ("safetensors", "BF16"), "renamed-GGUF": ("GGUF", "Q4_K_M")}
    assert _listed(home) == written

    for path in (home.primary / "modelshelf").glob("registry.db*"):
        path.unlink()
    home.run("reconcile").checked()

    assert _listed(home) == written
    assert "safetensors BF16" in home.run("ls").checked().out


def _listed(home: Home) -> dict[str, tuple[str, str]]:
    """Return the format and quantisation of each model that `shelf ls` lists."""
    return {m["model_name"]: (m["format"], m["quantisation"]) for m in home.run("ls", "--json").checked().json}
