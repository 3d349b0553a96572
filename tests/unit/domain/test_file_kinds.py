"""What a file is by its first bytes, and which parts of a model are missing."""

from __future__ import annotations

import pytest

from modelshelf.domain.file_kinds import digest_in, link_in, missing_component, missing_shard, why_not

DIGEST = "ab" * 32
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
HEADER = (100).to_bytes(8, "little") + b'{"__metadata__"'


@pytest.mark.parametrize(
    ("head", "digest"),
    [
        (f"../../blobs/{DIGEST}".encode(), DIGEST),
        (f"../../../blobs/{'a' * 40}\n".encode(), "a" * 40),
        (f"/old/hub/models--org--name/blobs/{DIGEST}".encode(), DIGEST),
        (f"XSym\n0076\n{'0' * 32}\n../../blobs/{DIGEST}\n".encode().ljust(1067), DIGEST),
        (f"see ../../blobs/{DIGEST} for more".encode(), ""),
        (f"{DIGEST}".encode(), ""),
        (b"../../blobs/abc", ""),
        (b"", ""),
    ],
)
def test_a_link_that_became_text_names_its_blob(head: bytes, digest: str) -> None:
    """zip, git and SMB each write a link's target as text in their own way; any other text names no blob."""
    assert (link_in(head) or "") == digest


@pytest.mark.parametrize(
    ("path", "size_bytes", "head", "why"),
    [
        ("m.gguf", 135, POINTER, "Git LFS pointer"),
        ("config.json", 135, POINTER, "Git LFS pointer"),
        ("m.gguf", 0, b"", "is empty"),
        ("m.bin", 0, b"", "is empty"),
        ("notes.txt", 0, b"", ""),
        ("m.gguf", 900, b"\n<!DOCTYPE HTML><html>", "web page"),
        ("config.json", 900, b"<html>", "web page"),
        ("index.html", 900, b"<html>", ""),
        ("m.gguf", 900, b"GGML", "doesn't begin with GGUF"),
        ("m.gguf", 900, b"GGUF\x03", ""),
        ("m.safetensors", 108, HEADER, ""),
        ("m.safetensors", 107, HEADER, "safetensors"),
        ("m.safetensors", 9**9, b"\xff" * 9, "safetensors"),
        ("m.safetensors", 4, b"\x01\x00", "safetensors"),
        ("m.safetensors", 900, (100).to_bytes(8, "little") + b"PK", "safetensors"),
        ("m.safetensors", 76, f"../../blobs/{DIGEST}".encode(), "became a text file"),
        ("m.bin", 900, b"PK\x03\x04", ""),
    ],
)
def test_a_file_that_is_not_what_its_name_says(path: str, size_bytes: int, head: bytes, why: str) -> None:
    """Eight bytes tell weights from an error page or another file under their name."""
    said = why_not(path, size_bytes, head)
    assert (why in said) if why else said == ""


INDEX = {"model.safetensors.index.json": ["model-1.safetensors", "model-2.safetensors"]}


@pytest.mark.parametrize(
    ("there", "indexes", "missing"),
    [
        ({"model-00001-of-000003.safetensors"}, {}, "model-00002-of-000003.safetensors"),
        ({"model-2-of-3.bin"}, {}, "model-1-of-3.bin"),
        ({"a-1-of-2.gguf", "a-2-of-2.gguf"}, {}, ""),
        ({"a-00001-of-2.gguf", "b-00002-of-2.gguf"}, {}, "a-00002-of-2.gguf"),
        ({"part-1-of-3.txt", "m.gguf"}, {}, ""),
        ({"model-1.safetensors"}, INDEX, "model-2.safetensors"),
        ({"model-1.safetensors", "model-2.safetensors"}, INDEX, ""),
        ({"pytorch_model.bin"}, INDEX, ""),
        ({"config.json"}, INDEX, "model-1.safetensors"),
        ({"unet/a.bin"}, {"unet/x.index.json": ["a.bin", "b.bin"]}, "unet/b.bin"),
        ({"m-1-of-9.bin"}, {"x.index.json": ["m-1-of-9.bin"]}, ""),
        (set(), {"x.index.json": []}, ""),
    ],
)
def test_the_index_names_the_parts_and_else_their_numbers_do(
    there: set[str], indexes: dict[str, list[str]], missing: str
) -> None:
    """The index names the parts; without one, the numbers in their names do."""
    assert missing_shard(there, indexes) == missing


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ({"unet/config.json", "unet/m.safetensors", "vae/config.json", "vae/m.bin"}, ""),
        ({"unet/config.json", "vae/config.json", "vae/m.bin"}, "unet/ has no weights."),
        ({"unet/config.json", "unet/m.bin"}, "vae/ is not there."),
    ],
)
def test_a_pipeline_needs_the_weights_of_each_of_its_models(there: set[str], why: str) -> None:
    """A pipeline's folders are those of model_index.json; a folder with a config.json needs weights."""
    assert missing_component(there, ["vae", "unet"]) == why


def test_only_a_link_into_blobs_names_a_digest() -> None:
    """Only a link into blobs/ names a digest."""
    assert digest_in(f"../../blobs/{DIGEST}") == DIGEST
    assert digest_in(f"../{DIGEST}") is digest_in("../../blobs/x") is None
