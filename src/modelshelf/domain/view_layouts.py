"""What a view of each kind holds: links and small files, as the program that reads it expects them.

`docs/tools.md` has the source of each layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from modelshelf.domain import view_images, view_tools
from modelshelf.domain.names import FilePath, ModelName
from modelshelf.domain.repo_folders import repo_folder_name
from modelshelf.domain.view_kinds import BY_REPOSITORY, ViewKind
from modelshelf.domain.view_ollama import ollama
from modelshelf.domain.views import Entry, Holding, Link, Text, ViewFile, ViewModel
from modelshelf.domain.weight_files import GGUF, MMPROJ, SAFETENSORS, format_of
from modelshelf.errors import BadInput

Layout = Callable[[ViewModel, str], Iterator[tuple[str, Entry]] | str]
"""Returns the entries of one model by path, or why the program can't read it, in a sentence; the text is the root."""

_NO_STORE = Text("A file of modelshelf's: huggingface_hub keeps no shared blobs here, but in hub/blobs.\n")
_NO_ORG = "huggingface"
"""The folder of repositories without an organisation, for programs that want two levels."""


def holding_of(kind: ViewKind, root: str, models: Sequence[ViewModel]) -> Holding:
    """Return what a view of this kind holds for these models; of two entries for one path the first counts."""
    entries, owners, refused = dict[str, Entry](), dict[str, ModelName](), dict[ModelName, str]()
    here = [model for model in models if model.base == root] if kind is ViewKind.HF else []
    for model in [model for model in models if model.base != root] if here else models:
        laid_out = _LAYOUTS[kind](model, root)
        if isinstance(laid_out, str):
            refused[model.model_name] = laid_out
            continue
        found = {path: entry for path, entry in laid_out if path not in entries}
        try:
            entries |= zip(FilePath.each(list(found)), found.values(), strict=True)
        except BadInput:
            refused[model.model_name] = "A name of its files is too long here."
        else:
            owners |= dict.fromkeys(found, model.model_name)
    own = {path for model in here for path, _ in _hf(model, root)}
    own -= {path for path, entry in entries.items() if isinstance(entry, Link) and entry.target.startswith("/")}
    entries = {path: entry for path, entry in entries.items() if path not in own}
    owners = {path: owners[path] for path in entries}
    sections = {model.model_name: str(model.repo_id) for model in models} if kind in BY_REPOSITORY else {}
    common = _COMMON[kind](root) if kind in _COMMON else {}
    return Holding(entries, owners, sections, common, refused, frozenset(own), kind is ViewKind.HF)


def _folder(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]]:
    """Lay out plain files: `ORG/NAME/FILE`, sub-folders as in the repository."""
    for file in model.files:
        yield f"{model.repo_id}/{file.path}", Link(file.place)


def _lmstudio(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out LM Studio's folder: `ORG/NAME/FILE`, exactly two levels; GGUF files, or a whole MLX model."""
    ggufs = [file for file in model.files if format_of(file.path) in (GGUF, MMPROJ)]
    if ggufs:
        return _flat(_two_levels(model), ggufs)
    if model.is_mlx:
        return _flat(_two_levels(model), [file for file in model.files if "/" not in file.path])
    is_plain = any(format_of(file.path) == SAFETENSORS for file in model.files)
    made_by = "its safetensors weren't made by MLX" if is_plain else "it has neither"
    return f"LM Studio reads GGUF files and models of MLX; {made_by}."


def _two_levels(model: ViewModel) -> str:
    return model.repo_id if "/" in model.repo_id else f"{_NO_ORG}/{model.repo_id}"


def _flat(folder: str, files: Sequence[ViewFile]) -> Iterator[tuple[str, Entry]]:
    """Yield all files in one folder; where two have one name, with those of their own folders before it."""
    names = [PurePosixPath(file.path).name for file in files]
    for file, name in zip(files, names, strict=True):
        yield f"{folder}/{name if names.count(name) == 1 else file.path.replace('/', '-')}", Link(file.place)


def _hf(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]]:
    """Lay out an HF_HOME: a repository whose blobs are links to the files, wherever they are.

    In a base it holds the models of the others: one of its own needs the same paths, and has them.
    """
    repo = f"hub/{repo_folder_name(model.repo_id)}"
    for file in model.files:
        yield f"{repo}/blobs/{file.digest}", Link(file.place)
    for file in model.files:
        above = "../" * (2 + file.path.count("/"))
        yield f"{repo}/snapshots/{model.commit_hash}/{file.path}", Link(f"{above}blobs/{file.digest}")
    if model.tree:
        yield f"{repo}/trees/{model.commit_hash}.json", Text(model.tree)
    if model.revision != model.commit_hash:
        yield f"{repo}/refs/{model.revision}", Text(model.commit_hash)


def _cache_dir(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out what `cache_dir=BASE` looks for: a link to each repository that the base's `hub` has, beside it."""
    if root not in model.shown_in:
        return f"It is in {model.base}; code with this cache_dir finds what is in {root}/hub."
    name = repo_folder_name(model.repo_id)
    return iter([(name, Link(f"hub/{name}"))])


def _no_store(root: str) -> dict[str, Entry]:
    """Return a file that keeps a shared store of huggingface_hub away from beside `hub`, which takes only a folder.

    The links of a store at `BASE/blobs` would lead from a repository in `hub` to `hub/blobs`.
    """
    return {"blobs": _NO_STORE}


_COMMON: dict[ViewKind, Callable[[str], dict[str, Entry]]] = {
    ViewKind.CACHE_DIR: _no_store,
    ViewKind.COMFYUI: view_images.comfyui_paths,
}
"""What a view has beside what its models need, by its root."""

_LAYOUTS: dict[ViewKind, Layout] = {
    ViewKind.JAN: view_tools.jan,
    ViewKind.LLAMA_SERVER: view_tools.llama_server,
    ViewKind.LLAMA_SWAP: view_tools.llama_swap,
    ViewKind.TEXTGEN: view_tools.textgen,
    ViewKind.GPT4ALL: view_tools.gpt4all,
    ViewKind.COMFYUI: view_images.comfyui,
    ViewKind.A1111: view_images.a1111,
    ViewKind.FORGE: view_images.forge,
    ViewKind.INVOKEAI: view_images.invokeai,
    ViewKind.HF: _hf,
    ViewKind.CACHE_DIR: _cache_dir,
    ViewKind.FOLDER: _folder,
    ViewKind.LMSTUDIO: _lmstudio,
    ViewKind.OLLAMA: lambda model, root: ollama(model),
}
