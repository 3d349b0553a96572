"""Why an engine ended, from its exit code and its last lines."""

from __future__ import annotations

import pytest

from modelshelf.domain.engine_end import end_of


def test_an_exit_code_is_told_with_the_last_line_that_says_something() -> None:
    """Of a Python traceback the last line is the reason, and a processor that is too old is named as such."""
    trace = ["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: no such model", "   ^^^^"]

    assert end_of(1, trace).why == "It ended with exit code 1: ValueError: no such model"
    assert "built for another" in end_of(132, []).why
    assert end_of(250, []).why == "It was ended by signal 122."


@pytest.mark.parametrize(
    ("code", "line", "is_short"),
    [
        (-9, "", True),
        (137, "loading", True),
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", True),
        (1, "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 99", True),
        (134, "terminate called after throwing an instance of 'std::bad_alloc'", True),
        (1, "ValueError: No available memory for the cache blocks.", True),
        (1, "error: unknown model architecture: 'x'", False),
        (0, "", False),
    ],
)
def test_short_memory_is_told_from_the_code_or_the_words(code: int, line: str, is_short: bool) -> None:
    """An end by SIGKILL, or with the words of an allocator that failed, counts as short of memory; no other does."""
    assert end_of(code, [line, "bye"]).out_of_memory is is_short
