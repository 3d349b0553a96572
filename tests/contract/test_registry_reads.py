"""What other programs read, in both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelshelf.domain.models import ModelRow, Registration
from modelshelf.domain.names import ModelName, RepoId
from modelshelf.domain.reads import USED, Verdict
from modelshelf.domain.users import User
from modelshelf.domain.uses import Use, UseFilter
from modelshelf.registry.registry import Registry

AT = 1_800_000_000.0


def add(registry: Registry, name: str) -> ModelRow:
    """Register a model."""
    wanted = Registration(ModelName(name), RepoId(f"org/{name}"), "primary")
    return registry.add_model(wanted, "/mnt/fast")


def test_a_use_by_another_program_is_noted(registry: Registry) -> None:
    """A reading that was a use is a row of the ledger and the model's last use; the reading is judged once."""
    smol, other = add(registry, "smol"), add(registry, "other")

    used, backup = Verdict(AT, AT, USED), Verdict(None, AT + 5, "a backup")

    registry.reads.note({smol.id: used, other.id: backup, 4711: used})

    found, backed_up = registry.model("smol"), registry.model("other")
    assert found is not None
    assert backed_up is not None
    assert (found.last_used_at, found.last_used_by, found.uses) == (AT, User.OTHER, 0)
    assert (backed_up.last_used_at, backed_up.last_used_by) == (None, User.NOBODY)
    assert registry.reads.judged() == {smol.id: AT, other.id: AT + 5}
    assert registry.uses_at(replace(smol, arrived_at=0.0)) == [AT]
    assert [(use.kind, use.at, use.status) for use in registry.uses(UseFilter())] == [("read", AT, None)]


def test_the_later_use_says_whose_it_was(registry: Registry) -> None:
    """A later use through shelf takes the place of one by another program, and an older reading doesn't come back."""
    smol = add(registry, "smol")
    registry.reads.note({smol.id: Verdict(AT, AT, USED)})

    registry.add_uses([Use("smol", "chat/completions", AT + 10, 1.0, 200, engine="llama")])
    registry.reads.note({smol.id: Verdict(AT + 5, AT + 5, USED)})

    row = registry.model("smol")
    assert row is not None
    assert (row.last_used_at, row.last_used_by, row.uses) == (AT + 11, User.SHELF, 1)
    registry.add_use(smol.id, "load", 1.0)
    assert [row.last_used_by for row in registry.models()] == [User.SHELF]


@pytest.mark.parametrize(("at", "is_ours"), [(AT - 100, True), (AT + 100, True), (AT + 500, False), (AT - 500, False)])
def test_a_reading_beside_a_use_of_ours_is_ours(registry: Registry, at: float, is_ours: bool) -> None:
    """What is read while a model is used through shelf, and a minute around that, is shelf's; other readings aren't."""
    smol = add(registry, "smol")
    registry.add_uses([Use("smol", "engine", AT, 120.0, 200, engine="llama")])
    registry.reads.note({smol.id: Verdict(at, at, USED)})

    spans = registry.reads.own_uses([smol.id], at)

    assert bool(spans) == is_ours
    assert all(start <= at <= end for start, end in spans)


def test_a_removed_model_leaves_no_reading(registry: Registry) -> None:
    """What was judged of a model goes with it; noting nothing does nothing."""
    smol = add(registry, "smol")
    registry.reads.note({smol.id: Verdict(None, AT, "a backup")})

    registry.delete_model(smol.id)
    registry.reads.note({})

    assert registry.reads.judged() == {}
