"""Reconcile: bringing the registry and the disks together in both directions. Pure.

The input is what was scanned, the output a plan. The disk is right about bytes, the registry about wishes (names, pins,
revisions), and a sidecar if there is no registry. No file is deleted except outdated sidecars; an offline base
says nothing and isn't changed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from modelshelf.domain.models import ModelRow, missing_of
from modelshelf.domain.names import COMMIT_HASH, ModelName, RefName, RepoId, with_number
from modelshelf.domain.reconcile_input import RowSeen, Seen, SidecarSeen, Unregistered
from modelshelf.domain.sidecars import Sidecar


class Action(enum.StrEnum):
    """What one step does."""

    RETAG = "new_id"
    ADD = "added"
    PLACE = "placed"
    LOSE = "incomplete"
    WRITE_SIDECAR = "sidecar_written"
    DROP_SIDECAR = "sidecar_removed"
    SET_REF = "ref_set"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do."""

    action: Action
    base: str
    model_name: str
    why: str
    """In a sentence."""
    location: str = ""
    sidecar: Sidecar | None = None
    """What the model has from now on (commit, files, wishes)."""
    row: ModelRow | None = None
    """The model as it was when this was decided."""
    complete: bool = False
    """Whether all of its files are there."""


@dataclass(frozen=True, slots=True)
class Untouched:
    """A model that wasn't changed."""

    model_name: str
    why: str


@dataclass(frozen=True, slots=True)
class ReconcilePlan:
    """What reconciling will do, in this order."""

    steps: tuple[Step, ...]
    untouched: tuple[Untouched, ...]
    """Models on tiers that are offline, and models that a job works on."""
    unregistered: tuple[Unregistered, ...]
    """Whole snapshots that no model resolves to; they are only named."""


def plan_reconcile(seen: Seen) -> ReconcilePlan:
    """Return what brings registry and disks together; no steps if they agree."""
    return _Deciding(seen).plan()


@dataclass(frozen=True, slots=True)
class _Placed:
    """A model as it will be."""

    sidecar: Sidecar
    base: str
    complete: bool
    arrived_at: float


