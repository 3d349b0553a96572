"""A card for each model beside its bytes, so that a lost registry can be rebuilt from the disks alone.

A card with `arriving_from` is the journal of a move: it is on the target's disk before the first blob is, and says
where the whole copy still lies. Cards are read by recovery and by nobody else.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from modelshelf.domain.models import file_entry
from modelshelf.domain.names import BasePath, CommitHash, ModelName, RefName, RepoId, own_ref
from modelshelf.domain.outcomes import Freed
from modelshelf.domain.outside import flag_of, list_of, object_of, text_of
from modelshelf.domain.patterns import FilePattern, patterns_of
from modelshelf.domain.sidecars import Card
from modelshelf.errors import BadInput
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import snapshot
from modelshelf.store.small_files import LIST_BYTES, read_small_json, read_small_text

__all__ = ["Card", "read_all", "remove", "strange", "write"]

_KEYS = (
    *("model_name", "hf_path", "revision", "commit_hash", "allow_patterns"),
    *("pinned", "pin_reason", "files", "arriving_from"),
)


def write(base: Base, card: Card) -> None:
    """Write a model's card durably, all or nothing; its snapshot, where that is here, is held by a ref of ours."""
    _hold(base, card)
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
    with contextlib.suppress(OSError, BadInput):  # there is none yet, or something else
        if read_small_text(path, LIST_BYTES) == text:
            return
    fs.write_text(base.path, path, text)


def remove(base: Base, model_name: ModelName) -> Freed:
    """Delete a model's card, and the ref that held its snapshot; returns what that freed.

    **Crash:** the card names the ref, so it goes last.
    """
    freed, card = Freed(), _read(base.card(model_name))
    if card is not None:
        ref = base.repo(card.hf_path).ref(own_ref(model_name))
        freed += fs.remove_file(base.path, ref)
        for folder in (ref.parent, ref.parent.parent):
            freed += fs.remove_empty_folder(base.path, folder)
    return freed + fs.remove_file(base.path, base.card(model_name))


def _hold(base: Base, card: Card) -> None:
    repo = base.repo(card.hf_path)
    if card.arriving_from is None and is_folder(repo.snapshot(card.commit_hash)):
        snapshot.set_refs(repo, {own_ref(card.model_name): card.commit_hash}, overwrite=True)


def read_all(base: Base) -> list[Card]:
    """Return the cards of a base, by name; one that cannot be understood is left out, see `strange`."""
    return [card for card in _look(base).values() if card is not None]


def strange(base: Base) -> list[Path]:
    """Return the files among the cards of a base that cannot be understood, by name."""
    return [path for path, card in _look(base).items() if card is None]


def _look(base: Base) -> dict[Path, Card | None]:
    return {path: _read(path) for path in sorted(base.cards.glob("*.json"))}


def _read(path: Path) -> Card | None:
    """Return a card that is called as its model is; anything else is another's, or meant to harm."""
    try:
        card = _parse(read_small_json(path, LIST_BYTES))
    except (OSError, BadInput):
        return None
    return card if path.stem == card.model_name else None


def _parse(value: object) -> Card:
    said = object_of(value, *_KEYS)
    came_from = said["arriving_from"]
    return Card(
        model_name=ModelName(said["model_name"]),
        hf_path=RepoId(said["hf_path"]),
        revision=RefName(said["revision"]),
        commit_hash=CommitHash(said["commit_hash"]),
        allow_patterns=patterns_of(list_of(said["allow_patterns"], FilePattern)),
        pinned=flag_of(said["pinned"]),
        pin_reason=text_of(said["pin_reason"]),
        files=list_of(said["files"], file_entry),
        arriving_from=None if came_from is None else BasePath(came_from),
    )
