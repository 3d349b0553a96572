"""The tiers of this process: opening them, and their usage now."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.file_system_limits import check_entries, check_names, check_sizes, entries_of
from modelshelf.domain.jobs import ReservedRow
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import RepoId
from modelshelf.domain.repo_folders import repo_folder_name
from modelshelf.domain.tiers import BREAKDOWN, CUSTOM, Room, Tier, Tiers, TierStatus, Usage
from modelshelf.errors import BadInput, Denied
from modelshelf.registry.fast_read import keeps_nothing
from modelshelf.registry.registry import Registry
from modelshelf.store import mounts, ownership
from modelshelf.store.known_bases import KnownBases
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_there
from modelshelf.store.repos import scan, snapshot
from modelshelf.store.tiers import capabilities, governor, marker, meter, sidecars

NOTHING = Usage(0, 0, dict.fromkeys(BREAKDOWN, 0))

_MANY = 10**6
"""Files that no plan brings at once."""


@dataclass(frozen=True, slots=True)
class TierService:
    """The tiers of this process."""

    registry: Registry
    settings: Tiers
    """The tiers in the settings."""
    known: KnownBases
    warning_threshold: float
    """The fraction of a limit above which a tier has a warning."""
    use_symlinks: bool = True
    """Whether snapshots may link to their blobs, if the file system can."""
    require_mount: bool | None = False
    """What to do about a custom base in a container's own layer; see `mounts.check_outlives`."""

    def path(self, tier: Tier) -> Path:
        """Return a tier's base."""
        return Path(tier.base)

    def configured(self) -> list[Tier]:
        """Return the tiers of the settings, fastest first."""
        return self.settings.configured()

    def open(self, tier: Tier) -> str:
        """Return a tier's id; on first use its base is created, marked, and given this registry as governor.

        Raises:
            Unavailable: The base was used before and isn't mounted now.
            Conflict: It belongs to another library.
            BadInput: It can't be written, or would vanish with the container and SHELF_REQUIRE_MOUNT is set.
        """
        base = Base(self.path(tier))
        if tier.location == CUSTOM and not is_there(base.marker):
            mounts.check_outlives([tier.base], require=self.require_mount)
        tier_id = marker.open_tier(base, self.known, self.registry.tier_ids().get(tier.base))
        if (forlorn := self._forlorn(base)) is not None:
            governor.release(base, forlorn.id)
        governor.claim(base, self.registry.id, self.registry.url)
        capabilities.probe(base)
        self.registry.bases.remember(tier_id, tier.location, tier.base)
        return tier_id

    def open_to_write(self, tier: Tier) -> str:
        """Return the id of a tier that is about to be written.

        Raises:
            Unavailable: The base was used before and isn't mounted now.
            Denied: It is read-only here; nothing was written.
        """
        tier_id = self.open(tier)
        self._check_not_read_only(Base(self.path(tier)))
        return tier_id

    def check_writable(self, tier: Tier) -> str:
        """Return the id of a tier that will be written later; empty if its base isn't marked yet.

        Raises as `open_to_write` does, and changes nothing.
        """
        base = Base(self.path(tier))
        marker.check_online(base, self._known_id(tier))
        self.check_ours(base)
        if is_there(base.marker):
            self._check_not_read_only(base)
            return marker.read_id(base) or ""
        if tier.location == CUSTOM:
            mounts.check_outlives([tier.base], require=self.require_mount or False)  # the warning comes with the use
        marker.check_creatable(base)
        return ""

    def check_ours(self, base: Base) -> None:
        """Raise unless this library may change a base.

        Raises:
            Conflict: It belongs to another library, which keeps something.
        """
        if self._forlorn(base) is None:
            governor.check_ours(base, self.registry.id, self.registry.url)

    def _forlorn(self, base: Base) -> governor.Governor | None:
        """Return the other registry that a base belongs to, if it is inside that base and keeps nothing.

        A command that failed before the library's settings were written leaves such a one; the base may be taken over.
        """
        named = governor.read(base)
        if named is None or named.file(base) != base.registry or not keeps_nothing(base.registry):
            return None
        return named if governor.why_not_ours(base, self.registry.id, self.registry.url) else None

    def _check_not_read_only(self, base: Base) -> None:
        if not marker.is_writable(base):
            hint = "Mount it writable. Until then its models can be loaded."
            if not mounts.mount_of(base.path).read_only:
                hint = ownership.fix(base)
            raise Denied(f"{base.path} is read-only here.", hint=hint, cache_path=str(base.path))

    def _known_id(self, tier: Tier) -> str | None:
        return self.registry.tier_ids().get(tier.base) or self.known.load().get(tier.base)

    def links(self, base: Base) -> bool:
        """Return whether a base's snapshots link to their blobs instead of holding the bytes."""
        return self.use_symlinks and capabilities.of(base).symlinks

    def second_bytes(self, base: Base, files: Sequence[FileEntry]) -> int:
        """Return the bytes that a snapshot takes on a base beyond its distinct contents: above 0 only without links."""
        return 0 if self.links(base) else snapshot.second_bytes(files)

    def check_storable(
        self,
        tier: Tier,
        hf_path: str,
        files: Sequence[FileEntry],
        model_name: str,
        revision: str = "main",
    ) -> None:
        """Raise unless a tier's file system can hold a model, however much room it has; call it before the first byte.

        Args:
            tier: A tier that can be written.
            hf_path: The repository.
            files: The selected files.
            model_name: Its name, which is also its sidecar's.
            revision: Its revision, which is a ref's name.

        Raises:
            BadInput: The file system can't have such a name, or takes it for another one that exists.
            OutOfSpace: A file is larger than the file system allows, or the disk has too few entries (inodes) for all.
        """
        base = Base(self.path(tier))
        can = capabilities.of(base)
        check_names((file.path for file in files), tier, can)
        check_names((revision,), tier, can, "Name a commit hash, or use a tier on a Linux file system.")
        if not can.case_sensitive:
            repos = [repo_id for kind, repo_id, _ in scan.repos(base) if kind == "model"]
            check_names([*repos, hf_path], tier, can, "Use a tier on a Linux file system.")
        if not (can.case_sensitive and can.any_names):
            names = [sidecar.model_name for sidecar in sidecars.read_all(base)]
            check_names([*names, model_name], tier, can, "Choose another name for the model.")
        present = scan.blob_sizes(base.repo(RepoId(hf_path))) if files else {}
        check_entries(entries_of(files, present), tier, marker.free_entries(base))
        if can.max_file_bytes is not None:
            others = [other for other in self.configured() if other.base != tier.base and not self.why_offline(other)]
            check_sizes(files, tier, can, {other.location: capabilities.of(Base(self.path(other))) for other in others})

    def holds_anything(self, tier: Tier) -> bool:
        """Return whether `check_storable` refuses nothing: any names and sizes, and entries for a million files."""
        base = Base(self.path(tier))
        can, entries = capabilities.of(base), marker.free_entries(base)
        return can.case_sensitive and can.any_names and can.max_file_bytes is None and (entries or _MANY) >= _MANY

    def online_bases(self) -> list[Base]:
        """Return the bases that can be read now, fastest first."""
        return [Base(self.path(tier)) for tier in self.all() if not self.why_offline(tier)]

    def all(self) -> list[Tier]:
        """Return the configured tiers, every custom one with a model, and those without one that are online.

        A base whose last model was removed still holds its files, until `shelf forget`.
        """
        found = {tier.base: tier for tier in self.configured()}
        with_models = self.registry.bases.custom()
        for path in (*with_models, *self.registry.tier_ids()):
            with contextlib.suppress(BadInput):  # the settings now call that base a tier of their own
                tier = self.settings.resolve(CUSTOM, path)
                if tier.base not in found and (path in with_models or self._is_apart(tier, found.values())):
                    found[tier.base] = tier
        return list(found.values())

    def _is_apart(self, tier: Tier, others: Iterable[Tier]) -> bool:
        """Return whether a tier is online, in a folder that no other tier leads to."""
        base = self.path(tier)
        return not self.why_offline(tier) and not any(scan.is_same(base, self.path(other)) for other in others)

    def why_offline(self, tier: Tier) -> str:
        """Return why a tier can't be used, in a sentence; empty if it can."""
        base = Base(self.path(tier))
        reason = marker.why_offline(base, self._known_id(tier))
        if reason or self._forlorn(base) is not None:
            return reason
        return governor.why_not_ours(base, self.registry.id, self.registry.url)

    def status(self, tier: Tier, *, rescan: bool = False, keep: bool = False) -> TierStatus:
        """Return a tier's usage now, measured.

        Args:
            tier: The tier.
            rescan: Walk everything and keep the results.
            keep: Keep the results, for callers that change the tier anyway; without both nothing is changed.
        """
        base = Base(self.path(tier))
        offline = self.why_offline(tier)
        if offline:
            return TierStatus(tier, online=False, detail=offline, usage=NOTHING, reserved_bytes=0, free_bytes=0)
        coming = {repo_folder_name(repo_id) for repo_id in self.registry.unfinished_repos()}
        usage = meter.measure(base, rescan=rescan, keep=rescan or keep, unfinished=coming)
        tier_id = marker.read_id(base)
        reserved = sum(r.remaining_bytes for r in self._live() if r.tier_id == tier_id)
        held = usage.written_bytes + reserved
        warning = tier.limit_bytes is not None and held >= self.warning_threshold * tier.limit_bytes
        return TierStatus(
            tier,
            online=True,
            detail=self._warn(tier, held) if warning else "",
            usage=usage,
            reserved_bytes=reserved,
            free_bytes=marker.free_bytes(base),
            free_entries=marker.free_entries(base),
            warning=warning,
            writable=marker.is_writable(base),
            capabilities=capabilities.of(base),
        )

    def headroom_bytes(self, tier: Tier) -> int:
        """Return how many bytes can still be reserved on a tier; advice, not a promise."""
        status = self.status(tier)
        if not status.online or not status.writable:
            return 0
        device = marker.device(Base(self.path(tier)))
        on_disk = sum(r.remaining_bytes for r in self._live() if r.device == device)
        usage_bytes = status.usage.written_bytes
        return Room(tier.limit_bytes, usage_bytes, status.reserved_bytes, status.free_bytes, on_disk).headroom_bytes

    def _warn(self, tier: Tier, held_bytes: int) -> str:
        assert tier.limit_bytes is not None
        return f"{held_bytes / tier.limit_bytes:.0%} of its limit is used."

    def _live(self) -> Sequence[ReservedRow]:
        return [reservation for reservation in self.registry.reservations.all() if not reservation.expired]


def destination(to: str) -> tuple[str, str | None]:
    """Return cache_location and cache_path of `primary`, `secondary`, or a base relative to the working directory.

    Raises:
        BadInput: It is neither a tier nor a path.
    """
    if to in ("primary", "secondary"):
        return to, None
    if "/" not in to:
        raise BadInput(
            f"{to!r} isn't a tier.", hint="Use primary, secondary, or the path of a base.", cache_location=to
        )
    return "custom", os.path.abspath(Path(to).expanduser())  # noqa: PTH100 - `..` goes, and a link in it stays
