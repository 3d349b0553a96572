"""What `config.json` says about a model: its architecture, its context, the shape of its cache, its quantisation.

Makers of models spell the same thing in several ways; what is spelled in none of these is unknown.

Source: the configuration classes of transformers, including `attribute_map`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelshelf.domain.model_memory import KvShape

_MOST_COUNT = 2**31
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv")
_WIDTH = ("hidden_size", "n_embd", "d_model", "dim")
_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "seq_length")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_EXPERTS_USED = ("num_experts_per_tok", "num_experts_per_token", "moe_topk")
_TEXT_PARTS = ("text_config", "llm_config", "language_config")
"""Where a model of text and images describes the part that writes text."""
_WRITES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_WRITES_TEXT = ("ForCausalLM", "LMHeadModel")
_READS = ("Model", "ForMaskedLM", "Classification", "ForQuestionAnswering")
"""Suffixes of architectures without a cache, because they write nothing: embeddings, rerankers, classifiers."""
_MEDIA = ("audio", "image", "img", "video", "vision", "visual")
"""What a name in the configuration has of a model that reads more than texts: `vision_config`, `image_token_id`."""
_WINDOWED = frozenset({"sliding_attention", "chunked_attention"})
_WHOLE = frozenset({"full_attention", "attention"})


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The content of a `config.json`; None for what it doesn't say."""

    architecture: str | None = None
    """The class of transformers, such as `Qwen3ForCausalLM`; else the type of model."""
    context_length: int | None = None
    """Tokens."""
    experts: int | None = None
    """For a mixture of experts: how many each layer has."""
    experts_per_token: int | None = None
    kv_shape: KvShape | None = None
    quantisation: str | None = None
    """The method and its bits, such as `gptq 4-bit`; None if the weights are as trained."""
    bits: int | None = None
    """How many bits a quantised weight has."""
    is_mlx: bool = False
    """Whether MLX quantised it."""
    takes_media: bool = True
    """Whether it may read pictures or sounds beside texts; unknown: it may."""
    has_code: bool = False
    """Whether it names classes in files beside it (`auto_map`), which transformers would run."""


def config_of(said: Mapping[str, object]) -> ModelConfig:
    """Return the content of a config.json."""
    architectures = said.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures else said.get("model_type")
    architecture = named[:100] if isinstance(named, str) and named else None
    inner = {**said, **next((part for key in _TEXT_PARTS if isinstance(part := said.get(key), dict)), {})}
    quantisation, bits = _quantisation(said)
    return ModelConfig(
        architecture=architecture,
        context_length=_count(inner, _CONTEXT),
        experts=_count(inner, _EXPERTS),
        experts_per_token=_count(inner, _EXPERTS_USED),
        kv_shape=_kv_shape(inner, architecture or ""),
        quantisation=quantisation,
        bits=bits,
        is_mlx=quantisation is not None and quantisation.startswith("mlx"),
        takes_media=_takes_media(said, architecture or ""),
        has_code=bool(said.get("auto_map")),
    )


def _takes_media(said: Mapping[str, object], architecture: str) -> bool:
    """Return whether a model may read more than texts: one that goes on with texts doesn't, unless it says so."""
    is_of_texts = architecture.endswith(_WRITES_TEXT)
    return not is_of_texts or any(word in name for name in said for word in _MEDIA)


def _count(said: Mapping[str, object], names: Sequence[str]) -> int | None:
    """Return the first of these values that is a count."""
    values = (said.get(name) for name in names)
    return next((value for value in values if type(value) is int and 0 < value < _MOST_COUNT), None)


def _kv_shape(said: Mapping[str, object], architecture: str) -> KvShape | None:
    """Return how the cache of keys and values grows; None if unknown."""
    if said.get("is_encoder_decoder"):
        return None
    if not architecture.endswith(_WRITES):
        return KvShape(0) if architecture.endswith(_READS) else None
    layers, per_layer = _count(said, _LAYERS), _per_layer(said)
    if layers is None or per_layer is None:
        return None
    kinds = said.get("layer_types")
    if not isinstance(kinds, list):
        return KvShape(layers * per_layer)
    window = _count(said, ("sliding_window", "attention_chunk_size"))
    windowed = sum(kind in _WINDOWED for kind in kinds if isinstance(kind, str)) if window else 0
    whole = sum(kind in (_WHOLE if window else _WHOLE | _WINDOWED) for kind in kinds if isinstance(kind, str))
    return KvShape(whole * per_layer, windowed * per_layer, window or 0)


def _per_layer(said: Mapping[str, object]) -> int | None:
    """Return how many elements a token adds in one layer."""
    latent, rope = _count(said, ("kv_lora_rank",)), _count(said, ("qk_rope_head_dim",))
    if latent and rope:  # DeepSeek's latent attention keeps one compressed vector for all heads
        return latent + rope
    heads, width = _count(said, _HEADS), _count(said, _WIDTH)
    kv_heads = 1 if said.get("multi_query") is True else _count(said, _KV_HEADS)
    if kv_heads is None and not any(said.get(name) for name in _KV_HEADS):
        kv_heads = heads
    head_dim = _count(said, ("head_dim",)) or (width // heads if width and heads else None)
    return 2 * kv_heads * head_dim if kv_heads and head_dim else None


def _quantisation(said: Mapping[str, object]) -> tuple[str | None, int | None]:
    """Return the quantisation method of the weights, and the bits of one."""
    ours, how = said.get("quantization"), said.get("quantization_config")
    method = how.get("quant_method") if isinstance(how, dict) else None
    if not isinstance(how, dict) or (isinstance(ours, dict) and method is None):  # MLX writes it under both names
        bits = _count(ours, ("bits",)) if isinstance(ours, dict) else None
        return (f"mlx {bits}-bit", bits) if bits else (None, None)
    method = method[:40] if isinstance(method, str) and method else "quantised"
    bits = _bits(how, method)
    return (f"{method} {bits}-bit" if bits and not method.endswith(("fp4", "fp8")) else method), bits


def _bits(how: Mapping[str, object], method: str) -> int | None:
    """Return the bits of a weight by a `quantization_config`.

    Source: transformers `utils/quantization_config.py`; compressed-tensors `QuantizationArgs.num_bits`.
    """
    groups = how.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = first.get("weights") if isinstance(first, dict) else None
    for said, names in ((how, ("bits", "w_bit", "nbits")), (weights, ("num_bits",))):
        if isinstance(said, dict) and (bits := _count(said, names)):
            return bits
    if how.get("load_in_4bit") is True or "fp4" in method:
        return 4
    return 8 if how.get("load_in_8bit") is True or "fp8" in method else None
