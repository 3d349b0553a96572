"""The sections of a view's record: what we made for each repository, and what none has to itself.

So a change costs by the repositories that it is about, and not by what the view holds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from modelshelf.domain.names import RepoId
from modelshelf.domain.repo_folders import repo_folder_name
from modelshelf.domain.view_plans import folders_of
from modelshelf.domain.views import OWN, Made, View
from modelshelf.errors import BadInput

_NO_ORG = "huggingface/"
"""Before the name of a repository without an organisation, for programs that want two levels; see `view_layouts`."""


@dataclass(slots=True)
class Section:
    """A section of a view's record."""

    made: dict[str, Made] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    is_pending: bool = False


def sections_of(view: View) -> dict[str, Section]:
    """Return the sections of a view's record; a folder that more than one may need is in the view's own."""
    sections = {OWN: Section(folders=set(view.folders))}
    looked_at = set()
    for path, made in view.made.items():
        section = sections.get(made.section) or sections.setdefault(made.section, Section())
        section.made[path] = made
        above = path.rpartition("/")[0]
        if made.section != OWN and above not in looked_at:
            looked_at.add(above)
            names = f"/{made.section}/", f"/{repo_folder_name(RepoId(made.section))}/"
            mine = {folder for folder in view.folders.intersection(folders_of(path)) if _is_of(folder, names)}
            section.folders |= mine
            sections[OWN].folders -= mine
    for name in view.pending & sections.keys():
        sections[name].is_pending = True
    return sections


def joined(view: View, sections: Mapping[str, Section], repos: Iterable[RepoId] | None) -> View:
    """Return a view with these sections of its record.

    Args:
        view: The view.
        sections: The sections, by repository, and its own.
        repos: The repositories whose sections they are; None: all.
    """
    made = {path: one for section in sections.values() for path, one in section.made.items()}
    folders = frozenset(folder for section in sections.values() for folder in section.folders)
    pending = frozenset(name for name, section in sections.items() if section.is_pending)
    named = None if repos is None else frozenset(repos)
    return replace(view, made=made, folders=folders, pending=pending, sections=named)


def with_namesakes(repos: Iterable[str]) -> frozenset[RepoId]:
    """Return repositories with those that have the same folder in a view of two levels.

    >>> sorted(with_namesakes(["org/name", "gpt2", "huggingface/bert"]))
    ['bert', 'gpt2', 'huggingface/bert', 'huggingface/gpt2', 'org/name']
    """
    found = set()
    for repo in repos:
        for name in (repo, f"{_NO_ORG}{repo}", repo.removeprefix(_NO_ORG)):
            with contextlib.suppress(BadInput):  # there can be no such repository
                found.add(RepoId(name))
    return frozenset(found)


def _is_of(folder: str, names: Iterable[str]) -> bool:
    """Return whether a folder below a view's root is a repository's alone, by its names between slashes."""
    return any(name in f"/{folder}/" for name in names)
