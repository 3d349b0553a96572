"""The header of a GGUF file: what it says about the model, and the shapes of its tensors.

Anybody may have written it, so reading is bounded: at most `MOST_BYTES` are read, whatever lengths and counts it names,
and of these only single values, short lists of numbers and the beginnings of texts are kept.

Source: the specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Little-endian, versions 2 and 3.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeGuard

from modelshelf.errors import BadInput

MOST_BYTES = 64 * 2**20
"""How much of a header is read at most; those with the largest vocabularies have 16 MB."""
_MOST_ENTRIES = 2**16
"""For keys, and for tensors; the largest models have some thousands."""
_MOST_NAME_BYTES = 4096
_MOST_PARAMETERS = 2**63
_MOST_COUNT = 2**31
"""For layers, heads, dimensions, tokens: a larger number isn't a count."""
_KEPT_CHARS = 256
_TYPE = "general.type"
_ADDRESS = re.compile(r"https?://[^/]+/([^/?#]+/[^/?#]+)/?")
_TEMPLATE = "tokenizer.chat_template"
_TEMPLATE_CHARS = 2**16
"""Of a chat template, which says what it has a place for; the longest have some 20,000."""
_KEPT_NUMBERS = 256
"""For one list; the deepest models have a hundred layers."""
_KEPT_NUMBERS_IN_ALL = 2**14
_MOST_DIMENSIONS = 4
"""Source: `GGML_MAX_DIMS` of ggml.h."""
_PIECE_BYTES = 2**18

_TEXT, _ARRAY = 8, 9
_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
"""The encoding of each type of value, except texts and arrays."""
_LENGTH = struct.Struct("<Q")

_FILE_TYPES = (
    "0 F32, 1 F16, 2 Q4_0, 3 Q4_1, 7 Q8_0, 8 Q5_0, 9 Q5_1, 10 Q2_K, 11 Q3_K_S, 12 Q3_K_M, 13 Q3_K_L, 14 Q4_K_S,"
    " 15 Q4_K_M, 16 Q5_K_S, 17 Q5_K_M, 18 Q6_K, 19 IQ2_XXS, 20 IQ2_XS, 21 Q2_K_S, 22 IQ3_XS, 23 IQ3_XXS, 24 IQ1_S,"
    " 25 IQ4_NL, 26 IQ3_S, 27 IQ3_M, 28 IQ2_S, 29 IQ2_M, 30 IQ4_XS, 31 IQ1_M, 32 BF16, 36 TQ1_0, 37 TQ2_0,"
    " 38 MXFP4, 39 NVFP4, 40 Q1_0"
)
"""Source: `LlamaFileType` of the package gguf 0.19."""
_TENSOR_TYPES = (
    "0 F32, 1 F16, 2 Q4_0, 3 Q4_1, 6 Q5_0, 7 Q5_1, 8 Q8_0, 9 Q8_1, 10 Q2_K, 11 Q3_K, 12 Q4_K, 13 Q5_K, 14 Q6_K,"
    " 15 Q8_K, 16 IQ2_XXS, 17 IQ2_XS, 18 IQ3_XXS, 19 IQ1_S, 20 IQ4_NL, 21 IQ3_S, 22 IQ2_S, 23 IQ4_XS, 29 IQ1_M,"
    " 30 BF16, 34 TQ1_0, 35 TQ2_0, 39 MXFP4, 40 NVFP4, 41 Q1_0"
)
"""Source: `GGMLQuantizationType` of the same."""


def _named(numbered: str) -> dict[int, str]:
    return {int(number): name for number, name in (entry.split() for entry in numbered.split(", "))}


FILE_TYPES = _named(_FILE_TYPES)
TENSOR_TYPES = _named(_TENSOR_TYPES)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """A GGUF file's content before its weights."""

    metadata: Mapping[str, object]
    """Its keys: numbers, the beginnings of texts, short tuples of numbers; None for what is too long to keep."""
    elements: Mapping[int, int]
    """The number of its tensors' elements, by the number of their type."""

    @property
    def parameters(self) -> int:
        """The number of weights in the file."""
        return sum(self.elements.values())

    @property
    def quantisation(self) -> str | None:
        """How most of its weights are written, such as `Q4_K_M`; None if its type isn't known."""
        said = self.metadata.get("general.file_type")
        if isinstance(said, int) and said in FILE_TYPES:
            return FILE_TYPES[said]
        most = max(self.elements, key=self.elements.__getitem__, default=-1)
        return TENSOR_TYPES.get(most)

    def text(self, key: str) -> str | None:
        """Return the beginning of a text; None without it."""
        said = self.metadata.get(key)
        return said if isinstance(said, str) and said else None

    @property
    def takes_tools(self) -> bool:
        """Whether the chat template has a place for tools; without one, llama.cpp's own template has none."""
        return has_tools(self.text(_TEMPLATE) or "")

    @property
    def is_adapter(self) -> bool:
        """Whether it changes the weights of a base model, and has none of its own."""
        return self.text(_TYPE) == "adapter"

    @property
    def base_repo(self) -> str | None:
        """The repository of the first model that it was made from, `ORG/NAME`; None where it names none.

        Source: `general.base_model.{id}.repo_url` of the specification, an address as of a page.
        """
        said = _ADDRESS.fullmatch(self.text("general.base_model.0.repo_url") or "")
        return said[1] if said else None

    def number(self, key: str) -> int | None:
        """Return a count; None without it."""
        said = self.metadata.get(key)
        return said if _is_count(said) else None

    def numbers(self, key: str) -> tuple[int, ...]:
        """Return a list of counts, one for each layer; empty without it."""
        said = self.metadata.get(key)
        return said if isinstance(said, tuple) and all(map(_is_count, said)) else ()