class _Deciding:
    """One decision over everything."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._bases = {base.path: base for base in seen.bases}
        self._online = {base.path: base for base in seen.bases if not base.offline}
        self._steps: list[Step] = []
        self._untouched: list[Untouched] = []
        self._placed: dict[str, _Placed] = {}
        self._settled: set[tuple[str, str]] = set()
        """Base and name of the sidecars that were handled."""
        self._by_name: dict[str, list[SidecarSeen]] = {}
        """The sidecars of online bases."""
        for one in (one for base in self._online.values() for one in base.sidecars):
            self._by_name.setdefault(one.sidecar.model_name, []).append(one)
        self._names = {row.row.model_name for row in seen.rows} | self._by_name.keys()
        self._registered = {row.row.model_name for row in seen.rows}

    def plan(self) -> ReconcilePlan:
        self._retag()
        for row in self._seen.rows:
            self._decide_row(row)
        self._claim_renamed()
        for name in sorted({one.sidecar.model_name for one in self._loose()}):
            self._decide_sidecars([one for one in self._by_name[name] if self._is_loose(one)])
        self._set_refs()
        return ReconcilePlan(tuple(self._steps), tuple(self._untouched), tuple(self._unregistered()))

    # --- bases ---

    def _retag(self) -> None:
        """Give a copied base an id of its own, because two tiers with one id would share their reservations."""
        seen: dict[str, str] = {}
        for base in self._online.values():
            first = seen.setdefault(base.tier_id, base.path)
            if first != base.path and base.writable:
                why = f"It is a copy of {first} and has the same id."
                self._steps.append(Step(Action.RETAG, base.path, "", why, base.location))

    def _now_at(self, base: str) -> str:
        """Return the path where an offline base's drive is mounted now; empty if unknown."""
        gone = self._bases.get(base)
        if gone is None or not gone.tier_id:
            return ""
        return next((other.path for other in self._online.values() if other.tier_id == gone.tier_id), "")

    # --- rows ---

    def _decide_row(self, seen: RowSeen) -> None:
        row = seen.row
        if seen.job_id is not None:
            self._leave(seen, f"Job {seen.job_id} works on it or waits to: shelf jobs")
            return
        there = self._resolves_to(seen)
        if not there:
            base = self._bases.get(seen.base)
            self._leave(seen, base.offline if base is not None and base.offline else seen.why)
            return
        wanted, target = self._wanted(seen, there)
        if wanted is None:
            self._settle_own(row.model_name, row.hf_path)
            return
        whole = target in (seen.whole_on if wanted is seen.sidecar else self._whole_on(row.model_name, wanted))
        complete = whole and (row.complete or self._vouched(wanted, target) or target != there)
        self._change_row(seen, wanted, target, complete=complete)
        self._placed[row.model_name] = _Placed(wanted, target, complete, row.arrived_at)
        self._decide_own_sidecars(row.model_name)

    def _leave(self, seen: RowSeen, why: str) -> None:
        self._untouched.append(Untouched(seen.row.model_name, why))
        self._settle_own(seen.row.model_name, seen.row.hf_path)

    def _settle_own(self, model_name: str, repo_id: str) -> None:
        """Leave all sidecars of a model as they are."""
        self._settled |= {(c.base, model_name) for c in self._sidecars(model_name) if c.sidecar.hf_path == repo_id}

    def _resolves_to(self, seen: RowSeen) -> str:
        """Return the online base where a model belongs; empty if it has none now."""
        if seen.base in self._online:
            return seen.base
        if seen.base:
            return self._now_at(seen.base)
        is_named_now = seen.row.cache_location == "custom" and seen.row.cache_path in self._online
        return seen.row.cache_path if is_named_now else ""  # a custom base that the settings now call a tier

    def _wanted(self, seen: RowSeen, there: str) -> tuple[Sidecar | None, str]:
        """Return what a model should be, and where: at its own commit, or at a complete one that a sidecar names."""
        row = seen.row
        if there in seen.whole_on:
            return seen.sidecar, there
        was_whole = row.complete or bool(row.signature) or self._sidecar(there, row.model_name, row.hf_path) is not None
        if was_whole and seen.whole_on:
            return seen.sidecar, seen.whole_on[0]
        for one in self._sidecars(row.model_name):
            is_same = (one.sidecar.hf_path, one.sidecar.allow_patterns) == (row.hf_path, row.allow_patterns)
            if is_same and one.whole and one.sidecar.commit_hash != row.commit_hash:
                return _wishes(one.sidecar, row), one.base
        return seen.sidecar, there

    def _vouched(self, sidecar: Sidecar, base: str) -> bool:
        """Return whether a sidecar in a base says that these files were verified there."""
        found = self._sidecar(base, sidecar.model_name, sidecar.hf_path)
        return found is not None and found.sidecar.is_of(sidecar)

    def _whole_on(self, model_name: str, sidecar: Sidecar) -> tuple[str, ...]:
        return tuple(c.base for c in self._sidecars(model_name) if c.whole and c.sidecar.is_of(sidecar))

    def _change_row(self, seen: RowSeen, wanted: Sidecar, target: str, *, complete: bool) -> None:
        row, location = seen.row, self._bases[target].location
        why = self._why_place(seen, wanted, target, complete=complete)
        if why:
            step = Step(Action.PLACE, target, row.model_name, why, location, wanted, row, complete)
            self._steps.append(step)
        elif row.complete and not complete:
            why = f"{missing_of(seen.missing_files, len(wanted.selected))}: shelf pull {row.model_name}"
            self._steps.append(Step(Action.LOSE, target, row.model_name, why, location, row=row))

    def _why_place(self, seen: RowSeen, wanted: Sidecar, target: str, *, complete: bool) -> str:
        """Return why a model has to be placed again; empty if it is as the registry says."""
        row = seen.row
        if seen.base != target:
            gone = self._now_at(seen.base) == target
            return f"Its drive is mounted at {target} now." if gone else f"Its files are in {target} now."
        if row.commit_hash != wanted.commit_hash:
            return f"The disk has all files of commit {wanted.commit_hash[:12]}."
        if complete and not row.complete:
            return "All of its files are there again."
        return "" if seen.listed else "The registry had lost the list of its files."

    # --- sidecars ---

    def _decide_own_sidecars(self, model_name: str) -> None:
        """Write a registered model's sidecars as the registry says."""
        placed = self._placed[model_name]
        own = self._sidecar(placed.base, model_name, placed.sidecar.hf_path)
        if own is None and placed.complete:
            self._write(placed, "It had no sidecar.")
        if own is not None and own.sidecar != placed.sidecar:
            self._write(placed, "Its sidecar was out of date.")
        for one in self._sidecars(model_name):
            if one.sidecar.hf_path == placed.sidecar.hf_path:
                self._settled.add((one.base, model_name))
                if one.base != placed.base:
                    self._drop(one, f"{model_name} is in {placed.base}.")

    def _claim_renamed(self) -> None:
        """Find the sidecars that a rename left under the earlier name: of a model that was here and has none.

        A model that got a number because its name was taken, in a killed run, may have both.
        """
        stayed: dict[tuple[str, RepoId], list[ModelName]] = {}
        here = (row.row.model_name for row in self._seen.rows if row.base == self._base_of(row.row.model_name))
        for name in sorted(here):
            stayed.setdefault((self._placed[name].base, self._placed[name].sidecar.hf_path), []).append(name)
        for loose in self._loose():
            candidates = stayed.get((loose.base, loose.sidecar.hf_path), [])
            for name in candidates:
                placed = self._placed[name]
                lacks_sidecar = self._sidecar(placed.base, name, placed.sidecar.hf_path) is None
                is_its = lacks_sidecar or name.rpartition("-")[0] == loose.sidecar.model_name
                if placed.sidecar.is_of(loose.sidecar) and is_its:
                    self._settled.add((loose.base, loose.sidecar.model_name))
                    candidates.remove(name)
                    self._drop(loose, f"It is called {name} now.")
                    break

    def _base_of(self, model_name: str) -> str | None:
        placed = self._placed.get(model_name)
        return None if placed is None else placed.base

    def _decide_sidecars(self, sidecars: Sequence[SidecarSeen]) -> None:
        """Decide about the sidecars of one name without a row."""
        self._settled |= {(one.base, one.sidecar.model_name) for one in sidecars}
        for one in sidecars:
            if (one.base, one.sidecar.model_name) in self._seen.leaving:
                self._drop(one, "Its model was removed or moved.")
        left = [one for one in sidecars if (one.base, one.sidecar.model_name) not in self._seen.leaving]
        left.sort(key=lambda one: (not one.whole, one.sidecar.arriving_from is None))
        for repo_id in dict.fromkeys(one.sidecar.hf_path for one in left):
            self._decide_lost([one for one in left if one.sidecar.hf_path == repo_id])

    def _decide_lost(self, sidecars: Sequence[SidecarSeen]) -> None:
        """Register the model of these sidecars again, all of one name and repository; the best one comes first."""
        plain = [one for one in sidecars if one.whole or one.sidecar.arriving_from is None]
        best = (plain or sidecars)[0]
        base = best.base if best.whole else next(iter(best.whole_on), best.base)
        if not best.whole and base == best.base and (why := self._why_not_arrived(best.sidecar.arriving_from)):
            self._untouched.append(Untouched(best.sidecar.model_name, why))
            return
        placed = self._add(best, base)
        if base != best.base or best.sidecar != placed.sidecar:
            self._write(placed, "The model is in another place now.")
        name = placed.sidecar.model_name
        for other in sidecars:
            if other.base != base or other.sidecar.model_name != name:
                self._drop(other, f"{name} is in {base}.")

    def _why_not_arrived(self, source: str | None) -> str:
        """Return why the rest of a model can't come from the move's source; empty if it can, or all of it is here."""
        if source is None or source in self._online:
            return ""
        gone = self._bases.get(source)
        return (
            gone.offline if gone is not None else f"It was being moved from {source}, which this library doesn't know."
        )

    def _add(self, seen: SidecarSeen, base: str) -> _Placed:
        """Register the model of a sidecar; return its base."""
        name = seen.sidecar.model_name
        is_taken = name in self._placed or name in self._registered
        sidecar = replace(seen.sidecar, model_name=self._free_name(name) if is_taken else name, arriving_from=None)
        complete = base in seen.whole_on
        why = "A sidecar was there and no model." + (f" {name} is another repository." if is_taken else "")
        location = self._bases[base].location
        self._steps.append(Step(Action.ADD, base, sidecar.model_name, why, location, sidecar, None, complete))
        self._placed[sidecar.model_name] = _Placed(sidecar, base, complete, 0.0)
        return self._placed[sidecar.model_name]

    def _free_name(self, name: ModelName) -> ModelName:
        number = 2
        while (free := with_number(name, number)) in self._names:
            number += 1
        self._names.add(free)
        return free

    def _sidecars(self, model_name: str) -> Sequence[SidecarSeen]:
        return self._by_name.get(model_name, ())

    def _loose(self) -> list[SidecarSeen]:
        online = (one for base in self._online.values() for one in base.sidecars)
        return [one for one in online if self._is_loose(one)]

    def _is_loose(self, seen: SidecarSeen) -> bool:
        return (seen.base, seen.sidecar.model_name) not in self._settled

    def _sidecar(self, base: str, model_name: str, repo_id: str) -> SidecarSeen | None:
        found = (one for one in self._sidecars(model_name) if one.base == base and one.sidecar.hf_path == repo_id)
        return next(found, None)

    def _write(self, placed: _Placed, why: str) -> None:
        if self._bases[placed.base].writable:
            step = Step(Action.WRITE_SIDECAR, placed.base, placed.sidecar.model_name, why, sidecar=placed.sidecar)
            self._steps.append(step)

    def _drop(self, seen: SidecarSeen, why: str) -> None:
        if self._bases[seen.base].writable:
            self._steps.append(Step(Action.DROP_SIDECAR, seen.base, seen.sidecar.model_name, why, sidecar=seen.sidecar))

    # --- refs and leftovers ---

    def _set_refs(self) -> None:
        """Restore refs that moved from the registered commit to an incomplete one."""
        newest_first = sorted(self._placed.values(), key=lambda placed: -placed.arrived_at)
        whole = {(found.base, found.repo_id, found.commit_hash) for found in self._seen.snapshots}
        whole |= {(p.base, p.sidecar.hf_path, p.sidecar.commit_hash) for p in newest_first if p.complete}
        done: set[tuple[str, RepoId, RefName]] = set()
        for placed in newest_first:
            sidecar = placed.sidecar
            where = (placed.base, sidecar.hf_path, sidecar.revision)
            if where in done or not placed.complete or COMMIT_HASH.fullmatch(sidecar.revision):
                continue
            done.add(where)
            now = self._bases[placed.base].refs.get(sidecar.hf_path, {}).get(sidecar.revision)
            if self._bases[placed.base].writable and (placed.base, sidecar.hf_path, now) not in whole:
                why = f"{sidecar.revision} of {sidecar.hf_path} led to no complete snapshot."
                self._steps.append(Step(Action.SET_REF, placed.base, sidecar.model_name, why, sidecar=sidecar))

    def _unregistered(self) -> Iterable[Unregistered]:
        """Yield whole snapshots that no model resolves to, now or once the drives are back."""
        mine = {(p.base, p.sidecar.hf_path, p.sidecar.commit_hash) for p in self._placed.values()}
        mine |= {
            (row.base, row.row.hf_path, row.row.commit_hash)
            for row in self._seen.rows
            if row.job_id and row.row.commit_hash
        }
        copies = {(p.sidecar.hf_path, p.sidecar.commit_hash): name for name, p in self._placed.items()}
        for found in self._seen.snapshots:
            if (found.base, found.repo_id, found.commit_hash) not in mine:
                yield replace(found, copy_of=copies.get((found.repo_id, found.commit_hash), ""))


def _wishes(sidecar: Sidecar, row: ModelRow) -> Sidecar:
    """Return a sidecar with a person's wishes from the registry."""
    return replace(sidecar, revision=row.revision, pinned=row.pinned, pin_reason=row.pin_reason, arriving_from=None)
