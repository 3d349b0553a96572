"""Reading GGUF headers, hostile ones included."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable

import pytest
from demo.build_models import find_gguf
from gguf.constants import GGMLQuantizationType, LlamaFileType
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.gguf import FILE_TYPES, MOST_BYTES, TENSOR_TYPES, GgufHeader, read_header, says_adapter
from modelshelf.errors import BadInput
from tests.headers import gguf, gguf_text

HEAD = b"GGUF" + struct.pack("<I", 3)


def read(content: bytes) -> GgufHeader:
    """Return the header of a file with this content."""
    return read_header(io.BytesIO(content).read)


class Endless:
    """An endless file that counts how many bytes are read."""

    def __init__(self, start: bytes, rest: bytes = b"\0") -> None:
        self._start, self._rest, self.bytes = start, rest, 0

    def read(self, count: int) -> bytes:
        """Return the next bytes."""
        out, self._start = self._start[:count], self._start[count:]
        out += self._rest * ((count - len(out)) // len(self._rest))
        self.bytes += len(out)
        return out


def test_a_real_file_says_what_it_is() -> None:
    """The header of a published model is read as its makers wrote it."""
    with find_gguf().open("rb") as file:
        header = read_header(file.read)

    assert (header.text("general.architecture"), header.quantisation) == ("llama", "Q4_1")
    assert header.parameters == 134_515_008
    assert (header.number("llama.block_count"), header.number("llama.attention.head_count_kv")) == (30, 3)
    assert header.metadata["tokenizer.ggml.tokens"] is None


def test_the_types_are_those_of_the_format() -> None:
    """The types have the names that llama.cpp's own package gives to their numbers."""
    official = {kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in LlamaFileType}
    tensors = {kind.value: kind.name for kind in GGMLQuantizationType}

    assert {number: official[number].removesuffix("_MOE") for number in FILE_TYPES} == FILE_TYPES
    assert {number: tensors[number] for number in TENSOR_TYPES} == TENSOR_TYPES


def test_every_kind_of_value_is_read() -> None:
    """Numbers, booleans, texts and short lists are kept; lists of texts and long lists are skipped."""
    many = list(range(5000))
    said = {
        "n": 7,
        "f": 0.5,
        "yes": True,
        "t": "x" * 5000,
        "list": [1, 2],
        "texts": ["a", "bc"],
        "many": many,
        "last": 1,
    }

    header = read(gguf(said))

    assert header.metadata == {
        "n": 7, "f": 0.5, "yes": True, "t": "x" * 256, "list": (1, 2), "texts": None, "many": None, "last": 1,
    }  # fmt: skip
    assert (header.numbers("list"), header.numbers("n"), header.numbers("none")) == ((1, 2), (), ())
    assert (header.number("yes"), header.number("t"), header.text("n")) == (None, None, None)


def test_a_count_that_no_model_has_is_none() -> None:
    """A number that can't be a count of layers or tokens is ignored."""
    header = GgufHeader({"context": 2**40}, {})

    assert header.number("context") is None


@pytest.mark.parametrize(
    ("metadata", "tensors", "quantisation"),
    [
        ({"general.file_type": 15}, {}, "Q4_K_M"),
        ({"general.file_type": 9999}, {"a": ((10, 10), 12), "b": ((5,), 0)}, "Q4_K"),
        ({}, {"a": ((10,), 77)}, None),
        ({}, {}, None),
    ],
    ids=["the file says it", "by its tensors", "a type of tomorrow", "nothing"],
)
def test_the_quantisation(metadata: dict[str, object], tensors: dict[str, object], quantisation: str | None) -> None:
    """A file's quantisation is the one it states, or else the one of most of its weights."""
    assert read(gguf(metadata, tensors)).quantisation == quantisation


HOSTILE: dict[str, bytes] = {
    "another format": b"PK\x03\x04" + b"\0" * 100,
    "the first version": b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
    "a billion keys": HEAD + struct.pack("<QQ", 0, 10**9),
    "a billion tensors": HEAD + struct.pack("<QQ", 10**9, 0),
    "an endless name": HEAD + struct.pack("<QQ", 0, 1) + struct.pack("<Q", 2**60),
    "an endless text": HEAD + struct.pack("<QQ", 0, 1) + gguf_text("k") + struct.pack("<IQ", 8, 2**63),
    "a billion texts": HEAD + struct.pack("<QQ", 0, 1) + gguf_text("k") + struct.pack("<IIQ", 9, 8, 10**9),
    "a billion numbers": HEAD + struct.pack("<QQ", 0, 1) + gguf_text("k") + struct.pack("<IIQ", 9, 4, 10**9),
    "lists of lists": HEAD + struct.pack("<QQ", 0, 1) + gguf_text("k") + struct.pack("<IIQ", 9, 9, 1) * 50,
    "an unknown type": HEAD + struct.pack("<QQ", 0, 1) + gguf_text("k") + struct.pack("<I", 99),
    "many dimensions": HEAD + struct.pack("<QQ", 1, 0) + gguf_text("t") + struct.pack("<I", 2**31),
    "more weights than there are": gguf({}, {"t": ((2**40, 2**40), 0)}),
}


