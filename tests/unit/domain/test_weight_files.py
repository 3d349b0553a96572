"""Grouping files by their names."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from modelshelf.domain.models import FileEntry, ModelRow, select_files
from modelshelf.domain.names import Digest, FilePath
from modelshelf.domain.patterns import FilePattern
from modelshelf.domain.weight_files import (
    format_of,
    formats_of,
    groups_of,
    include_pattern,
    is_whole,
    largest_quantised,
    main_weights,
    missing_parts,
    quantisation_in,
)


def files_of(*paths: str) -> list[FileEntry]:
    """Return files of growing size."""
    return [FileEntry(FilePath(path), 1 + i, Digest(f"{i:040x}")) for i, path in enumerate(paths)]


@pytest.mark.parametrize(
    ("path", "quantisation"),
    [
        ("SmolLM2-135M-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("llama.Q8_0.gguf", "Q8_0"),
        ("m-IQ2_XXS.gguf", "IQ2_XXS"),
        ("m-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("m-TQ1_0.gguf", "TQ1_0"),
        ("m-BF16.gguf", "BF16"),
        ("m-fp16.gguf", "FP16"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("UD-Q4_K_XL/m-00001-of-00003.gguf", "Q4_K_XL"),
        ("model.gguf", ""),
        ("Q4-notes.gguf", ""),
    ],
)
def test_a_name_tells_the_quantisation(path: str, quantisation: str) -> None:
    """A quantisation is read from a file's or folder's name, in several spellings."""
    assert quantisation_in(path) == quantisation


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("training_args.bin", ""),
        ("pytorch_model.bin", "PyTorch"),
        ("imatrix.gguf", ""),
        ("mmproj-model-f16.gguf", "mmproj"),
        ("onnx/model.onnx", "ONNX"),
        ("README.md", ""),
    ],
)
def test_a_name_tells_the_format(path: str, kind: str) -> None:
    """A file's format follows from its suffix; a file without weights has none."""
    assert format_of(path) == kind


def test_a_repository_of_quantisations() -> None:
    """Each quantisation is a group with all of its parts, smallest first; the other files follow."""
    files = files_of(
        "m-Q2_K.gguf", "m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf", "mmproj-F16.gguf", "README.md",
        "model.safetensors", "onnx/model.onnx",
    )  # fmt: skip

    groups = groups_of(files)

    assert [(group.label, len(group.files), group.size_bytes) for group in groups] == [
        ("Q2_K", 1, 1),
        ("Q8_0", 2, 5),
        ("mmproj-F16.gguf", 1, 4),
        ("safetensors", 1, 6),
        ("ONNX", 1, 7),
        ("other files", 1, 5),
    ]
    assert formats_of(files) == ["GGUF", "safetensors", "ONNX"]


def test_two_models_of_one_quantisation_are_told_apart_by_their_names() -> None:
    """If two files have one quantisation, or none, their names are the labels."""
    assert [group.label for group in groups_of(files_of("a-Q4_0.gguf", "b-Q4_0.gguf", "c.gguf"))] == [
        "a-Q4_0.gguf",
        "b-Q4_0.gguf",
        "c.gguf",
    ]


def test_two_files_of_one_name_are_told_apart_by_their_folders() -> None:
    """Where two folders have the same name in them, the label is the path, and the pattern selects one alone."""
    files = files_of("a/m-Q4_0.gguf", "b/m-Q4_0.gguf")

    assert [group.label for group in groups_of(files)] == ["a/m-Q4_0.gguf", "b/m-Q4_0.gguf"]
    assert [include_pattern(group, files) for group in groups_of(files)] == ["a/m-Q4_0.gguf", "b/m-Q4_0.gguf"]


