"""Reading headers of files that anybody may have written."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from modelshelf.domain.model_card import ModelCard
from modelshelf.errors import BadInput
from modelshelf.store.headers import Headers
from modelshelf.store.layout import Base
from tests.builders import commit, put
from tests.headers import gguf, safetensors


@pytest.fixture
def headers(open_path: Path) -> Headers:
    """An empty snapshot."""
    base = Base(open_path / "base")
    snapshot = base.repo("org/name").snapshot(commit("a"))
    snapshot.mkdir(parents=True)
    return Headers(base, snapshot)


def add(headers: Headers, name: str, content: bytes) -> Path:
    """Add a file behind a link, as huggingface_hub does; return its blob."""
    blob = headers.base.repo("org/name").blob(f"{len(name):040x}")
    put(blob, content)
    (headers.snapshot / name).symlink_to(os.path.relpath(blob, headers.snapshot))
    return blob


def test_each_kind_of_file_is_read(headers: Headers) -> None:
    """Headers of GGUF and safetensors, JSON and front matter are read behind their links."""
    add(headers, "m.gguf", gguf({"general.architecture": "llama"}, {"t": ((4, 5), 0)}))
    add(headers, "model.safetensors", safetensors({"a.weight": ("BF16", [3, 4])}, format="pt") + b"\0" * 24)
    add(headers, "config.json", b'{"time_step_limit": [0.0, Infinity], "n_layer": 2}')
    add(headers, "README.md", b"---\nlicense: mit\ntags: [a, 1.0]\n---\n# \xff")

    assert headers.gguf("m.gguf").parameters == 20
    assert not headers.says_adapter("m.gguf")
    assert headers.safetensors("model.safetensors").elements == {("BF16", "weight"): 12}
    assert headers.json("config.json")["n_layer"] == 2
    assert headers.card("README.md") == ModelCard("mit", (), ("a", "1.0"))
    assert headers.text("README.md", 100).endswith("---\n# \ufffd")
    assert headers.text("README.md", 3) == "---"


READERS: dict[str, Callable[[Headers, str], object]] = {
    "json": Headers.json,
    "gguf": Headers.gguf,
    "says_adapter": Headers.says_adapter,
    "safetensors": Headers.safetensors,
    "card": Headers.card,
    "text": lambda headers, name: headers.text(name, 100),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
def test_what_leads_out_of_the_base_is_not_read(headers: Headers, read: Callable[[Headers, str], object]) -> None:
    """A link out of the base, a fifo, a folder and a missing name count as not there."""
    outside = headers.base.path.parent / "secret"
    outside.write_bytes(b"{}")
    (headers.snapshot / "out").symlink_to(outside)
    os.mkfifo(headers.snapshot / "fifo")
    (headers.snapshot / "folder").mkdir()

    for name in ("out", "fifo", "folder", "none"):
        with pytest.raises(FileNotFoundError):
            read(headers, name)


MERGES = "license: &l0 {a: b}\n" + "".join(f"tags{i}: &l{i + 1} {{<<: [*l{i}, *l{i}]}}\n" for i in range(40))
WRONG: dict[str, tuple[str, bytes]] = {
    "a list": ("json", b"[]"),
    "not JSON": ("json", b"{"),
    "deep JSON": ("json", b"[" * 100_000),
    "a vast number": ("json", b'{"a": ' + b"9" * 5000 + b"}"),
    "not UTF-8": ("json", b'{"a": "\xff"}'),
    "another format": ("gguf", b"PK\x03\x04"),
    "a vast header": ("safetensors", struct.pack("<Q", 2**60) + b"{}"),
    "a short header": ("safetensors", struct.pack("<Q", 100) + b'{"a": '),
    "an empty file": ("safetensors", b""),
    "broken YAML": ("card", b"---\nlicense: [a\n---\n"),
    "deep YAML": ("card", b"---\nlicense: " + b"[" * 16_000 + b"\n---\n"),
    "an unknown anchor": ("card", b"---\nlicense: *a\n---\n"),
}


@pytest.mark.parametrize(("kind", "content"), WRONG.values(), ids=WRONG.keys())
def test_what_is_not_what_its_name_says_is_refused(headers: Headers, kind: str, content: bytes) -> None:
    """A file that isn't what its name says, or is larger or deeper than any honest one, is refused."""
    add(headers, "file", content)

    with pytest.raises(BadInput):
        READERS[kind](headers, "file")


def test_a_sparse_file_of_a_terabyte_is_not_read(headers: Headers) -> None:
    """A small file that claims a terabyte is refused before it is read."""
    os.truncate(add(headers, "config.json", b"{}"), 10**12)

    with pytest.raises(BadInput):
        headers.json("config.json")


def test_yaml_makes_nothing_but_texts(headers: Headers) -> None:
    """Tags of Python objects run nothing, and keys that are merged again and again cost nothing."""
    canary = headers.base.path / "canary"
    attack = f"base_model: !!python/object/apply:os.system ['touch {canary}']\n{MERGES}"
    add(headers, "README.md", f"---\n{attack}---\n".encode())
    merges = "".join(f"  - &l{i + 1} {{<<: [*l{i}, *l{i}]}}\n" for i in range(60))
    add(headers, "CARD.md", f"---\ntags:\n  - &l0 {{a: b}}\n{merges}---\n".encode())

    assert headers.card("CARD.md") == ModelCard()
    assert headers.card("README.md").license is None
    assert not canary.exists()


def test_front_matter_that_is_no_mapping_says_nothing(headers: Headers) -> None:
    """A README without front matter, or with one that isn't a mapping, has no card."""
    add(headers, "README.md", json.dumps([1, 2]).encode())

    assert headers.card("README.md") == ModelCard()


@pytest.mark.parametrize(
    ("name", "content", "other"),
    [
        ("m.gguf", gguf({"n": 1}), gguf({"n": 2})),
        ("m.safetensors", safetensors({"a": ("F32", [1])}), safetensors({"a": ("F32", [2])})),
    ],
    ids=["GGUF", "safetensors"],
)
def test_a_header_is_read_once_until_its_file_changes(
    headers: Headers, name: str, content: bytes, other: bytes
) -> None:
    """A header is read once until its file changes."""
    blob = add(headers, name, content)
    read = READERS[name.partition(".")[2]]
    first = read(headers, name)

    assert read(headers, name) is first
    blob.unlink()
    put(blob, other)
    os.utime(blob, (1, 1))
    assert read(headers, name) != first
