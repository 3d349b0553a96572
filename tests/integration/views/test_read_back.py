"""What a view writes, adopt's readers read back as the same bytes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from modelshelf.domain.names import ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.services.shelf import Shelf
from modelshelf.store.adopt import other_tools
from tests.builders import put
from tests.fakes.hub import FakeHub
from tests.headers import safetensors
from tests.integration.views.test_views import WEIGHTS, add, library
from tests.world import Home, random_bytes

__all__ = ["library"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ViewKind.FOLDER, "models"),
        (ViewKind.LMSTUDIO, "models"),
        (ViewKind.OLLAMA, "models"),
        (ViewKind.TEXTGEN, "models"),
        (ViewKind.GPT4ALL, "GPT4All"),
        (ViewKind.LLAMA_SERVER, "models"),
    ],
)
def test_a_copy_of_a_view_has_the_model_by_its_digest(library: Shelf, home: Home, kind: ViewKind, name: str) -> None:
    """A copy of a view's folder is read as one whole model whose weights have the digest that the library has."""
    root = ViewRoot(str(home.root / "program" / name))
    add(library, root, "m", kind=kind)
    copy = home.root / "copy" / name
    shutil.copytree(root, copy)

    (found,) = other_tools.find(copy).models

    weights = [Path(source).read_bytes() for path, source in found.sources if path.endswith(".gguf")]
    (digest,) = {file.digest for file in library.files("m") if file.path.endswith(".gguf")}
    assert (found.trouble, [hashlib.sha256(data).hexdigest() for data in weights]) == ("", [digest])
    assert weights[0].startswith(WEIGHTS)


IMAGES = {
    "checkpoints/ink.safetensors": safetensors({"w": ("F32", [2])}) + random_bytes(20_000, seed=1),
    "loras/style.safetensors": safetensors({"w": ("F32", [2])}) + random_bytes(9_000, seed=2),
    "vae/ae.safetensors": safetensors({"w": ("F32", [2])}) + random_bytes(7_000, seed=3),
}


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (ViewKind.COMFYUI, "ComfyUI/models"),
        (ViewKind.A1111, "stable-diffusion-webui"),
        (ViewKind.FORGE, "stable-diffusion-webui-forge"),
        (ViewKind.INVOKEAI, "invokeai/models"),
    ],
)
def test_a_copy_of_an_image_view_has_each_file(
    library: Shelf, hub: FakeHub, home: Home, kind: ViewKind, place: str
) -> None:
    """A copy of a view for a program that makes images is read as a model for each file, with the same digests."""
    hub.add_repo("org/images", IMAGES)
    library.register("images", "org/images")
    root = ViewRoot(str(home.root / "program" / place))
    add(library, root, "images", kind=kind)
    copy = home.root / "copy" / place
    shutil.copytree(root, copy)
    if kind is ViewKind.INVOKEAI:
        put(copy.parent / "invokeai.yaml", b"")  # InvokeAI's own, beside its folder of models

    found = other_tools.find(copy).models

    read = sorted(hashlib.sha256(Path(source).read_bytes()).hexdigest() for one in found for _, source in one.sources)
    assert [one.trouble for one in found] == [""] * len(IMAGES)
    assert read == sorted(file.digest for file in library.files("images") if file.path in IMAGES)
