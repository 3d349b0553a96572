"""shelf show."""

from __future__ import annotations

from collections.abc import Sequence

from modelshelf.cli import output, render
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name
from modelshelf.domain.jobs import Moved
from modelshelf.domain.models import FileEntry, Model
from modelshelf.units import format_age, format_size


def show(name: Name, as_json: AsJson = False) -> None:
    """Show one model: commit, folder, files, digests."""
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.schemas.models import ModelWithFilesJson

    with at_the_edge(as_json=as_json):
        library = open_library()
        found = library.model(name)
        files, moves = library.files(found.row), library.moves(found.row)
        if as_json:
            output.as_json(ModelWithFilesJson.with_files(found, files, moves))
        else:
            _show(found, files, moves, render.now_s())


def _show(found: Model, files: Sequence[FileEntry], moves: Sequence[Moved], now_s: float) -> None:
    """Print one model with its files and its last moves."""
    row = found.row
    facts = [
        ("name", row.model_name),
        ("repo", f"{row.hf_path} ({row.revision})"),
        ("commit", row.commit_hash or "not known yet"),
        ("tier", f"{row.cache_location} ({found.base})"),
        ("folder", found.path or "none yet"),
        ("state", found.state.value + (f": {found.detail}" if found.detail else "")),
        ("size", f"{format_size(row.size_bytes)} ({row.size_bytes} bytes)" if row.commit_hash else "not known yet"),
        ("include", ", ".join(row.allow_patterns) or "all files"),
        ("pinned", (f"yes: {row.pin_reason}" if row.pin_reason else "yes") if row.pinned else "no"),
        ("used", f"{row.uses}×, {render.last_use(found, now_s)}" if row.uses else "never"),
    ]
    for moved in moves:
        what = f"to {moved.cache_location}" if moved.cache_location else "its files were deleted"
        facts.append(("moved", f"{format_age(moved.at, now_s)} {what}. {moved.cause}".rstrip()))
    for name, value in facts:
        output.line(f"{name + ':':<8} {value}")
    if files:
        output.line("")
        rows = [[file.path, format_size(file.size_bytes), file.digest] for file in files]
        output.table(["FILE", "SIZE", "DIGEST"], rows, frozenset({1}))
