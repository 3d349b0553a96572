"""The figures in an engine's answer, and the times that people mean."""

from __future__ import annotations

import json

import pytest

from modelshelf.domain.uses import Figures, figures_in, parse_since
from modelshelf.errors import BadInput

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}', Figures(3, 5)),
        (b'{"usage": {"input_tokens": 3, "output_tokens": 5}}', Figures(3, 5)),
        (b'{"object":"list","usage":{"prompt_tokens":2,"total_tokens":2},"data":[', Figures(2)),
        (
            b'data: {"timings":{"cache_n":10,"prompt_n":4,"predicted_n":7,"predicted_per_second":48.5}}',
            Figures(14, 7, 48.5),
        ),
        (b'{"timings":{"prompt_n":4,"predicted_n":0,"predicted_per_second":0.0}}', Figures(4, 0)),
        (b'data: {"usage":null}\n\ndata: {"usage":{"prompt_tokens":1,"completion_tokens":2}}', Figures(1, 2)),
        (b"data: [DONE]", Figures()),
        (b"", Figures()),
    ],
    ids=["OpenAI", "responses", "embeddings", "llama.cpp", "no tokens", "the last event", "none", "nothing"],
)
def test_the_figures_of_an_answer_are_found(said: bytes, found: Figures) -> None:
    """What an engine counted is read in its own words; what it doesn't say isn't known."""
    assert figures_in(said) == found


def test_a_text_about_figures_has_none() -> None:
    """What a model writes about tokens isn't taken for its count of them, wherever the answer was cut."""
    text = json.dumps({"content": '{"prompt_tokens": 9, "timings": {"predicted_n": 9}}'}).encode()

    assert {figures_in(text[cut:]) for cut in range(len(text))} == {Figures()}


@pytest.mark.parametrize(
    ("text", "meant_s"),
    [
        ("7d", NOW_S - 7 * 86400),
        ("90s", NOW_S - 90),
        ("2027-01-15T08:00:00Z", NOW_S),
        ("2027-01-15 09:00+01:00", NOW_S),
        ("2027-01-15", NOW_S - 8 * 3600),
        ("36500d", 0),
        ("0001-01-01T00:00:00Z", 0),
    ],
)
def test_a_time_is_a_duration_or_a_date(text: str, meant_s: float) -> None:
    """A duration counts back from now, a time without a zone is in UTC, and nothing is before 1970."""
    assert parse_since(text, NOW_S) == meant_s


@pytest.mark.parametrize("text", ["", "yesterday", "-7d", "2027-13-01", "9999999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Another text is refused with what would be one."""
    with pytest.raises(BadInput, match="isn't a time") as caught:
        parse_since(text, NOW_S)
    assert "7d" in caught.value.hint
