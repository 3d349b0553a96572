"""Turns the facts about a library into diagnoses. Pure: facts in, diagnoses out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from modelshelf.domain.disks import Capabilities, Mount
from modelshelf.domain.doctor_report import Diagnosis, Severity
from modelshelf.domain.permissions import Foreign
from modelshelf.domain.tiers import PRIMARY, SCARCE_ENTRIES, Tier
from modelshelf.domain.tool_environment import ENGINE_PACKAGES, ToolFolder
from modelshelf.domain.verify_report import Fault, Finding
from modelshelf.units import GB, format_size, limit_gb

LOW_BYTES = GB
"""A disk with less than this left stops most work."""
_FIX = "shelf doctor --fix"
FIX_TREES, FIX_REFS, FIX_LEFTOVERS = "trees", "refs", "leftovers"
_ERROR, _WARNING, _INFO, _OK = Severity
_WORST = frozenset({Fault.MISSING_FILE, Fault.WRONG_SIZE, Fault.WRONG_BYTES, Fault.READ_ERROR})


@dataclass(frozen=True, slots=True)
class Sized:
    """Something on a disk with its bytes."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What was seen of one base."""

    tier: Tier
    mount: Mount
    exists: bool
    offline: str
    """Why it cannot be used, though it was used before; empty when it can."""
    hangs: bool = False
    """Whether its network mount doesn't answer."""
    closed: str = ""
    """A folder of it that this user may not look into; empty without one."""
    marked: bool = False
    writable: bool = True
    capabilities: Capabilities | None = None
    free_bytes: int = 0
    free_entries: int | None = None
    disk_bytes: int = 0
    usage_bytes: int = 0
    strays: tuple[Sized, ...] = ()
    """Repositories beside `hub` instead of in it, or in a `hub` in `hub`."""
    unfinished: tuple[Sized, ...] = ()
    """Folders of models at such a place without any snapshot: the rests of downloads."""
    spare: tuple[Sized, ...] = ()
    """Caches that can go: hf_xet's, and that of transformers before 4.22."""
    foreign: Foreign | None = None
    """What its owner, or in a base of a group the group, cannot use in full."""
    mend: str = ""
    """What lets this user use all of it, or use it at all."""
    closed_trees: tuple[str, ...] = ()
    """Lists of files that others may not read, and that are ours to open."""
    faults: tuple[Finding, ...] = ()
    """What is wrong with names, links and refs."""


def of_base(base: BaseFacts) -> Iterator[Diagnosis]:
    """Yield the diagnoses of one base."""
    path = base.tier.base
    named = f"{base.tier.location} {path}"
    if base.closed:
        detail = f"{named}: this user can't read {base.closed}."
        yield Diagnosis(_ERROR, "base", detail, base.mend, base.closed)
        return
    if base.offline:
        point = shlex.quote(base.mount.point)
        command = f"sudo umount --lazy {point} && sudo mount {point}" if base.hangs else base.mend
        yield Diagnosis(_ERROR, "base", f"{named}: {base.offline}", command, path)
        return
    yield from _place(base, named)
    if not base.exists:
        yield Diagnosis(_INFO, "base", f"{named} doesn't exist yet: the first model creates it.", path=path)
        return
    if not base.marked:
        detail = f"{named} has no marker: shelf never used it. Is it the right folder, and mounted?"
        yield Diagnosis(_INFO, "base", detail, path=path)
    if not base.writable:
        detail = f"{named} is read-only: its models can be loaded, but nothing can be written."
        yield Diagnosis(_WARNING, "base", detail, _writable_command(base), path)
    yield from _room(base, named)
    yield from _contents(base)
    kind = base.mount.kind or "an unknown file system"
    left = f"{format_size(base.free_bytes)} of {format_size(base.disk_bytes)} free"
    limit = "no limit" if base.tier.limit_bytes is None else f"limit {format_size(base.tier.limit_bytes)}"
    detail = f"{named}: {kind} mounted at {base.mount.point}, {left}, holds {format_size(base.usage_bytes)}, {limit}."
    yield Diagnosis(_OK, "base", detail, path=path, size_bytes=base.usage_bytes)


def _writable_command(base: BaseFacts) -> str:
    if base.mount.read_only:
        return f"sudo mount -o remount,rw {shlex.quote(base.mount.point)}"
    return base.mend


def _place(base: BaseFacts, named: str) -> Iterator[Diagnosis]:
    path = base.tier.base
    if base.mount.is_container_layer:
        detail = f"{named} is in the container's own layer: its models are lost with the container."
        command = f"docker run -v /a/folder/of/the/host:{shlex.quote(path)} …"
        yield Diagnosis(_ERROR, "base", detail, command, path)
    weaknesses = base.capabilities.weaknesses if base.capabilities else ()
    if weaknesses:
        yield Diagnosis(_INFO, "base", f"{named} has {'; '.join(weaknesses)}.", path=path)


