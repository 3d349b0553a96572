"""Ollama's models, by its manifests. Never changed.

Source: Ollama `types/model/name.go`, `server/images.go`: `manifests/HOST/ORG/NAME/TAG` (JSON with layers, each a media
type, a digest and a size) and `blobs/sha256-<64 hex>`. The parts of a split GGUF are several layers of type model.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.domain.adopt_inventory import FoundFile, FoundModel, Origin
from modelshelf.domain.names import Digest, FilePath, RepoId
from modelshelf.domain.outside import object_of, size_of
from modelshelf.errors import BadInput
from modelshelf.store.adopt.foreign import NO_COMMIT
from modelshelf.store.probe import is_link
from modelshelf.store.repos import judge, scan
from modelshelf.store.small_files import read_small_json

_TYPE = "application/vnd.ollama.image."
_WEIGHTS = {"model": "", "projector": "mmproj-", "adapter": "adapter-"}
"""Layers that hold weights, and the prefixes of their file names."""
_SAYINGS = frozenset({"template", "system", "params", "messages", "license", "prompt"})
"""Layers that tell Ollama how to prompt a model; other programs have their own way."""


@dataclass(slots=True)
class _Layers:
    """The layers of one manifest by kind."""

    files: list[FoundFile] = field(default_factory=list)
    sources: list[tuple[str, str]] = field(default_factory=list)
    trouble: str = ""
    notes: list[str] = field(default_factory=list)


def find(path: Path) -> Iterator[FoundModel]:
    """Yield the models below Ollama's folder, including those that can't be adopted with the reason."""
    for manifest in scan.walk_files(path / "manifests"):
        parts = manifest.relative_to(path / "manifests").parts
        value = _read_json(manifest)
        if len(parts) != 4 or value is None or is_link(manifest):
            continue
        _, organisation, name, tag = parts
        with contextlib.suppress(BadInput):
            layers = _read(path / "blobs", f"{name}-{tag}", value)
            yield FoundModel(
                kind=Origin.OLLAMA,
                place=str(path),
                repo_id=RepoId(f"{organisation}/{name}"),
                commit_hash="",
                files=tuple(layers.files),
                revision=tag,
                trouble=layers.trouble,
                called=name if tag == "latest" else f"{name}:{tag}",
                sources=tuple(layers.sources),
                note=" ".join([NO_COMMIT, "Ollama's template and parameters are not part of it.", *layers.notes]),
            )


def _read(blobs: Path, stem: str, manifest: Mapping[str, object]) -> _Layers:
    """Return the files of a manifest; with a layer of an unknown kind the model stays, because its effect is unknown.

    Raises:
        BadInput: A file can't have such a name.
    """
    found = _Layers()
    listed = manifest.get("layers")
    layers = [layer for layer in listed if isinstance(layer, dict)] if isinstance(listed, list) else []
    kinds = [str(layer.get("mediaType")).removeprefix(_TYPE) for layer in layers]
    counts, seen = Counter(kinds), Counter[str]()
    unknown = sorted(set(kinds) - _WEIGHTS.keys() - _SAYINGS)
    if unknown:
        found.trouble = f"It has layers of an unknown kind ({', '.join(unknown)[:80]})."
    elif not counts["model"]:
        found.trouble = "It has no weights."
    for kind, layer in zip(kinds, layers, strict=True):
        if kind in _WEIGHTS:
            seen[kind] += 1
            part = f"-{seen[kind]:05}-of-{counts[kind]:05}" if counts[kind] > 1 else ""
            _add(found, blobs, FilePath(f"{_WEIGHTS[kind]}{stem}{part}.gguf"), layer)
    if counts["adapter"]:
        names = ", ".join(file.path for file in found.files if file.path.startswith(_WEIGHTS["adapter"]))
        found.notes.append(f"Ollama applies an adapter to it: {names} (llama.cpp: --lora).")
    return found


def _add(found: _Layers, blobs: Path, name: FilePath, layer: Mapping[str, object]) -> None:
    match = re.fullmatch(r"sha256[:-]([0-9a-f]{64})", str(layer.get("digest")))
    if match is None:
        found.trouble = found.trouble or f"The manifest names no blob for {name}."
        return
    blob, size_bytes = blobs / f"sha256-{match[1]}", size_of(layer.get("size"))
    why = judge.why_unread(blob)
    if not why and blob.stat().st_size != size_bytes:
        why = f"has {blob.stat().st_size} bytes instead of {size_bytes}"
    why = why or judge.why_not(blob, name)
    found.trouble = found.trouble or (f"Its blob {blob.name} {why}." if why else "")
    found.files.append(FoundFile(name, size_bytes, Digest(match[1])))
    found.sources.append((name, str(blob)))


def _read_json(path: Path) -> dict[str, object] | None:
    with contextlib.suppress(OSError, BadInput):
        return object_of(read_small_json(path))
    return None
