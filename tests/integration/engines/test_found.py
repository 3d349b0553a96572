"""What of each backend is found on a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.domain.backend_choice import FoundBackend
from modelshelf.domain.engine_wishes import EngineSettings
from modelshelf.engines.found import found_backends


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder on PATH, with nothing in it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str) -> Path:
    """Return a program that does nothing."""
    path = folder / name
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def found(name: str, settings: EngineSettings | None = None) -> FoundBackend:
    """Return what is found of a backend."""
    return next(one for one in found_backends(settings or EngineSettings()) if one.name == name)


def test_vllm_needs_a_gpu(bin_folder: Path) -> None:
    """vLLM on PATH is found, and can be used where the program of a GPU's driver is on PATH too."""
    vllm = program(bin_folder, "vllm")
    without = found("vllm")
    program(bin_folder, "nvidia-smi")

    assert without.program == (str(vllm),)
    assert without.why_not.startswith("It needs a GPU")
    assert (found("vllm").where, found("vllm").why_not) == (str(vllm), "")


def test_a_setting_names_the_program(bin_folder: Path) -> None:
    """The program that LLAMA_SERVER names is taken before whatever is installed, with its words."""
    server = program(bin_folder, "my-llama-server")

    named = found("llama", EngineSettings(llama_server=f"{server} --threads 2"))

    assert (named.program, named.why_not) == ((str(server), "--threads", "2"), "")


def test_a_setting_that_names_no_program_is_told(bin_folder: Path) -> None:
    """A program that isn't there is named with its setting, and nothing else is taken in its place."""
    lost = found("llama", EngineSettings(llama_server="/nowhere/llama-server"))

    assert (lost.program, lost.why_not) == ((), "LLAMA_SERVER names /nowhere/llama-server, which isn't a program.")


def test_looking_imports_no_engine(bin_folder: Path) -> None:
    """Looking for engines imports none of them."""
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from modelshelf.domain.engine_wishes import EngineSettings\n"
        "from modelshelf.engines.found import found_backends\n"
        "found_backends(EngineSettings())\n"
        "print(sorted({'torch', 'transformers', 'xllamacpp', 'vllm', 'openai'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
