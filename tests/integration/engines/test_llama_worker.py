"""What our worker around xllamacpp tells llama.cpp."""

from __future__ import annotations

import os
from pathlib import Path

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


def test_a_model_in_memory_is_served_without_an_empty_run(tmp_path: Path) -> None:
    """What an empty run is for was done; without the weights in memory, or with a card, there is one."""
    model, parts = tmp_path / "m.gguf", tmp_path / "m-00001-of-00002.gguf"
    model.write_bytes(b"weights" * 100_000)
    parts.write_bytes(b"weights" * 100_000)

    def warms_up(path: Path, *, has_card: bool = False) -> bool:
        return bool(llama_worker.params_of(llama_worker.parse(["--model", str(path)]), "", has_card).warmup)

    with model.open("rb") as file:
        os.fsync(file.fileno())
        if not tells(file.fileno()):
            pytest.skip("this file system doesn't tell what is in memory")
        assert [warms_up(model), warms_up(model, has_card=True), warms_up(parts)] == [False, True, True]
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert warms_up(model) or tells(file.fileno())


def tells(descriptor: int) -> bool:
    """Return whether the first byte of a file is in memory, as far as its file system tells."""
    try:
        return bool(os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT))
    except OSError:
        return False
