"""Which files of a model an engine is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelshelf.domain.models import FileEntry
from modelshelf.domain.weight_files import MMPROJ, FileGroup, groups_of, largest_quantised, quantisation_in


@dataclass(frozen=True, slots=True)
class ServedFiles:
    """What an engine is given of a model."""

    first: str
    """The file of weights that it is told, of a split model the first part; empty: the whole folder."""
    mmproj: str
    """The file that reads images for it; empty without one."""
    files: tuple[FileEntry, ...]
    """All files that it reads."""

    @property
    def size_bytes(self) -> int:
        """What they have together."""
        return sum(file.size_bytes for file in self.files)


def gguf_files(files: Sequence[FileEntry]) -> ServedFiles | None:
    """Return what llama.cpp is given of a model: one quantisation, the largest; None where it has no GGUF.

    Of several files that read images it takes one of 16 bits: those of 8 bits are the exception, of 32 no better.
    """
    groups = groups_of(files)
    chosen = largest_quantised(groups)
    if chosen is None:
        return None
    projectors = [group for group in groups if group.format == MMPROJ]
    projector = min(projectors, key=_by_bits, default=None)
    mmproj = projector.files if projector else ()
    return ServedFiles(chosen.files[0].path, mmproj[0].path if mmproj else "", chosen.files + mmproj)


def _by_bits(projector: FileGroup) -> tuple[bool, str]:
    path = projector.files[0].path
    return not quantisation_in(path).endswith("16"), path


def whole_folder(files: Sequence[FileEntry]) -> ServedFiles:
    """Return what a program is given that takes a snapshot's folder."""
    return ServedFiles("", "", tuple(files))
