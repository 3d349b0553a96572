"""How the variables of other tools work together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath

import pytest

from modelshelf.domain.doctor_report import Severity
from modelshelf.domain.tool_conflicts import conflicts
from modelshelf.domain.tool_environment import hf_home, hub_cache, is_offline, places, token_path
from tests.world import Home

HOME = {"HOME": "/home/me"}
BASE = "/home/me/.cache/huggingface"


def _is_same(path: str, other: str) -> bool:
    return PurePosixPath(path) == PurePosixPath(other)


def said(environ: Mapping[str, str], base: str = BASE) -> list[tuple[str, str, str]]:
    """Return severity, detail and command of each conflict."""
    return [(d.severity.value, d.detail, d.command) for d in conflicts({**HOME, **environ}, base, _is_same)]


def test_nothing_set_is_nothing_wrong() -> None:
    """Without variables there is no conflict."""
    assert said({}) == []
    assert said({"LLAMA_CACHE": "", "OLLAMA_MODELS": ""}) == []
    assert said({"HF_HOME": "/data/hf", "HF_HUB_CACHE": "/data/hf/hub/"}, "/data/hf") == []


@pytest.mark.parametrize(
    ("environ", "severity", "words", "command"),
    [
        ({"HF_HOME": ""}, "error", "HF_HOME is set but empty", "unset HF_HOME"),
        ({"HF_HUB_CACHE": " "}, "error", "HF_HUB_CACHE is set but empty", "unset HF_HUB_CACHE"),
        ({"HF_XET_CACHE": ""}, "error", "HF_XET_CACHE is set but empty", "unset HF_XET_CACHE"),
        ({"HF_XET_CACHE": "~/xet"}, "error", "doesn't expand ~", 'export HF_XET_CACHE="$HOME/xet"'),
        ({"HF_HOME": f"{BASE}/hub"}, "error", "ends in hub", f"export HF_HOME={BASE}"),
        ({"HF_HOME": "models"}, "warning", "is relative", "export HF_HOME=/the/whole/path"),
        ({"HF_HOME": BASE, "HF_HUB_CACHE": "/d"}, "warning", "beats HF_HOME", "unset HF_HUB_CACHE"),
        ({"HUGGINGFACE_HUB_CACHE": "/d"}, "warning", "an old name", "export HF_HUB_CACHE=/d"),
        ({"HF_HUB_OFFLINE": "1"}, "warning", "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"),
        ({"TRANSFORMERS_OFFLINE": "yes"}, "warning", "TRANSFORMERS_OFFLINE is set", "unset TRANSFORMERS_OFFLINE"),
        ({"TRANSFORMERS_CACHE": "/x"}, "warning", "transformers before version 5", "unset TRANSFORMERS_CACHE"),
        ({"HF_HOME": "/other"}, "info", "not to the primary base", f"export HF_HOME={BASE}"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_each_fight_is_named_with_its_end(environ: dict[str, str], severity: str, words: str, command: str) -> None:
    """Each conflict has a severity, a sentence and the command that ends it."""
    found = [item for item in said(environ) if words in item[1]]

    assert [(item[0], command in item[2]) for item in found] == [(severity, True)]


@pytest.mark.parametrize("text", ["0", "", "false"])
def test_offline_that_says_no_is_no(text: str) -> None:
    """An offline variable is on for 1, on, yes and true, as in huggingface_hub."""
    assert is_offline({"HF_HUB_OFFLINE": text}) == ""


def test_every_tool_has_its_place() -> None:
    """Hugging Face tools and llama.cpp share one folder; Ollama and LM Studio have their own."""
    found = {place.tool: (place.path, place.why) for place in places(HOME | {"HF_HOME": "~/hf", "LLAMA_CACHE": "/l"})}

    assert found == {
        "hf": ("/home/me/hf/hub", "HF_HOME"),
        "transformers": ("/home/me/hf/hub", "HF_HOME"),
        "vLLM": ("/home/me/hf/hub", "HF_HOME"),
        "llama.cpp": ("/l", "LLAMA_CACHE"),
        "Ollama": ("/home/me/.ollama/models", "its default"),
        "LM Studio": ("/home/me/.lmstudio/models", "its default"),
    }


ASK = """
import json
from huggingface_hub import constants
print(json.dumps([constants.HF_HUB_CACHE, constants.HF_HOME, constants.HF_TOKEN_PATH]))
"""


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"HF_HOME": "~/hf"},
        {"HF_HOME": ""},
        {"HF_HOME": "$HOME/x/hub"},
        {"HF_HOME": "/a", "HF_HUB_CACHE": "~/b"},
        {"HUGGINGFACE_HUB_CACHE": "/c", "HF_HOME": "/a"},
        {"HF_HUB_CACHE": ""},
        {"XDG_CACHE_HOME": "/xdg"},
        {"HF_TOKEN_PATH": "~/t"},
        {"HF_HOME": "relative/base"},
    ],
    ids=str,
)
def test_the_real_library_looks_where_we_say(home: Home, more: dict[str, str]) -> None:
    """huggingface_hub itself, started with these variables, uses the folders that are predicted."""
    environ = {"HOME": home.environ()["HOME"], **more}

    theirs = json.loads(home.python(ASK, **more).checked().out)

    assert [hub_cache(environ)[0], hf_home(environ)[0], token_path(environ)] == theirs


def test_the_worst_comes_first() -> None:
    """Conflicts are listed by severity, the worst first."""
    assert [severity.value for severity in Severity] == ["error", "warning", "info", "ok"]
