"""What a model is, judged from what its files say."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest

from modelshelf.domain.engine_kinds import EngineKind
from modelshelf.domain.gguf import GgufHeader, read_header
from modelshelf.domain.model_card import ModelCard
from modelshelf.domain.model_config import ModelConfig, config_of
from modelshelf.domain.model_facts import Found, judge, quantisations, weight_format
from modelshelf.domain.model_memory import KvShape
from modelshelf.domain.safetensors import SafetensorsHeader
from modelshelf.domain.weight_files import WeightFormat, format_by_names, main_weights
from tests.headers import gguf
from tests.unit.domain.test_weight_files import files_of

LLAMA = {
    "general.architecture": "llama",
    "general.license": "apache-2.0",
    "general.file_type": 15,
    "llama.block_count": 30,
    "llama.context_length": 4096,
    "llama.embedding_length": 576,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
}


def header_of(**more: Any) -> GgufHeader:
    """Return LLAMA's header with changes; a key set to None is left out."""
    said = {**LLAMA, **{key.replace("__", "."): value for key, value in more.items()}}
    return read_header(io.BytesIO(gguf({k: v for k, v in said.items() if v is not None}, {"t": ((100, 10), 12)})).read)


def found_of(*paths: str, **more: Any) -> Found:
    """Return what was found of a model with these files."""
    files = files_of(*paths)
    return Found(files, main_weights(files, frozenset()), **more)


@pytest.mark.parametrize(
    ("template", "takes"),
    [
        ("{% if tools %}" + "x" * 9000, True),
        ("x" * 9000 + "{% if tools %}", True),
        ("{{ messages }}", False),
        (None, False),
    ],
    ids=["at its beginning", "at its end", "no place", "no template"],
)
def test_a_template_has_a_place_for_tools_or_none(template: str | None, takes: bool) -> None:
    """Whether a model can be made to call a tool is said by its GGUF file's template, wherever it says so."""
    assert judge(found_of("m.gguf", ggufs=[header_of(tokenizer__chat_template=template)])).takes_tools is takes
    assert judge(found_of("model.safetensors")).takes_tools
    assert judge(found_of("model.safetensors", template=template)).takes_tools is (takes or template is None)


def test_a_gguf_file_says_it_all() -> None:
    """A GGUF header gives architecture, size, context, quantisation, license and memory."""
    facts = judge(found_of("m-Q4_K_M.gguf", ggufs=[header_of(), header_of()], chat_template="m-Q4_K_M.gguf"))

    assert (facts.architecture, facts.parameters, facts.context_length) == ("llama", 2000, 4096)
    assert (facts.quantisation, facts.license, facts.formats) == ("Q4_K_M", "apache-2.0", ["GGUF"])
    assert (facts.chat_template, facts.chat_template_file) == (True, "m-Q4_K_M.gguf")
    assert facts.runs_with == ["llama.cpp", "transformers"]
    assert (facts.experts, facts.experts_per_token) == (None, None)
    memory = facts.memory()
    assert memory is not None
    assert (memory.context, memory.kv_cache_bytes) == (4096, 2 * 30 * 2 * 3 * 64 * 4096)
    assert memory.total_bytes == 1 + memory.kv_cache_bytes


@pytest.mark.parametrize(
    ("more", "shape"),
    [
        ({"llama__attention__head_count_kv": [3, 0, 3]}, KvShape(6 * 128)),
        ({"llama__attention__head_count_kv": None}, KvShape(30 * 9 * 128)),
        ({"llama__attention__key_length": 128, "llama__attention__value_length": 96}, KvShape(30 * 3 * 224)),
        ({"llama__attention__causal": False}, KvShape(0)),
        ({"llama__attention__head_count": None}, None),
        ({"llama__block_count": None}, None),
        ({"llama__attention__head_count": None, "llama__attention__head_count_kv": None}, None),
    ],
    ids=["a list", "no groups", "lengths of their own", "an embedding model", "no heads", "no layers", "no attention"],
)
def test_the_cache_of_a_gguf_model(more: dict[str, Any], shape: KvShape | None) -> None:
    """A GGUF header gives layers, key-value heads and their lengths, per model or per layer; else they are unknown."""
    assert judge(found_of("m.gguf", ggufs=[header_of(**more)])).kv_shape == shape


