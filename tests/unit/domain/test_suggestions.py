"""Which model is meant by a name that no model has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.suggestions import names_meant

MANY = {f"model-{number:05}": f"org/repository-{number:05}" for number in range(0, 20_000, 7)}
"""More than are compared letter by letter."""


@given(st.sampled_from(sorted(MANY)), st.integers(min_value=0, max_value=10))
def test_a_slip_among_thousands_of_names_leads_to_the_name(name: str, at: int) -> None:
    """Of a name without one of its letters, however many names there are, the name itself comes among the first."""
    meant = names_meant(name[:at] + name[at + 1 :], MANY)

    assert name in meant or any(name[:at] + name[at + 1 :] in one for one in meant)


@pytest.mark.parametrize("asked", ["m0del-00007", "modle-00007", "model-000007", "Model-00007", "repository_00007"])
def test_a_usual_slip_leads_to_the_name_first(asked: str) -> None:
    """Another letter, two letters swapped, one too many, or another case: the first name is the right one."""
    assert names_meant(asked, MANY)[0] == "model-00007"


@pytest.mark.parametrize("asked", ["", "x", "é", "...", "llama-70b"])
def test_a_name_that_is_near_none_leads_to_none(asked: str) -> None:
    """What has nothing in common with any name suggests nothing."""
    assert names_meant(asked, MANY) == []
