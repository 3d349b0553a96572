"""The shared blob store, by huggingface_hub's own rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.domain.freed import Freed
from modelshelf.store.blobs import shared_store
from tests.builders import Drawn, lay_out

DRAWING = """
    model org/one
      commit a main
        model.safetensors 3000 as=weights shared
        plain.bin 100
    model org/two
      commit b main
        model.safetensors 3000 as=weights shared
"""


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """One payload that two repositories link to, and a blob that isn't shared."""
    return lay_out(tmp_path, DRAWING)


def blobs(drawn: Drawn) -> tuple[Path, Path]:
    """Return the blob in each of the repositories."""
    digest = drawn.digest("org/one", "a", "model.safetensors")
    return drawn.base.repo("org/one").blob(digest), drawn.base.repo("org/two").blob(digest)


def payload(drawn: Drawn) -> Path:
    """Return the path of the payload."""
    found = shared_store.payload_of(drawn.base, blobs(drawn)[0])
    assert found is not None
    return found


def test_a_link_into_the_store_leads_to_its_payload(drawn: Drawn) -> None:
    """A link into the store leads to its payload below `hub/blobs`."""
    one, two = blobs(drawn)

    assert payload(drawn) == shared_store.payload_of(drawn.base, two)
    assert payload(drawn).stat().st_size == one.stat().st_size == 3000
    assert drawn.base.hub / "blobs" in payload(drawn).parents


def test_a_blob_with_its_own_bytes_has_no_payload(drawn: Drawn) -> None:
    """A blob with its own bytes, a missing one and a link out of the store have no payload."""
    repo = drawn.base.repo("org/one")
    stray = repo.blob("e" * 64)
    stray.symlink_to("/etc/hostname")

    assert shared_store.payload_of(drawn.base, repo.blob(drawn.digest("org/one", "a", "plain.bin"))) is None
    assert shared_store.payload_of(drawn.base, repo.blob("f" * 64)) is None
    assert shared_store.payload_of(drawn.base, stray) is None


def test_only_the_last_link_frees_the_payload(drawn: Drawn) -> None:
    """Removing a link frees nothing while another repository links to the payload."""
    one, two = blobs(drawn)
    shared = payload(drawn)

    assert not shared_store.is_last_link(drawn.base, shared, one)
    two.unlink()
    assert shared_store.is_last_link(drawn.base, shared, one)


def test_a_payload_that_is_linked_is_not_swept(drawn: Drawn) -> None:
    """A payload that is linked isn't swept, and the other repository still reads it."""
    one, two = blobs(drawn)
    shared = payload(drawn)
    one.unlink()

    assert shared_store.sweep(drawn.base, shared) == Freed()
    assert two.stat().st_size == 3000


def test_a_payload_that_nothing_links_to_is_swept(drawn: Drawn) -> None:
    """A payload without links is swept, and the freed bytes and blocks are measured."""
    shared = payload(drawn)
    expected = Freed(3000, shared.lstat().st_blocks * 512)
    for blob in blobs(drawn):
        blob.unlink()

    assert shared_store.sweep(drawn.base, shared) == expected
    assert not shared.exists()
    assert shared_store.sweep(drawn.base, shared) == Freed()


@pytest.mark.parametrize("broken", ["no manifest", "unknown version"])
def test_a_store_that_is_not_understood_is_left_alone(drawn: Drawn, broken: str) -> None:
    """Nothing is deleted in a store without a readable manifest or with a later layout's marker."""
    shared = payload(drawn)
    for blob in blobs(drawn):
        blob.unlink()
    if broken == "no manifest":
        shared.with_name(f"{shared.name}.refs").unlink()
    else:
        (drawn.base.hub / "blobs" / ".huggingface-shared-blobs").write_text("2\n")

    assert shared_store.sweep(drawn.base, shared) == Freed()
    assert shared.stat().st_size == 3000
