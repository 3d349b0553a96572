"""Links that take the place of files: a program's own that was adopted, and a copy that leaves a base with a view."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.names import ModelName, RepoId, ViewRoot
from modelshelf.domain.repo_folders import repo_folder_name
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.view_plans import claim, take_over
from modelshelf.domain.views import Entry, Link, SourceFile
from modelshelf.errors import Conflict, OutOfSpace
from modelshelf.services.views.placed import Placed
from modelshelf.services.views.upkeep import Upkeep
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_there
from modelshelf.store.views import folder, records


@dataclass(frozen=True, slots=True)
class StandIns:
    """The links in the place of files."""

    upkeep: Upkeep

    def are_in(self, root: ViewRoot) -> bool:
        """Return whether links stand in for a program's own files in a folder."""
        return is_there(self.upkeep.kept.at(root).view(ViewKind.ADOPTED, root))

    @contextlib.contextmanager
    def replacing(self, base: Base, repo_id: RepoId) -> Iterator[Mapping[str, Entry]]:
        """Give the path and entry of what a view in a base itself has of a repository, to take the place of a copy.

        In this context the caller deletes the copy, and renames these over what is there; the record says before that
        they are ours. Nothing without such a view, and on a full disk: there the copy goes first, and the view is made
        true in the room that this leaves.

        Raises:
            BadInput: A record can't be understood.
        """
        with self.upkeep.locked():
            view = records.read(self.upkeep.base, ViewKind.HF, ViewRoot(str(base.path)))
            if view is None or self.upkeep.why_left_alone(view):
                yield {}
                return
            repos = frozenset({repo_id})
            view = self.upkeep.filled(view, repos)
            holding = self.upkeep.placed_of(repos).holding(view)
            taken, entries = take_over(view, holding, f"hub/{repo_folder_name(repo_id)}/")
            try:
                if entries:
                    records.write(self.upkeep.base, taken)
                    view = taken
            except OutOfSpace:
                entries = {}
            yield {str(base.path / path): entry for path, entry in entries.items()}
            self.upkeep.attempt(view, self.upkeep.placed_of(repos))

    def take_places(
        self,
        root: ViewRoot,
        places: Mapping[str, SourceFile],
        names: Sequence[ModelName],
        put: Callable[[str, Link], str],
    ) -> dict[str, str]:
        """Let links take the place of a program's own files, and keep these true from then on.

        **Crash:** the record names a link before it is made; a file that is still there stays, and blocks it.

        Args:
            root: The program's folder.
            places: What is to be read in place of each of its files, by path below the root.
            names: The models that have it.
            put: Replaces the file at a path by a link; returns why it didn't, in a sentence, or an empty text.

        Returns:
            By path, why a file stayed.
        """
        with self.upkeep.locked():
            placed = Placed(self.upkeep.library)
            view = records.read(self.upkeep.base, ViewKind.ADOPTED, root) or self.upkeep.new(ViewKind.ADOPTED, root)
            view, links = claim(self.upkeep.filled(self.upkeep.led_here(view)), places, placed.of_names(names))
            records.write(self.upkeep.base, view)
            stayed = {path: why for path, link in links.items() if (why := put(path, link))}
            left = {path: source for path, source in view.places.items() if path not in stayed}
            self.upkeep.make_true(replace(view, places=left), placed)
            return stayed | {path: "has no whole model in the library" for path in places if path not in links}

    def give_back(self, root: ViewRoot, give: Callable[[str, Link], None]) -> None:
        """Put files into the places of a program's own again, and keep no links there from then on.

        **Crash:** each place has a link or a file; the same call again finishes.

        Args:
            root: The program's folder.
            give: Replaces the link at a path by what it leads to.

        Raises:
            NotFound: No links stand in for the files of this folder.
            Conflict: A model isn't here; nothing was changed.
        """
        with self.upkeep.locked():
            view = self.upkeep.filled(self.upkeep.view(ViewKind.ADOPTED, root))
            links = Placed(self.upkeep.library).holding(view).entries
            ours = [path for path in view.places if view.is_ours(path, folder.mark_at(Path(root), path))]
            if gone := [path for path in ours if path not in links]:
                raise Conflict(f"The model of {root}/{gone[0]} isn't here.", hint="shelf ls says where it is.")
            for path in ours:
                entry = links[path]
                if isinstance(entry, Link):
                    give(path, entry)
            records.remove(self.upkeep.base, view)
