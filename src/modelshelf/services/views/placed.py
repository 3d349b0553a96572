"""The models that views can hold, and where their files are, read once for all views."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from modelshelf.domain.gguf import GgufHeader
from modelshelf.domain.listing import EVERYTHING
from modelshelf.domain.model_config import config_of
from modelshelf.domain.models import FileEntry, Model, State
from modelshelf.domain.names import ModelName, RepoId, ViewRoot
from modelshelf.domain.repo_folders import repo_folder_name
from modelshelf.domain.view_images import part_of
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.view_layouts import holding_of
from modelshelf.domain.view_plans import in_place
from modelshelf.domain.views import Holding, View, ViewFile, ViewModel
from modelshelf.domain.weight_files import GGUF, main_weights
from modelshelf.errors import BadInput
from modelshelf.services.catalog.models import Library, Places
from modelshelf.store.headers import Headers
from modelshelf.store.layout import Base
from modelshelf.store.small_files import read_small_text
from modelshelf.store.views import folder

_DESCRIBED = {
    **dict.fromkeys([ViewKind.LMSTUDIO, ViewKind.OLLAMA], "language"),
    **dict.fromkeys([ViewKind.COMFYUI, ViewKind.A1111, ViewKind.FORGE, ViewKind.INVOKEAI], "image"),
    ViewKind.HF: "hub",
}
"""Kinds that depend on what a model's files say of it, and what is read of them."""
_WHOLE = (State.READY, State.MOVING, State.DAMAGED)


class Placed:
    """The models as they are at one instant.

    Args:
        library: The library.
        all_tiers: The view of all tiers in the primary base; None without one.
        models: The models, if they were read already.
        repos: The repositories whose models they are; None: all there are.
    """

    def __init__(
        self,
        library: Library,
        all_tiers: View | None = None,
        models: Sequence[Model] | None = None,
        repos: frozenset[RepoId] | None = None,
    ) -> None:
        self._library, self.all_tiers, self._known, self.repos = library, all_tiers, models, repos
        self._seen: dict[tuple[ModelName, str], ViewModel] = {}
        self._holdings: dict[tuple[ViewKind, ViewRoot, tuple[ModelName, ...] | None], Holding] = {}

    @cached_property
    def _places(self) -> Places:
        return self._library.places()

    @cached_property
    def _models(self) -> list[Model]:
        found = self._known
        if found is None:
            found = [self._places.at(row) for row in self._library.reader.listed(EVERYTHING)]
        return [model for model in found if model.row.commit_hash]

    @property
    def _whole(self) -> list[Model]:
        return [model for model in self._models if model.row.complete]

    @cached_property
    def away(self) -> frozenset[ModelName]:
        """The models whose drives aren't mounted."""
        return frozenset(model.model_name for model in self._whole if model.state is State.OFFLINE)

    @property
    def is_spread(self) -> bool:
        """Whether a whole model is outside the primary."""
        return any(model.base != self._library.tiers.primary.base for model in self._whole)

    def holding(self, view: View) -> Holding:
        """Return what a view should hold."""
        if view.kind is ViewKind.CACHE_DIR:
            return self._hold_links(view)
        key = view.kind, view.root, view.models
        if key not in self._holdings:
            self._holdings[key] = self._hold(view)
        return self._holdings[key]

    def _hold(self, view: View) -> Holding:
        wanted = _DESCRIBED.get(view.kind, "")
        chosen = [model for model in self._whole if view.takes(model.model_name) and model.state in _WHOLE]
        if view.kind is ViewKind.HF:
            chosen = [model for model in chosen if model.base != view.root]
            repos = {repo_folder_name(model.hf_path) for model in chosen} | {_repo_of(path) for path in view.made}
            here = [model for model in self._models if model.base == view.root] if repos else []
            chosen += [model for model in here if repo_folder_name(model.hf_path) in repos]
        found = [self._placed(model, wanted) for model in chosen]
        if view.kind is ViewKind.ADOPTED:
            return in_place(view.places, found)
        return holding_of(view.kind, view.root, found)

    def of_names(self, names: Collection[ModelName]) -> list[ViewModel]:
        """Return those of some models that are whole and here, with their files."""
        chosen = [model for model in self._whole if model.model_name in names and model.state in _WHOLE]
        return [self._placed(model, "") for model in chosen]

    def _hold_links(self, view: View) -> Holding:
        """Return what a view for `cache_dir=BASE` holds: a link to each folder that is there."""
        shows, found = self.all_tiers, list[ViewModel]()
        there = folder.repo_folders_in(Base(Path(view.root)).hub, self.repos)
        for model in self._whole:
            if not (view.takes(model.model_name) and model.state in _WHOLE):
                continue
            bases = {model.base}
            if shows is not None and shows.takes(model.model_name):
                bases.add(shows.root)
            if view.root not in bases or repo_folder_name(model.hf_path) in there:
                shown_in = frozenset(map(str, bases))
                found.append(ViewModel(model.model_name, model.hf_path, (), base=model.base, shown_in=shown_in))
        return holding_of(view.kind, view.root, found)

    def _placed(self, model: Model, wanted: str) -> ViewModel:
        key = (model.model_name, wanted)
        if key not in self._seen:
            self._seen[key] = self._look(model, wanted)
        return self._seen[key]

    def _look(self, model: Model, wanted: str) -> ViewModel:
        assert model.row.commit_hash is not None
        repo = Base(Path(model.base)).repo(model.hf_path)
        folder = repo.snapshot(model.row.commit_hash)
        files = self._places.manifests.selected(model.row)
        headers = Headers(Base(Path(model.base)), folder)
        return ViewModel(
            model_name=model.model_name,
            repo_id=model.hf_path,
            base=model.base,
            commit_hash=model.row.commit_hash,
            revision=model.revision,
            tree=_tree(repo.tree(model.row.commit_hash)) if wanted == "hub" else "",
            files=tuple(ViewFile(f.path, f.size_bytes, f.digest, f"{folder}/{f.path}") for f in files),
            header=_header(headers, files) if wanted == "language" else None,
            is_mlx=wanted == "language" and _is_mlx(headers, files),
            parts=_parts(headers, files) if wanted == "image" else {},
        )


