"""After any sequence of actions on two tiers, every model is whole where the registry says, and views lead there."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import huggingface_hub
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from modelshelf.domain.jobs import JobKind
from modelshelf.domain.names import ModelName, ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import ViewState
from modelshelf.errors import Conflict, OutOfSpace
from modelshelf.services.shelf import Shelf
from modelshelf.store.repos import scan
from tests.disks import escaping_links
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, random_bytes, tree

COMMON = random_bytes(300_000, seed=1)
OWN = {name: random_bytes(200_000, seed=ord(name)) for name in "abc"}
LIMIT = 1_800_000
"""Two models fit beside what the tier stores of its own, and three don't."""
NAMES = st.sampled_from("abc")
TIERS = st.sampled_from(["primary", "secondary"])
KINDS = st.sampled_from([ViewKind.FOLDER, ViewKind.HF])
FIRST, SECOND = 1, 2
EXAMPLES = max(8, int(os.environ.get("SHELF_CRASHES", "0")))
"""Eight sequences of up to 25 steps; `SHELF_CRASHES=300` takes 300."""
pytestmark = pytest.mark.timeout(600 if EXAMPLES == 8 else 3600)


def files(name: str, revision: int) -> dict[str, bytes]:
    """Return a repository's files: weights that all share, and one more file in the second revision."""
    return {
        "config.json": b'{"revision": %d}' % revision,
        "common.safetensors": COMMON,
        f"sub/{name}.safetensors": OWN[name],
        f"of-{revision}.bin": OWN[name][revision:],
    }


