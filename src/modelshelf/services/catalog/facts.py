"""What a registered model is, by its files: for `shelf show`, and for an engine before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from modelshelf.domain.chat_template import TEMPLATE_FILES
from modelshelf.domain.gguf import GgufHeader
from modelshelf.domain.model_config import config_of
from modelshelf.domain.model_facts import Found, ModelFacts, judge, weight_format
from modelshelf.domain.models import FileEntry, Model, State
from modelshelf.domain.names import CommitHash, RepoId
from modelshelf.domain.outside import text_of
from modelshelf.domain.safetensors import merged
from modelshelf.domain.weight_files import (
    GGUF,
    SAFETENSORS,
    FileGroup,
    WeightFormat,
    main_weights,
    quantisation_in,
)
from modelshelf.errors import BadInput
from modelshelf.store.headers import Headers
from modelshelf.store.layout import Base

_MOST_PARTS = 1000
"""A model in more parts has an unknown number of parameters."""
_INDEX = "model.safetensors.index.json"
_TOKENIZER = "tokenizer_config.json"
_README = "README.md"
_README_BYTES = 200_000
_TEMPLATE_BYTES = 2**18
_MISTRAL = "tekken.json"
"""A tokenizer with which mistral-common puts a conversation, without a template."""

_T = TypeVar("_T")


def facts_of(model: Model, files: Sequence[FileEntry]) -> ModelFacts:
    """Return what a model is, by those of its files that are on the disk.

    Args:
        model: The model.
        files: Its files, on the disk or not.
    """
    if model.path is None or model.state is State.OFFLINE:
        return judge(Found(files, main_weights(files, frozenset())))
    headers = Headers(Base(Path(model.base)), Path(model.path))
    return judge(_Reader(headers, files, frozenset(file.path for file in files)).found())


def readme_of(model: Model, files: Sequence[FileEntry]) -> str:
    """Return the beginning of a model's README; empty where there is none that can be read."""
    if model.path is None or model.state is State.OFFLINE or _README not in {file.path for file in files}:
        return ""
    try:
        return Headers(Base(Path(model.base)), Path(model.path)).text(_README, _README_BYTES)
    except (OSError, BadInput):
        return ""


def weight_format_of(base: Base, repo_id: RepoId, commit_hash: CommitHash, files: Sequence[FileEntry]) -> WeightFormat:
    """Return how the weights of a snapshot are written, by its configuration and the first file of weights.

    Args:
        base: Its base.
        repo_id: Its repository.
        commit_hash: Its commit.
        files: Its files, on the disk or not.
    """
    headers = Headers(base, base.repo(repo_id).snapshot(commit_hash))
    return weight_format(_Reader(headers, files, frozenset(file.path for file in files)).first())


@dataclass(slots=True)
class _Reader:
    """Reads the files of one model."""

    headers: Headers
    files: Sequence[FileEntry]
    there: frozenset[str]
    """The paths of the files on the disk."""
    unread: list[str] = field(default_factory=list)

    def found(self) -> Found:
        """Return what the files say."""
        parts = self._parts()
        weights = main_weights(self.files, parts)
        pipeline = self._read("model_index.json", self._class_name)
        ggufs = self._each(weights, GGUF, self.headers.gguf)
        tensors = [] if pipeline else self._each(weights, SAFETENSORS, self.headers.safetensors)
        chat_template = self._chat_template(weights, ggufs)
        return Found(
            files=self.files,
            weights=weights,
            config=self._read("config.json", lambda name: config_of(self.headers.json(name))),
            ggufs=ggufs,
            tensors=merged(tensors) if tensors else None,
            adapter=self._read("adapter_config.json", self.headers.json),
            pipeline=pipeline,
            card=self._read(_README, self.headers.card),
            chat_template=chat_template,
            template=None if ggufs else self._read(chat_template or "", self._template),
            parts=parts,
            unread=self.unread,
        )

    def first(self) -> Found:
        """Return what little says how the weights are written: a name may say all, and one part is as the others."""
        weights = main_weights(self.files, frozenset())
        if (
            weights is not None
            and weights.format == GGUF
            and self._read(weights.files[0].path, self.headers.says_adapter)
        ):
            header = self._each(weights, GGUF, self.headers.gguf)
            return Found(self.files, weights, ggufs=header, says_adapter=True)
        if weights is None or (weights.format == GGUF and quantisation_in(weights.files[0].path)):
            return Found(self.files, weights)
        one = FileGroup(weights.label, weights.format, weights.files[:1])
        config = self._read("config.json", lambda name: config_of(self.headers.json(name)))
        is_said = config is not None and config.quantisation is not None
        tensors = [] if is_said else self._each(one, SAFETENSORS, self.headers.safetensors)
        ggufs = self._each(one, GGUF, self.headers.gguf)
        return Found(self.files, one, config, ggufs, merged(tensors) if tensors else None)

    def _parts(self) -> frozenset[str]:
        """Return the weights that the index names."""
        weight_map = (self._read(_INDEX, self.headers.json) or {}).get("weight_map")
        parts = weight_map.values() if isinstance(weight_map, dict) else ()
        return frozenset(part for part in parts if isinstance(part, str))

    def _class_name(self, name: str) -> str:
        return text_of(self.headers.json(name).get("_class_name"), 100)

    def _each(self, weights: FileGroup | None, kind: str, read: Callable[[str], _T]) -> list[_T]:
        """Return the headers of all weight files of this format; none if one can't be read."""
        if weights is None or weights.format != kind or len(weights.files) > _MOST_PARTS:
            return []
        found = []
        for file in weights.files:
            header = self._read(file.path, read)
            if header is None:
                return []
            found.append(header)
        return found

    def _chat_template(self, weights: FileGroup | None, ggufs: Sequence[GgufHeader]) -> str | None:
        """Return the file with a chat template: empty if there is none, None if that isn't known."""
        named = next((name for name in TEMPLATE_FILES if name in self.there), None)
        if named is not None:
            return named
        if weights is not None and ggufs and ggufs[0].text("tokenizer.chat_template"):
            return weights.files[0].path
        if _MISTRAL in self.there:
            return None
        said = self._read(_TOKENIZER, self.headers.json)
        if said is not None:
            return _TOKENIZER if said.get("chat_template") else ""
        return None if _TOKENIZER in self.there or (weights and not ggufs and weights.format == GGUF) else ""

    def _template(self, name: str) -> str | None:
        """Return the text of the chat template in a file; of several, all of them."""
        if name.endswith(".jinja"):
            return self.headers.text(name, _TEMPLATE_BYTES)
        said = self.headers.json(name).get("chat_template")
        return str(said) if said else None

    def _read(self, name: str, read: Callable[[str], _T]) -> _T | None:
        """Return the header of one of the model's files; None if it isn't there or can't be read, which is recorded."""
        if name not in self.there:
            return None
        try:
            return read(name)
        except FileNotFoundError:
            return None
        except OSError as err:
            self.unread.append(f"{name} can't be read: {err.strerror}.")
        except BadInput as err:
            self.unread.append(f"{name} can't be read: {err.detail}")
        return None
