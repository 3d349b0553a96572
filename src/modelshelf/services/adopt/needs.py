"""What adopting needs on the target: bytes and entries."""

from __future__ import annotations

from pathlib import Path

from modelshelf.domain.adopt import Act, AdoptMode, AdoptPlan
from modelshelf.domain.adopt_inventory import Origin
from modelshelf.domain.file_system_limits import BESIDE_ENTRIES, entries_of
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan


def size_bytes(plan: AdoptPlan) -> int:
    """Return how many bytes the target lacks."""
    if plan.order.is_home:  # what moves into hub/ from beside it is on the target already
        return 0
    target = Base(Path(plan.order.target))
    need: dict[tuple[str, str], int] = {}
    for adoption in plan.of(Act.MOVE, Act.BRING):
        found = adoption.found
        for file in found.files:
            is_there = file.digest and scan.has_blob(target.repo(found.repo), file.digest, file.size_bytes)
            if not is_there:
                need[found.repo_id, file.digest or file.path] = file.size_bytes
    along = sum(other.thing.size_bytes for other in plan.others if other.act in ("move", "copy"))
    if plan.order.mode is AdoptMode.LINK:  # what isn't a model moves unchanged
        along += sum(adoption.found.size_bytes for adoption in plan.of(Act.STAY, Act.ALONG))
    return sum(need.values()) + along


def entries(plan: AdoptPlan) -> int:
    """Return the most entries (inodes) that adopting makes on the target's disk."""
    target, order = Base(Path(plan.order.target)), plan.order
    here = plan.models if order.is_home else plan.of(Act.MERGE)
    strays = sum(2 * len(adoption.found.files) for adoption in here if adoption.found.kind is Origin.STRAY)
    moving = [] if order.is_home else plan.of(Act.MOVE, Act.BRING)
    going = [Path(other.thing.path) for other in plan.others if other.act in ("move", "copy")]
    return (
        BESIDE_ENTRIES
        + sum(1 + len(adoption.found.lost) for adoption in plan.of(Act.REGISTER, Act.MOVE))
        + strays
        + sum(entries_of(a.found.files, scan.blob_sizes(target.repo(a.found.repo))) for a in moving)
        + (0 if order.is_home else sum(2 for path in going for _ in scan.walk_files(path)))
    )