def test_a_model_of_safetensors() -> None:
    """config.json, the weights' headers and the README give the facts of a safetensors model."""
    config = config_of(
        {
            "architectures": ["MixtralForCausalLM"],
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "max_position_embeddings": 32768,
        }
    )
    card = ModelCard("apache-2.0", ("org/base",), ("moe",))
    tensors = SafetensorsHeader({("BF16", "weight"): 1000})

    facts = judge(found_of("model.safetensors", config=config, tensors=tensors, card=card, chat_template=""))

    assert (facts.architecture, facts.parameters, facts.quantisation) == ("MixtralForCausalLM", 1000, "BF16")
    assert (facts.experts, facts.experts_per_token, facts.license) == (8, 2, "apache-2.0")
    assert (facts.base_models, facts.tags) == (("org/base",), ("moe",))
    assert facts.runs_with == ["transformers", "vLLM", "mlx"]
    assert (facts.chat_template, facts.chat_template_file, facts.memory()) == (False, "", None)


@pytest.mark.parametrize(
    ("adapter", "architecture", "base_models"),
    [
        ({"peft_type": "LORA", "base_model_name_or_path": "org/base"}, "LORA adapter", ("org/base",)),
        ({"peft_type": 7, "base_model_name_or_path": None}, "peft adapter", ()),
    ],
    ids=["LoRA", "nonsense"],
)
def test_an_adapter(adapter: dict[str, Any], architecture: str, base_models: tuple[str, ...]) -> None:
    """An adapter is recognised and names its base model."""
    facts = judge(found_of("adapter_model.safetensors", adapter=adapter))

    assert (facts.architecture, facts.base_models) == (architecture, base_models)


def test_an_adapter_beside_a_whole_model_is_a_model() -> None:
    """Where a config.json is beside an adapter's, it says what the model is."""
    facts = judge(found_of("model.safetensors", adapter={}, config=config_of({"architectures": ["XForCausalLM"]})))

    assert facts.architecture == "XForCausalLM"


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (found_of("unet/a.safetensors", pipeline="FluxPipeline"), ["diffusers"]),
        (found_of("model.safetensors", config=config_of({"quantization": {"bits": 4}})), ["mlx"]),
        (found_of("model.safetensors", "pytorch_model.bin"), ["transformers", "vLLM", "mlx"]),
        (found_of("model.onnx"), []),
    ],
    ids=["a pipeline", "MLX", "two formats", "none of these"],
)
def test_what_loads_it(found: Found, names: list[str]) -> None:
    """The formats of the files say which programs load the model."""
    assert judge(found).runs_with == names


def test_a_pipeline_is_named_by_its_class() -> None:
    """A diffusers pipeline's architecture is its class, and its parameters are unknown."""
    facts = judge(found_of("unet/a.safetensors", pipeline="FluxPipeline"))

    assert (facts.architecture, facts.parameters) == ("FluxPipeline", None)


def test_without_a_file_the_names_tell_what_they_tell() -> None:
    """Without its files a model's format and quantisation follow from the names; other facts are unknown."""
    facts = judge(found_of("m-Q8_0.gguf"))
    unknown = {name for name in (f.name for f in dataclasses.fields(facts)) if getattr(facts, name) is None}

    assert (facts.formats, facts.quantisation, facts.weights_bytes) == (["GGUF"], "Q8_0", 1)
    assert unknown >= {"architecture", "parameters", "context_length", "license", "chat_template", "kv_shape"}
    assert judge(found_of("m.gguf")).quantisation is None


def test_a_model_of_no_files_is_unknown() -> None:
    """A model whose commit isn't known has no facts."""
    facts = judge(Found([]))

    assert (facts.formats, facts.quantisation, facts.weights_bytes, facts.memory(100)) == ([], None, None, None)


def test_memory_is_for_the_context_that_is_asked_for() -> None:
    """The memory is computed for the context that a person asks for."""
    memory = judge(found_of("m.gguf", ggufs=[header_of()])).memory(100)

    assert memory is not None
    assert (memory.context, memory.kv_cache_bytes) == (100, 2 * 30 * 2 * 3 * 64 * 100)


