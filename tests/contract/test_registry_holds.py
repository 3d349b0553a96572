"""Leases and verified blobs on every database."""

from __future__ import annotations

import pytest

from modelshelf.domain.models import ModelRow, Registration
from modelshelf.domain.names import Digest
from modelshelf.registry.registry import Registry

A, B, C = (Digest(letter * 64) for letter in "abc")


@pytest.fixture
def row(registry: Registry) -> ModelRow:
    """A registered model."""
    return registry.add_model(Registration("qwen", "Qwen/Qwen2.5-3B", "primary"), "/mnt/fast")


def take(registry: Registry, row: ModelRow, ttl_s: float, owner: str = "me") -> int:
    """Take a lease."""
    taken = registry.leases.take(row.id, "/mnt/fast", kind="load", holder="python", owner=owner, ttl_s=ttl_s)
    assert taken is not None
    return taken


def test_a_lease_is_seen_until_it_is_given_back(registry: Registry, row: ModelRow) -> None:
    """A lease is listed with its owner until it is released; releasing it twice returns False."""
    lease_id = take(registry, row, 60)
    [lease] = registry.leases.all()

    assert (lease.id, lease.model_name, lease.cache_path, lease.owner) == (lease_id, "qwen", "/mnt/fast", "me")
    assert not lease.expired
    assert registry.leases.release(lease_id)
    assert not registry.leases.release(lease_id)
    assert registry.leases.all() == []


def test_a_lease_expires_unless_it_is_renewed(registry: Registry, row: ModelRow) -> None:
    """A lease expires by the database's clock unless it is renewed."""
    lease_id = take(registry, row, -1)
    assert [lease.expired for lease in registry.leases.all()] == [True]

    registry.leases.renew(lease_id, 60)

    assert [lease.expired for lease in registry.leases.all()] == [False]


def test_leases_go_with_their_owner_and_with_their_model(registry: Registry, row: ModelRow) -> None:
    """Leases are deleted with their owner and with their model; others stay."""
    take(registry, row, 60, "dead")
    take(registry, row, 60, "you")

    registry.give_up_owner("dead")
    assert [lease.owner for lease in registry.leases.all()] == ["you"]
    registry.delete_model(row.id)
    assert registry.leases.all() == []


def test_a_verified_blob_is_remembered_with_its_stamp(registry: Registry) -> None:
    """A verified blob is stored per tier with its stamp; a later one replaces it, and an empty list stores nothing."""
    registry.verified.add("t1", {A: "1:1", B: "2:2"})
    registry.verified.add("t1", {A: "3:3"})
    registry.verified.add("t2", {A: "4:4"})
    registry.verified.add("t1", {})

    assert registry.verified.of_tier("t1") == {A: "3:3", B: "2:2"}
    assert registry.verified.of_tier("t2") == {A: "4:4"}


def test_a_check_can_be_forgotten(registry: Registry) -> None:
    """A deleted blob's record can be forgotten; forgetting an unknown one raises nothing."""
    registry.verified.add("t1", {A: "1:1", B: "2:2"})

    registry.verified.forget("t1", [B, C])

    assert registry.verified.of_tier("t1") == {A: "1:1"}


def test_a_blob_is_good_or_damaged_never_both(registry: Registry) -> None:
    """A blob is good or damaged by its last verification; on another tier the digest is another blob."""
    registry.verified.add("t1", {A: "1:1", B: "2:2"})
    registry.verified.add_damage("t1", {A: "1:1", C: "3:3"})
    registry.verified.add_damage("t2", {B: "2:2"})
    registry.verified.add_damage("t2", {})
    registry.verified.add("t1", {C: "3:4"})

    assert registry.verified.of_tier("t1") == {B: "2:2", C: "3:4"}
    assert registry.damage() == {("t1", A): "1:1", ("t2", B): "2:2"}

    registry.verified.forget("t1", [A])

    assert registry.damage() == {("t2", B): "2:2"}
