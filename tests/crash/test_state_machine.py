"""Any order of what people and programs do to two tiers leaves every model whole where the registry says it is."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from modelshelf.domain.jobs import JobKind
from modelshelf.errors import Conflict, OutOfSpace
from modelshelf.services.shelf import Shelf
from tests.disks import escaping_links
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, random_bytes, tree

COMMON = random_bytes(300_000, seed=1)
OWN = {name: random_bytes(200_000, seed=ord(name)) for name in "abc"}
LIMIT = 1_800_000
"""Two models fit beside what the tier keeps of its own, three do not."""
NAMES = st.sampled_from("abc")
TIERS = st.sampled_from(["primary", "secondary"])
FIRST, SECOND = 1, 2
EXAMPLES = max(8, int(os.environ.get("SHELF_CRASHES", "0")))
"""Eight orders of up to 25 steps; `SHELF_CRASHES=300` takes 300."""
pytestmark = pytest.mark.timeout(600 if EXAMPLES == 12 else 3600)


def files(name: str, revision: int) -> dict[str, bytes]:
    """Return the files of a repository: weights that all share, and in the second revision another one and no more."""
    return {
        "config.json": b'{"revision": %d}' % revision,
        "common.safetensors": COMMON,
        f"sub/{name}.safetensors": OWN[name],
        f"of-{revision}.bin": OWN[name][revision:],
    }


class Library(RuleBasedStateMachine):
    """Two tiers, three repositories that share a blob, two revisions of each."""

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
        self._open()

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
        """Put the first revision of each repository on the hub, and two of them on the shelf."""
        for name in "abc":
            self.commits[self.hub.add_repo(f"org/{name}", files(name, FIRST))] = (name, FIRST)
        for name, tier in zip("ab", tiers, strict=True):
            self.shelf.register(name, f"org/{name}", tier)

    def has(self, name: str) -> bool:
        """Return whether a model is registered."""
        return self.shelf.services.registry.model(name) is not None

    @rule(name=NAMES)
    def publish_second(self, name: str) -> None:
        """The hub gets a newer commit."""
        self.commits[self.hub.add_repo(f"org/{name}", files(name, SECOND))] = (name, SECOND)

    @rule(name=NAMES, tier=TIERS)
    def add(self, name: str, tier: str) -> None:
        """Register and pull, on either tier; a refusal is allowed."""
        if not self.has(name):
            self._try(lambda: self.shelf.register(name, f"org/{name}", tier))

    @rule(name=NAMES, keep=st.booleans())
    def move(self, name: str, keep: bool) -> None:
        """Move to the other tier."""
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
        """Use a model that can be loaded; it may be promoted behind that."""
        if self.has(name) and self.shelf.model(name).state in ("ready", "moving"):
            with self.shelf.services.leaser.using(name, "load", "the machine") as model:
                assert model.row.commit_hash is not None
                assert tree(Path(model.path or "")) == files(*self.commits[model.row.commit_hash])
            self._settle()

    @rule(name=NAMES)
    def move_while_used(self, name: str) -> None:
        """What is used can be moved, and read where it was until the use ends."""
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
        """Remove, with or without the files."""
        if self.has(name):
            self._try(lambda: self.shelf.remove(name, delete_files=delete_files))

    @rule()
    def reconcile(self) -> None:
        """Bring registry and disks together; with a registry at hand there is nothing to lose."""
        before = {model.row.model_name: model.state for model in self.shelf.models()}
        self.shelf.reconcile()
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
        """Every byte is what its name says."""
        assert [finding.kind for finding in self.shelf.verify().findings] == []

    def _settle(self) -> None:
        """Wait for what goes on behind a use, and let old copies go."""
        self.shelf.services.runner.background.wait()
        self.shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)

    def _try(self, do: object) -> None:
        """Do something that may be refused, but must not break."""
        with contextlib.suppress(Conflict, OutOfSpace):
            do()  # type: ignore[operator]

    @invariant()
    def everything_holds(self) -> None:
        """The invariants of the house, the limit, and no link that leaves its base."""
        assert violations(self.shelf) == []
        for base in (self.home.primary, self.home.secondary):
            assert escaping_links(base) == []
        usage = self.shelf.tiers()[0].usage.apparent_bytes
        assert usage <= LIMIT
        assert self.shelf.services.registry.reservations.all() == []

    @invariant()
    def what_is_ready_loads(self) -> None:
        """A model that says it is ready has all of its files, at the commit that it is pinned to."""
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
