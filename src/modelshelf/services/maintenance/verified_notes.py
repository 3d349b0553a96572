"""Verify's results on their way to the registry, because a commit for each blob costs more than reading it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from modelshelf.domain.names import Digest
from modelshelf.domain.ports import Clock
from modelshelf.domain.verify_report import DAMAGE, Fault, Finding
from modelshelf.registry.registry import Registry
from modelshelf.store.repos import scan
from modelshelf.store.repos.verify import Target

_NOTE_AFTER_S = 1.0
_NOTE_AFTER_BYTES = 2**28


class VerifiedNotes:
    """Good blobs, written to the registry now and then, and at the end of its context.

    **Concurrency:** called by every thread that reads.
    """

    def __init__(self, registry: Registry, clock: Clock, tier_ids: Mapping[str, str]) -> None:
        self._registry = registry
        self._clock = clock
        self._tier_ids = tier_ids
        self._mutex = threading.Lock()
        self._stamps: dict[str, dict[Digest, str]] = {}
        self._bytes = 0
        self._written_at = clock.now()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Write what isn't written yet."""
        self.write()

    def add(self, targets: Sequence[Target], stamp: str) -> None:
        """Record names of good bytes."""
        with self._mutex:
            for target in targets:
                self._stamps.setdefault(self._tier_ids[target.base], {})[target.digest] = stamp
            self._bytes += int(stamp.partition(":")[0] or 0)
            due = self._bytes >= _NOTE_AFTER_BYTES or self._clock.now() - self._written_at >= _NOTE_AFTER_S
        if due:
            self.write()

    def write(self) -> None:
        """Write what isn't written yet."""
        with self._mutex:
            stamps, self._stamps, self._bytes, self._written_at = self._stamps, {}, 0, self._clock.now()
        for tier_id, good in stamps.items():
            self._registry.verified.add(tier_id, good)

    def add_damage(self, findings: Iterable[Finding]) -> None:
        """Record bytes that are damaged now, even if they were recorded as good."""
        bad: dict[str, dict[Digest, str]] = {}
        for finding in findings:
            if finding.digest and finding.kind in DAMAGE | {Fault.MISSING_FILE}:
                stamps = bad.setdefault(self._tier_ids[finding.base], {})
                stamps[Digest(finding.digest)] = scan.stamp(Path(finding.path))
        for tier_id, stamps in bad.items():
            self._registry.verified.add_damage(tier_id, stamps)
