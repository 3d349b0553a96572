"""A repository's files in groups by their names; each group is one choice: a quantisation, or a format.

>>> quantisation_in("SmolLM2-135M-Instruct-Q4_K_M.gguf"), quantisation_in("UD-IQ2_XXS/big-00001-of-00002.gguf")
('Q4_K_M', 'IQ2_XXS')
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelshelf.domain.file_kinds import is_weights
from modelshelf.domain.models import FileEntry, ModelRow, total_size
from modelshelf.domain.names import Digest
from modelshelf.domain.patterns import Selection, escape
from modelshelf.units import many

GGUF, SAFETENSORS, PYTORCH, MMPROJ, OTHERS = "GGUF", "safetensors", "PyTorch", "mmproj", "other files"
GGUF_ADAPTER = "GGUF adapter"
"""The format of a model that is an adapter for a base model in GGUF."""
_FORMATS = {
    "gguf": GGUF,
    "safetensors": SAFETENSORS,
    "bin": PYTORCH,
    "pt": PYTORCH,
    "pth": PYTORCH,
    "ckpt": PYTORCH,
    "onnx": "ONNX",
    "onnx_data": "ONNX",
    "h5": "TensorFlow",
    "tflite": "TensorFlow Lite",
    "msgpack": "Flax",
    "mlmodel": "Core ML",
    "ggml": "GGML",
    "nemo": "NeMo",
}
_ORDER = {GGUF: 0, MMPROJ: 1, SAFETENSORS: 2, OTHERS: 4}
_QUANTISATION = re.compile(
    r"(?<![A-Za-z0-9])(?:I?Q\d(?:_[A-Z0-9]{1,3}){1,3}|TQ\d_\d|BF16|FP?16|FP?32|MXFP4|NVFP4)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"-\d{1,9}-of-\d{1,9}(?=\.gguf$)", re.IGNORECASE)
"""Source: `LLM_SPLIT_PATH` of llama.cpp, `%s-%05d-of-%05d.gguf`."""
_PART = re.compile(r"-(\d{1,9})-of-(\d{1,9})(?=\.[a-z0-9]+$)", re.IGNORECASE)
"""A part of weights in any format: its number, and how many there are."""
_USUAL = re.compile(r"(?:adapter_)?model(?:-\d{1,9}-of-\d{1,9})?\.safetensors")
"""What transformers and peft load. The others are variants (`model.fp16.safetensors`) and other layouts of the same
weights (`consolidated.safetensors`).
"""


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files that belong together."""

    label: str
    """What tells it apart: `Q4_K_M`, `safetensors`."""
    format: str
    files: tuple[FileEntry, ...]

    @property
    def size_bytes(self) -> int:
        """Their total size."""
        return total_size(self.files)


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """How a model's weights are written, in a word or two."""

    format: str = ""
    """`GGUF`, `GGUF adapter`, `safetensors`, `MLX` …; empty without weights."""
    quantisation: str = ""
    """`Q4_K_M`, `BF16`, `gptq 4-bit` …; empty if unknown."""


def quantisation_in(path: str) -> str:
    """Return the quantisation in a file's name, or else in its folder's; empty without one."""
    pure = PurePosixPath(path)
    for part in (pure.name, *reversed(pure.parts[:-1])):
        if found := _QUANTISATION.findall(_SPLIT.sub("", part)):
            return str(found[-1]).upper()
    return ""


def format_of(path: str) -> str:
    """Return the format of a file of weights, by its name; empty for another file.

    >>> format_of("model-00001-of-00002.safetensors"), format_of("config.json"), format_of("mmproj-F16.gguf")
    ('safetensors', '', 'mmproj')
    """
    name = path.rpartition("/")[2].lower()
    _, dot, suffix = name.rpartition(".")
    kind = _FORMATS.get(suffix, "") if dot else ""
    if kind == GGUF:
        return MMPROJ if "mmproj" in name else "" if "imatrix" in name else GGUF
    return kind if kind != PYTORCH or is_weights(path) else ""


def groups_of(files: Iterable[FileEntry]) -> list[FileGroup]:
    """Return the files in groups: each GGUF model (its parts together), smallest first, then the other formats."""
    found: dict[tuple[str, str], list[FileEntry]] = {}
    for file in sorted(files, key=lambda file: file.path):
        kind = format_of(file.path) or OTHERS
        stem = _SPLIT.sub("", file.path) if kind in (GGUF, MMPROJ) else ""
        found.setdefault((kind, stem), []).append(file)
    told = {key: quantisation_in(key[1]) for key in found if key[0] == GGUF}
    counts = Counter(told.values())
    names = Counter((kind, PurePosixPath(stem).name) for kind, stem in found)
    groups = []
    for (kind, stem), members in found.items():
        label = told.get((kind, stem), "")
        name = PurePosixPath(stem).name
        name = (name if names[kind, name] == 1 else stem) or kind
        groups.append(FileGroup(label if label and counts[label] == 1 else name, kind, tuple(members)))
    return sorted(groups, key=lambda group: (_ORDER.get(group.format, 3), group.size_bytes, group.label))


