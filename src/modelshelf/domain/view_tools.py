"""What views for programs around llama.cpp hold: GGUF files, or a small file that says where one is.

`docs/tools.md` has the source of each layout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelshelf.domain.models import FileEntry
from modelshelf.domain.views import Entry, Link, Text, ViewFile, ViewModel
from modelshelf.domain.weight_files import GGUF, MMPROJ, format_of, main_weights

_NO_GGUF = "{} reads GGUF files, and it has none."


@dataclass(frozen=True, slots=True)
class _Gguf:
    """A model's GGUF files."""

    parts: tuple[ViewFile, ...]
    """The weights, in one file or several, in order."""
    projector: ViewFile | None

    @property
    def files(self) -> tuple[ViewFile, ...]:
        """All of them."""
        return self.parts if self.projector is None else (*self.parts, self.projector)


def _gguf(model: ViewModel) -> _Gguf | None:
    files = {file.path: file for file in model.files}
    weights = main_weights([FileEntry(f.path, f.size_bytes, f.digest) for f in model.files], frozenset())
    if weights is None or weights.format != GGUF:
        return None
    projectors = [file for file in model.files if format_of(file.path) == MMPROJ]
    return _Gguf(tuple(files[part.path] for part in weights.files), next(iter(projectors), None))


def folder_name(model: ViewModel) -> str:
    """Return a model's name as the name of a folder or file."""
    return model.model_name.replace(":", "-")


def jan(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out Jan's folder: `NAME/model.yml`, which says where the files are."""
    found = _gguf(model)
    if found is None:
        return _NO_GGUF.format("Jan")
    said: dict[str, object] = {"model_path": found.parts[0].place}
    if found.projector is not None:
        said["mmproj_path"] = found.projector.place
    said |= {"name": model.model_name, "size_bytes": sum(file.size_bytes for file in found.files)}
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in said.items())
    return iter([(f"{folder_name(model)}/model.yml", Text("".join(lines)))])


def llama_swap(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out a configuration folder of llama-swap: a file for each model with its command."""
    found = _gguf(model)
    if found is None:
        return _NO_GGUF.format("llama-server")
    command = f"llama-server --port ${{PORT}} --model {json.dumps(found.parts[0].place)}"
    if found.projector is not None:
        command += f" --mmproj {json.dumps(found.projector.place)}"
    text = f"models:\n  {json.dumps(model.model_name)}:\n    cmd: {json.dumps(command)}\n"
    return iter([(f"{folder_name(model)}.yaml", Text(text))])


def llama_server(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out what `llama-server --models-dir` reads: a file, or a folder for a model of several files."""
    found = _gguf(model)
    return _NO_GGUF.format("llama-server") if found is None else _files(model, found.files)


def gpt4all(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out GPT4All's folder: GGUF files side by side."""
    found = _gguf(model)
    if found is None:
        return _NO_GGUF.format("GPT4All")
    if len(found.parts) > 1:
        return f"GPT4All reads a GGUF in one file; this one is in {len(found.parts)} parts."
    return _files(model, found.parts)


def textgen(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out the models of text-generation-webui: a GGUF file, or a folder with everything else."""
    found = _gguf(model)
    return _files(model, model.files if found is None else found.parts, folder=found is None)


def _files(model: ViewModel, files: tuple[ViewFile, ...], *, folder: bool = False) -> Iterator[tuple[str, Entry]]:
    """Yield files, those of a model with several in a folder of its name."""
    for file in files:
        name = file.path if folder else PurePosixPath(file.path).name
        path = f"{folder_name(model)}/{name}" if folder or len(files) > 1 else name
        yield path, Link(file.place)
