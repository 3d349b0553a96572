"""Headers of weight files as bytes, for tests without weights."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence


def gguf_text(text: str) -> bytes:
    """Return a text in GGUF's encoding."""
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_value(value: object) -> bytes:
    """Return a value with its type: a text, an integer, a float, a boolean, or a list of one of these."""
    if isinstance(value, list):
        written = [gguf_value(one) for one in value]
        return (
            struct.pack("<I", 9)
            + (written[0][:4] if written else struct.pack("<I", 4))
            + struct.pack("<Q", len(value))
            + b"".join(one[4:] for one in written)
        )
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    return struct.pack("<If", 6, value) if isinstance(value, float) else struct.pack("<II", 4, value)


def gguf(metadata: Mapping[str, object], tensors: Mapping[str, tuple[Sequence[int], int]] | None = None) -> bytes:
    """Return a GGUF file without weights.

    Args:
        metadata: Its keys.
        tensors: The shape of each tensor, and the number of its type.
    """
    tensors = tensors or {}
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        out += gguf_text(key) + gguf_value(value)
    for name, (shape, kind) in tensors.items():
        out += gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, 0)
    return out


def safetensors(tensors: Mapping[str, tuple[str, Sequence[int]]], **metadata: str) -> bytes:
    """Return a safetensors file without weights, from each tensor's type and shape."""
    said: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    said |= {name: {"dtype": kind, "shape": shape, "data_offsets": [0, 0]} for name, (kind, shape) in tensors.items()}
    text = json.dumps(said).encode()
    return struct.pack("<Q", len(text)) + text