REPOS = {
    "plain": files_of("m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "README.md"),
    "lower case": files_of("m-q4_k_m.gguf", "m-q4_k_s.gguf"),
    "parts": files_of("m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf", "m-Q8_0.gguf"),
    "in folders": files_of("Q4_K_M/m-00001-of-00002.gguf", "Q4_K_M/m-00002-of-00002.gguf", "Q8_0/m.gguf"),
    "one is in the other's name": files_of("m-F16.gguf", "m-BF16.gguf", "mmproj-F16.gguf"),
    "no quantisation": files_of("a.gguf", "ab.gguf", "abc[1].gguf"),
    "parts without one": files_of("a-00001-of-00002.gguf", "a-00002-of-00002.gguf", "xa-1-of-1.gguf"),
}


@pytest.mark.parametrize("files", REPOS.values(), ids=REPOS.keys())
def test_the_pattern_of_a_group_takes_its_files_alone(files: list[FileEntry]) -> None:
    """A group's pattern selects its files and no others."""
    for group in groups_of(files):
        if group.format == "GGUF":
            assert select_files(files, [include_pattern(group, files)]) == list(group.files), group


def test_the_pattern_is_short_where_it_can_be() -> None:
    """A quantisation that only one model has is its own pattern, spelled as in the file."""
    files = REPOS["lower case"]

    assert include_pattern(groups_of(files)[0], files) == "*q4_k_m*"


@pytest.mark.parametrize(
    ("paths", "largest"),
    [
        (("m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-F16.gguf"), "Q8_0"),
        (("m-F16.gguf", "m-F32.gguf"), "F32"),
        (("model.safetensors",), None),
    ],
    ids=["some quantised", "none quantised", "no GGUF"],
)
def test_the_largest_quantisation(paths: tuple[str, ...], largest: str | None) -> None:
    """The largest quantised file counts, or the largest of all if none is quantised."""
    found = largest_quantised(groups_of(files_of(*paths)))

    assert (found.label if found else None) == largest


@pytest.mark.parametrize(
    ("paths", "parts", "main"),
    [
        (("model.safetensors", "model.fp16.safetensors", "consolidated.safetensors"), (), ["model.safetensors"]),
        (("a-1-of-2.safetensors", "a-2-of-2.safetensors", "b.safetensors"), ("a-1-of-2.safetensors",), None),
        (("sub/model.safetensors", "ae.safetensors"), (), ["ae.safetensors"]),
        (("unet/x.safetensors", "vae/y.safetensors"), (), ["unet/x.safetensors", "vae/y.safetensors"]),
        (("m-Q8_0.gguf", "m-Q4_0.gguf"), (), ["m-Q4_0.gguf"]),
        (("pytorch_model.bin", "config.json"), (), ["pytorch_model.bin"]),
        (("config.json",), (), []),
    ],
    ids=["the usual name", "by the index", "at the top", "in folders", "GGUF", "PyTorch", "none"],
)
def test_the_weights_that_a_program_loads(
    paths: tuple[str, ...], parts: tuple[str, ...], main: list[str] | None
) -> None:
    """The index, else the usual names, gives the weights that are loaded; variants and other layouts don't count."""
    found = main_weights(files_of(*paths), frozenset(parts))

    assert [file.path for file in (found.files if found else ())] == (list(parts) if main is None else main)


@pytest.mark.parametrize(
    ("paths", "parts", "missing"),
    [
        (["m-00001-of-00003.safetensors", "m-00003-of-00003.safetensors"], [], 1),
        (["m-Q8_0-00002-of-00003.gguf"], [], 2),
        (["pytorch_model-00000-of-00002.bin", "pytorch_model-00001-of-00002.bin"], [], 0),
        (["model-a.safetensors"], ["model-a.safetensors", "model-b.safetensors"], 1),
        (["model.safetensors", "model-a.safetensors"], ["model-a.safetensors", "model-b.safetensors"], 0),
        (["model.safetensors"], ["old-00001-of-00002.safetensors"], 0),
        (["config.json"], [], 0),
    ],
    ids=["shards", "a split GGUF", "from nought", "by the index", "one file too", "an old index", "no weights"],
)
def test_the_parts_that_are_missing_are_counted(paths: list[str], parts: list[str], missing: int) -> None:
    """The index tells the parts of a model's weights; without one their names do."""
    weights = main_weights(files_of(*paths), frozenset(parts))

    assert missing_parts(weights, frozenset(paths), frozenset(parts)) == missing


@pytest.mark.parametrize(
    ("patterns", "complete", "whole"),
    [
        ((), True, True),
        ((), False, False),
        (("m-00001-of-00002.safetensors",), True, False),
        (("m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"), True, True),
        (("m-00001-of-00002.safetensors", "*.safetensors"), True, True),
    ],
    ids=["all", "incomplete", "one part", "both parts", "a pattern"],
)
def test_a_model_of_named_files_is_whole_with_all_parts(patterns: tuple[str, ...], complete: bool, whole: bool) -> None:
    """A model that the mirror has in part isn't whole; of other patterns its files tell, once they are read."""
    blank: dict[str, Any] = dict.fromkeys((one.name for one in fields(ModelRow)), None)
    row = ModelRow(**(blank | {"complete": complete, "allow_patterns": tuple(map(FilePattern, patterns))}))

    assert is_whole(row) is whole