def _room(base: BaseFacts, named: str) -> Iterator[Diagnosis]:
    limit, path = base.tier.limit_bytes, base.tier.base
    variable = f"{base.tier.location.upper()}_CACHE_LIMIT_GB"
    if limit is not None and base.usage_bytes > limit:
        over = base.usage_bytes - limit
        detail = f"{named} holds {format_size(over)} more than its limit of {format_size(limit)}."
        yield Diagnosis(_WARNING, "base", detail, "shelf gc --dry-run", path, over)
    if limit is not None and limit > base.disk_bytes > 0:
        has = format_size(base.disk_bytes)
        detail = f"{named}: its limit of {format_size(limit)} is more than its disk holds, {has}."
        yield Diagnosis(_WARNING, "base", detail, f"{variable}={limit_gb(base.disk_bytes * 9 // 10)}", path)
    elif limit is not None and limit - base.usage_bytes > base.free_bytes:
        left, has = format_size(limit - base.usage_bytes), format_size(base.free_bytes)
        detail = f"{named}: its limit leaves room for {left}, but its disk has only {has}."
        yield Diagnosis(_INFO, "base", detail, path=path)
    if base.free_bytes < LOW_BYTES:
        detail = f"{named}: its disk is almost full: {format_size(base.free_bytes)} left."
        yield Diagnosis(_WARNING, "base", detail, "shelf gc", path)
    if base.free_entries is not None and base.free_entries < SCARCE_ENTRIES:
        detail = f"{named}: its disk has room for only {base.free_entries} more files (inodes)."
        yield Diagnosis(_WARNING, "base", detail, "shelf gc", path)


def _contents(base: BaseFacts) -> Iterator[Diagnosis]:
    path, quoted = base.tier.base, shlex.quote(base.tier.base)
    if base.strays:
        size_bytes = sum(stray.size_bytes for stray in base.strays)
        first = base.strays[0].path
        detail = f"{_count(base.strays, 'model folder')} in {path} outside hub/, where no tool looks (first: {first})."
        yield Diagnosis(_WARNING, "layout", detail, f"shelf adopt {quoted} --move", first, size_bytes)
    if base.unfinished:
        first, size_bytes = base.unfinished[0].path, sum(stray.size_bytes for stray in base.unfinished)
        detail = (
            f"{_count(base.unfinished, 'unfinished download')} in {path} outside hub/, where no tool looks (first:"
            f" {first}). Delete what no program will finish."
        )
        command = f"rm -r {shlex.join(stray.path for stray in base.unfinished)}"
        yield Diagnosis(_INFO, "layout", detail, command, first, size_bytes)
    if base.foreign is not None and base.foreign.files:
        uids = sorted({uid for uid, _ in base.foreign.owners})
        users = ", ".join(f"user {uid}{' (root)' if uid == 0 else ''}" for uid in uids)
        detail = (
            f"{_many(base.foreign.files, 'file')} of {users} in {path} can't be used by its other users"
            f" (first: {base.foreign.examples[0]})."
        )
        yield Diagnosis(_WARNING, "files", detail, base.foreign.fix, base.foreign.examples[0], base.foreign.size_bytes)
    if base.closed_trees:
        detail = (
            f"Only the owner can read {_count(base.closed_trees, 'file list')} in {path}: to other users an incomplete"
            " snapshot looks complete."
        )
        command = f"chmod a+r {shlex.quote(base.closed_trees[0])}" if len(base.closed_trees) == 1 else _FIX
        yield Diagnosis(_WARNING, "files", detail, command, base.closed_trees[0], fix=FIX_TREES)
    for spare in base.spare:
        if spare.size_bytes:
            detail = f"{spare.path} can be deleted: it is a cache that nothing needs."
            yield Diagnosis(_INFO, "files", detail, f"rm -r {shlex.quote(spare.path)}", spare.path, spare.size_bytes)
    yield from _faults(base.faults)


def _faults(faults: Sequence[Finding]) -> Iterator[Diagnosis]:
    """Yield one diagnosis for the faults of a kind in a repository."""

    def key(fault: Finding) -> tuple[str, str, str]:
        return fault.kind.value, fault.repo_id, fault.model_name

    for _, same in groupby(sorted(faults, key=key), key):
        group = list(same)
        first = group[0]
        more = f" {_many(len(group) - 1, 'more file')} of {first.repo_id} with this problem." if group[1:] else ""
        severity = _ERROR if first.model_name or first.kind in _WORST else _WARNING
        needed = f" {first.model_name} needs it." if first.model_name else ""
        detail = f"{first.path}: {first.detail}{needed}{more}"
        yield Diagnosis(severity, "files", detail, first.hint, first.path)


