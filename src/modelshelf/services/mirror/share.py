"""The part of a tier that mirrored models may hold, so that no stranger's request pushes out everything else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from modelshelf.domain.mirror import leaving, share_bytes
from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import RepoId
from modelshelf.domain.tiers import PRIMARY
from modelshelf.errors import OutOfSpace, ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.lifecycle.remove import Remover
from modelshelf.services.space.tiers import TierService
from modelshelf.store.layout import Base
from modelshelf.store.tiers import marker
from modelshelf.units import format_size

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Share:
    """What mirrored models may hold on the primary.

    **Concurrency:** one fetch at a time is admitted; the tier's own limit is kept by reservations.
    """

    registry: Registry
    tiers: TierService
    remover: Remover
    fraction: float
    hub_has: Callable[[ModelRow], bool]
    """Returns whether the hub still has a model's commit; if not, it stays."""
    _promised: dict[int, int] = field(default_factory=dict)
    """What the models will hold for which files are being fetched, by id, in bytes."""
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def check(self, repo_id: RepoId, size_bytes: int) -> None:
        """Refuse a file that never fits, before anything is registered for it: strangers may ask for many.

        Raises:
            OutOfSpace: It is larger than the whole share.
        """
        allowed_bytes = self._allowed_bytes()
        if size_bytes > allowed_bytes:
            raise self._too_large(repo_id, size_bytes, allowed_bytes)

    def admit(self, row: ModelRow, size_bytes: int) -> None:
        """Let a model grow to a size, after removing those that no client asked for for longest, if needed.

        Args:
            row: The model.
            size_bytes: What it will hold.

        Raises:
            OutOfSpace: The share is too small; nothing was removed.
        """
        with self._mutex:
            allowed_bytes = self._allowed_bytes()
            others = [other for other in self.registry.placements.mirrored_on(PRIMARY) if other.id != row.id]
            held_bytes = sum(max(other.size_bytes, self._promised.get(other.id, 0)) for other in others)
            over_bytes = size_bytes + held_bytes - allowed_bytes
            victims = leaving(over_bytes, others, self._may_leave)
            if victims is None:
                has_bytes = max(row.size_bytes, self._promised.get(row.id, 0))
                raise self._too_large(row.hf_path, size_bytes, allowed_bytes, held_bytes, has_bytes)
            for victim in victims:
                _log.info("mirrored_removed", extra={"model_name": victim.model_name, "for": row.model_name})
                self.remover.remove(victim.model_name, delete_files=True)
            self._promised[row.id] = size_bytes

    def settle(self, row: ModelRow) -> None:
        """Forget what was promised to a model: what it holds is in the registry."""
        with self._mutex:
            self._promised.pop(row.id, None)

    def _allowed_bytes(self) -> int:
        tier = self.tiers.settings.primary
        return share_bytes(tier.limit_bytes, marker.disk_bytes(Base(self.tiers.path(tier))), self.fraction)

    def _too_large(
        self, repo_id: RepoId, size_bytes: int, allowed_bytes: int, others_bytes: int = 0, has_bytes: int = 0
    ) -> OutOfSpace:
        """Return the error for a model that would outgrow the share.

        Args:
            repo_id: Its repository.
            size_bytes: What it would hold in all.
            allowed_bytes: The share.
            others_bytes: What other mirrored models hold, or were promised.
            has_bytes: What it holds, or was promised.
        """
        now = f", with the {format_size(has_bytes)} that it has" if has_bytes else ""
        others = f"; others hold {format_size(others_bytes)}, and not enough of it may leave" if others_bytes else ""
        return OutOfSpace(
            f"{repo_id} would take {format_size(size_bytes)}{now}, and mirrored models may hold"
            f" {format_size(allowed_bytes)} of {PRIMARY} ({self.fraction:.0%}){others}.",
            hint="Raise SHELF_MIRROR_SHARE there, or register it: shelf add.",
            hf_path=repo_id,
            needed_bytes=size_bytes,
            limit_bytes=allowed_bytes,
        )

    def _may_leave(self, row: ModelRow) -> bool:
        if row.id in self._promised:
            return False
        try:
            self.remover.check(row, delete_files=True)
            return self.hub_has(row)
        except ShelfError:
            return False
