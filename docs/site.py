"""Hooks of the site: the pages of the repository's root belong to it, and links to other files are checked."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FROM_ROOT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s:]+)\)")
OUTSIDE = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
log = logging.getLogger("mkdocs.hooks.site")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the root."""
    for name, page in FROM_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page with its links as the site needs them."""
    here = page.file.src_uri
    source = next((ROOT / name for name, uri in FROM_ROOT.items() if uri == here), DOCS / here)
    linked = LINK.sub(lambda link: _link(link, source, here), markdown)
    return IMAGE.sub(lambda image: f"![{image[1]}]({_beside(source.parent / image[2], here)})", linked)


def _beside(file: Path, here: str) -> str:
    """Return where a file of the documents is, seen from a page."""
    return os.path.relpath(file.resolve(), (DOCS / here).parent)


def _link(link: re.Match[str], source: Path, here: str) -> str:
    target = (source.parent / link[2]).resolve()
    if not target.exists():
        log.warning("%s links to %s, which isn't there", source.relative_to(ROOT), link[2])
    uri = FROM_ROOT.get(os.path.relpath(target, ROOT), os.path.relpath(target, DOCS))
    if uri.startswith("..") or not uri.endswith(".md"):
        return link[1]  # a file of the repository that isn't a page
    return f"[{link[1]}]({os.path.relpath(uri, Path(here).parent)}{link[3] or ''})"


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that would load something from another host."""
    for element in OUTSIDE.findall(output):
        log.warning("%s loads from another host: %s", page.file.src_uri, element)
    return output
