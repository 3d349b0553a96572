"""What a view writes, adopt's readers read back as the same bytes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from modelshelf.domain.names import ViewRoot
from modelshelf.domain.views import ViewKind
from modelshelf.services.shelf import Shelf
from modelshelf.store.adopt import other_tools
from tests.integration.views.test_views import WEIGHTS, add, library
from tests.world import Home

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