@dataclass(frozen=True, slots=True)
class Copies:
    """Blobs of one repository that lie on two bases."""

    repo_id: str
    base: str
    other: str
    """The base whose copy no model needs, or else the slower one."""
    blobs: int
    size_bytes: int
    model_name: str = ""
    """The model that the other copy belongs to; empty where none is registered."""


def of_copies(found: Sequence[Copies]) -> Iterator[Diagnosis]:
    """Yield what lies on the disks twice."""
    for copies in found:
        if copies.model_name:
            command = f"shelf rm {copies.model_name} --files"
        else:
            cache = shlex.quote(f"{copies.other}/hub")
            command = f"hf cache rm model/{copies.repo_id} --cache-dir {cache}"
        detail = f"{_many(copies.blobs, 'blob')} of {copies.repo_id} are both in {copies.base} and in {copies.other}."
        yield Diagnosis(_INFO, "copies", detail, command, copies.other, copies.size_bytes)


@dataclass(frozen=True, slots=True)
class RegistryFacts:
    """What was seen of the registry."""

    url: str
    """Without a password."""
    path: str
    """Its file; empty for PostgreSQL."""
    mount: Mount | None
    exists: bool
    trouble: str = ""
    """Why it cannot be read, in a sentence."""
    hint: str = ""
    models: int | None = None
    """None where it was not read."""
    drifted: tuple[tuple[str, str], ...] = ()
    """Models whose ref another program moved, and why that is known."""
    damaged: tuple[str, ...] = ()
    """Models with bytes that a verification found wrong."""
    unsettled: int = 0
    """Other steps that reconcile would take."""
    leftovers: Mapping[str, int] | None = None
    """What gc would delete by kind, in bytes."""
    locks_and_folders: int = 0
    """How many stale locks and empty folders are among it."""


def of_registry(registry: RegistryFacts) -> Iterator[Diagnosis]:
    """Yield the diagnoses of the registry and its content."""
    place = registry.path or registry.url
    if registry.trouble:
        yield Diagnosis(_ERROR, "registry", registry.trouble, registry.hint, registry.path)
    if registry.mount is not None and registry.mount.is_container_layer:
        detail = f"The registry {place} is in the container's own layer: it is lost with the container."
        yield Diagnosis(_ERROR, "registry", detail, path=registry.path)
    if registry.trouble:
        return
    if not registry.exists:
        yield Diagnosis(_INFO, "registry", f"There is no registry at {place} yet: the first shelf add creates it.")
        return
    if registry.models is not None:
        yield Diagnosis(_OK, "registry", f"{place} lists {_many(registry.models, 'model')}.", path=registry.path)
    yield from _of_its_models(registry)


def _of_its_models(registry: RegistryFacts) -> Iterator[Diagnosis]:
    for model_name, why in registry.drifted:
        yield Diagnosis(_WARNING, "files", f"{model_name}: {why}", _FIX, fix=FIX_REFS)
    if registry.damaged:
        detail = f"{', '.join(registry.damaged)}: shelf verify found damaged files."
        command = f"shelf verify {' '.join(registry.damaged)} --repair"
        yield Diagnosis(_ERROR, "files", detail, command)
    if registry.unsettled:
        detail = f"Registry and disks disagree in {_many(registry.unsettled, 'place')}."
        yield Diagnosis(_WARNING, "registry", detail, "shelf reconcile")
    leftovers = registry.leftovers or {}
    if registry.locks_and_folders:
        detail = f"{_many(registry.locks_and_folders, 'stale lock or empty folder', 'stale locks and empty folders')}."
        yield Diagnosis(_INFO, "files", detail, _FIX, fix=FIX_LEFTOVERS)
    if size_bytes := sum(leftovers.values()):
        kinds = ", ".join(kind for kind, size in sorted(leftovers.items()) if size)
        yield Diagnosis(_INFO, "files", f"Nothing needs these leftovers: {kinds}.", "shelf gc", size_bytes=size_bytes)


