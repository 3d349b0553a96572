"""Settings that a person changes without an editor: names, texts, and what a change causes."""

from __future__ import annotations

import pytest

from modelshelf.domain.setting_changes import SettingName, SettingText, check, moved_base, parse_wanted, policy_effect
from modelshelf.errors import BadInput


def test_all_that_cannot_be_is_named_at_once() -> None:
    """Unknown names, several lines and variables are refused together, each by its name."""
    wanted = {"SHELF_API_KEY": "x", "LLAMA_SERVER": "/bin/sh", "PROMOTE": "never\nX=1", "on_full": "$HF_TOKEN"}

    with pytest.raises(BadInput) as caught:
        parse_wanted(wanted)

    problems = caught.value.fields["problems"]
    assert isinstance(problems, list)
    assert [problem["name"] for problem in problems] == list(wanted)


def test_names_are_taken_in_any_case_and_texts_without_blanks_around() -> None:
    """A name is upper case and a text stripped; an empty text takes the setting out."""
    assert parse_wanted({"promote": " never ", "MAX_MOVES": ""}) == {
        SettingName("PROMOTE"): SettingText("never"),
        SettingName("MAX_MOVES"): SettingText(""),
    }
    check([])


@pytest.mark.parametrize(
    ("location", "new", "models", "said"),
    [
        ("primary", "/b", 1, "1 model (3 GB) stays in /a; to take them in: shelf adopt /a --move. The registry"),
        ("primary", "/b", 0, "The registry in /a stays there"),
        ("secondary", "/b", 0, "No model is in /a."),
        ("secondary", "", 2, "2 models (3 GB) stay in /a. Until that is a tier again, they are offline."),
        ("secondary", "/b", 2, "2 models (3 GB) stay in /a. In /b they are missing"),
    ],
)
def test_a_base_that_is_left_says_what_becomes_of_its_models(location: str, new: str, models: int, said: str) -> None:
    """The sentence names the models, where they stay, and what to do."""
    assert moved_base(location, "/a", new, models, "3 GB").startswith(said)


def test_a_policy_says_what_it_does() -> None:
    """Each word of a policy has its sentence; an empty text means the default's."""
    assert policy_effect("ON_FULL", "refuse") == "A full primary refuses new models; nothing is moved away."
    assert policy_effect("ON_FULL", "") == policy_effect("ON_FULL", "demote")
