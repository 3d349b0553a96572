"""A user on the host and one in a container, without a container: real processes in their own namespaces.

The container side sees the same folders at other paths, in a process namespace where it is pid 1, under another user
and umask. All of it needs root, once, to mount and to become another user.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import modelshelf
from modelshelf.domain.names import RepoId
from modelshelf.store import ownership
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.disks import escaping_links
from tests.fakes.hub import FakeHub
from tests.invariants import base_violations
from tests.world import MIB, ROOT, Child, Home, Result, random_bytes

USER = 4711
"""An ordinary user."""

A = {"config.json": b"{}", "model.safetensors": random_bytes(3 * MIB, seed=1), "sub/vocab.json": b"[]"}
B = {"config.json": b"{}", "model.safetensors": random_bytes(2 * MIB, seed=2)}
DIGESTS = """
import hashlib, pathlib, sys
folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.rglob("*")):
    if path.is_file():
        print(path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest())
"""
"""Prints each file below a folder with its digest."""
_NEEDED = sorted({Path(p).resolve() for p in (sys.prefix, sys.base_prefix, Path(modelshelf.__file__).parents[1], ROOT)})
"""What an ordinary user has to read to run `shelf`, which may be in root's home."""


def needs_namespaces() -> None:
    """Skip a test where namespaces and mounts aren't available."""
    if os.geteuid() != 0:
        pytest.skip("another user and a mount namespace need root")
    done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"], capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"namespaces cannot be made here: {done.stderr.decode().strip()}")


@dataclass
class Side:
    """A user of the library, and how the world looks from there."""

    home: Home
    name: str
    uid: int
    gid: int
    umask: int = 0o022
    groups: tuple[int, ...] = ()
    mounts: dict[Path, Path] = field(default_factory=dict)
    """Folders of the host with their paths on this side; a side with any is a container."""
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make a login's folders, and the mount points."""
        for name in ("home", "state"):
            folder = self.home.root / self.name / name
            folder.mkdir(parents=True)
            os.chown(folder, self.uid, self.gid)
        for point in self.mounts.values():
            point.mkdir(parents=True, exist_ok=True)

    def path(self, outside: Path) -> Path:
        """Return this side's path of a host folder."""
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
        become = f"setpriv --pdeathsig keep --reuid={self.uid} --regid={self.gid} {groups}" if self.uid != 0 else ""
        return "\n".join([*lines, f"umask {self.umask:03o}", f'exec {become} "$@"'])


def start_on_own_layer(home: Home, *words: str, **settings: str) -> Child:
    """Start `shelf` where the root folder is an overlay, as in a container; skip where none can be mounted."""
    layers = home.root / "layers"
    layers.mkdir()
    script = f"""
        mount -t tmpfs tmpfs {_q(layers)}; cd {_q(layers)}; mkdir upper work merged
        mount -t overlay -o lowerdir=/,upperdir={layers}/upper,workdir={layers}/work overlay merged || exit 99
        cd {_q(layers)}/merged; pivot_root . mnt; mount -t proc proc /proc; mount --rbind /mnt/dev /dev
        for base in {_q(home.primary)} {_q(home.secondary)}; do
            test ! -d /mnt/$base || mount --bind /mnt/$base $base
        done
        umount -l /mnt; cd {_q(home.work)}; exec "$@"
    """
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script, "sh"]
    return home.start_program(*apart, sys.executable, "-m", "modelshelf", *words, **settings)


def _let_in(stash: Path) -> list[str]:
    """Return the lines that let everybody reach the interpreter, if only root can."""
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


@contextlib.contextmanager
def open_home(hub: FakeHub) -> Iterator[Home]:
    """Make a home that every user may enter, unlike pytest's own folders; the hub gets two models."""
    hub.add_repo("org/a", A)
    hub.add_repo("org/b", B)
    folder = Path(tempfile.mkdtemp(prefix="modelshelf-sides-"))
    folder.chmod(0o755)
    made = Home(folder / "user", hub.url)
    try:
        yield made
    finally:
        for child in made.children:
            child.clear_away()
        shutil.rmtree(folder)


def bases_of(home: Home, uid: int, gid: int, mode: int = 0o755) -> None:
    """Make the bases of a home, for a user."""
    for base in (home.primary, home.secondary, home.custom):
        base.mkdir()
        os.chown(base, uid, gid)
        base.chmod(mode)


def seen(side: Side) -> list[tuple[str, int, str, str]]:
    """Return the models as a side sees them."""
    listed = side.run("ls", "--json").checked().json
    return [(model["model_name"], model["size_bytes"], model["state"], model["cache_location"]) for model in listed]


def size(files: dict[str, bytes]) -> int:
    """Return the bytes of all files."""
    return sum(map(len, files.values()))


def check_shared(home: Home) -> None:
    """Assert that the owner of the bases can use everything in them, and that no link leaves one."""
    for base in (home.primary, home.secondary):
        found = ownership.foreign(Base(base))
        assert found is None, found.examples
        assert base_violations(Base(base)) == []
        assert escaping_links(base) == []


def use_in_turn(one: Side, other: Side) -> None:
    """Download, read, move and remove from both sides, and assert after each step that both see the same."""
    one.run("add", "a", "org/a").checked()
    other.run("add", "b", "org/b").checked()
    assert seen(one) == seen(other) == [("a", size(A), "ready", "primary"), ("b", size(B), "ready", "primary")]
    check_shared(one.home)
    for side in (one, other):
        read = side.start_program("shelf", "run", "a", "--", "python", "-c", DIGESTS, "{path}").finish().checked()
        assert read.out.split()[::2] == sorted(A)
    other.run("move", "a", "secondary").checked()
    one.run("move", "b", "secondary").checked()
    assert seen(one) == seen(other) == [("a", size(A), "ready", "secondary"), ("b", size(B), "ready", "secondary")]
    check_shared(one.home)
    assert scan.blob_sizes(Base(one.home.primary).repo(RepoId("org/a"))) == {}
    one.run("verify", "a", "b").checked()
    assert other.run("rm", "a", "--files", "--json").checked().json["freed_bytes"] >= size(A)
    assert one.run("rm", "b", "--files", "--json").checked().json["freed_bytes"] >= size(B)
    assert seen(one) == seen(other) == []
    check_shared(one.home)


def let_time_pass(home: Home, seconds: float) -> None:
    """Make every heartbeat in the registry older."""
    with sqlite3.connect(Base(home.primary).registry) as registry:
        registry.execute("UPDATE jobs SET heartbeat_at = heartbeat_at - ?, due_at = due_at - ?", (seconds, seconds))
        for table in ("leases", "reservations"):
            registry.execute(f"UPDATE {table} SET expires_at = expires_at - ?", (seconds,))
    registry.close()
