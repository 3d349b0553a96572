"""Reading config.json as the makers of models write it."""

from __future__ import annotations

from typing import Any

import pytest

from modelshelf.domain.model_config import ModelConfig, config_of
from modelshelf.domain.model_memory import KvShape

GQA = {
    "architectures": ["Qwen3ForCausalLM"],
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 1024,
    "max_position_embeddings": 40960,
}
SHAPES: dict[str, tuple[dict[str, Any], KvShape | None]] = {
    "grouped queries": (GQA, KvShape(28 * 2 * 8 * 128)),
    "a head for each query": (
        {"architectures": ["GPT2LMHeadModel"], "n_layer": 12, "n_head": 12, "n_embd": 768},
        KvShape(12 * 2 * 768),
    ),
    "one head for all queries": (
        {"architectures": ["FalconForCausalLM"], "n_layer": 2, "n_head": 4, "n_embd": 64, "multi_query": True},
        KvShape(2 * 2 * 16),
    ),
    "latent attention": (
        {"architectures": ["DeepseekV3ForCausalLM"], "num_layers": 61, "kv_lora_rank": 512, "qk_rope_head_dim": 64},
        KvShape(61 * 576),
    ),
    "windows": (
        {**GQA, "layer_types": ["sliding_attention"] * 5 + ["full_attention"], "sliding_window": 512},
        KvShape(2 * 8 * 128, 5 * 2 * 8 * 128, 512),
    ),
    "windows of no known size": (
        {**GQA, "layer_types": ["sliding_attention", "full_attention"], "sliding_window": None},
        KvShape(2 * 2 * 8 * 128),
    ),
    "layers without attention": (
        {**GQA, "layer_types": ["linear_attention"] * 3 + ["full_attention"]},
        KvShape(2 * 8 * 128),
    ),
    "text and images": (
        {"architectures": ["LlavaForConditionalGeneration"], "text_config": GQA},
        KvShape(28 * 2 * 8 * 128),
    ),
    "an embedding model": ({**GQA, "architectures": ["BertModel"]}, KvShape(0)),
    "heads of each layer": ({**GQA, "num_key_value_heads": [1, 2]}, None),
    "an encoder and a decoder": ({**GQA, "is_encoder_decoder": True}, None),
    "an architecture of tomorrow": ({**GQA, "architectures": ["Mind"]}, None),
    "no layers": ({"architectures": ["XForCausalLM"]}, None),
    "no heads": ({"architectures": ["XForCausalLM"], "n_layer": 2}, None),
}


@pytest.mark.parametrize(("said", "shape"), SHAPES.values(), ids=SHAPES.keys())
def test_the_cache_of_keys_and_values(said: dict[str, Any], shape: KvShape | None) -> None:
    """A token adds a key and a value in each attention layer, for each of its key-value heads."""
    assert config_of(said).kv_shape == shape


@pytest.mark.parametrize(
    ("said", "takes"),
    [
        (GQA, False),
        ({"architectures": ["QWenLMHeadModel"]}, False),
        ({"architectures": ["QWenLMHeadModel"], "visual": {}}, True),
        (GQA | {"vision_config": {}}, True),
        (GQA | {"audio_token_id": 7}, True),
        ({"architectures": ["LlavaForConditionalGeneration"]}, True),
        ({}, True),
    ],
    ids=str,
)
def test_a_model_that_goes_on_with_texts_reads_nothing_else(said: dict[str, Any], takes: bool) -> None:
    """A configuration that names pictures, sounds or another kind of model leaves open what it reads."""
    assert config_of(said).takes_media is takes


def test_a_window_bounds_the_cache() -> None:
    """Sliding-window layers keep no more tokens than their window; the others keep the whole context."""
    assert KvShape(10, 5, 100).cache_bytes(1000) == 2 * (10 * 1000 + 5 * 100)


def test_a_mixture_of_experts() -> None:
    """A mixture of experts states how many experts there are and how many a token uses."""
    found = config_of({"architectures": ["MixtralForCausalLM"], "num_local_experts": 8, "num_experts_per_tok": 2})

    assert (found.experts, found.experts_per_token) == (8, 2)


QUANTISED: dict[str, tuple[dict[str, Any], tuple[str | None, int | None]]] = {
    "gptq": ({"quant_method": "gptq", "bits": 4}, ("gptq 4-bit", 4)),
    "bitsandbytes 4": ({"quant_method": "bitsandbytes", "load_in_4bit": True}, ("bitsandbytes 4-bit", 4)),
    "bitsandbytes 8": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, ("bitsandbytes 8-bit", 8)),
    "fp8": ({"quant_method": "fp8"}, ("fp8", 8)),
    "mxfp4": ({"quant_method": "mxfp4"}, ("mxfp4", 4)),
    "compressed-tensors": (
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4}}}},
        ("compressed-tensors 4-bit", 4),
    ),
    "groups that say nothing": (
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": 1}},
        ("compressed-tensors", None),
    ),
    "no groups": ({"quant_method": "compressed-tensors", "config_groups": {}}, ("compressed-tensors", None)),
    "no method": ({"bits": 3}, ("quantised 3-bit", 3)),
}


@pytest.mark.parametrize(("how", "expected"), QUANTISED.values(), ids=QUANTISED.keys())
def test_the_quantisation(how: dict[str, Any], expected: tuple[str | None, int | None]) -> None:
    """A quantised model says by which method, and how many bits a weight has."""
    found = config_of({"quantization_config": how})

    assert (found.quantisation, found.bits, found.is_mlx) == (*expected, False)


@pytest.mark.parametrize("more", [{}, {"quantization_config": {"bits": 4}}], ids=["once", "under both names"])
def test_mlx_has_a_name_of_its_own_for_it(more: dict[str, Any]) -> None:
    """MLX states its quantisation under its own key."""
    found = config_of({"quantization": {"bits": 4, "group_size": 64}, **more})

    assert (found.quantisation, found.bits, found.is_mlx) == ("mlx 4-bit", 4, True)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"architectures": []},
        {"architectures": [7], "max_position_embeddings": "many", "num_hidden_layers": -1},
        {"architectures": "X", "max_position_embeddings": 2**40, "quantization": {"bits": None}},
        {"text_config": [], "layer_types": 3, "n_ctx": True},
    ],
    ids=["empty", "no architecture", "wrong types", "too much", "wrong shapes"],
)
def test_nonsense_is_unknown(said: dict[str, Any]) -> None:
    """A value that is missing or has another shape in config.json is unknown."""
    assert config_of(said) == ModelConfig()


def test_the_type_of_model_serves_where_no_class_is_named() -> None:
    """Without a class the model type is the architecture; windows of linear layers don't count."""
    assert config_of({"model_type": "mamba"}).architecture == "mamba"