class Library(RuleBasedStateMachine):
    """Two tiers, three repositories of two revisions each that share a blob, and the folders of two programs."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = FakeHub()
        self.folder = Path(tempfile.mkdtemp(prefix="modelshelf-machine-"))
        self.hub.start()
        self.home = Home(self.folder / "user", self.hub.url)
        self.home.extra = {
            "PRIMARY_CACHE_LIMIT_GB": str(LIMIT / 1e9),
            "DATABASE_URL": f"sqlite:///{self.folder}/registry.db",
        }
        self.commits: dict[str, tuple[str, int]] = {}
        """Every commit, with its repository and revision."""
        self.shelf: Shelf
        for kind in (ViewKind.FOLDER, ViewKind.HF):
            (self._root(kind) / "org").mkdir(parents=True)
            (self._root(kind) / "org/mine.txt").write_text("mine")
        self._open()

    def _root(self, kind: ViewKind) -> Path:
        return self.folder / "programs" / kind

    def _open(self) -> None:
        self._context = self.home.open()
        self.shelf = self._context.__enter__()

    def teardown(self) -> None:
        """Close everything."""
        self._context.__exit__(None, None, None)
        self.hub.stop()
        shutil.rmtree(self.folder)

    @initialize(tiers=st.tuples(TIERS, TIERS))
    def publish(self, tiers: tuple[str, str]) -> None:
        """Put the first revision of each repository on the hub, and add two of them."""
        for name in "abc":
            self.commits[self.hub.add_repo(f"org/{name}", files(name, FIRST))] = (name, FIRST)
        for name, tier in zip("ab", tiers, strict=True):
            self.shelf.register(name, f"org/{name}", tier)

    def has(self, name: str) -> bool:
        """Return whether a model is registered."""
        return self.shelf.services.registry.model(name) is not None

    @rule(name=NAMES)
    def publish_second(self, name: str) -> None:
        """Put a newer commit on the hub."""
        self.commits[self.hub.add_repo(f"org/{name}", files(name, SECOND))] = (name, SECOND)

    @rule(name=NAMES, tier=TIERS)
    def add(self, name: str, tier: str) -> None:
        """Register and pull to either tier; a refusal is allowed."""
        if not self.has(name):
            self._try(lambda: self.shelf.register(name, f"org/{name}", tier))

    @rule(name=NAMES, keep=st.booleans())
    def move(self, name: str, keep: bool) -> None:
        """Move a model to the other tier."""
        if self.has(name):
            self._try(lambda: self.shelf.move(name, self._other(name), keep_source=keep))

    def _other(self, name: str) -> str:
        return "secondary" if self.shelf.model(name).base == str(self.home.primary) else "primary"

    @rule(name=NAMES, pinned=st.booleans())
    def pin(self, name: str, pinned: bool) -> None:
        """Pin or unpin."""
        if self.has(name):
            self.shelf.pin(name) if pinned else self.shelf.unpin(name)

    @rule(name=NAMES)
    def load(self, name: str) -> None:
        """Use a model that can be loaded; the use may promote it."""
        if self.has(name) and self.shelf.model(name).state in ("ready", "moving"):
            with self.shelf.services.leaser.using(name, "load", "the machine") as model:
                assert model.row.commit_hash is not None
                assert tree(Path(model.path or "")) == files(*self.commits[model.row.commit_hash])
            self._settle()

    @rule(name=NAMES)
    def move_while_used(self, name: str) -> None:
        """Move a model in use, and read it at its old place until the use ends."""
        if self.has(name) and self.shelf.model(name).state == "ready":
            with self.shelf.services.leaser.using(name, "load", "the machine") as model:
                self._try(lambda: self.shelf.move(name, self._other(name)))
                assert model.row.commit_hash is not None
                assert tree(Path(model.path or "")) == files(*self.commits[model.row.commit_hash])
            self._settle()

    @rule(name=NAMES)
    def pull(self, name: str) -> None:
        """Pull what is missing."""
        if self.has(name):
            self._try(lambda: self.shelf.pull(name))

    @rule(name=NAMES)
    def update(self, name: str) -> None:
        """Take a newer commit."""
        if self.has(name):
            self._try(lambda: self.shelf.update(name))

    @rule(name=NAMES, delete_files=st.booleans())
    def remove(self, name: str, delete_files: bool) -> None:
        """Remove a model, with or without its files."""
        if self.has(name):
            self._try(lambda: self.shelf.remove(name, delete_files=delete_files))

    @rule()
    def reconcile(self) -> None:
        """Reconcile; as the registry is there, nothing may be lost."""
        before = {model.row.model_name: model.state for model in self.shelf.models()}
        self.shelf.reconcile()
        self._settle()  # it saw what was read of a model, which may promote it
        after = {model.row.model_name: model.state for model in self.shelf.models()}
        assert {name for name, state in before.items() if state == "ready"} <= {
            name for name, state in after.items() if state == "ready"
        }

    @rule()
    def restart(self) -> None:
        """Close the library and open it again."""
        self._context.__exit__(None, None, None)
        self._open()

    @rule()
    def verify(self) -> None:
        """Verify that every byte matches its digest."""
        assert [finding.kind for finding in self.shelf.verify().findings] == []

    @rule(kind=KINDS, name=st.none() | NAMES)
    def view(self, kind: ViewKind, name: str | None) -> None:
        """Let a view hold a model, or all of them."""
        if name is None or self.has(name):
            names = None if name is None else [ModelName(name)]
            self.shelf.services.views.add(kind, ViewRoot(str(self._root(kind))), names)

    @rule(kind=KINDS)
    def remove_view(self, kind: ViewKind) -> None:
        """Remove a view."""
        place = ViewRoot(str(self._root(kind)))
        if (kind, place) in {(status.view.kind, status.view.root) for status in self.shelf.services.views.all()}:
            self.shelf.services.views.remove(kind, place)

    @rule(name=NAMES)
    def stock_download(self, name: str) -> None:
        """Let a stock program download into the view of all tiers, and read what it has then."""
        found = huggingface_hub.snapshot_download(
            f"org/{name}", cache_dir=self._root(ViewKind.HF) / "hub", endpoint=self.hub.url, token=False
        )
        assert tree(Path(found)) == files(*self.commits[Path(found).name])

    @rule(name=NAMES)
    def stock_read(self, name: str) -> None:
        """Let a stock program without a network read what the view of all tiers has."""
        with contextlib.suppress(huggingface_hub.errors.LocalEntryNotFoundError):
            found = huggingface_hub.snapshot_download(
                f"org/{name}", cache_dir=self._root(ViewKind.HF) / "hub", local_files_only=True
            )
            assert tree(Path(found)) == files(*self.commits[Path(found).name])

    def _settle(self) -> None:
        """Wait for the jobs behind a use, and delete old copies."""
        self.shelf.services.runner.background.wait()
        self.shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)

    def _try(self, do: object) -> None:
        """Do something that may be refused but must not break."""
        with contextlib.suppress(Conflict, OutOfSpace):
            do()  # type: ignore[operator]

    @invariant()
    def everything_holds(self) -> None:
        """The invariants and the limit hold, and no link leaves its base."""
        assert violations(self.shelf) == []
        for base in (self.home.primary, self.home.secondary):
            assert escaping_links(base) == []
        usage = self.shelf.tiers()[0].usage.apparent_bytes
        assert usage <= LIMIT
        assert self.shelf.services.registry.reservations.all() == []

    @invariant()
    def views_lead_to_what_is_there(self) -> None:
        """No link of a view dangles, each is as it should be unless a program's own file is there, and that stays."""
        for kind in (ViewKind.FOLDER, ViewKind.HF):
            root = self._root(kind)
            assert [path for path in scan.walk_files(root) if path.is_symlink() and not path.exists()] == []
            assert (root / "org/mine.txt").read_text() == "mine"
        assert {status.state for status in self.shelf.services.views.all()} <= {ViewState.TRUE, ViewState.BLOCKED}

    @invariant()
    def what_is_ready_loads(self) -> None:
        """A ready model has all of its files at its commit."""
        for model in self.shelf.models():
            if model.state == "ready" and model.row.commit_hash is not None:
                assert tree(Path(model.path or "")) == files(*self.commits[model.row.commit_hash])


TestLibrary = Library.TestCase
TestLibrary.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
