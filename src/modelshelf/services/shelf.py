"""The library as Python sees it: what `modelshelf.open()` returns, over the same services as the other faces."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from modelshelf.domain.jobs import UNFINISHED, Job, JobKind
from modelshelf.domain.model_names import chosen_name
from modelshelf.domain.models import FileEntry, Model, Registration
from modelshelf.domain.names import RefName, RepoId
from modelshelf.domain.patterns import patterns_of
from modelshelf.domain.tiers import TierStatus
from modelshelf.errors import BadInput
from modelshelf.services.jobs.recovery import recover_dead_owners
from modelshelf.services.lifecycle.pin import set_pin
from modelshelf.services.upkeep import AnyPath, ShowProgress, Upkeep, each_of, path_text

if TYPE_CHECKING:
    from modelshelf.domain.outcomes import Removed

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def _by_any_name(verb: _Verb) -> _Verb:
    """Return a verb whose model may be named as `Shelf` says; the verb gets the model's own name."""

    @functools.wraps(verb)
    def understanding(shelf: Shelf, model_name: str, *args: Any, **options: Any) -> Any:
        return verb(shelf, shelf._name_meant(model_name), *args, **options)

    return cast("_Verb", understanding)


class Shelf(Upkeep):
    """One library of models.

    A model is named as on the command line: by its name, by its repository in any case (`org/name`), or by either with
    `:QUANT`. Only `remove` and `jobs` want its name.
    Every long verb takes `progress`, which is called about twice a second with the job. A path is a str or a `Path`.
    Use it in a `with`, or `close` it. `services` is what the verbs are made of, for the command line and the server; it
    may change.
    """

    __slots__ = ()

    def __dir__(self) -> list[str]:
        """Return the verbs, `models`, `tiers` and `jobs`."""
        return [name for name in dir(type(self)) if not name.startswith("_") and name != "services"]

    def __repr__(self) -> str:
        """Return the tiers' bases in one line."""
        tiers = ", ".join(f"{tier.location} {tier.base}" for tier in self.services.tiers.configured())
        return f"<Shelf: {tiers}>"

    def models(self) -> list[Model]:
        """Return all models with their states, by name."""
        return self.services.library.models()

    @_by_any_name
    def model(self, model_name: str) -> Model:
        """Return one model with its state.

        Raises:
            NotFound: There is no such model.
        """
        return self.services.library.model(model_name)

    @_by_any_name
    def files(self, model_name: str) -> list[FileEntry]:
        """Return a model's selected files, on the disk or not; none until its commit is known.

        Raises:
            NotFound: There is no such model.
        """
        return self.services.library.files(self.services.library.row(model_name))

    @_by_any_name
    def path(self, model_name: str) -> Path:
        """Return the snapshot folder of a model.

        Raises:
            NotFound: There is no such model.
            Conflict, Unavailable: It isn't whole, or its tier is offline; says what to do.
        """
        return self.services.library.path(model_name)

    def tiers(self, *, rescan: bool = False) -> list[TierStatus]:
        """Return every tier with its usage.

        Args:
            rescan: Walk everything, ignoring kept results.
        """
        return [self.services.tiers.status(tier, rescan=rescan) for tier in self.services.tiers.all()]

    def jobs(self, *, kind: str | None = None, model_name: str | None = None, unfinished: bool = False) -> list[Job]:
        """Return jobs, newest first; if no process runs one, its detail says what it waits for.

        Args:
            kind: Only jobs of this kind, such as `pull`.
            model_name: Only jobs about this model.
            unfinished: Only jobs that aren't over.
        """
        found = self.services.runner.all(kind, UNFINISHED if unfinished else None)
        return [job for job in found if model_name in (None, job.model_name)]

    def job(self, job_id: int) -> Job:
        """Return one job, or raise NotFound."""
        return self.services.registry.job(job_id)

    def register(
        self,
        model_name: str,
        hf_path: str,
        cache_location: str = "primary",
        cache_path: AnyPath | None = None,
        *,
        revision: str = "main",
        allow_patterns: str | Sequence[str] = (),
        pinned: bool = False,
        download: bool = True,
        progress: ShowProgress | None = None,
    ) -> Model:
        """Add a model and download it; returns the model once that is done.

        Args:
            model_name: Our name for it.
            hf_path: The repository on the hub, `org/name`.
            cache_location: `primary`, `secondary` or `custom`.
            cache_path: The base of a custom location.
            revision: A branch, a tag or a commit hash.
            allow_patterns: Shell patterns of the files to take, or one; by default all. One behind `!` leaves out.
            pinned: Never evict it.
            download: False leaves the download for later; files that are on the tier are used at once.
            progress: See `Shelf`.

        Raises:
            BadInput, Conflict, NotFound, Denied, OutOfSpace: Refused; nothing was changed.
            Unavailable: The model is registered and its download waits for the hub or the tier.
        """
        names, path = (chosen_name(model_name), RepoId(hf_path)), path_text(cache_path)
        patterns = patterns_of(each_of(allow_patterns))
        wanted = Registration(*names, cache_location, path, RefName(revision), patterns, pinned)
        if self.services.registrar.register(wanted).is_here or download:
            self.pull(model_name, progress=progress)
        return self.model(model_name)

    @_by_any_name
    def pull(self, model_name: str, *, progress: ShowProgress | None = None) -> Model:
        """Download what a registered model lacks; returns the model afterwards.

        Args:
            model_name: The model.
            progress: See `Shelf`.

        Raises:
            NotFound: There is no such model, or the hub doesn't have it.
            OutOfSpace: It doesn't fit.
            Unavailable: The hub isn't reachable or the tier is offline; the job waits in the registry.
        """
        self.services.runner.finish(self.services.registrar.enqueue_pull(model_name), progress)
        return self.model(model_name)

    @_by_any_name
    def move(
        self,
        model_name: str,
        cache_location: str,
        cache_path: AnyPath | None = None,
        *,
        keep_source: bool = False,
        progress: ShowProgress | None = None,
    ) -> Model:
        """Move a model to another tier; returns the model afterwards.

        The old copy is deleted at once, or when the last program that uses it has ended.

        Args:
            model_name: The model.
            cache_location: `primary`, `secondary` or `custom`.
            cache_path: The base of a custom location.
            keep_source: Leave the old copy where it is.
            progress: See `Shelf`.

        Raises:
            BadInput: There is no such tier, or the model is on it already.
            NotFound, Conflict: There is no such model, or it isn't whole.
            OutOfSpace: It doesn't fit.
            Corrupt: A blob is damaged.
            Unavailable: A tier is offline.
        """
        mover, runner = self.services.mover, self.services.runner
        try:
            job = mover.enqueue(model_name, cache_location, path_text(cache_path), keep_source=keep_source)
        except BadInput:
            runner.run_due(JobKind.DELETE_OLD_COPY)  # what a killed process left of an earlier move
            raise
        runner.finish(job, progress)
        runner.run_due(JobKind.DELETE_OLD_COPY)
        return self.model(model_name)

    @_by_any_name
    def update(self, model_name: str, *, keep_old: bool = False, progress: ShowProgress | None = None) -> Model:
        """Update a model to the newest commit of its revision; returns the model afterwards.

        It can be loaded all the time: the old snapshot is used until the new one is whole and verified.

        Args:
            model_name: The model.
            keep_old: Leave the old snapshot where it is.
            progress: See `Shelf`.

        Raises:
            NotFound: There is no such model, or the hub no longer has its repository or revision.
            Denied: The repository is gated now, or the tier can't be written.
            Conflict: The model has no commit yet.
            BadInput: Its patterns match no file of the new commit.
            Unavailable: The hub isn't reachable, or the tier is offline.
            OutOfSpace, Corrupt: The new commit doesn't fit, or arrived damaged; the model stays as it was.
        """
        updater, runner = self.services.updater, self.services.runner
        recover_dead_owners(self.services.registry)
        for job in self.jobs(kind=JobKind.UPDATE, model_name=model_name, unfinished=True):
            runner.finish(job, progress)  # what a killed update left comes first
        plan = updater.plan(model_name, keep_old=keep_old)
        if not plan.is_current:
            runner.finish(updater.enqueue(plan), progress)
        runner.run_due(JobKind.DELETE_OLD_COPY)
        return self.model(model_name)

    def remove(self, model_name: str, *, delete_files: bool = False) -> Removed:
        """Forget a model; returns what that freed.

        Args:
            model_name: The model.
            delete_files: Delete its files too, unless something else needs them.

        Raises:
            NotFound: There is no such model.
            Conflict: It is pinned or leased, or a job works on it; or its files would go and a program has them open,
                or registered adapters need them.
            Denied: Its files would go and its tier is read-only; nothing was changed.
            Unavailable: Its files would go and its tier is offline; nothing was changed. Or it is forgotten, but a
                program opened its files at that moment; they go when it ends.
        """
        return self.services.remover.remove(model_name, delete_files=delete_files)

    @_by_any_name
    def rename(self, model_name: str, new_name: str) -> Model:
        """Rename a model; returns the model.

        Raises:
            BadInput, Conflict: The name is invalid or taken, or a job works on the model.
        """
        self.services.renamer.rename(model_name, chosen_name(new_name))
        return self.model(new_name)

    @_by_any_name
    def pin(self, model_name: str, reason: str = "") -> Model:
        """Protect a model from eviction; returns the model.

        Raises:
            NotFound: There is no such model.
        """
        return set_pin(self.services.registry, self.services.library, model_name, pinned=True, reason=reason)

    @_by_any_name
    def unpin(self, model_name: str) -> Model:
        """Let a model be evicted again; returns the model.

        Raises:
            NotFound: There is no such model.
        """
        return set_pin(self.services.registry, self.services.library, model_name, pinned=False, reason="")

    @_by_any_name
    def choose_engine(
        self,
        model_name: str,
        engine: str | None = None,
        arguments: str | Sequence[str] | None = None,
        *,
        trust_remote_code: bool | None = None,
        allow_pickle: bool | None = None,
    ) -> Model:
        """Choose the engine of a model from its next start on, and what it may do; returns the model.

        Args:
            model_name: The model.
            engine: Its name; `auto`: whichever serves the model; None: as before.
            arguments: What it is started with beside, such as `threads=4`, or several; None: as before, none for
                another engine.
            trust_remote_code: Whether code in the model's files may run, where ALLOW_REMOTE_CODE=1; None: as before.
            allow_pickle: Whether weights may be loaded that are Python pickles; None: as before.

        Raises:
            NotFound: There is no such model.
            BadInput: The engine isn't there, or doesn't take an argument; nothing was changed.
        """
        given = None if arguments is None else tuple(each_of(arguments))
        from modelshelf.domain.engine_wishes import EngineChange

        change = EngineChange(engine, given, trust_remote_code, allow_pickle)
        return self.services.engine_chooser.choose(model_name, change)

    @_by_any_name
    def load(self, model_name: str, **options: Any) -> tuple[Any, Any]:
        """Return a model and its tokenizer through transformers, offline, from where the files are.

        Args:
            model_name: The model.
            options: Passed to `AutoModelForCausalLM.from_pretrained` (dtype, device_map, …).

        Raises:
            NotFound, Conflict: There is no such model, or it isn't whole.
            BadInput: transformers can't load its files.
            Unavailable: transformers isn't installed, or the model's tier is offline.
        """
        return self.services.loader.load(model_name, **options)

    def cancel(self, job_id: int) -> Job:
        """Cancel a job, or raise NotFound; its process stops within a second. What arrived stays for the next try."""
        return self.services.steering.cancel(job_id)

    def close(self) -> None:
        """Stop work in the background, and close what is open."""
        self.services.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()
