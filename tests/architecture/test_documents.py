"""Documents name only code that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "modelshelf"
DOCUMENTS = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("**/*.md"))]
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w./-]+\.py")
FOLDER = re.compile(r"(?:\w+/)+")
PLACEHOLDER = re.compile(r"[A-Z]{3,}")
DOTTED = re.compile(r"[a-z_]+(?:\.\w+)+(?:\(\))?")
ENDINGS = {"db", "py", "json", "lock", "md", "part", "map", "txt", "yml", "toml", "safetensors", "gguf"}
"""What follows the dot in a file's name and not in a module's."""
MAPS = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"]
"""Documents that name folders of the code, not of a base."""
OURS = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")}


def names(document: Path, pattern: re.Pattern[str]) -> set[str]:
    """Return the code spans of a document that `pattern` matches, without code blocks."""
    text = re.sub(r"(?ms)^```.*?^```", "", document.read_text(encoding="utf-8"))
    return {span for span in CODE.findall(text) if pattern.fullmatch(span)}


def defines(tree: ast.AST, chain: list[str]) -> bool:
    """Return whether a module or class defines a name, and that the next one, and so on."""
    if not chain:
        return True
    for node in ast.iter_child_nodes(tree):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if chain[0] in (getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)):
            return defines(node, chain[1:])
    return False


def is_there(dotted: str) -> bool:
    """Return whether a dotted name leads to a module of the package or to something in one."""
    parts = dotted.removesuffix("()").removeprefix("modelshelf.").split(".")
    for length in range(len(parts), 0, -1):
        path = PACKAGE.joinpath(*parts[:length])
        module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if module.is_file():
            return defines(ast.parse(module.read_text(encoding="utf-8")), parts[length:])
    return False


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_that_a_document_names_is_there(document: Path) -> None:
    """Every file, room and function that a document names exists in this checkout."""
    places = (ROOT, PACKAGE, document.parent)
    files = {name for name in names(document, FILE) if not any((place / name).is_file() for place in places)}
    folders = names(document, FOLDER) if document in MAPS else set()
    files |= {name for name in folders if not any((place / name).is_dir() for place in places)}
    dotted = {name for name in names(document, DOTTED) if name.removeprefix("modelshelf.").split(".")[0] in OURS}
    gone = {name for name in dotted if name.rpartition(".")[2] not in ENDINGS and not is_there(name)}

    assert sorted(name for name in files | gone if not PLACEHOLDER.search(name)) == []


def test_the_site_lists_every_document() -> None:
    """Every page below docs/ has its place in the site's navigation, without which the strict build fails."""
    listed = set(re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("**/*.md")}

    assert pages - listed == set()
