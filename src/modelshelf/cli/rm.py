"""shelf rm."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from modelshelf.cli import complete, output, several
from modelshelf.cli.ask import ask, is_answered, yes_or_no
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun, Yes
from modelshelf.domain.jobs import JobKind
from modelshelf.errors import BadInput, NotFound, ShelfError
from modelshelf.units import format_size, many

if TYPE_CHECKING:
    from modelshelf.domain.models import ModelRow
    from modelshelf.domain.names import RepoId
    from modelshelf.domain.plans import UnneededSnapshot
    from modelshelf.services.shelf import Shelf


def rm(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="The models.", autocompletion=complete.model_names)
    ],
    files: Annotated[
        bool, typer.Option("--files", help="Delete the files too, unless another model needs them.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove models; their files stay unless --files is given.

    On a terminal the command asks about the files. ORG/MODEL --files deletes what lies here of a repository and isn't
    registered.

    Example: shelf rm qwen --files
    """
    from modelshelf.bootstrap.shelf import open_shelf

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run, begins=False) as shelf:
        if not dry_run:
            shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)  # a killed removal may have left its files
        going = _find(shelf, names, files=files)
        going.check(files=files)
        if dry_run:
            done = [_plan(shelf, row, gone, files=files, quiet=as_json) for row, gone in going.each()]
            done += [_plan_unneeded(repo_id, going.unneeded[repo_id], quiet=as_json) for repo_id in going.unneeded]
            several.end(done, 0, as_json=as_json)
            return
        if is_answered() and not (yes or as_json):
            files = going.ask(files=files)
            going.check(files=files)
        elif not yes:
            going.check_unasked(files=files)
        repos = [] if files or as_json else [row.hf_path for row in going.rows]
        done = [_remove(shelf, row.model_name, files=files, quiet=as_json) for row in going.rows]
        _say_how_to_free(shelf, repos)
        done += [_remove_unneeded(shelf, repo_id, found, quiet=as_json) for repo_id, found in going.unneeded.items()]
        several.end(done, 0, as_json=as_json)


@dataclass
class _Going:
    """What will be removed."""

    shelf: Shelf
    rows: list[ModelRow]
    """The models, in the order in which they go."""
    unneeded: dict[str, list[UnneededSnapshot]]
    """By the repository's id, as typed."""

    def each(self) -> Iterator[tuple[ModelRow, list[int]]]:
        """Yield each model with the ids of those that go before it."""
        for number, row in enumerate(self.rows):
            yield row, [one.id for one in self.rows[:number]]

    def check(self, *, files: bool) -> None:
        """Raise unless every model can be removed; see `Remover.check` and `plan`."""
        for row, gone in self.each():
            self.shelf.services.remover.check(row, delete_files=files, gone=gone)
            self.shelf.services.remover.plan(row, delete_files=files, gone=gone)

    def check_unasked(self, *, files: bool) -> None:
        """Raise if a person would be asked more than whether the files go."""
        if self.unneeded:
            what = " ".join(self.unneeded)
            have = "has" if len(self.unneeded) == 1 else "have"
            raise BadInput(
                f"{what} {have} files here that no model needs, and nobody can be asked.",
                hint=f"To delete them: shelf rm {what} --files --yes",
            )
        for name, folder in () if files else self.bereft():
            back = f"To give the program its files back first: shelf adopt --unlink {shlex.quote(folder)}"
            raise BadInput(
                f"{folder} has {name} only as links, which this would delete, and there is no terminal to ask on.",
                hint=f"{back}. To remove it all the same: shelf rm {name} --yes",
            )

    def bereft(self) -> Iterator[tuple[str, str]]:
        """Yield each model with each folder whose program gave its own files of it to the library."""
        for row in self.rows:
            for folder in self.shelf.services.remover.folders_with(row):
                if _is_its_own(self.shelf, folder):
                    yield row.model_name, folder

    def ask(self, *, files: bool) -> bool:
        """Ask about the bytes, after saying what stays and why; return whether the models' files are deleted.

        Raises:
            typer.Exit: A model is to stay after all, or the files of a repository that isn't registered are.
        """
        for row, gone in () if files else self.each():
            output.note(_stays(self.shelf, row, gone))
        for row in self.rows:
            for folder in self.shelf.services.remover.folders_with(row):
                output.note(_loses(self.shelf, folder, row.model_name))
        if self.rows and not files:
            files = ask("Delete the files too?", "no", yes_or_no)
            if not files and any(self.bereft()) and not ask("Remove those links all the same?", "no", yes_or_no):
                _stop()
        for repo_id, found in self.unneeded.items():
            for one in found:
                output.note(_line(one))
            if not ask(f"Delete this of {repo_id}, which isn't registered?", "no", yes_or_no):
                _stop()
        return files


def _stop() -> NoReturn:
    output.note("Nothing was removed.")
    raise typer.Exit


def _find(shelf: Shelf, names: Sequence[str], *, files: bool) -> _Going:
    """Return what the names mean: models, or repositories with unregistered snapshots.

    Raises:
        NotFound: One means nothing here.
    """
    models: list[str] = []
    unneeded: dict[str, list[UnneededSnapshot]] = {}
    for name in dict.fromkeys(names):
        try:
            shelf.services.remover.rows([name])
            models.append(name)
        except NotFound as err:
            if not (found := _unneeded(shelf, name)):
                raise _with_names(shelf, name, err) from None
            if not files:
                hint = f"It has unregistered files here. To delete them: shelf rm {name} --files"
                raise NotFound(err.detail, hint=hint, model_name=name) from None
            unneeded[name] = found
    return _Going(shelf, shelf.services.remover.rows(models), unneeded)


