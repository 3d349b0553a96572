"""What a view for Ollama holds: a manifest for each model, whose layer of weights is the GGUF file itself.

The Hub names a large file by its sha256, and so does Ollama: `blobs/sha256-<digest>` is a link to the file. The other
layers are small files of ours.

Source: Ollama `manifest/manifest.go` and `manifest/paths.go` (manifests and blobs), `types/model/config.go` (the
config), `server/create.go` (what `ollama create` writes for a GGUF), `types/model/name.go` (names).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from modelshelf.domain.gguf import GgufHeader
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import SHA256
from modelshelf.domain.views import Entry, Link, Text, ViewFile, ViewModel, text_mark
from modelshelf.domain.weight_files import GGUF, MMPROJ, format_of, main_weights

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.ollama.image."
_MODELS = "manifests/registry.ollama.ai/library"
"""Where Ollama looks for a name without a host and an organisation."""
_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))


@dataclass(frozen=True, slots=True)
class _Prompt:
    """How a family of models wants to be asked."""

    template: str
    """In Ollama's language, which is Go's."""
    stops: tuple[str, ...]


def _turns(begin: str, end: str, answer: str, stops: tuple[str, ...]) -> _Prompt:
    return _Prompt(f"{{{{ range .Messages }}}}{begin}{{{{ .Content }}}}{end}{{{{ end }}}}{answer}", stops)


_CHATML = _turns("<|im_start|>{{ .Role }}\n", "<|im_end|>\n", "<|im_start|>assistant\n", ("<|im_start|>", "<|im_end|>"))
_LLAMA3 = _turns(
    "<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n",
    "<|eot_id|>",
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
)
_GEMMA = _turns(
    '<start_of_turn>{{ if eq .Role "assistant" }}model{{ else }}user{{ end }}\n',
    "<end_of_turn>\n",
    "<start_of_turn>model\n",
    ("<start_of_turn>", "<end_of_turn>"),
)
_PHI3 = _turns("<|{{ .Role }}|>\n", "<|end|>\n", "<|assistant|>\n", ("<|end|>", "<|user|>", "<|assistant|>"))
_BY_MARKER = {
    "<|im_start|>": _CHATML,
    "<|start_header_id|>": _LLAMA3,
    "<start_of_turn>": _GEMMA,
    "<|end|>": _PHI3,
}
_BY_ARCHITECTURE = {
    **dict.fromkeys(["qwen2", "qwen2moe", "qwen3", "qwen3moe"], _CHATML),
    **dict.fromkeys(["gemma", "gemma2", "gemma3"], _GEMMA),
    "phi3": _PHI3,
}
"""For templates whose beginning, which is all that a header keeps, has no marker."""


def ollama(model: ViewModel) -> Iterator[tuple[str, Entry]] | str:
    """Return Ollama's files for a model, or why it can't read it."""
    files = {file.path: file for file in model.files}
    weights = main_weights([FileEntry(f.path, f.size_bytes, f.digest) for f in model.files], frozenset())
    if weights is None or weights.format != GGUF:
        return "Ollama reads GGUF files, and it has none."
    if len(weights.files) > 1:
        return f"Ollama reads a GGUF in one file; this one is in {len(weights.files)} parts."
    if model.header is None:
        return "The header of its GGUF file can't be read."
    projectors = [file for file in model.files if format_of(file.path) == MMPROJ][:1]
    bytes_of = {"model": [files[weights.files[0].path]], "projector": projectors}
    if any(not SHA256.fullmatch(file.digest) for listed in bytes_of.values() for file in listed):
        return "Ollama names a file by its sha256, and the Hub has none of this one."
    return _lay_out(model, model.header, bytes_of)


def _lay_out(model: ViewModel, header: GgufHeader, bytes_of: dict[str, list[ViewFile]]) -> Iterator[tuple[str, Entry]]:
    layers: list[dict[str, object]] = []
    for kind, listed in bytes_of.items():
        for file in listed:
            layers.append({"mediaType": _LAYER + kind, "digest": f"sha256:{file.digest}", "size": file.size_bytes})
            yield f"blobs/sha256-{file.digest}", Link(file.place)
    for kind, content in _sayings(header):
        layers.append(_small(_LAYER + kind, content))
        yield _blob(content)
    config = json.dumps(_config(header), separators=(",", ":")) + "\n"
    yield _blob(config)
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": _small(_CONFIG, config), "layers": layers}
    yield f"{_MODELS}/{ollama_name(model.model_name).replace(':', '/')}", Text(json.dumps(manifest))


def ollama_name(model_name: str) -> str:
    """Return a model's name for Ollama, with its tag.

    >>> ollama_name("gemma:4b"), ollama_name("tiny"), ollama_name("a+b:c:d")
    ('gemma:4b', 'tiny:latest', 'a-b:c-d')
    """
    name, _, tag = model_name.partition(":")
    clean = [re.sub(r"[^A-Za-z0-9._-]", "-", part) for part in (name, tag)]
    return f"{clean[0]}:{clean[1] or 'latest'}"


def _sayings(header: GgufHeader) -> Iterator[tuple[str, str]]:
    """Yield the layers that tell how to ask a model; none for one that Ollama asks by its own rules."""
    said, architecture = header.text("tokenizer.chat_template"), header.text("general.architecture") or ""
    if said is None:
        return
    marked = next((prompt for marker, prompt in _BY_MARKER.items() if marker in said), None)
    prompt = marked or _BY_ARCHITECTURE.get(architecture)
    if prompt is not None:
        yield "template", prompt.template
        yield "params", json.dumps({"stop": list(prompt.stops)}, separators=(",", ":"))


def _config(header: GgufHeader) -> dict[str, object]:
    family = header.text("general.architecture") or "unknown"
    return {
        "model_format": "gguf",
        "model_family": family,
        "model_families": [family],
        "model_type": _rounded(header.parameters),
        "file_type": header.quantisation or "unknown",
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []},
    }


def _rounded(count: int) -> str:
    """Return a number of parameters as Ollama shows it.

    >>> _rounded(134_515_008), _rounded(7_615_616_512), _rounded(12)
    ('134.52M', '7.6B', '12')
    """
    for size, unit in _UNITS:
        if count >= size:
            return f"{count / size:.{2 if unit == 'M' else 1}f}{unit}"
    return str(count)


def _small(media_type: str, content: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": text_mark(content.encode()), "size": len(content.encode())}


def _blob(content: str) -> tuple[str, Entry]:
    return f"blobs/{text_mark(content.encode()).replace(':', '-')}", Text(content)
