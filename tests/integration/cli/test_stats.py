"""`shelf stats`: what models were asked, summed up for a person."""

from __future__ import annotations

from modelshelf.domain.uses import Use
from tests.world import Home


def test_what_was_asked_is_a_line_for_each_model(home: Home) -> None:
    """Each model has its requests, errors, tokens and times; `--since` counts the later ones, and a name one model."""
    with home.open() as shelf:
        now_s = shelf.services.clock.now()
        fast = Use("smol", "chat/completions", now_s, 1.0, 200, engine="llama", cache_location="primary")
        told = {"prompt_tokens": 31, "completion_tokens": 8, "first_token_s": 0.25, "tokens_per_s": 46.2}
        uses = [fast, Use("smol", "chat/completions", now_s - 7200, 2.0, 503, "engine-failed", "llama", **told)]
        shelf.services.registry.add_uses([*uses, Use("nope", "embeddings", now_s, 0.1, 404, "not-found")])

    everything, lately = home.run("stats").checked().out, home.run("stats", "smol", "--since", "1h").checked().out

    header, none, smol = everything.splitlines()
    assert header.split("  ")[0] == "MODEL"
    assert none.split("  ")[0] == "(none of the library)"
    assert smol.split() == "smol 2 1 31 8 0.25 s 0.25 s 46.2 just now".split()
    assert lately.splitlines()[1].split() == "smol 1 0 0 just now".split()


def test_nothing_asked_says_how_to_ask(home: Home) -> None:
    """Without a request there is a sentence instead of a table; a name that nobody knows is an error."""
    with home.open():
        pass

    assert "shelf serve" in home.run("stats").checked().err
    assert home.run("stats", "--since", "1h").checked().err.startswith("No model was asked since 1h.")
    refused = home.run("stats", "nope")
    assert (refused.code, "There is no model nope." in refused.err) == (4, True)
