"""A card for each model beside its bytes, so that a lost registry can be rebuilt from the disks alone.

A card with `arriving_from` is the journal of a move: it is on the target's disk before the first blob is, and says
where the whole copy still lies. Cards are read by recovery and by nobody else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from modelshelf.domain.cards import Card
from modelshelf.domain.models import FileEntry
from modelshelf.store import fs
from modelshelf.store.layout import Base

__all__ = ["Card", "read_all", "remove", "write"]


def write(base: Base, card: Card) -> None:
    """Write a model's card durably, all or nothing."""
    path = base.card(card.model_name)
    value = {
        "format": 1,
        "model_name": card.model_name,
        "hf_path": card.hf_path,
        "revision": card.revision,
        "commit_hash": card.commit_hash,
        "allow_patterns": list(card.allow_patterns),
        "pinned": card.pinned,
        "pin_reason": card.pin_reason,
        "arriving_from": card.arriving_from,
        "files": [[file.path, file.size_bytes, file.digest] for file in card.files],
    }
    text = json.dumps(value, indent=1)
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except OSError:
        pass  # there is none yet
    fs.write_text(path, text)


def remove(base: Base, model_name: str) -> fs.Freed:
    """Delete a model's card."""
    return fs.remove_file(base.card(model_name))


def read_all(base: Base) -> list[Card]:
    """Return the cards of a base, by name; one that cannot be understood is left out."""
    found = [_read(path) for path in sorted(base.cards.glob("*.json"))]
    return [card for card in found if card is not None]


def _read(path: Path) -> Card | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return Card(
            model_name=str(value["model_name"]),
            hf_path=str(value["hf_path"]),
            revision=str(value["revision"]),
            commit_hash=str(value["commit_hash"]),
            allow_patterns=tuple(str(pattern) for pattern in value["allow_patterns"]),
            pinned=bool(value["pinned"]),
            pin_reason=str(value["pin_reason"]),
            files=_files(value["files"]),
            arriving_from=value["arriving_from"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _files(rows: Sequence[Sequence[object]]) -> tuple[FileEntry, ...]:
    return tuple(FileEntry(str(path), int(str(size_bytes)), str(digest)) for path, size_bytes, digest in rows)
