"""The real huggingface_hub in child processes."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.forked import EARLY
from tests.world import start_module


@dataclass
class StockClient:
    """The real huggingface_hub with its own cache, and with the hub at `url`."""

    base: Path
    url: str
    token: str = ""

    @property
    def env(self) -> dict[str, str]:
        """Its environment, without ours."""
        return EARLY | {
            "HOME": str(self.base.parent),
            "HF_HOME": str(self.base),
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def hf(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the `hf` command and return its output."""
        return self._run("huggingface_hub.cli.hf", *words)

    def run(self, code: str) -> str:
        """Run Python code and return the last line of its output."""
        done = self._run("-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1]

    def _run(self, module: str, *words: str) -> subprocess.CompletedProcess[str]:
        process = start_module(module, words, Path.cwd(), self.env)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess([module, *words], process.wait(), out, err)

    def snapshot(self, repo_id: str, commit: str) -> Path:
        """Return a commit's folder in its cache."""
        return self.base / "hub" / ("models--" + repo_id.replace("/", "--")) / "snapshots" / commit

    def files(self, repo_id: str, commit: str) -> dict[str, bytes]:
        """Return the files of a snapshot in its cache."""
        root = self.snapshot(repo_id, commit)
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
