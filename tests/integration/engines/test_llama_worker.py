"""What our worker around xllamacpp tells llama.cpp."""

from __future__ import annotations

import pytest

from modelshelf.engines import llama_worker


@pytest.mark.parametrize("has_card", [True, False], ids=["a card", "none"])
def test_layers_are_fitted_to_a_card_where_there_is_one(has_card: bool) -> None:
    """Without a card llama.cpp doesn't load the model a first time to see how many layers fit it."""
    words = ["--model", "/m.gguf", "--ctx-size", "4096", "--parallel", "4", "--kv-unified"]

    params = llama_worker.params_of(llama_worker.parse(words), "secret", has_card)

    assert params.fit_params is has_card
    assert (params.n_ctx, params.n_parallel, params.kv_unified) == (4096, 4, True)
    assert (params.api_keys, params.offline, params.ui) == (["secret"], True, False)
