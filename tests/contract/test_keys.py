"""API keys on every database."""

from __future__ import annotations

from modelshelf.domain.keys import Scope
from modelshelf.registry.registry import Registry

READ, INFER = frozenset({Scope.READ}), frozenset({Scope.INFER})


def test_a_key_is_found_by_its_digest_until_it_is_revoked(registry: Registry) -> None:
    """A key is listed with its name and scopes; revoking it twice returns False."""
    assert registry.keys.add("laptop", "aa", READ)
    assert registry.keys.add("phone", "bb", READ | INFER)

    assert [(digest, key.name, key.scopes) for digest, key in registry.keys.all().items()] == [
        ("aa", "laptop", READ),
        ("bb", "phone", READ | INFER),
    ]
    assert registry.keys.revoke("laptop")
    assert not registry.keys.revoke("laptop")
    assert list(registry.keys.all()) == ["bb"]


def test_a_name_is_given_once(registry: Registry) -> None:
    """A second key of the same name isn't added, and the first stays."""
    registry.keys.add("laptop", "aa", READ)

    assert not registry.keys.add("laptop", "bb", INFER)
    assert list(registry.keys.all()) == ["aa"]


def test_a_key_knows_when_it_was_used(registry: Registry) -> None:
    """The last use is by the database's clock; a key that wasn't used has none."""
    registry.keys.add("laptop", "aa", READ)
    registry.keys.add("phone", "bb", READ)
    registry.keys.used(["aa", "unknown"])

    laptop, phone = registry.keys.all().values()
    assert laptop.last_used_at is not None
    assert laptop.last_used_at >= laptop.created_at
    assert phone.last_used_at is None