def formats_of(files: Iterable[FileEntry]) -> list[str]:
    """Return the formats of the weights."""
    return list(dict.fromkeys(group.format for group in groups_of(files) if group.format not in (MMPROJ, OTHERS)))


def include_pattern(group: FileGroup, files: Sequence[FileEntry]) -> str:
    """Return the shortest pattern for `--include` that selects a group's files and no others.

    Args:
        group: The group.
        files: All files of the repository.
    """
    mine = {file.path for file in group.files}
    names = [PurePosixPath(file.path).name for file in group.files]
    spelled = re.search(re.escape(group.label), group.files[0].path, re.IGNORECASE)
    exact = escape(group.files[0].path)
    for pattern in (f"*{spelled[0] if spelled else ''}*", f"*{_SPLIT.sub('', names[0]).rpartition('.')[0]}*"):
        wanted = Selection([pattern])
        if {file.path for file in files if file.path in wanted} == mine:
            return exact if len(mine) == 1 and len(exact) <= len(pattern) else pattern
    return exact if len(mine) == 1 else _SPLIT.sub("-*-of-*", exact)


def is_quantised(group: FileGroup) -> bool:
    """Return whether a GGUF group has fewer than 16 bits a weight, by its name."""
    return not quantisation_in(group.files[0].path).endswith(("16", "32"))


def largest_quantised(groups: Sequence[FileGroup]) -> FileGroup | None:
    """Return the largest GGUF group, one of 16 or 32 bits only if there is no other; None without any.

    Above 8 bits a weight the answers hardly differ, while the memory doubles.
    """
    ggufs = [group for group in groups if group.format == GGUF]
    quantised = [group for group in ggufs if is_quantised(group)]
    return max(quantised or ggufs, key=lambda group: group.size_bytes, default=None)


def main_weights(files: Sequence[FileEntry], parts: Set[str]) -> FileGroup | None:
    """Return the weights that a program loads from a repository; None if it has none.

    Args:
        files: Its files.
        parts: The files that its index names; none without an index.
    """
    groups = groups_of(files)
    tensors = next((group for group in groups if group.format == SAFETENSORS), None)
    if tensors is not None:
        top = [file for file in tensors.files if "/" not in file.path]
        usual = [file for file in top if _USUAL.fullmatch(file.path)]
        named = [file for file in tensors.files if file.path in parts]
        return FileGroup(SAFETENSORS, SAFETENSORS, tuple(named or usual or top or tensors.files))
    others = (group for group in groups if group.format not in (MMPROJ, OTHERS))
    return largest_quantised(groups) or next(others, None)


def missing_parts(weights: FileGroup | None, paths: Set[str], parts: Set[str]) -> int:
    """Return how many parts of a model's weights aren't among its files; without all of them no program loads it.

    Args:
        weights: The weights that a program loads.
        paths: All its files.
        parts: The files that its index names; none without an index.
    """
    if weights is None:
        return 0
    if any(file.path in parts for file in weights.files):
        return 0 if "model.safetensors" in paths else len(parts - paths)
    numbers: dict[tuple[str, str], set[str]] = {}
    for file in weights.files:
        if found := _PART.search(file.path):
            numbers.setdefault((file.path[: found.start()], found[2]), set()).add(found[1])
    return sum(max(0, int(count) - len(there)) for (_, count), there in numbers.items())


def in_part(missing: int) -> str:
    """Return the sentence about parts of weights that aren't among a model's files.

    >>> in_part(1)
    "1 part of its weights isn't among its files."
    """
    return f"{many(missing, 'part')} of its weights {'is' if missing == 1 else 'are'}n't among its files."


def is_whole(row: ModelRow) -> bool:
    """Return whether a model's files are all there, and the parts of its weights all among them.

    The parts are known where its files are named one by one, as those of a mirrored model are.
    """
    if not row.complete or not any(_PART.search(pattern) for pattern in row.allow_patterns):
        return row.complete
    names = [pattern.name for pattern in row.allow_patterns if pattern.name is not None]
    if len(names) < len(row.allow_patterns):
        return True
    files = [FileEntry(name, 0, Digest("0" * 64)) for name in names]
    return not missing_parts(main_weights(files, frozenset()), frozenset(names), frozenset())


def format_by_names(files: Sequence[FileEntry]) -> WeightFormat:
    """Return how a model's weights are written, as far as the names of its files say."""
    weights = main_weights(files, frozenset())
    return WeightFormat(weights.format, quantisation_in(weights.files[0].path)) if weights else WeightFormat()