def _repo_of(path: str) -> str:
    """Return the folder of a repository that a path in a view of all tiers is in."""
    return path.split("/")[1]


def _tree(path: Path) -> str:
    """Return the text of a list of a commit's files; empty without one that can be read."""
    try:
        return read_small_text(path)
    except (OSError, BadInput):
        return ""


def _header(headers: Headers, files: list[FileEntry]) -> GgufHeader | None:
    """Return the header of a model's GGUF file; None without one that can be read."""
    weights = main_weights(files, frozenset())
    if weights is None or weights.format != GGUF:
        return None
    try:
        return headers.gguf(weights.files[0].path)
    except (OSError, BadInput):
        return None


def _is_mlx(headers: Headers, files: list[FileEntry]) -> bool:
    if not any(file.path == "config.json" for file in files):
        return False
    try:
        return config_of(headers.json("config.json")).is_mlx
    except (OSError, BadInput):
        return False


def _parts(headers: Headers, files: list[FileEntry]) -> dict[str, str]:
    """Return which part of an image model each file is, where that is known."""
    configured = {PurePosixPath(file.path).parent for file in files if PurePosixPath(file.path).name == "config.json"}
    found = {}
    for file in files:
        words: frozenset[str] = frozenset()
        if file.path.endswith(".safetensors"):
            with contextlib.suppress(OSError, BadInput):
                words = headers.safetensors(file.path).words
        is_beside = PurePosixPath(file.path).parent in configured
        if part := part_of(file.path, words, is_beside_config=is_beside):
            found[str(file.path)] = part
    return found