def of_tools(places: Sequence[tuple[ToolFolder, int]], tiers: Sequence[Tier]) -> Iterator[Diagnosis]:
    """Yield where each tool looks, with the bytes that lie there; several tools in one place are one line."""
    hubs = {f"{tier.base}/hub": tier for tier in tiers}
    for path, group in groupby(places, key=lambda item: item[0].path):
        items = list(group)
        place, size_bytes = items[0]
        names = ", ".join(item[0].tool for item in items)
        tier = hubs.get(path)
        if tier is not None:
            severity, detail = _OK, f"{names}: the {tier.location} tier, {path} ({place.why})."
        elif place.stock:
            severity, detail = _INFO, f"{names}: {path} ({place.why}), which isn't a tier."
        else:
            severity, detail = _OK, f"{names}: {path} ({place.why}), files of its own kind."
        yield Diagnosis(severity, "tool", detail, path=path, size_bytes=size_bytes)


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is known of a token without reading it."""

    given: bool
    """Whether HF_TOKEN says it."""
    path: str
    mode: int | None
    """The file's mode; None where there is none."""
    readable: bool = True
    shared: tuple[str, ...] = ()
    """Token files in bases: a container that mounts a base can read them."""


def of_token(token: TokenFacts) -> Iterator[Diagnosis]:
    """Yield where the token is and who can read it; never the token."""
    if token.mode is not None and token.mode & 0o077:
        who = "everybody" if token.mode & 0o004 else "its group"
        detail = f"The token in {token.path} can be read by {who} (mode {token.mode:04o})."
        yield Diagnosis(_WARNING, "token", detail, f"chmod 600 {shlex.quote(token.path)}", token.path)
    if not token.readable:
        detail = f"The token in {token.path} cannot be read by this user: every download fails."
        yield Diagnosis(_ERROR, "token", detail, f"sudo chown $(id -u) {shlex.quote(token.path)}", token.path)
    for path in token.shared:
        yield Diagnosis(
            _INFO, "token", f"{path} holds a token: a container that mounts this base can read it.", path=path
        )
    if token.given:
        yield Diagnosis(_OK, "token", "HF_TOKEN holds a token and overrides one that hf auth login stored.")
    elif token.mode is not None:
        yield Diagnosis(_OK, "token", f"A token is stored in {token.path}.", path=token.path)
    else:
        detail = "No token: gated and private repositories can't be downloaded."
        yield Diagnosis(_INFO, "token", detail, "hf auth login", token.path)


@dataclass(frozen=True, slots=True)
class HubFacts:
    """What the hub answered."""

    endpoint: str
    is_mirror: bool
    offline_by: str = ""
    """The variable that forbids to ask it."""
    trouble: str = ""
    refused: bool = False
    """Whether it did not take the token."""


def of_hub(hub: HubFacts) -> Iterator[Diagnosis]:
    """Yield whether the hub can be reached."""
    mirror = ", a mirror (HF_ENDPOINT)" if hub.is_mirror else ""
    if hub.offline_by:
        yield Diagnosis(_INFO, "hub", f"{hub.endpoint}{mirror} wasn't contacted: {hub.offline_by} is set.")
    elif hub.trouble:
        command = f"curl -I {shlex.quote(hub.endpoint)}"
        yield Diagnosis(_WARNING, "hub", f"{hub.trouble.rstrip('.')}. Downloaded models keep working.", command)
    else:
        yield Diagnosis(_OK, "hub", f"{hub.endpoint}{mirror} answers.")
        if hub.refused:
            yield Diagnosis(_WARNING, "token", f"{hub.endpoint} rejects the token.", "hf auth login")


def of_settings(problems: Sequence[Mapping[str, str]], primary: Tier) -> Iterator[Diagnosis]:
    """Yield the settings that are wrong; the defaults stand for them in the rest of a report."""
    for problem in problems:
        origin, name = problem["origin"], problem["name"]
        file, _, line = origin.rpartition(":")
        command = f"unset {name}" if origin == "environment" else f"${{EDITOR:-vi}} +{line} {shlex.quote(file)}"
        if not file and origin != "environment":
            command = f"ls -l {shlex.quote(origin)}"
        detail = f"{name} in {origin}: {problem['detail'].rstrip('.')}."
        yield Diagnosis(_ERROR, "settings", detail, command, "" if origin == "environment" else file or origin)
    if any(problem["name"] in ("PRIMARY_CACHE_PATH", "HF_HOME") for problem in problems):
        assert primary.location == PRIMARY
        detail = f"The rest of this report assumes the primary base {primary.base}."
        yield Diagnosis(_INFO, "settings", detail, path=primary.base)


def of_engines(engines: Mapping[str, str], python: str) -> Iterator[Diagnosis]:
    """Yield which engines are there, name to place; without any, what to install."""
    if engines:
        listed = ", ".join(f"{name} ({place})" for name, place in engines.items())
        yield Diagnosis(_OK, "engine", f"Engines: {listed}.")
    else:
        detail = "No engine is installed: models can be stored, but not run."
        yield Diagnosis(_INFO, "engine", detail, f"{shlex.quote(python)} -m pip install {ENGINE_PACKAGES}")


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def _count(items: Sequence[object], one: str) -> str:
    return _many(len(items), one)
