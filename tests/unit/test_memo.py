"""Answers of the hub that are kept for a while."""

from __future__ import annotations

import traceback

import pytest

from modelshelf.errors import NotFound
from modelshelf.services.mirror.memo import Memo


def test_a_refusal_does_not_grow_with_those_who_hear_it() -> None:
    """A kept refusal is raised for every caller, and holds nothing of those before."""
    memo: Memo[int] = Memo(60.0, 10)
    lengths = set()

    def refuse() -> int:
        raise NotFound("There is no such repository.", hf_path="a/b")

    for _ in range(5):
        with pytest.raises(NotFound) as refused:
            memo.get("a/b", refuse)
        lengths.add(len(traceback.extract_tb(refused.value.__traceback__)))

    assert max(lengths) - min(lengths) <= 1
