"""What the doctor says about the registry, its content, and duplicates on the disks. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from modelshelf.domain.disks import Mount
from modelshelf.domain.doctor_report import DOCTOR_FIX, Diagnosis, Severity
from modelshelf.units import many

FIX_REFS, FIX_LEFTOVERS = "refs", "leftovers"
_ERROR, _WARNING, _INFO, _OK = Severity


@dataclass(frozen=True, slots=True)
class RegistryFacts:
    """The facts of the registry."""

    url: str
    """Without a password."""
    path: str
    """Its file; empty for PostgreSQL."""
    mount: Mount | None
    exists: bool
    trouble: str = ""
    """Why it can't be read, in a sentence."""
    hint: str = ""
    models: int | None = None
    """None if it wasn't read."""
    drifted: tuple[tuple[str, str], ...] = ()
    """Models whose ref another program moved, and how that is known."""
    damaged: tuple[str, ...] = ()
    """Models with bytes that verify found damaged."""
    unsettled: int = 0
    """The number of other steps that reconcile would take."""
    leftovers: Mapping[str, int] | None = None
    """What gc would delete, by kind, in bytes."""
    locks_and_folders: int = 0
    """The number of stale locks and empty folders in it."""


def of_registry(registry: RegistryFacts) -> Iterator[Diagnosis]:
    """Yield the findings about the registry and its content."""
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
        yield Diagnosis(_OK, "registry", f"{place} lists {many(registry.models, 'model')}.", path=registry.path)
    yield from _of_its_models(registry)


def _of_its_models(registry: RegistryFacts) -> Iterator[Diagnosis]:
    for model_name, why in registry.drifted:
        yield Diagnosis(_WARNING, "files", f"{model_name}: {why}", DOCTOR_FIX, fix=FIX_REFS)
    if registry.damaged:
        detail = f"{', '.join(registry.damaged)}: shelf verify found damaged files."
        command = f"shelf verify {' '.join(registry.damaged)} --repair"
        yield Diagnosis(_ERROR, "files", detail, command)
    if registry.unsettled:
        detail = f"Registry and disks disagree in {many(registry.unsettled, 'place')}."
        yield Diagnosis(_WARNING, "registry", detail, "shelf reconcile")
    leftovers = registry.leftovers or {}
    if registry.locks_and_folders:
        detail = f"{many(registry.locks_and_folders, 'stale lock or empty folder', 'stale locks and empty folders')}."
        yield Diagnosis(_INFO, "files", detail, DOCTOR_FIX, fix=FIX_LEFTOVERS)
    if size_bytes := sum(leftovers.values()):
        kinds = ", ".join(kind for kind, size in sorted(leftovers.items()) if size)
        yield Diagnosis(_INFO, "files", f"Nothing needs these leftovers: {kinds}.", "shelf gc", size_bytes=size_bytes)


@dataclass(frozen=True, slots=True)
class Copies:
    """Blobs of one repository on two bases."""

    repo_id: str
    base: str
    other: str
    """The base whose copy no model needs, or else the slower one."""
    blobs: int
    size_bytes: int
    model_name: str = ""
    """The model of the other copy; empty if it is unregistered."""


def of_copies(found: Sequence[Copies]) -> Iterator[Diagnosis]:
    """Yield findings about duplicates on the disks."""
    for copies in found:
        if copies.model_name:
            command = f"shelf rm {copies.model_name} --files"
        else:
            cache = shlex.quote(f"{copies.other}/hub")
            command = f"hf cache rm model/{copies.repo_id} --cache-dir {cache}"
        verb = "is" if copies.blobs == 1 else "are"
        detail = f"{many(copies.blobs, 'blob')} of {copies.repo_id} {verb} both in {copies.base} and in {copies.other}."
        yield Diagnosis(_INFO, "copies", detail, command, copies.other, copies.size_bytes)
