"""What a key may be called, and what it may be used for."""

from __future__ import annotations

import pytest

from modelshelf.domain.keys import EVERYTHING, ApiKey, Scope, parse_key_name, parse_scopes
from modelshelf.errors import BadInput


@pytest.mark.parametrize("text", ["", "-x", "x-", "a b", "a/b", "x" * 65, "é", "a\n"], ids=repr)
def test_what_cannot_be_a_name_is_refused(text: str) -> None:
    """A key's name is a short word; the error says of what."""
    with pytest.raises(BadInput, match="can't be the name of a key"):
        parse_key_name(text)


def test_a_scope_is_one_of_three_words() -> None:
    """An unknown scope, or none at all, is refused, and the error names the three."""
    for words, why in ((["read", "write"], "no scope 'write'"), ([], "needs a scope")):
        with pytest.raises(BadInput, match=why) as refused:
            parse_scopes(words)
        assert refused.value.hint == "Scopes are read, infer, manage."


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ({Scope.READ}, {Scope.READ}),
        ({Scope.INFER}, {Scope.INFER}),
        ({Scope.MANAGE}, EVERYTHING),
        (set(), set()),
    ],
    ids=["read", "infer", "manage", "nothing"],
)
def test_a_key_allows_what_it_is_for(scopes: set[Scope], allowed: set[Scope]) -> None:
    """Each scope allows itself, and `manage` everything."""
    key = ApiKey("laptop", frozenset(scopes), 0.0, None)

    assert {scope for scope in Scope if key.allows(scope)} == allowed
