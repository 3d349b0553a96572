"""The old path of an adopted base: what moves along with the models, and the link that replaces it.

The link is made in three steps: a record on the new base, renaming the old folder to its backup's name, the link.
**Crash:** after the first nothing has changed; after the second the next run finds the record and makes the link.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.adopt import AdoptMode, AdoptPlan, Leftover, Order
from modelshelf.domain.adopt_inventory import FoundThing
from modelshelf.domain.names import BasePath
from modelshelf.domain.outside import object_of
from modelshelf.domain.ports import Clock
from modelshelf.domain.repo_folders import parse_repo_folder
from modelshelf.domain.tiers import CUSTOM
from modelshelf.errors import BadInput, Conflict, Denied, NotFound
from modelshelf.services.adopt.import_models import ModelImporter
from modelshelf.services.jobs.running import Running
from modelshelf.services.space.tiers import TierService
from modelshelf.store import fs, locks
from modelshelf.store.adopt import inventory, merge_folder
from modelshelf.store.layout import Base, CacheDir, before_name, is_before_name
from modelshelf.store.mounts import mount_of
from modelshelf.store.probe import is_folder, is_link, is_there
from modelshelf.store.repos import scan
from modelshelf.store.small_files import read_small_json, read_small_text
from modelshelf.units import rfc3339


@dataclass(frozen=True, slots=True)
class Linker:
    """Makes the old path of a base a link to the new one."""

    tiers: TierService
    importer: ModelImporter
    clock: Clock

    def check(self, order: Order) -> None:
        """Raise unless the old base can become a link.

        Raises:
            BadInput: It is a tier of the settings, the new base itself, or a mount point.
            Denied: The folder above it can't be written.
        """
        path = Path(order.base)
        if order.base == order.target:
            raise BadInput(f"The models are to go to {path} itself.", hint="Use --leave or --move.", path=str(path))
        if order.location != CUSTOM:
            raise BadInput(
                f"{path} is the {order.location} base: it cannot become a link.",
                hint="Name another base in .env first, or use --move.",
                path=str(path),
            )
        if mount_of(path).point == str(path.resolve()):
            raise BadInput(f"{path} is a mount point: it cannot become a link.", hint="Use --move.", path=str(path))
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise Denied(f"{path.parent} cannot be written.", hint="Check who owns it, or use --move.", path=str(path))

    def backup_path(self, path: Path) -> Path:
        """Return a free name for the old base's backup."""
        day, number = rfc3339(self.clock.now())[:10].replace("-", ""), 1
        while is_there(before_name(path, day, number)):
            number += 1
        return before_name(path, day, number)

    # --- what moves along ---

    def carry(self, plan: AdoptPlan, running: Running) -> list[str]:
        """Bring everything but the models to the target; return what stayed and why, in sentences."""
        order, left = plan.order, list[str]()
        things = [other for other in plan.others if other.act in ("move", "copy")]
        if order.mode is AdoptMode.LINK:
            things += self._rests(order)
        if not things:
            return left
        running.progress.phase("carrying", sum(other.thing.size_bytes for other in things))
        for other in things:
            left += self._carry_one(other, order, running)
        return left

    def _rests(self, order: Order) -> list[Leftover]:
        """Return what is left of the models' repositories: partial snapshots, which the old path must still lead to."""
        base, found = Base(Path(order.base)), []
        for repo_type, _, repo in scan.repos(base):
            if repo_type == "model":
                thing = FoundThing("partial", str(repo.path), inventory.size_of(repo.path))
                found.append(Leftover(thing, "move", ""))
        return found

    def _carry_one(self, other: Leftover, order: Order, running: Running) -> list[str]:
        source, target = Path(other.thing.path), Base(Path(order.target))
        if other.act == "copy":
            return _copy_token(source, target.path / source.name)
        cache_dir, goal = self._goal(source, Path(order.base), target)
        carrying = merge_folder.plan(source, goal, cache_dir.hub)
        parsed = parse_repo_folder(source.name)
        lock = target.repo_lock(parsed[1]) if parsed else target.things_lock
        with (
            self.importer.room(order, 0 if order.is_home else carrying.need_bytes, running) as reservation,
            locks.wait_lock(target.path, lock, self.clock, check=running.progress.check),
        ):
            merge_folder.bring(carrying, target, running.progress, reservation.wrote)
        kept = merge_folder.why_kept(carrying)
        if kept:
            return [*carrying.left, kept]
        merge_folder.drop(carrying, cache_dir)
        return list(carrying.left)

    def _goal(self, source: Path, base: Path, target: Base) -> tuple[Base, Path]:
        """Return the folder that links may not leave, and the path on the target."""
        if source.parent == base:
            is_repo = parse_repo_folder(source.name) is not None
            return CacheDir(base), (target.hub if is_repo else target.path) / source.name
        return CacheDir(source.parent), target.hub / source.name

    # --- the link ---

    def make(self, order: Order) -> Path:
        """Make the old path a link to the new base; return the old folder's new path.

        Raises:
            Denied: It can't be renamed.
        """
        path, target = Path(order.base), Base(Path(order.target))
        backup = self.backup_path(path)
        links = _read(target) | {str(path): str(backup)}
        fs.write_text(target.path, target.links, json.dumps(links, indent=1, sort_keys=True))
        return self._switch(path, backup, target)

    def is_halfway(self, path: Path) -> bool:
        """Return whether a killed run renamed a base and didn't make the link."""
        found = self._record(path)
        return found is not None and not is_there(path) and is_folder(found[1])

    def is_linked(self, path: Path) -> bool:
        """Return whether a path is a link that adopt made."""
        found = self._record(path)
        return found is not None and is_link(path) and path.resolve() == found[0].path.resolve()

    def finish(self, path: Path) -> Path:
        """Make the link that a killed run didn't make, if it is missing; return the backup."""
        found = self._record(path)
        assert found is not None
        return found[1] if is_link(path) else self._switch(path, found[1], found[0])

    def _switch(self, path: Path, backup: Path, target: Base) -> Path:
        if not is_there(backup):
            fs.rename_folder(path.parent, path, backup)
        fs.make_link(path.parent, path, str(target.path))
        fs.fsync_folder(path.parent, path.parent)
        return backup

    def unlink(self, path: Path) -> Path:
        """Delete a link and rename the backup back; return that path. The models stay where they are.

        **Crash:** the link is gone and the backup still has its name; the same call again finishes.

        Raises:
            NotFound: There is no link that adopt made.
            Conflict: Something else has that name now, or the backup is gone.
        """
        target, backup = self.undoable(path)
        if is_link(path):
            fs.remove_file(path.parent, path)
        fs.rename_folder(path.parent, backup, path)
        links = {old: kept for old, kept in _read(target).items() if old != str(path)}
        fs.write_text(target.path, target.links, json.dumps(links, indent=1, sort_keys=True))
        return path

    def undoable(self, path: Path) -> tuple[Base, Path]:
        """Return where a link leads, and the backup that `unlink` would restore; raises as it does."""
        found = self._record(path)
        if found is None:
            hint = "shelf adopt --link makes one." if is_folder(path) and not is_link(path) else ""
            raise NotFound(f"{path} isn't a link that adopt made.", hint=hint, path=str(path))
        backup = found[1]
        if not is_folder(backup):
            raise Conflict(f"The backup {backup} is not there; the link stays.", hint=f"rm {path}", path=str(path))
        if is_there(path) and not is_link(path):
            raise Conflict(f"{path} isn't a link any more; nothing was changed.", path=str(path))
        return found

    def _record(self, path: Path) -> tuple[Base, Path] | None:
        """Return the base that a path was linked to, and its backup."""
        bases = [Base(path.resolve())] if is_link(path) else []
        bases += [Base(Path(tier.base)) for tier in self.tiers.all()]
        bases += [Base(Path(known)) for known in self.tiers.known.load()]
        for base in bases:
            backup = _read(base).get(str(path))
            if backup is not None:
                return base, Path(backup)
        return None


def _copy_token(source: Path, target: Path) -> list[str]:
    """Copy a token, readable for its owner alone; a hard link would share a later login between both places."""
    if is_there(target):
        return [] if _text(target) == _text(source) else [f"{target} is there already; {source} stays."]
    text = _text(source)
    if text is None:
        return [f"{source} cannot be read as a token: it stays."]
    fs.write_text(target.parent, target, text, mode=0o600)
    return []


def _text(path: Path) -> str | None:
    try:
        return read_small_text(path)
    except (OSError, BadInput):
        return None


def _read(base: Base) -> dict[str, str]:
    """Return old base to backup; an entry with names that `make` wouldn't write is left out."""
    try:
        said = object_of(read_small_json(base.links))
    except (OSError, BadInput):
        return {}
    found: dict[str, str] = {}
    for old, backup in said.items():
        with contextlib.suppress(BadInput):
            path, kept = Path(BasePath(old)), Path(BasePath(backup))
            if is_before_name(path, kept):
                found[str(path)] = str(kept)
    return found
