"""How much memory a model takes in use: its weights, and its cache of keys and values for a context.

For each token of the context every layer keeps a key and a value of `head_dim` elements for each of its key-value
heads, in two bytes an element by default. What an engine needs beside (activations, its own buffers; some hundred MB)
isn't in these numbers.

Source: llama.cpp `src/llama-kv-cache.cpp` (`n_embd_k_gqa` and `n_embd_v_gqa` elements a token and layer, F16 by
default); vLLM `FullAttentionSpec.page_size_bytes` in `vllm/v1/kv_cache_interface.py` (2 · kv heads · head size ·
bytes of the type), which also keeps just a window's tokens in layers with a sliding window.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

_ELEMENT_BYTES = 2


@dataclass(frozen=True, slots=True)
class KvShape:
    """How much a model's cache of keys and values grows."""

    elements: int
    """The elements that each token adds, over all layers that attend to the whole context."""
    windowed_elements: int = 0
    """The elements that it adds in layers with a sliding window."""
    window: int = 0
    """The tokens in that window."""

    def cache_bytes(self, context: int) -> int:
        """Return the cache's size in bytes for a context of so many tokens."""
        return _ELEMENT_BYTES * (self.elements * context + self.windowed_elements * min(context, self.window))


@dataclass(frozen=True, slots=True)
class Memory:
    """What a model takes in memory."""

    context: int
    """The context in tokens."""
    weights_bytes: int
    kv_cache_bytes: int

    @property
    def total_bytes(self) -> int:
        """Both together."""
        return self.weights_bytes + self.kv_cache_bytes


def rough_bytes(weights_bytes: int) -> int:
    """Return an estimate for a model of unknown shape: its weights, and a fifth more for its cache.

    >>> rough_bytes(1_000_000)
    1200000
    """
    return weights_bytes * 6 // 5


def memory_for(weights_bytes: int | None, shape: KvShape | None, context: int) -> Memory | None:
    """Return a model's memory for a context of so many tokens; None if its weights or its shape aren't known.

    >>> memory_for(270_000_000, KvShape(2 * 30 * 3 * 64), 8192)
    Memory(context=8192, weights_bytes=270000000, kv_cache_bytes=188743680)
    """
    if not weights_bytes or shape is None:
        return None
    return Memory(context, weights_bytes, shape.cache_bytes(context))


def largest_context(weights_bytes: int, shape: KvShape, most: int, budget_bytes: int) -> int:
    """Return the longest context, of at most `most` tokens, whose cache fits beside the weights; 0 where none does.

    >>> largest_context(1000, KvShape(5), 4096, 2000), largest_context(1000, KvShape(0), 512, 2000)
    (100, 512)
    >>> largest_context(3000, KvShape(5), 4096, 2000)
    0
    """
    room = budget_bytes - weights_bytes
    return bisect_right(range(1, most + 1), room, key=shape.cache_bytes) if room > 0 else 0
