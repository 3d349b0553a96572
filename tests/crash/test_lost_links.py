"""Links are lost at random before gc: no blob that a list names, or that may be the only copy, is deleted."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from modelshelf.domain.gc import Needs
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.gc import collect
from modelshelf.store.repos import lost_links, materialize
from modelshelf.store.repos.names import RepoNames
from tests.builders import commit, lay_out
from tests.fakes.clock import Later
from tests.world import tree

DRAWING = """
    model org/one
      commit a main
        config.json 200
        deep/er/model-1-of-2.safetensors 3000
        deep/er/model-2-of-2.safetensors 3100
      commit b
        config.json 200
        other.bin 700
      partial 90
    model org/two
      commit c main
        model.gguf 900
        config.json 30
"""
COMMITS = (("org/one", "a"), ("org/one", "b"), ("org/two", "c"))


@pytest.mark.parametrize("seed", range(8))
def test_links_lost_at_random_lose_no_blob(tmp_path: Path, seed: int) -> None:
    """Whichever links are lost, gc keeps every blob, and all are linked again from the lists."""
    drawn, random = lay_out(tmp_path, DRAWING), Random(seed)
    base = drawn.base
    folders = {(repo_id, letter): base.repo(repo_id).snapshot(commit(letter)) for repo_id, letter in COMMITS}
    before = {key: tree(folder) for key, folder in folders.items()}
    links = sorted(path for path in base.hub.rglob("*") if path.is_symlink())
    for link in random.sample(links, random.randint(1, len(links))):
        text = str(link.readlink())
        link.unlink()
        if random.random() < 0.3:
            link.write_text(text)

    plan = collect.plan_gc(base, Needs(), Later().now())
    collect.execute(base, plan, lambda repo_id: Needs(), Later(), Counter())

    assert {item.kind for item in plan.items} <= {"partial", "folder"}
    for repo_id in ("org/one", "org/two"):
        repo = base.repo(repo_id)
        held = {path.name for path in repo.blobs.iterdir()}
        assert held >= {f.digest for r, letter in COMMITS if r == repo_id for f in drawn.of(repo_id, letter)}
        for letter in [letter for r, letter in COMMITS if r == repo_id]:
            assert repo.tree(commit(letter)).exists()
            materialize.lay_out(drawn.base, repo, commit(letter), drawn.of(repo_id, letter), Counter(), symlinks=True)
        assert lost_links.find(RepoNames(repo)) == []
    assert {key: tree(folder) for key, folder in folders.items()} == before
