"""Finding garbage outside repositories: parts, sidecars, locks and temporary files. Nothing is changed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from modelshelf.domain.gc import RESUME_S, GcItem, Needs, digest_of, keeps_part
from modelshelf.domain.sidecars import Sidecar
from modelshelf.domain.temporary_names import is_probe, is_temporary
from modelshelf.store.gc.repo_garbage import BaseState, freed_by
from modelshelf.store.layout import Base, repo_lock_name
from modelshelf.store.probe import is_link, is_there
from modelshelf.store.tiers.seen import SeenBase

_DIGEST = attrgetter("digest")


def stale_sidecars(look: BaseState, found: Iterable[Sidecar]) -> list[GcItem]:
    """Return the sidecars of models that aren't here.

    One without a row may be all that is left of a lost registry: it stays while any file of its model is here.

    Args:
        look: What is known.
        found: The sidecars of the base.
    """
    loose = [sidecar for sidecar in found if sidecar.model_name not in look.needs.models]
    listed = _list(look.base.sidecars) if loose else {}
    items = []
    for sidecar in loose:
        path = look.base.sidecar(sidecar.model_name)
        if path not in listed or not look.is_dead(listed[path]):
            continue
        if sidecar.model_name in look.needs.elsewhere:
            items.append(GcItem("sidecar", str(path), freed_by(listed[path]), "its model is in another base"))
        elif _is_gone(look.base, sidecar) or (sidecar.arriving_from and look.age_s(listed[path]) >= RESUME_S):
            items.append(GcItem("sidecar", str(path), freed_by(listed[path]), "its model is gone"))
    return items


def _is_gone(base: Base, sidecar: Sidecar) -> bool:
    """Return whether neither a file of a sidecar's model nor a part of one is here."""
    repo = base.repo(sidecar.hf_path)
    paths = [repo.snapshot(sidecar.commit_hash) / file.path for file in sidecar.files]
    for file in sidecar.files:
        paths += [repo.blob(file.digest), base.part(file.digest)]
    return not any(is_there(path) for path in paths)


def with_sidecars(seen: SeenBase, needs: Needs, going: Set[str]) -> Needs:
    """Return the needs with those of the sidecars that stay: another registry may know their models."""
    digests = dict(needs.digests)
    staying = ((path, sidecar) for path, sidecar in seen.sidecar_files.items() if sidecar is not None)
    for path, sidecar in staying:
        if path not in going:
            known, wanted = digests.get(sidecar.hf_path), set(map(_DIGEST, sidecar.selected))
            if known is None or not wanted <= known:
                digests[sidecar.hf_path] = wanted | (known or frozenset())
    return replace(needs, digests=digests)


def others_pull(look: BaseState) -> bool:
    """Return whether blobs arrive that no model of this registry waits for, as if another registry uses the base too.

    A pull links its blobs after the last one, hours after the first; only its own registry protects them until then.
    """
    ours = look.needs.active | look.needs.resumable
    return any(
        path.suffix == ".part" and not look.is_dead(found) and digest_of(path.name) not in ours
        for path, found in _list(look.base.incoming).items()
    )


def in_own(look: BaseState) -> Iterator[GcItem]:
    """Yield our own dead parts, temporary files and locks, and huggingface_hub's dead probes."""
    yield from _probes(look)
    parts = list(_parts(look))
    yield from parts
    listed = _list(look.base.path, is_root=True, wanted=_is_probe_file)
    for folder in (look.base.own, look.base.incoming, look.base.sidecars, look.base.locks):
        listed |= _list(folder, wanted=_is_unfinished)
    for path, found in listed.items():
        if look.is_dead(found):
            yield GcItem("partial", str(path), freed_by(found), "a write that was never finished")
    yield from _locks(look, {item.path for item in parts})


