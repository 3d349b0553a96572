"""Other tools' models become models of the library without a second byte, and their folders stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import put
from tests.invariants import violations
from tests.store.adopt.test_git_clone import WEIGHTS, clone
from tests.store.adopt.test_tool_folders import GGUF, TENSORS
from tests.world import Home, tree


def of_git(folder: Path) -> None:
    """Write a clone."""
    clone(folder)


def of_comfyui(folder: Path) -> None:
    """Write two models of a ComfyUI."""
    put(folder / "models" / "checkpoints" / "sdxl.safetensors", TENSORS)
    put(folder / "models" / "loras" / "ink.gguf", GGUF)


def of_modelscope(folder: Path) -> None:
    """Write a model of ModelScope."""
    put(folder / "models" / "Qwen" / "Qwen2___5" / ".mdl", b"x")
    put(folder / "models" / "Qwen" / "Qwen2___5" / "model.safetensors", TENSORS)


@pytest.mark.parametrize(
    ("write", "repos", "weights"),
    [
        pytest.param(of_git, {"TheOrg/Tiny"}, WEIGHTS, id="git clone"),
        pytest.param(of_comfyui, {"comfyui/checkpoints.sdxl", "comfyui/loras.ink"}, TENSORS, id="ComfyUI"),
        pytest.param(of_modelscope, {"Qwen/Qwen2.5"}, TENSORS, id="ModelScope"),
    ],
)
def test_a_tools_models_are_linked_into_the_tier(
    tmp_path: Path, home: Home, write: Callable[[Path], None], repos: set[str], weights: bytes
) -> None:
    """Each model is registered with its bytes, the tool's folder is as before, and a second run changes nothing."""
    folder = tmp_path / "tool"
    write(folder)
    before = tree(folder)

    with home.open() as shelf:
        report = shelf.adopt(folder, "move")
        again = shelf.adopt(folder, "move")
        models = shelf.models()

        assert {model.hf_path for model in models} == repos
        assert sorted(report["registered"]) == sorted(model.model_name for model in models)
        assert weights in [data for model in models for data in tree(Path(model.path or "")).values()]
        assert {model["action"] for model in again["models"]} == {"none"}
        assert tree(folder) == before
        assert violations(shelf, at_rest=False) == []
