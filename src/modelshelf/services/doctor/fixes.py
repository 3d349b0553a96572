"""What `shelf doctor --fix` repairs without asking: nothing that could lose a byte of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.domain.job_params import GcParams
from modelshelf.domain.jobs import result_of
from modelshelf.domain.names import ModelName, ViewRoot
from modelshelf.domain.outside import list_of
from modelshelf.domain.reconcile import Action
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import ViewState
from modelshelf.services.doctor.bases import Bases
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.gc import collect
from modelshelf.store.layout import Base
from modelshelf.store.tiers import checkup, marker

if TYPE_CHECKING:
    from modelshelf.services.shelf import Shelf

TIDY = frozenset({"lock", "folder"})
"""Kinds of garbage in gc's plan that are deleted without asking."""


def of(bases: Bases) -> list[Callable[[], Iterable[str]]]:
    """Return the repairs; each returns what it did, in sentences."""
    parts: list[Callable[[], Iterable[str]]] = []
    if bases.shelf is not None:
        parts += [partial(repair, bases.shelf) for repair in (_bring_back, _take_strays, _put_refs_back, _tidy)]
    return [*parts, partial(_open_lists, bases)]


def _open_lists(bases: Bases) -> Iterator[str]:
    for base in bases.online():
        yield from (f"{path}: others can read it now." for path in checkup.open_trees(base))


def _bring_back(shelf: Shelf) -> Iterator[str]:
    """Fill an empty registry from the sidecars."""
    if not shelf.services.registry.models():
        for step in shelf.services.reconciler.reconcile(only={Action.ADD}).done:
            yield f"{step.model_name}: registered again, from its sidecar in {step.base}."


def _put_refs_back(shelf: Shelf) -> Iterator[str]:
    for step in shelf.services.reconciler.reconcile(only={Action.SET_REF}).done:
        yield f"{step.model_name}: its ref in {step.base} names its commit again."


def _tidy(shelf: Shelf) -> Iterator[str]:
    """Delete stale locks and empty folders through gc, which checks again under the locks."""
    for tier, plan in shelf.services.collector.plan(GcParams()):
        base = Base(Path(tier.base))
        if not marker.is_writable(base):
            continue
        small = replace(plan, items=tuple(item for item in plan.items if item.kind in TIDY))
        done = collect.execute(
            base, small, partial(shelf.services.collector.needs, base), shelf.services.clock, Counter()
        )
        yield from (f"{item.path}: deleted, {item.why}." for item in done.removed)


def _take_strays(shelf: Shelf) -> Iterator[str]:
    """Take in what code with `cache_dir=BASE` downloaded, then look at each view: somebody may have deleted links."""
    stale = _views(shelf, ViewState.STALE)
    for job in shelf.services.adopter.enqueue_strays():
        done = result_of(shelf.services.runner.finish(job))
        names = list_of(done["registered"], ModelName)
        yield from (f"{name}: taken into hub and registered." for name in names)
    shelf.services.views.keep_true(look=True)
    true = _views(shelf, ViewState.TRUE)
    yield from (f"The view {kind} in {root} is true again." for kind, root in stale if (kind, root) in true)


def _views(shelf: Shelf, state: ViewState) -> list[tuple[ViewKind, ViewRoot]]:
    """Return the views in a state, by kind and root."""
    return [(it.view.kind, it.view.root) for it in shelf.services.views.all() if it.state is state]