def test_the_quantisations_of_a_model() -> None:
    """Several GGUF files are several choices; other files aren't choices."""
    files = files_of("m-Q4_0.gguf", "m-Q8_0.gguf", "mmproj-F16.gguf", "README.md")

    assert [group.label for group in quantisations(files)] == ["Q4_0", "Q8_0"]


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (found_of("m.gguf", ggufs=[header_of()]), EngineKind.GENERATE),
        (found_of("m.gguf", ggufs=[header_of(llama__pooling_type=1)]), EngineKind.EMBED),
        (found_of("m.gguf", ggufs=[header_of(llama__pooling_type=4)]), EngineKind.RERANK),
        (found_of("m.gguf", ggufs=[header_of(llama__attention__causal=False)]), EngineKind.EMBED),
        (found_of("a.safetensors", config=config_of({"architectures": ["BertModel"]})), EngineKind.EMBED),
        (found_of("a.safetensors", config=config_of({"architectures": ["GPT2LMHeadModel"]})), EngineKind.GENERATE),
        (
            found_of("a.safetensors", config=config_of({"architectures": ["XForSequenceClassification"]})),
            EngineKind.RERANK,
        ),
        (found_of("a.safetensors", "modules.json"), EngineKind.EMBED),
        (found_of("a.safetensors"), EngineKind.GENERATE),
    ],
    ids=["gguf", "pooled", "ranks", "reads", "bert", "gpt2", "classifier", "sentence-transformers", "unknown"],
)
def test_its_files_tell_what_a_model_is_for(found: Found, kind: EngineKind) -> None:
    """Pooling, an encoder's class or `modules.json` make an embedding model; what says nothing writes text."""
    assert judge(found).kind is kind


@pytest.mark.parametrize(
    ("found", "written"),
    [
        (found_of("m-Q4_K_M.gguf"), "GGUF Q4_K_M"),
        (found_of("m.gguf", ggufs=[header_of()]), "GGUF Q4_K_M"),
        (found_of("model.safetensors", tensors=SafetensorsHeader({("BF16", "weight"): 1})), "safetensors BF16"),
        (found_of("model.safetensors", config=ModelConfig(quantisation="awq 4-bit")), "safetensors awq 4-bit"),
        (found_of("model.safetensors", config=ModelConfig(quantisation="mlx 4-bit", is_mlx=True)), "MLX 4-bit"),
        (found_of("pytorch_model.bin"), "PyTorch"),
        (found_of("config.json"), ""),
    ],
    ids=["named", "header", "tensors", "quantised", "mlx", "pytorch", "none"],
)
def test_format_and_quantisation_are_told_in_two_words(found: Found, written: str) -> None:
    """A listing gets the format of the weights that a program loads, and how most of them are written."""
    told = weight_format(found)

    assert f"{told.format} {told.quantisation}".strip() == written


def test_names_alone_tell_a_format() -> None:
    """Before a download the names of the files say the format, and that of a GGUF the quantisation."""
    assert format_by_names(files_of("m-Q8_0.gguf", "mmproj-F16.gguf")) == WeightFormat("GGUF", "Q8_0")
    assert format_by_names(files_of("model.safetensors")) == WeightFormat("safetensors")
    assert format_by_names(files_of("README.md")) == WeightFormat()


def test_an_adapter_in_gguf() -> None:
    """A GGUF file that is an adapter says of what kind it is, and which base model it changes."""
    says: dict[str, object] = {"general.type": "adapter", "adapter.type": "lora"}
    named = says | {"general.base_model.0.repo_url": "https://huggingface.co/org/base"}

    facts, nameless = (judge(found_of("lora.gguf", ggufs=[GgufHeader(keys, {})])) for keys in (named, says))

    assert (facts.architecture, facts.base_models) == ("lora adapter", ("org/base",))
    assert nameless.base_models == ()
    assert weight_format(found_of("lora-F16.gguf", says_adapter=True)).format == "GGUF adapter"