def _with_names(shelf: Shelf, name: str, err: NotFound) -> NotFound:
    """Return the error for a name that no model has; of a repository it names the models."""
    names = [row.model_name for row in shelf.services.registry.models(any_case=name)]
    hint = f"{name} is the repository of {' and '.join(names)}: give a model's name." if names else err.hint
    return NotFound(err.detail, hint=hint, model_name=name)


def _unneeded(shelf: Shelf, repo_id: str) -> list[UnneededSnapshot]:
    from modelshelf.domain.names import RepoId

    with suppress(BadInput):
        return shelf.services.unneeded.find(RepoId(repo_id))
    return []


def _line(found: UnneededSnapshot) -> str:
    where = f"{found.commit_hash[:12]} in {found.tier.base}"
    size = f"{many(len(found.files), 'file')}, {format_size(found.free_bytes)}"
    return f"{found.repo_id} at {where}: {size}"


def _stays(shelf: Shelf, row: ModelRow, gone: Sequence[int]) -> str:
    """Return how much deleting a model's files would free, after those of others, and what stays and why."""
    remover, name, size = shelf.services.remover, row.model_name, format_size(row.size_bytes)
    try:
        remover.check(row, delete_files=True, gone=gone)
        plan = remover.plan(row, delete_files=True, gone=gone)
    except ShelfError as err:
        return f"{name}: its files ({size}) can't be deleted now. {err.detail}"
    kept = remover.why_kept(row, plan, gone)
    return f"{name}: deleting its files frees {format_size(plan.free_bytes)} of {size}. {kept}".rstrip()


def _loses(shelf: Shelf, folder: str, name: str) -> str:
    """Return that another program won't find a model any more, and how it gets its own files back first."""
    back = f" To give the program its files back first: shelf adopt --unlink {shlex.quote(folder)}"
    return f"{folder} will no longer have {name}: its links there go.{back if _is_its_own(shelf, folder) else ''}"


def _is_its_own(shelf: Shelf, folder: str) -> bool:
    """Return whether a folder has links in place of its program's own files."""
    from modelshelf.domain.names import ViewRoot
    from modelshelf.domain.view_kinds import ViewKind

    return any(view.kind is ViewKind.ADOPTED for view in shelf.services.views.chosen(None, ViewRoot(folder)))


def _plan(shelf: Shelf, row: ModelRow, gone: Sequence[int], *, files: bool, quiet: bool) -> object:
    from modelshelf.schemas.plans import RemovalPlanJson

    remover, name = shelf.services.remover, row.model_name
    plan, folders = remover.plan(row, delete_files=files, gone=gone), remover.folders_with(row)
    if not quiet:
        for path in (*plan.links, *plan.blobs):
            output.answer(path)
        frees = f"Would free {format_size(plan.free_bytes)}."
        output.note(frees if files else f"Would remove {name} from the library; its files stay where they are.")
        for folder in folders:
            output.note(_loses(shelf, folder, name))
    return RemovalPlanJson.of(plan, folders)


def _plan_unneeded(repo_id: str, found: Sequence[UnneededSnapshot], *, quiet: bool) -> object:
    from modelshelf.schemas.plans import UnneededPlanJson

    if not quiet:
        for one in found:
            output.answer(_line(one))
        output.note(f"Would free at least {format_size(sum(one.free_bytes for one in found))}.")
    return UnneededPlanJson.of(repo_id, found)


def _remove(shelf: Shelf, name: str, *, files: bool, quiet: bool) -> object:
    from modelshelf.schemas.plans import RemovedJson

    removed = shelf.remove(name, delete_files=files)
    if removed.needed_by:
        adapters = ", ".join(removed.needed_by)
        output.note(f"{adapters} can't be loaded without {removed.plan.repo_id}, the base model.")
    if quiet:
        return RemovedJson.of(removed)
    if files:
        output.answer(f"Removed {name}: freed {format_size(removed.freed.allocated_bytes)}.")
        if removed.kept:
            output.note(removed.kept)
    else:
        output.answer(f"Removed {name} from the library; its files stay where they are.")
    for folder in removed.folders:
        output.note(f"{folder} no longer has {name}: its links there are gone.")
    return RemovedJson.of(removed)


def _say_how_to_free(shelf: Shelf, repo_ids: Sequence[RepoId]) -> None:
    """Print the command that deletes what stays of removed models."""
    for repo_id in dict.fromkeys(repo_ids):
        if stays := sum(one.free_bytes for one in shelf.services.unneeded.find(repo_id)):
            output.note(f"To delete them too ({format_size(stays)}): shelf rm {repo_id} --files")


def _remove_unneeded(shelf: Shelf, repo_id: str, found: Sequence[UnneededSnapshot], *, quiet: bool) -> object:
    from modelshelf.domain.freed import Freed
    from modelshelf.schemas.plans import UnneededRemovedJson

    freed = sum((shelf.services.unneeded.remove(one) for one in found), start=Freed())
    if not quiet:
        output.answer(f"Deleted what lay here of {repo_id}: freed {format_size(freed.allocated_bytes)}.")
    return UnneededRemovedJson(repo_id, freed.apparent_bytes, freed.allocated_bytes)
