"""What a view may be: where its folder is, which models its program can read, and what would have to change there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from modelshelf.domain.names import ModelName, ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.view_plans import ViewPlan, paths_of, plan_view
from modelshelf.domain.views import Holding, View
from modelshelf.errors import BadInput, Conflict, Unavailable
from modelshelf.services.catalog.models import Library
from modelshelf.services.views.kept import Kept
from modelshelf.services.views.placed import Placed
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_real_folder
from modelshelf.store.tiers import capabilities
from modelshelf.store.views import folder, records


def check_place(library: Library, kept: Kept, kind: ViewKind, root: ViewRoot) -> None:
    """Raise unless a folder may be a view: outside all bases, or a base for `cache_dir`, the primary for `hf`.

    Raises:
        BadInput, Conflict, Unavailable: It may not.
    """
    if kind is ViewKind.ADOPTED:
        raise BadInput("Only adopt makes a view of this kind.", hint=f"shelf adopt {shlex.quote(root)} --link")
    if kind is ViewKind.HF and str(root) == library.tiers.primary.base:
        if not capabilities.of(kept.primary).symlinks:
            raise BadInput(f"{root} has no symbolic links.", hint="Use a folder on another disk.")
        return
    bases = [*(tier.base for tier in library.tiers.configured()), *library.known.load()]
    if kind is ViewKind.CACHE_DIR:
        if root not in bases:
            raise BadInput(f"{root} isn't a base of this library.", hint="For another folder: shelf view add hf")
        if not kept.can_change(Base(Path(root))):
            raise Unavailable(f"The base {root} isn't mounted, or can't be written.", hint="shelf doctor says why.")
        if is_real_folder(Base(Path(root)).beside_store):
            store = f"{root}/blobs is a store of huggingface_hub, to which links in hub wouldn't lead."
            raise Conflict(store, hint=f"shelf adopt {root} --move, then remove it.")
        return
    real = Path(root).resolve()
    for base in bases:
        if Path(base).resolve() in (real, *real.parents):
            raise BadInput(f"{root} is inside the base {base}.", hint="Use the folder that the program reads.")


def plan_of(base: Base, view: View, holding: Holding, placed: Placed) -> ViewPlan:
    """Return what has to change in a view for it to hold this; the base has its record."""
    seen, missing = folder.look(Path(view.root), paths_of(view, holding))
    has_others = bool(holding.common) and records.has_others(base, view)
    return plan_view(view, holding, seen, missing, placed.away, has_others=has_others)


def check_readable(holding: Holding, names: Sequence[ModelName]) -> None:
    """Raise BadInput if the program can't read one of these models."""
    for name in names:
        if name in holding.refused:
            raise BadInput(f"{name} can't be in this view. {holding.refused[name]}", model_name=name)
