"""A gc or dedupe that is killed at any step leaves garbage at worst, and the next run finishes.

The child dies by SIGKILL in front of its k-th change of the disk, whatever it is; see `tests.crash.tidying`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.gc import MIN_AGE_S, Needs
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.gc import collect, dedupe
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.builders import commit, lay_out, put
from tests.crash.dying import DIED
from tests.fakes.clock import Later
from tests.forked import EARLY, Forked
from tests.invariants import base_violations, usage_violations
from tests.store.gc.test_collect import plan
from tests.store.gc.test_dedupe import twins
from tests.store.loops import loop_disk
from tests.world import ROOT, Result, tree

MOST_STEPS = 400
LOOKS = int(os.environ.get("SHELF_CRASHES", "8"))
"""How many of the steps to die at, spread over all of them."""
THEIRS = ("meter.json", ".refs")
"""What the meter keeps, and what a killed sweep of huggingface_hub's own leaves."""


def tidy(what: str, base: Base, step: int = 10**6) -> Result:
    """Run a child that dies before its step-th change, counted from 0."""
    child = Forked("tests.crash.tidying", [what, str(step), str(base.path)], ROOT, EARLY)
    out, err = child.communicate()
    assert child.returncode in (0, DIED), err
    return Result(child.wait(), out, err)


def spread(steps: int) -> range:
    """Return the steps to die at."""
    return range(0, steps, max(1, steps // LOOKS))


DRAWING = """
    model org/name
      commit a main
        config.json 20
        deep/model.safetensors 3000
        shared.safetensors 2000 shared
      commit b
        config.json 30
        gone.safetensors 2500 shared
      orphan 5000
      partial 700
      partial 800 .downloadInProgress
    model dead/one
      commit c main
      partial 50
    part 900
"""


def draw(folder: Path) -> Base:
    """Lay out garbage of every kind, beside what must stay."""
    drawn = lay_out(folder, DRAWING)
    base = drawn.base
    (base.repo("org/name").snapshot(commit("b")) / "gone.safetensors").unlink()
    put(base.marker, b"{}")
    put(base.part_lock("d" * 64), b"")
    put(base.quarantine / "x.0a1b2c3d", b"x")
    put(base.own / ".x.json.0a1b2c3d.shelf-tmp", b"x")
    return base


def snapshots(base: Base) -> dict[str, dict[str, bytes]]:
    """Return every file that can be loaded."""
    return {repo_id: tree(repo.snapshots) for _, repo_id, repo in scan.repos(base) if tree(repo.snapshots)}


def names(base: Base) -> list[str]:
    """Return everything below a base, by name."""
    found = sorted(str(path.relative_to(base.path)) for path in base.path.rglob("*"))
    return [name for name in found if not name.endswith(THEIRS)]


def test_a_killed_gc_leaves_nothing_dangling(tmp_path: Path) -> None:
    """After a kill at each step of gc every link resolves, no file is lost, and the next run deletes the rest."""
    whole = draw(tmp_path / "counted")
    expected = snapshots(whole)
    steps = tidy("gc", whole).json
    left = names(whole)
    assert 20 < steps < MOST_STEPS

    for step in spread(steps):
        base = draw(tmp_path / str(step))
        assert tidy("gc", base, step).code == DIED
        assert base_violations(base) == []
        assert usage_violations(base) == []
        assert snapshots(base) == expected
        collect.execute(base, plan(base, quarantine=True), lambda repo_id: Needs(), Later(), Counter())
        collect.execute(
            base, plan(base, ahead_s=2 * MIN_AGE_S), lambda repo_id: Needs(), Later(2 * MIN_AGE_S), Counter()
        )
        assert snapshots(base) == expected
        assert names(base) == left


@pytest.fixture(params=["ext4", "xfs"], ids=["hard links", "reflinks"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system with reflinks, or with hard links only."""
    with loop_disk(tmp_path, request.param) as mounted:
        yield mounted


def test_a_killed_dedupe_leaves_every_blob_whole(disk: Path) -> None:
    """After a kill at each step of dedupe each name has the right bytes, gc deletes the rest, the next run finishes."""
    twins(Base(disk / "counted"))
    put(Base(disk / "counted").marker, b"{}")
    steps = tidy("dedupe", Base(disk / "counted")).json
    assert 4 < steps < MOST_STEPS

    for step in spread(steps):
        base = Base(disk / str(step))
        twins(base)
        put(base.marker, b"{}")
        before = snapshots(base)
        assert tidy("dedupe", base, step).code == DIED
        assert base_violations(base) == []
        assert snapshots(base) == before
        collect.execute(base, plan(base), lambda repo_id: Needs(), Later(), Counter())
        assert list(base.path.rglob("*.shelf-tmp")) == []
        dedupe.execute(base, dedupe.plan_dedupe(base), {}, Counter())
        assert dedupe.plan_dedupe(base).groups == ()
        assert snapshots(base) == before
        assert usage_violations(base) == []