def has_tools(template: str) -> bool:
    """Return whether a chat template has a place for tools."""
    return "tools" in template


def _counts(source: _Source) -> tuple[int, int]:
    """Return how many tensors and keys a file names at its beginning."""
    if source.take(4) != b"GGUF":
        raise BadInput("It doesn't begin with GGUF.")
    version, tensors, keys = source.number("<I"), source.number("<Q"), source.number("<Q")
    if version not in (2, 3):
        raise BadInput(f"It is GGUF of version {version}; versions 2 and 3 are known.")
    if tensors > _MOST_ENTRIES or keys > _MOST_ENTRIES:
        raise BadInput(f"It names {tensors} tensors and {keys} keys, more than any model has.")
    return int(tensors), int(keys)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_COUNT


def read_header(read: Callable[[int], bytes]) -> GgufHeader:
    """Return the header of a GGUF file.

    Args:
        read: Returns at most so many of the file's next bytes; nothing at its end.

    Raises:
        BadInput: It isn't GGUF of a known version, ends early, or is larger or deeper than an honest one.
    """
    source = _Source(read)
    tensors, keys = _counts(source)
    metadata = {}
    for _ in range(keys):
        key = source.key()
        metadata[key] = source.value(key, int(source.number("<I")))
    elements: Counter[int] = Counter()
    for _ in range(tensors):
        source.key()
        shape = [int(source.number("<Q")) for _ in range(_dimensions(int(source.number("<I"))))]
        elements[int(source.number("<I"))] += prod(shape)
        source.skip(8)
    if elements.total() >= _MOST_PARAMETERS:
        raise BadInput("It names more weights than any file holds.")
    return GgufHeader(metadata, elements)


def says_adapter(read: Callable[[int], bytes]) -> bool:
    """Return whether a GGUF file says at its beginning that it is an adapter; its vocabulary isn't read.

    Args:
        read: As for `read_header`.

    Raises:
        BadInput: As for `read_header`.

    Source: `GGUFWriter` of the package gguf writes the keys in the order in which they are set, and llama.cpp's
    `convert_lora_to_gguf.py` sets the type first.
    """
    source = _Source(read)
    _, keys = _counts(source)
    for _ in range(keys):
        key = source.key()
        said = source.value(key, int(source.number("<I")))
        if key == _TYPE or not key.startswith("general."):
            return key == _TYPE and said == "adapter"
    return False


def _dimensions(count: int) -> int:
    if count > _MOST_DIMENSIONS:
        raise BadInput(f"One of its tensors has {count} dimensions.")
    return count


class _Source:
    """A header's bytes in order, read as they are needed."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._data = b""
        self._at = 0
        """The index of the next byte in `_data`; beyond its end while bytes are to be skipped."""
        self._left_bytes = MOST_BYTES
        self._left_numbers = _KEPT_NUMBERS_IN_ALL

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        self._have(count)
        self._at += count
        return self._data[self._at - count : self._at]

    def skip(self, count: int) -> None:
        """Skip so many bytes."""
        self._at += count
        self._have(0)

    def number(self, form: str) -> int | float:
        """Return the next number, in a format of `struct`."""
        value: int | float = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def key(self) -> str:
        """Return the name of a key or a tensor."""
        length = int(self.number("<Q"))
        if length > _MOST_NAME_BYTES:
            raise BadInput(f"One of its names has {length} bytes.")
        return self.take(length).decode(errors="replace")

    def value(self, key: str, kind: int) -> object:
        """Return the value of a key; None for one that is too long to keep."""
        if kind == _TEXT:
            length, most = int(self.number("<Q")), _TEMPLATE_CHARS if key == _TEMPLATE else _KEPT_CHARS
            kept = self.take(min(length, 4 * most)).decode(errors="replace")
            self.skip(max(0, length - 4 * most))
            return kept[:most]
        return self._array() if kind == _ARRAY else self.number(_form(kind))

    def _array(self) -> tuple[int | float, ...] | None:
        """Return an array's numbers; None for texts, and for more numbers than are kept."""
        kind, count = int(self.number("<I")), int(self.number("<Q"))
        if kind == _TEXT:
            self._skip_texts(count)
            return None
        form = _form(kind)  # no nested arrays: llama.cpp doesn't accept them either
        size_bytes = count * struct.calcsize(form)
        if count > min(_KEPT_NUMBERS, self._left_numbers):
            self.skip(size_bytes)
            return None
        self._left_numbers -= count
        return struct.unpack(f"<{count}{form[1]}", self.take(size_bytes))

    def _skip_texts(self, count: int) -> None:
        """Skip so many texts: some hundred thousand in a vocabulary, which is why nothing is called here."""
        length_at = _LENGTH.unpack_from
        while count:
            self._have(_LENGTH.size)
            data, at, last = self._data, self._at, len(self._data) - _LENGTH.size
            while count and at <= last:
                at += _LENGTH.size + length_at(data, at)[0]
                count -= 1
            self._at = at
        self._have(0)

    def _have(self, count: int) -> None:
        """Read on until so many bytes are there.

        Raises:
            BadInput: The file ends before, or a header can't have so many.
        """
        if self._at + count - len(self._data) > self._left_bytes:
            raise BadInput(f"Its header is longer than {MOST_BYTES} bytes, or names a wrong length.")
        while len(self._data) - self._at < count:
            piece = self._read(min(_PIECE_BYTES, self._left_bytes))
            if not piece:
                raise BadInput("It ends within its header.")
            self._left_bytes -= len(piece)
            kept = self._data[self._at :]
            self._at = max(0, self._at - len(self._data))
            self._data = kept + piece


def _form(kind: int) -> str:
    if kind not in _NUMBERS:
        raise BadInput(f"It has a value of the type {kind}, which isn't known here.")
    return _NUMBERS[kind]
