"""Each command goes through an interpreter of its own once, and says in a fork what it says there."""

from __future__ import annotations

import re
from pathlib import Path

from modelshelf.cli.main import _GROUPS
from tests.fakes.hub import FakeHub
from tests.world import Home, Result

COMMANDS = [
    line.split()
    for line in """
    init --no-speed; tiers; add a org/a; add b org/b --no-download; pull b; search a; files org/a; fit org/a;
    ls; ls --json; show a; path a; env a; run a -- cat {path}/config.json; load nobody; warm a; unload a;
    chat a; ps; stats; engines; logs a; update a; pin a; rm a; unpin a; rename a aa; lease aa --ttl 60; lease;
    move b secondary; move b primary; view; view folder VIEWS; verify; adopt /nowhere; forget /nowhere;
    status; config; doctor; gc; clean; dedupe; reconcile; jobs; cancel 1; key add k;
    install-service --dry-run; serve --host nowhere; rm b --files
    """.replace("\n", " ").split(";")
]


_OWN = re.compile(r"hf_\w+|[0-9a-f]{8,}|just now|\d+(\.\d+)?( ([kMG]?B|min|s|h)\b)?( ago)?")
"""What is another one in each run: keys, commits, numbers."""
_TOLD = ("error", "hint", "note", "warning", "usage", "Usage")
"""How a line begins that isn't progress; how far a job gets between two looks depends on the machine."""


def said(home: Home, done: Result) -> tuple[int, str]:
    """Return the exit code of a command and what it said, but for progress and what is another one in each run."""
    told = "\n".join(line for line in done.err.splitlines() if line.startswith(_TOLD))
    words = _OWN.sub("0", f"{done.out} / {told}".replace(str(home.root), "ROOT"))
    return done.code, re.sub(r"\s+", " ", words).replace("0 0", "0")


def test_every_command_says_the_same_in_a_fork(hub: FakeHub, tmp_path: Path) -> None:
    """All commands, one after the other, end with the same code and the same words in both."""
    hub.add_repo("org/a", {"config.json": b"{}", "model.safetensors": bytes(10**6)})
    hub.add_repo("org/b", {"config.json": b"{}", "model.safetensors": b"b"})
    real, fork = Home(tmp_path / "real", hub.url), Home(tmp_path / "fork", hub.url)

    for words in COMMANDS:
        ours = said(real, real.start_interpreted(*words).finish())
        assert said(fork, fork.run(*words)) == ours, words

    assert {words[0] for words in COMMANDS} == {name for names in _GROUPS.values() for name in names}
