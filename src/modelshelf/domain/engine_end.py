"""Why an engine ended, from its exit code and its last lines."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

TAIL_LINES = 12
"""How many of its last lines are shown as the reason."""
_NO_MEMORY = re.compile(
    r"out of memory|cannot allocate memory|(?:failed|unable|not enough memory) to allocate|bad_alloc|\bMemoryError\b"
    r"|OutOfDeviceMemory|OutOfHostMemory|alloc(?:ate|ation)? .{0,60}failed|No available memory for the cache blocks",
    re.IGNORECASE,
)
"""Source: the words of ggml's backends, of torch (`CUDA out of memory`), Vulkan, C++ and vLLM."""
_TRACE = re.compile(r"^\s|^Traceback|^\s*[\^~]+\s*$")
"""Lines of a Python traceback that tell a person nothing."""


@dataclass(frozen=True, slots=True)
class EngineEnd:
    """Why an engine ended."""

    why: str
    """In a sentence, with its last words."""
    out_of_memory: bool
    tail: tuple[str, ...]
    """Its last lines."""


def end_of(code: int, lines: Sequence[str]) -> EngineEnd:
    """Return why an engine ended by itself.

    >>> end_of(1, ["starting", "error: unknown model architecture: 'x'"]).why
    "It ended with exit code 1: error: unknown model architecture: 'x'"

    Args:
        code: Its exit code; 128 + N, or below 0, for signal N.
        lines: Its last lines, oldest first.
    """
    number = -code if code < 0 else code - 128 if code > 128 else 0
    tail = tuple(lines[-TAIL_LINES:])
    told = next((line for line in reversed(tail) if _NO_MEMORY.search(line)), "")
    how = _by_signal(number) if number else f"It ended with exit code {code}"
    words = told or next((line for line in reversed(tail) if line.strip() and not _TRACE.match(line)), "")
    is_short = bool(told) or number == signal.SIGKILL
    return EngineEnd(f"{how}: {words.strip()}" if words else f"{how}.", is_short, tail)


def _by_signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    meant = {
        "SIGKILL": ", perhaps because memory was short",
        "SIGILL": ", which this processor can't run: it was built for another one",
    }
    return f"It was ended by {name}{meant.get(name, '')}"
