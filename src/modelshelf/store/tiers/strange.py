"""Files in a base under our names that can't be understood: left out everywhere, and named by the doctor."""

from __future__ import annotations

import contextlib
from pathlib import Path

from modelshelf.domain.outside import object_of
from modelshelf.errors import BadInput
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_closed, is_there
from modelshelf.store.repos import scan
from modelshelf.store.small_files import LIST_BYTES, read_small_json
from modelshelf.store.tiers import marker
from modelshelf.store.tiers.seen import SeenBase


def find(base: Base, seen: SeenBase | None = None) -> list[Path]:
    """Return our files that can't be understood, and folders whose name isn't a repository's, by path.

    Unreadable files aren't included: they are another finding.

    Args:
        base: The base.
        seen: What was seen of it already.
    """
    found = [path for path in (base.capabilities, base.meter, base.links) if not _is_object(path)]
    if marker.read_id(base) is None:
        found.append(base.marker)
    seen = seen or SeenBase(base)
    with contextlib.suppress(OSError):  # a folder that can't be entered
        files = seen.sidecar_files
        found += [Path(path) for path, sidecar in files.items() if sidecar is None]
    found += [repo.path for repo in scan.strange_repos(base, seen.listing)]
    return sorted(path for path in found if is_there(path) and not is_closed(path))


def _is_object(path: Path) -> bool:
    try:
        object_of(read_small_json(path, LIST_BYTES))
    except PermissionError:
        return True
    except (OSError, BadInput):
        return False
    return True
