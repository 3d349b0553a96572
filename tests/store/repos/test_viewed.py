"""A blob that is a link out of its base is a view's: no copy, and nothing is read or deleted behind it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from modelshelf.domain.gc import MIN_AGE_S, Needs
from modelshelf.domain.verify_report import Fault
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.adopt import inventory
from modelshelf.store.gc import collect, dedupe
from modelshelf.store.layout import Base
from modelshelf.store.repos import inspect, lost_links, materialize, quarantine, scan, snapshot
from modelshelf.store.repos.inspect import Wanted
from modelshelf.store.repos.names import RepoNames
from modelshelf.store.tiers import capabilities, marker, meter
from tests.builders import Drawn, commit, lay_out, put, view
from tests.fakes.clock import Later
from tests.invariants import du
from tests.world import tree

REPO = "org/name"
DRAWING = f"""
model {REPO}
  commit a main
    config.json 20
    model.safetensors 3000000
    deep/tokenizer.json 400 shared
"""


@pytest.fixture
def there(tmp_path: Path) -> Drawn:
    """The tier that has the bytes."""
    return lay_out(tmp_path / "there", DRAWING)


@pytest.fixture
def here(tmp_path: Path, there: Drawn) -> Base:
    """A tier that has a view of it."""
    base = Base(tmp_path / "here")
    view(base, there.base, REPO)
    marker.reset_marker(base)
    capabilities.probe(base)
    return base


@pytest.fixture(params=["there", "away"])
def seen(request: pytest.FixtureRequest, here: Base, there: Drawn) -> Base:
    """The same, with the other tier there and away."""
    if request.param == "away":
        there.base.path.rename(there.base.path.with_name("unplugged"))
    return here


def test_it_is_no_blob_of_the_repository(seen: Base, there: Drawn) -> None:
    """No file of a viewed model is in the base, by its blobs, its snapshot, or its size."""
    repo, files = seen.repo(REPO), there.of(REPO, "a")

    assert scan.viewed(repo) == {file.digest for file in files}
    assert scan.blob_sizes(repo) == {}
    assert scan.missing_files(repo, commit("a"), files) == files
    assert not any(scan.has_blob(repo, file.digest, file.size_bytes) for file in files)
    assert snapshot.held(seen, repo, commit("a"), files, symlinks=True) == {}
    assert snapshot.locate(seen, repo, commit("a"), files) == {}
    assert materialize.source_of(seen, repo, commit("a"), files, files[0].digest) is None
    assert lost_links.find(RepoNames(repo)) == []


def test_its_own_repository_has_its_blobs(there: Drawn) -> None:
    """A blob, and a link into the base's own shared store, are the repository's."""
    repo = there.base.repo(REPO)

    assert scan.viewed(repo) == frozenset()
    assert all(scan.has_blob(repo, file.digest, file.size_bytes) for file in there.of(REPO, "a"))
    assert not scan.has_blob(repo, there.of(REPO, "a")[0].digest, 1)


def test_verify_finds_nothing_to_read_or_to_complain_of(seen: Base) -> None:
    """A viewed repository of which no model is registered in the base has no findings and no byte to be read."""
    sight = inspect.look(seen, REPO, seen.repo(REPO), [], whole=True)

    assert (sight.findings, sight.targets) == ((), ())


def test_a_model_that_should_be_here_and_is_a_view_is_a_finding(here: Base, there: Drawn) -> None:
    """If a model is registered in the base and its blobs are a view's links, each of them is a finding."""
    wanted = Wanted("m", "main", commit("a"), tuple(there.of(REPO, "a")), complete=True)

    found = inspect.look(here, REPO, here.repo(REPO), [wanted], whole=True).findings

    assert [finding.kind for finding in found] == [Fault.LINK_LEAVES_BASE] * 3


def test_adopt_finds_no_model(seen: Base) -> None:
    """Adopt, and so reconcile and the doctor, find neither a model nor anything odd in a view."""
    found = inventory.find(seen.path)

    assert (found.models, found.things) == ((), ())


def test_a_snapshot_with_real_files_and_links_is_a_model_in_part(here: Base, there: Drawn) -> None:
    """If a stock program fetched one file over its link, adopt names what the snapshot lacks."""
    config = there.of(REPO, "a")[0]
    blob = here.repo(REPO).blob(config.digest)
    data = blob.read_bytes()
    blob.unlink()
    put(blob, data)

    (found,) = inventory.find(here.path).models

    assert "out of the cache" in found.trouble


def test_gc_leaves_a_view_and_what_it_leads_to(seen: Base, there: Drawn) -> None:
    """Gc finds no garbage in a view."""
    found = collect.plan_gc(seen, Needs(), time.time() + 10 * MIN_AGE_S)

    assert [item for item in found.items if "models--" in item.path] == []


def test_gc_deletes_an_unlinked_link_and_not_its_target(here: Base, there: Drawn) -> None:
    """A view's link that no snapshot leads to any more goes, and the bytes behind it stay."""
    before = tree(there.base.path)
    shutil.rmtree(here.repo(REPO).snapshots)
    shutil.rmtree(here.repo(REPO).trees)
    shutil.rmtree(here.repo(REPO).refs)
    later_s = 10 * MIN_AGE_S
    plan = collect.plan_gc(here, Needs(), time.time() + later_s)

    collect.execute(here, plan, lambda repo_id: Needs(), Later(later_s), Counter())

    assert not here.repo(REPO).path.exists()
    assert tree(there.base.path) == before


def test_its_bytes_count_on_their_own_tier_alone(seen: Base) -> None:
    """The meter and `du` count a view's links and small files, and no byte behind them."""
    usage = meter.measure(seen, rescan=True)

    assert (usage.apparent_bytes, usage.allocated_bytes) == du(seen.path)
    assert usage.breakdown["models"] < 100_000


def test_dedupe_leaves_it_alone(here: Base, there: Drawn) -> None:
    """A view's link isn't a second copy beside a real one in another repository of the base."""
    weights = there.digest(REPO, "a", "model.safetensors")
    lay_out(here.path, f"model org/other\n commit b\n  model.safetensors 3000000 as={REPO}/model.safetensors")

    assert dedupe.plan_dedupe(here).groups == ()
    assert scan.viewed(here.repo(REPO)) >= {weights}


def test_no_damage_behind_it_is_set_aside_here(here: Base, there: Drawn) -> None:
    """Damaged bytes behind a view's link are their own tier's concern."""
    weights = there.digest(REPO, "a", "model.safetensors")
    there.base.repo(REPO).blob(weights).write_bytes(b"damaged")

    assert quarantine.set_aside(here, here.repo(REPO).blob(weights), weights) is None
    assert here.repo(REPO).blob(weights).is_symlink()