def _probes(look: BaseState) -> Iterator[GcItem]:
    """Yield the folders beside the repositories that a killed probe for links left."""
    for folder, status in _list(look.base.hub, folders=True, wanted=is_probe).items():
        if not (stat.S_ISDIR(status.st_mode) and look.is_old(status)):
            continue
        inside = _list(folder, folders=True)
        if all(is_temporary(folder.name, path.name) and look.is_dead(found) for path, found in inside.items()):
            for path, found in inside.items():
                yield GcItem("partial", str(path), freed_by(found), "no process continues it")
            yield GcItem("folder", str(folder), status.st_size, "it is empty")


def _parts(look: BaseState) -> Iterator[GcItem]:
    """Yield the parts that no pull will resume, and maps without a part."""
    listed = _list(look.base.incoming)
    for path, found in listed.items():
        digest = digest_of(path.name)
        if digest is None:
            continue
        part = listed.get(look.base.part(digest), found)
        is_part = path in (look.base.part(digest), look.base.part_map(digest))
        age_s = min(look.age_s(part), look.age_s(found))
        is_closed = (part.st_dev, part.st_ino) not in look.opened
        if is_part and is_closed and not keeps_part(look.needs, digest, age_s, look.min_age_s):
            yield GcItem("part", str(path), freed_by(found), "no model waits for it")


def _locks(look: BaseState, going: Set[str]) -> Iterator[GcItem]:
    """Yield the lock files of blobs that aren't arriving, and of repositories that aren't here."""
    incoming = _list(look.base.incoming)
    for path, found in incoming.items():
        digest = digest_of(path.name)
        if digest is None:
            continue
        part = look.base.part(digest)
        is_idle = part not in incoming or str(part) in going
        if path == look.base.part_lock(digest) and is_idle and look.is_old(found):
            yield GcItem("lock", str(path), freed_by(found), "its blob is not arriving")
    used = {look.base.views_lock.name, look.base.mirror_lock.name}
    used |= set(map(repo_lock_name, look.needs.digests.keys() | look.needs.busy))
    for path, found in _list(look.base.locks, wanted=lambda name: _is_lock(name) and name not in used).items():
        if look.is_old(found) and not is_there(look.base.hub / path.stem):
            yield GcItem("lock", str(path), freed_by(found), "its repository is not here")


def quarantined(look: BaseState) -> list[GcItem]:
    """Return what is in quarantine and not open."""
    items = []
    for path, found in _list(look.base.quarantine, folders=True).items():
        if (found.st_dev, found.st_ino) not in look.opened:
            items.append(GcItem("quarantine", str(path), _size(path, found), "its bytes didn't match its digest"))
    return items


def _size(path: Path, found: os.stat_result) -> int:
    if not stat.S_ISDIR(found.st_mode):
        return freed_by(found)
    return sum(_size(child, status) for child, status in _list(path, folders=True).items()) + found.st_size


def _is_unfinished(name: str) -> bool:
    return is_temporary("", name)


def _is_probe_file(name: str) -> bool:
    return name.startswith(".probe") and _is_unfinished(name)


def _is_lock(name: str) -> bool:
    return name.endswith(".lock") and name != ".lock"


def _any(name: str) -> bool:
    return True


def _list(
    folder: Path, *, folders: bool = False, is_root: bool = False, wanted: Callable[[str], bool] = _any
) -> dict[Path, os.stat_result]:
    """Return an own folder's entries by name; nothing if it is a link or can't be read.

    Args:
        folder: The folder.
        folders: Return the folders in it as well.
        is_root: It is the root of a base, which may be reached through links.
        wanted: Says of a name whether it is asked for.
    """
    listed: dict[Path, os.stat_result] = {}
    if not is_root and (is_link(folder) or is_link(folder.parent)):
        return listed
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if wanted(entry.name)), key=lambda entry: entry.name)
    except OSError:
        return listed
    for entry in found:
        with contextlib.suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            if folders or not stat.S_ISDIR(status.st_mode):
                listed[Path(entry.path)] = status
    return listed
