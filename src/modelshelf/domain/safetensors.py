"""The header of a safetensors file: its tensors, and how many weights they stand for.

Source: https://github.com/huggingface/safetensors#format. Eight bytes, little-endian, say how long the header is; it is
a JSON object of the tensors by name, and `__metadata__`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from modelshelf.domain.outside import list_of, object_of, size_of, text_of
from modelshelf.errors import BadInput

_MOST_PARAMETERS = 2**63
_MOST_DIMENSIONS = 16
_MOST_WORDS = 4096
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6", "F4"})
_PACKED_BITS = {"U8": 8, "I8": 8, "I32": 32, "U32": 32}
"""Types that hold packed quantised weights, with the bits of one element."""
_PACKED_NAMES = ("weight", "qweight", "weight_packed", "_blocks")
"""Suffixes of the tensors with packed weights; the others are scales, zero points and indexes.

Source: GPTQ and AWQ have `qweight`, compressed-tensors `weight_packed`, gpt-oss `…_blocks`, bitsandbytes and MLX
`weight`.
"""
_SCALES = frozenset({"scales", "biases", "absmax", "quant_map", "weight_scale", "weight_scale_inv", "input_scale"})


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """A safetensors file's content before its weights."""

    elements: Mapping[tuple[str, str], int]
    """The number of elements of its tensors, by type and by the last part of their names."""
    words: frozenset[str] = frozenset()
    """The parts of their names, without numbers; of very many some."""


def header_of(value: object) -> SafetensorsHeader:
    """Return the header in JSON.

    Raises:
        BadInput: It isn't one.
    """
    elements: Counter[tuple[str, str]] = Counter()
    words: set[str] = set()
    for name, said in object_of(value).items():
        if name == "__metadata__":
            continue
        tensor = object_of(said, "dtype", "shape")
        shape = list_of(tensor["shape"], size_of)
        if len(shape) > _MOST_DIMENSIONS:
            raise BadInput(f"{name!r:.80} has {len(shape)} dimensions.")
        elements[text_of(tensor["dtype"], 16), name.rpartition(".")[2]] += prod(shape)
        if len(words) < _MOST_WORDS:
            words.update(word for word in name.split(".") if not word.isdecimal())
    if elements.total() >= _MOST_PARAMETERS:
        raise BadInput("It names more weights than any file holds.")
    return SafetensorsHeader(elements, frozenset(words))


def merged(headers: Iterable[SafetensorsHeader]) -> SafetensorsHeader:
    """Return the combined header of one model's files."""
    elements: Counter[tuple[str, str]] = Counter()
    for header in headers:
        elements.update(header.elements)
    return SafetensorsHeader(elements)


def parameters(header: SafetensorsHeader, bits: int | None) -> int | None:
    """Return the number of weights; None if they are packed in an unknown way.

    Args:
        header: The files' header.
        bits: The bits of a weight, if the model is quantised.

    >>> parameters(SafetensorsHeader({("BF16", "weight"): 7, ("I64", "position_ids"): 5}), None)
    7
    >>> parameters(SafetensorsHeader({("I32", "qweight"): 10, ("I32", "qzeros"): 3, ("F16", "scales"): 2}), 4)
    80
    """
    total = 0
    for (kind, name), count in header.elements.items():
        if kind in _FLOATS:
            total += 0 if name in _SCALES else count
        elif kind in _PACKED_BITS and name.endswith(_PACKED_NAMES):
            if bits is None:
                return None
            total += count * _PACKED_BITS[kind] // bits
    return total or None


def main_type(header: SafetensorsHeader) -> str | None:
    """Return how most of the weights are written, such as `BF16`; None without any.

    >>> main_type(SafetensorsHeader({("BF16", "weight"): 7, ("F32", "bias"): 1}))
    'BF16'
    """
    counts: Counter[str] = Counter()
    for (kind, _), count in header.elements.items():
        counts[kind] += count
    return max(counts, key=counts.__getitem__, default=None)