@pytest.mark.parametrize("start", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("rest", [b"\0", b"\xff"], ids=["zeros", "ones"])
def test_a_hostile_header_costs_no_more_than_its_bound(start: bytes, rest: bytes) -> None:
    """A header that lies about counts and lengths is refused after reading no more than of an honest one."""
    file = Endless(start, rest)

    with pytest.raises(BadInput):
        read_header(file.read)
    assert file.bytes <= MOST_BYTES


def test_many_short_lists_are_not_all_kept() -> None:
    """Lists of numbers are kept up to what all layers of a model need, and what follows is still read."""
    header = read(gguf({f"k{i}": [1] * 200 for i in range(200)} | {"last": 5}))

    assert sum(len(value) for value in header.metadata.values() if isinstance(value, tuple)) <= 2**14
    assert header.number("last") == 5


GOOD = gguf({"general.architecture": "x", "n": 3, "list": [1, 2, 3], "texts": ["a", "b"]}, {"t": ((3, 4), 0)})


@pytest.mark.parametrize("length", range(len(GOOD)))
def test_a_header_that_ends_early_is_refused(length: int) -> None:
    """A file cut off anywhere in its header is refused."""
    with pytest.raises(BadInput):
        read(GOOD[:length])


def in_pieces(content: bytes, size: int) -> Callable[[int], bytes]:
    """Return a `read` that gives at most so many bytes at once, as a network file may."""
    file = io.BytesIO(content)
    return lambda count: file.read(min(count, size))


@given(size=st.integers(1, 40))
def test_short_reads_change_nothing(size: int) -> None:
    """The header is the same however few bytes come at once."""
    assert read_header(in_pieces(GOOD, size)) == read(GOOD)


@given(st.data())
def test_any_change_of_a_header_is_read_or_refused(data: st.DataObject) -> None:
    """A header with any bytes replaced is either read or refused with a sentence."""
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))

    try:
        header = read(bytes(content))
    except BadInput:
        return
    assert 0 <= header.parameters < 2**63


@given(st.binary(max_size=400))
def test_noise_is_read_or_refused(noise: bytes) -> None:
    """Random bytes after the magic raise nothing but BadInput."""
    with contextlib.suppress(BadInput):
        assert read(HEAD + noise).parameters >= 0


@pytest.mark.parametrize(
    ("metadata", "is_adapter"),
    [
        ({"general.architecture": "llama", "general.type": "adapter", "general.name": "x"}, True),
        ({"general.architecture": "llama", "general.type": "model"}, False),
        ({"general.architecture": "llama", "llama.block_count": 2, "general.type": "adapter"}, False),
        ({"general.architecture": "llama"}, False),
        ({}, False),
    ],
    ids=["adapter", "model", "type after others", "no type", "nothing"],
)
def test_the_beginning_says_whether_it_is_an_adapter(metadata: dict[str, object], is_adapter: bool) -> None:
    """Whether a file is an adapter is told by its general keys, which come first, without reading on."""
    assert says_adapter(io.BytesIO(gguf(metadata)).read) is is_adapter


@pytest.mark.parametrize("content", [b"", b"GGML", GOOD[:20]], ids=["empty", "another format", "cut"])
def test_the_beginning_of_something_else_is_refused(content: bytes) -> None:
    """A file that doesn't begin as GGUF is refused, as for the whole header."""
    with pytest.raises(BadInput):
        says_adapter(io.BytesIO(content).read)


@pytest.mark.parametrize(
    ("said", "repo"),
    [
        ("https://huggingface.co/org/Base", "org/Base"),
        ("https://huggingface.co/org/Base/", "org/Base"),
        ("https://huggingface.co/org/Base/tree/main", None),
        ("org/Base", None),
        (7, None),
    ],
)
def test_the_base_model_is_named_by_an_address(said: object, repo: str | None) -> None:
    """The first base model's address names its repository; anything else names none."""
    assert read(gguf({"general.base_model.0.repo_url": said})).base_repo == repo
