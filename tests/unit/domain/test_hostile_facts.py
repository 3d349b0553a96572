"""Hostile or nonsensical files are judged or refused, whatever they say."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.model_card import card_of, wanted_yaml
from modelshelf.domain.model_config import config_of
from modelshelf.domain.model_facts import Found, judge
from modelshelf.domain.safetensors import SafetensorsHeader, header_of, main_type, parameters
from modelshelf.domain.weight_files import main_weights
from modelshelf.errors import BadInput
from tests.unit.domain.test_weight_files import files_of

CONFIG_KEYS = (
    "architectures model_type text_config is_encoder_decoder num_hidden_layers num_attention_heads num_key_value_heads"
    " head_dim hidden_size layer_types sliding_window kv_lora_rank qk_rope_head_dim multi_query max_position_embeddings"
    " num_experts quantization quantization_config quant_method bits config_groups weights num_bits load_in_4bit"
).split()
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
WORDS = st.sampled_from(["LlamaForCausalLM", "BertModel", "full_attention", "sliding_attention", "gptq", "mxfp4"])


def nested(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Return JSON values whose objects have these keys."""
    return st.recursive(
        SCALARS | WORDS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


CONFIGS = st.dictionaries(st.sampled_from(CONFIG_KEYS), nested(st.sampled_from(CONFIG_KEYS)), max_size=12)


@given(said=CONFIGS, adapter=st.none() | st.dictionaries(st.text(max_size=5), nested(st.text(max_size=5)), max_size=3))
def test_any_config_is_judged(said: dict[str, Any], adapter: dict[str, Any] | None) -> None:
    """Any config.json gives facts, and a memory that is a number or unknown."""
    files = files_of("model.safetensors")
    facts = judge(Found(files, main_weights(files, frozenset()), config_of(said), adapter=adapter))

    memory = facts.memory()
    assert memory is None or memory.total_bytes >= 0
    assert facts.context_length is None or 0 < facts.context_length < 2**31


@given(st.dictionaries(st.text(max_size=5), nested(st.sampled_from(["dtype", "shape", "format"])), max_size=4))
def test_any_header_of_tensors_is_read_or_refused(said: dict[str, Any]) -> None:
    """Any JSON in a header raises nothing but BadInput."""
    with contextlib.suppress(BadInput):
        header = header_of(said)
        assert (parameters(header, 4) or 0) >= 0


KINDS = st.sampled_from(["BF16", "I32", "U8", "F8_E4M3", "I64", "?"])
PARTS = st.sampled_from(["weight", "qweight", "scales", "x_blocks", "ids"])


@given(
    st.dictionaries(st.tuples(KINDS, PARTS), st.integers(0, 2**40), max_size=6), st.none() | st.integers(1, 2**31 - 1)
)
def test_parameters_are_never_negative(elements: dict[tuple[str, str], int], bits: int | None) -> None:
    """However the weights are written, their number is positive or unknown."""
    header = SafetensorsHeader(elements)

    assert (parameters(header, bits) or 1) > 0
    assert main_type(header) is None or elements


@given(st.text(alphabet="-: \n#ablicensetagm&*[]{}<>", max_size=200))
def test_any_front_matter_is_cut(text: str) -> None:
    """Whatever is between the dashes, the front matter that is kept is some of its lines."""
    kept = wanted_yaml(f"---\n{text}\n---\n")

    assert set(kept.split("\n")) - {""} <= set(text.splitlines())


@given(st.dictionaries(st.sampled_from(["license", "license_name", "base_model", "tags"]), nested(st.text(max_size=5))))
def test_any_card_is_taken(said: dict[str, Any]) -> None:
    """Any YAML gives a card of short texts."""
    card = card_of(said)

    assert all(isinstance(text, str) and len(text) <= 200 for text in (*card.tags, *card.base_models))
