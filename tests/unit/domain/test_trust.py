"""Who may run code by being loaded."""

from __future__ import annotations

import pytest

from modelshelf.domain.engine_choice import EngineChoice
from modelshelf.domain.model_config import config_of
from modelshelf.domain.model_facts import Found, ModelFacts, judge
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import Digest, FilePath
from modelshelf.domain.trust import check_trust
from modelshelf.errors import BadInput

TRUSTED, ALLOWED = EngineChoice(trust_remote_code=True), EngineChoice(allow_pickle=True)
NOTHING = EngineChoice()


def facts_of(*names: str, auto_map: bool = False) -> ModelFacts:
    """Return what a model with these files is."""
    said = {"auto_map": {"AutoModelForCausalLM": "modeling.Mine"}} if auto_map else {}
    files = [FileEntry(FilePath(name), 1, Digest("a" * 64)) for name in names]
    return judge(Found(files, config=config_of(said)))


CODE, PICKLE = facts_of("model.safetensors", auto_map=True), facts_of("pytorch_model.bin")
BOTH = facts_of("pytorch_model.bin", "model.safetensors")
TORCH, LLAMA = {"safetensors", "PyTorch"}, {"GGUF"}


def check(facts: ModelFacts, choice: EngineChoice, takes: set[str], *, allow: bool = True) -> None:
    """Check a model called `mine`."""
    check_trust("mine", facts, choice, takes=takes, runs_code=takes == TORCH, allow_remote_code=allow)


@pytest.mark.parametrize(
    ("facts", "choice", "takes"),
    [(CODE, TRUSTED, TORCH), (CODE, NOTHING, LLAMA), (PICKLE, ALLOWED, TORCH), (BOTH, NOTHING, TORCH)],
    ids=["trusted", "nobody-runs-it", "allowed", "something-safer-beside"],
)
def test_what_is_trusted_is_loaded(facts: ModelFacts, choice: EngineChoice, takes: set[str]) -> None:
    """Trusted code, and code that nothing would run, is let through; so are pickles that are allowed, or not loaded."""
    check(facts, choice, takes)


@pytest.mark.parametrize(
    ("choice", "allow", "lacks"),
    [
        (NOTHING, False, "lacks its own flag and ALLOW_REMOTE_CODE=1"),
        (TRUSTED, False, "lacks ALLOW_REMOTE_CODE=1"),
        (NOTHING, True, "lacks its own flag"),
        (ALLOWED, True, "lacks its own flag"),
    ],
)
def test_code_needs_both(choice: EngineChoice, allow: bool, lacks: str) -> None:
    """A model that brings code needs its own flag and that of the library; the refusal names both."""
    with pytest.raises(BadInput, match=f"needs its own flag and ALLOW_REMOTE_CODE=1, and {lacks}\\.") as caught:
        check(CODE, choice, TORCH, allow=allow)

    assert "shelf engines mine --trust-remote-code, and ALLOW_REMOTE_CODE=1" in caught.value.hint


def test_pickles_need_a_flag_of_their_own() -> None:
    """Weights that are pickles aren't loaded because code is trusted."""
    with pytest.raises(BadInput, match="The weights of mine are Python pickles"):
        check(PICKLE, TRUSTED, TORCH)
