"""Views: what a folder that another program reads holds, and what of it is ours; `view_plans` says how it changes.

What a view holds is a function of models and where they are; see `view_layouts`. Its record says what we made there: by
it, and by nothing else, is a link or a file ours.
"""

from __future__ import annotations

import enum
import hashlib
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelshelf.domain.gguf import GgufHeader
from modelshelf.domain.names import BasePath, Digest, FilePath, ModelName, RepoId, ViewRoot
from modelshelf.domain.view_kinds import ViewKind

NOTHING, OTHER = "", "other"
"""Marks of a name where nothing is, and of a folder or whatever else we never make."""
OWN = ""
"""The section of a view's record that belongs to no repository."""


@dataclass(frozen=True, slots=True)
class Unasked:
    """Which views are kept without anybody's asking."""

    kinds: frozenset[ViewKind] = frozenset()
    names_primary: bool = True
    """Whether the settings name the primary base: else it is the tools' own, and nothing is put beside its hub."""


USUAL_ROOTS = {
    ViewKind.LMSTUDIO: "~/.lmstudio/models",
    ViewKind.OLLAMA: "~/.ollama/models",
    ViewKind.JAN: "~/.local/share/Jan/data/llamacpp/models",
    ViewKind.GPT4ALL: "~/.local/share/nomic.ai/GPT4All",
}
"""Where the programs look unless they were told otherwise."""


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str

    @property
    def mark(self) -> str:
        """What tells it from everything else at its name."""
        return f"-> {self.target}"


@dataclass(frozen=True, slots=True)
class Text:
    """A small file."""

    content: str

    @property
    def mark(self) -> str:
        """What tells it from everything else at its name."""
        return text_mark(self.content.encode())


Entry = Link | Text


def text_mark(content: bytes) -> str:
    """Return the mark of a small file.

    >>> text_mark(b"")[:17]
    'sha256:e3b0c44298'
    """
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class ViewFile:
    """A file of a model, where it is."""

    path: FilePath
    """Its path in the repository."""
    size_bytes: int
    digest: Digest
    place: str
    """Its path on the disk."""


@dataclass(frozen=True, slots=True)
class ViewModel:
    """A whole model, where it is."""

    model_name: ModelName
    repo_id: RepoId
    files: tuple[ViewFile, ...]
    base: str = ""
    """The base that it is in."""
    shown_in: frozenset[str] = frozenset()
    """The bases whose `hub` has it, itself or by a view."""
    commit_hash: str = ""
    revision: str = ""
    tree: str = ""
    """The text of the list of its commit's files, for kinds that have one; empty without it."""
    header: GgufHeader | None = None
    """That of its weights, for kinds that describe them; None if they aren't GGUF, or can't be read."""
    is_mlx: bool = False
    """Whether MLX made its weights."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """For image models, which part each file is; see `view_images.part_of`."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a view should hold."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    """By path below the root; one that others lead to comes before them."""
    owners: Mapping[str, ModelName] = field(default_factory=dict)
    """The model of each."""
    sections: Mapping[ModelName, str] = field(default_factory=dict)
    """The section of the record that has a model's; where none is named, the view's own."""
    common: Mapping[str, Entry] = field(default_factory=dict)
    """What it holds beside, while it holds anything of a model, by path."""
    refused: Mapping[ModelName, str] = field(default_factory=dict)
    """Models that the program can't read, and why, in a sentence."""
    own: frozenset[str] = frozenset()
    """Paths that models in the folder itself need as their own: what we made there is given up, and stays."""
    is_shared: bool = False
    """Whether programs write there as well: what they put at a name serves as ours does."""

    def made(self, path: str) -> Made:
        """Return what the record says of a path of a model once its entry is there."""
        return Made(self.owners[path], (self.entries[path].mark,), self.sections.get(self.owners[path], OWN))


@dataclass(frozen=True, slots=True)
class Made:
    """What we made at one name."""

    model_name: ModelName | None
    """None for what no model has to itself."""
    marks: tuple[str, ...]
    """One; while a change is under way also the one before it."""
    section: str = OWN
    """The section of the record that names it: a repository, or the view's own."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a repository, whichever of its models is here."""

    repo_id: RepoId
    path: FilePath


@dataclass(frozen=True, slots=True)
class View:
    """A view, and the record of what we made in it."""

    kind: ViewKind
    root: ViewRoot
    models: tuple[ModelName, ...] | None
    """The chosen models; None for all."""
    primary: BasePath
    """The primary base by the path of the process that keeps it true: another one's links would lead elsewhere."""
    made: Mapping[str, Made] = field(default_factory=dict)
    """By path below the root."""
    folders: frozenset[str] = frozenset()
    """The folders below the root that we made."""
    secondary: str = ""
    """The secondary base by the same process; empty without one."""
    pending: frozenset[str] = frozenset()
    """The sections of the record in which a change is under way, or was when its process died."""
    places: Mapping[str, SourceFile] = field(default_factory=dict)
    """In one of kind `adopted`, by path below the root: what is to be read there in place of the program's own file."""
    by_settings: bool = False
    """Whether it is there because the settings name its kind, and not because a person asked."""
    sections: frozenset[RepoId] | None = None
    """The repositories whose sections of the record this value has, beside the view's own; None: all there are."""

    def takes(self, model_name: ModelName) -> bool:
        """Return whether a model was chosen for it."""
        return self.models is None or model_name in self.models

    def has(self, model_name: ModelName) -> bool:
        """Return whether something was made in it for a model, by those sections that this value has."""
        return any(made.model_name == model_name for made in self.made.values())

    def is_ours(self, path: str, mark: str) -> bool:
        """Return whether we made what is at a name."""
        return path in self.made and mark in self.made[path].marks


class ViewState(enum.StrEnum):
    """Whether a view is as it should be."""

    TRUE = "true"
    STALE = "stale"
    BLOCKED = "blocked"
    AWAY = "away"
    FOREIGN = "foreign"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """A view as it is now."""

    view: View
    state: ViewState
    detail: str = ""
    """Why, in a sentence; empty for a true one."""
    refused: Mapping[ModelName, str] = field(default_factory=dict)
    """Models that its program can't read, and why."""
    blocked: tuple[str, ...] = ()
    """Paths below the root at which something of somebody else's is."""
    command: str = ""
    """What makes it true, as the detail says; empty where no command alone does."""

    @property
    def told(self) -> str:
        """The detail with its command, in one sentence."""
        return f"{self.detail.removesuffix('.')}: {self.command}" if self.command else self.detail


def sync_of(view: View) -> str:
    """Return the command that makes a view true."""
    return f"shelf view sync {view.kind} {shlex.quote(view.root)}"


def default_views(
    views: Sequence[View], wanted: Sequence[View], kinds: Collection[ViewKind]
) -> tuple[list[View], list[View]]:
    """Return the views to keep, with those that the settings want, and those that the settings no longer name.

    Args:
        views: Those with a record.
        wanted: Those that the settings want here, as new ones.
        kinds: The kinds that the settings name.
    """
    named = {(view.kind, str(view.root)) for view in views}
    new = [replace(view, models=None, by_settings=True) for view in wanted]
    dropped = [view for view in views if view.by_settings and view.kind not in kinds]
    kept = [view for view in views if view not in dropped]
    return [*kept, *(view for view in new if (view.kind, str(view.root)) not in named)], dropped
