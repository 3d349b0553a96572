"""Whether a model fits the memory."""

from __future__ import annotations

import pytest

from modelshelf.domain.backend_choice import choose_backend
from modelshelf.domain.fit import Fit, fit_of
from modelshelf.domain.model_memory import KvShape
from modelshelf.domain.serving import DeviceMemory
from tests.unit.domain.test_backends import ALL, facts_with

GB = 10**9


def fit(*, free_gb: float, context: int | None = None, **changes: object) -> Fit:
    """Return whether a GGUF of 1 GB, whose cache takes 100 kB a token, fits 4 GB with so much free."""
    usual = {"weights_bytes": GB, "kv_shape": KvShape(50_000), "context_length": 32_768}
    facts = facts_with("m.gguf", **(usual | changes))
    return fit_of(facts, choose_backend(facts, ALL), DeviceMemory(int(free_gb * GB), 4 * GB), context)


@pytest.mark.parametrize(
    ("free_gb", "context", "fits", "fits_machine", "longest"),
    [
        (2, 1000, True, True, 8500),
        (2, 10_000, False, True, 8500),
        (2, 32_768, False, False, 8500),
        (1, 1, False, True, 0),
    ],
)
def test_a_longer_context_takes_more(
    free_gb: float, context: int, fits: bool, fits_machine: bool, longest: int
) -> None:
    """Whether a model fits depends on its context, now and on an idle machine; the longest that fits is told."""
    found = fit(free_gb=free_gb, context=context)

    assert (found.fits, found.fits_machine, found.largest_context) == (fits, fits_machine, longest)


def test_a_shape_that_is_not_known_is_guessed() -> None:
    """Without the shape of its cache a model is taken to need a fifth more than its weights, for no context told."""
    found = fit(free_gb=2, kv_shape=None)

    assert (found.memory, found.largest_context) == (None, None)
    assert found.needs_bytes == GB * 6 // 5 + found.engine_bytes


def test_a_model_without_an_own_bound_has_a_long_context() -> None:
    """Where a model doesn't say how long its context may be, memory alone bounds it."""
    found = fit(free_gb=2.15, context_length=None)

    assert found.largest_context == 10_000
