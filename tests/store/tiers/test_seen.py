"""One look at a base."""

from __future__ import annotations

from pathlib import Path

from modelshelf.domain.names import RepoId
from modelshelf.store.tiers.seen import SeenBase
from tests.builders import lay_out, put


def test_a_look_reads_each_thing_once(tmp_path: Path) -> None:
    """What comes later isn't seen by the same look, and a new one sees it."""
    base = lay_out(tmp_path, "model org/name\n commit a main\n config.json 20").base
    seen = SeenBase(base)
    [(_, _, repo)] = seen.repos
    assert seen.names_of(RepoId("org/gone")).blobs == {}
    assert seen.names_of(RepoId("org/name")) is seen.names_of(RepoId("org/name")) is seen.names(repo)
    assert (list(seen.names(repo).refs), seen.sidecars, len(seen.names(repo).blobs)) == (["main"], [], 1)

    put(repo.refs / "v1", b"a" * 40)
    put(base.sidecars / "odd.json", b"{")

    assert (list(seen.names(repo).refs), seen.sidecar_files) == (["main"], {})
    assert (list(SeenBase(base).names(repo).refs), len(SeenBase(base).sidecar_files)) == (["main", "v1"], 1)
