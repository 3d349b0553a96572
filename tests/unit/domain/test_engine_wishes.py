"""What a person wants of engines."""

from __future__ import annotations

import pytest

from modelshelf.domain.engine_wishes import EngineSettings, EngineWish, parse_wishes
from modelshelf.errors import BadInput


def test_each_model_has_its_wish() -> None:
    """Wishes stand behind the names of models, with semicolons between them; a model without one wants nothing."""
    wishes = parse_wishes(" a=llama --threads=2 --n-gpu-layers=0 ; b=url https://host/sub/v1/; ")
    settings = EngineSettings(wishes=wishes)

    assert settings.wish_for("a") == EngineWish("llama", ("--threads=2", "--n-gpu-layers=0"))
    assert settings.wish_for("b") == EngineWish("url", (), "https://host/sub", "")
    assert settings.wish_for("c") == EngineWish()
    assert [settings.wish_for(name).text for name in "abc"] == [
        "llama --threads=2 --n-gpu-layers=0",
        "url https://host/sub",
        "",
    ]


@pytest.mark.parametrize(
    "text",
    ["a", "a=", "../a=llama", "a=ollama", "a=llama --api-key=x", "a=url", "a=url file:///etc", "a=url http://h b c"],
)
def test_what_is_no_wish_is_refused(text: str) -> None:
    """A name, an engine, an argument or an address that can't be meant is refused."""
    with pytest.raises(BadInput):
        parse_wishes(text)
