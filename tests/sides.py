"""A user on the host and one in a container, without a container: real processes in namespaces of their own.

The inside sees the same folders at other paths, in a process namespace where it is pid 1, under another user and
umask. All of it needs root, once, to mount and to become somebody else.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import modelshelf
from tests.world import ROOT, Child, Home, Result

_NEEDED = sorted({Path(p).resolve() for p in (sys.prefix, sys.base_prefix, Path(modelshelf.__file__).parents[1], ROOT)})
"""What an ordinary user has to read to run `shelf`; it may lie in root's home."""


def needs_namespaces() -> None:
    """Skip a test where namespaces and mounts are not to be had."""
    if os.geteuid() != 0:
        pytest.skip("another user and a mount namespace need root")
    done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"], capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"namespaces cannot be made here: {done.stderr.decode().strip()}")


@dataclass
class Side:
    """Who uses the library, and how the world looks from there."""

    home: Home
    name: str
    uid: int
    gid: int
    umask: int = 0o022
    groups: tuple[int, ...] = ()
    mounts: dict[Path, Path] = field(default_factory=dict)
    """Folders of the host and where this side has them; a side with any is a container."""
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make what a login has, and the points to mount at."""
        for name in ("home", "state"):
            folder = self.home.root / self.name / name
            folder.mkdir(parents=True)
            os.chown(folder, self.uid, self.gid)
        for point in self.mounts.values():
            point.mkdir(parents=True, exist_ok=True)

    def path(self, outside: Path) -> Path:
        """Return what this side calls a folder of the host."""
        for source, point in self.mounts.items():
            if outside == source or source in outside.parents:
                return point / outside.relative_to(source)
        return outside

    def environ(self) -> dict[str, str]:
        """Return its settings."""
        here = self.home.root / self.name
        bases = {
            "PRIMARY_CACHE_PATH": str(self.path(self.home.primary)),
            "SECONDARY_CACHE_PATH": str(self.path(self.home.secondary)),
        }
        login = {"HOME": str(here / "home"), "XDG_STATE_HOME": str(here / "state"), "PYTHONDONTWRITEBYTECODE": "1"}
        return login | bases | self.settings

    def start(self, *words: str) -> Child:
        """Start `shelf` on this side."""
        return self.start_program(sys.executable, "-m", "modelshelf", *words)

    def run(self, *words: str) -> Result:
        """Run `shelf` on this side to its end."""
        return self.start(*words).finish()

    def python(self, code: str, *words: str) -> Result:
        """Run Python code on this side to its end."""
        return self.start_program(sys.executable, "-c", code, *words).finish()

    def start_program(self, *command: str) -> Child:
        """Start any program on this side."""
        apart = ["unshare", "--mount"]
        if self.mounts:
            apart += ["--pid", "--fork", "--kill-child", "--mount-proc"]
        return self.home.start_program(*apart, "sh", "-ec", self._script(), "sh", *command, **self.environ())

    def _script(self) -> str:
        """Return the shell lines that mount, and then become the user."""
        lines = [f"mount --bind {_q(source)} {_q(point)}" for source, point in self.mounts.items()]
        if self.uid != 0:
            lines = [*_let_in(self.home.root / self.name / "stash"), *lines]
        groups = f"--groups={','.join(map(str, self.groups))}" if self.groups else "--clear-groups"
        become = f"setpriv --reuid={self.uid} --regid={self.gid} {groups}" if self.uid != 0 else ""
        return "\n".join([*lines, f"umask {self.umask:03o}", f'exec {become} "$@"'])


def _let_in(stash: Path) -> list[str]:
    """Return the lines that let everybody reach the interpreter, where a folder above it is root's alone."""
    hidden: dict[Path, list[Path]] = {}
    for needed in _NEEDED:
        shut = [folder for folder in needed.parents if not folder.stat().st_mode & 0o001]
        if shut:
            hidden.setdefault(shut[-1], []).append(needed)
    lines: list[str] = []
    for number, needed in enumerate(path for paths in hidden.values() for path in paths):
        lines += [f"mkdir -p {_q(stash)}/{number}", f"mount --rbind {_q(needed)} {_q(stash)}/{number}"]
    lines += [f"mount -t tmpfs -o mode=755 tmpfs {_q(folder)}" for folder in hidden]
    for number, needed in enumerate(path for paths in hidden.values() for path in paths):
        lines += [f"mkdir -p {_q(needed)}", f"mount --rbind {_q(stash)}/{number} {_q(needed)}"]
    return lines


def _q(path: Path) -> str:
    return shlex.quote(str(path))


def bases_of(home: Home, uid: int, gid: int, mode: int = 0o755) -> None:
    """Make the bases of a home, for a user."""
    for base in (home.primary, home.secondary, home.custom):
        base.mkdir()
        os.chown(base, uid, gid)
        base.chmod(mode)
