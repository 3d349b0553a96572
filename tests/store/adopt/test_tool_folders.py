"""Reading what other tools keep, tool by tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.domain.adopt_inventory import FoundModel, Origin
from modelshelf.store.adopt import inventory, other_tools
from tests.builders import put

GGUF = b"GGUF" + bytes(60)
TENSORS = (2).to_bytes(8, "little") + b"{}"


def found(path: Path) -> list[tuple[Origin, str, list[str]]]:
    """Return program, repository and files of each model that can be adopted."""
    models = other_tools.find(path).models
    assert [model.trouble for model in models if model.trouble] == []
    return [(model.kind, model.repo_id, [file.path for file in model.files]) for model in models]


def only(path: Path) -> FoundModel:
    """Return the only model there."""
    (model,) = other_tools.find(path).models
    return model


def test_lm_studio_keeps_mlx_models_and_sub_folders(tmp_path: Path) -> None:
    """Of LM Studio a whole folder of MLX is one model, with its sub-folders and without hidden files and clutter."""
    folder = tmp_path / "models" / "mlx-community" / "Tiny-4bit"
    for name in ("model.safetensors", "vision/model.safetensors"):
        put(folder / name, TENSORS)
    for name in ("config.json", ".hidden", ".cache/x", "Thumbs.db"):
        put(folder / name, b"{}")

    files = ["config.json", "model.safetensors", "vision/model.safetensors"]
    assert found(tmp_path) == [(Origin.LM_STUDIO, "mlx-community/Tiny-4bit", files)]


def test_a_name_that_cannot_be_an_id_gets_one(tmp_path: Path) -> None:
    """A folder whose name can't be a repository's id has one that is made up, another for each such name."""
    for name in ("odd name \u00fc", "odd name \u00e9", "sound"):
        put(tmp_path / "me" / name / "my tune.gguf", GGUF)

    odd, other, sound = other_tools.find(tmp_path).models

    assert (sound.repo_id, sound.called, odd.called, odd.trouble) == ("me/sound", "", "odd name \u00e9", "")
    assert odd.repo_id.startswith("local/")
    assert odd.repo_id.endswith(".me.odd-name")
    assert odd.repo_id != other.repo_id


def test_an_empty_folder_of_models_hides_nothing(tmp_path: Path) -> None:
    """What lies beside an empty `models` is found, and `models` isn't taken for an organisation."""
    put(tmp_path / "models" / "name" / "x.gguf", GGUF)
    put(tmp_path / "TheOrg" / "Tiny" / "tiny.gguf", GGUF)

    assert found(tmp_path) == [(Origin.LM_STUDIO, "TheOrg/Tiny", ["tiny.gguf"])]


def test_modelscope_spells_dots_as_underscores(tmp_path: Path) -> None:
    """A folder of ModelScope is known by its marker, and the name gets its dots back."""
    folder = tmp_path / "models" / "Qwen" / "Qwen2___5-0___5B"
    put(folder / ".mdl", b"x")
    put(folder / "model.safetensors", TENSORS)

    assert found(tmp_path / "models") == [(Origin.MODELSCOPE, "Qwen/Qwen2.5-0.5B", ["model.safetensors"])]


def test_sentence_transformers_folders_name_their_repository(tmp_path: Path) -> None:
    """A folder `ORG_NAME` with `modules.json` is one of sentence-transformers; without weights it is nothing."""
    for name in ("sentence-transformers_all-MiniLM_v2", "sentence-transformers_empty", "no id_at all"):
        put(tmp_path / name / "modules.json", b"[]")
        put(tmp_path / name / "config_sentence_transformers.json", b"{}")
    for name in ("sentence-transformers_all-MiniLM_v2", "no id_at all"):
        put(tmp_path / name / "model.safetensors", TENSORS)

    files = ["config_sentence_transformers.json", "model.safetensors", "modules.json"]
    assert found(tmp_path) == [(Origin.SENTENCE_TRANSFORMERS, "sentence-transformers/all-MiniLM_v2", files)]


def test_text_generation_webui_notes_the_repository(tmp_path: Path) -> None:
    """A folder of text-generation-webui names its repository in its notes, or by its own name if they can't be read."""
    noted, plain, strange = (tmp_path / "models" / name for name in ("TheOrg_Tiny_4bit", "Org_Other", "strange"))
    put(noted / "huggingface-metadata.txt", b"url: https://huggingface.co/TheOrg/Tiny_4bit\nbranch: main\n")
    put(plain / "huggingface-metadata.txt", b"\xff")
    put(strange / "huggingface-metadata.txt", b"url: https://huggingface.co/a/b/c\n")
    for folder in (noted, plain, strange):
        put(folder / "model.safetensors", TENSORS)

    assert found(tmp_path) == [
        (Origin.WEBUI, "Org/Other", ["model.safetensors"]),
        (Origin.WEBUI, "TheOrg/Tiny_4bit", ["model.safetensors"]),
    ]


def test_single_gguf_files_are_models_and_parts_belong_together(tmp_path: Path) -> None:
    """Each GGUF directly in `models` is a model by its name, and the parts of a split one are one model."""
    for name in ("tiny.Q4_K_M.gguf", "big-00001-of-00002.gguf", "big-00002-of-00002.gguf"):
        put(tmp_path / "models" / name, GGUF)

    assert found(tmp_path) == [
        (Origin.WEBUI, "local/big", ["big-00001-of-00002.gguf", "big-00002-of-00002.gguf"]),
        (Origin.WEBUI, "local/tiny.Q4_K_M", ["tiny.Q4_K_M.gguf"]),
    ]


def test_comfyui_has_a_model_for_each_file(tmp_path: Path) -> None:
    """Each file of weights below a kind of ComfyUI is a model; a pipeline in `diffusers` is one with all its files."""
    models = tmp_path / "models"
    put(models / "checkpoints" / "sd xl (1.0).safetensors", TENSORS)
    put(models / "checkpoints" / "put_checkpoints_here", b"")
    put(models / "loras" / "ink" / "brush.safetensors", TENSORS)
    put(models / "loras" / "((.safetensors", TENSORS)
    put(models / "diffusers" / "pipe" / "model_index.json", b"{}")
    put(models / "diffusers" / "pipe" / "unet" / "model.safetensors", TENSORS)
    put(models / "diffusers" / "empty" / "model_index.json", b"{}")
    (models / "diffusers" / "none").mkdir()

    assert found(tmp_path) == [
        (Origin.COMFYUI, "comfyui/checkpoints.sd-xl-1.0", ["sd xl (1.0).safetensors"]),
        (Origin.COMFYUI, "comfyui/diffusers.pipe", ["model_index.json", "unet/model.safetensors"]),
        (Origin.COMFYUI, "comfyui/loras", ["((.safetensors"]),
        (Origin.COMFYUI, "comfyui/loras.ink-brush", ["brush.safetensors"]),
    ]


def test_torch_hub_keeps_weights_in_one_folder(tmp_path: Path) -> None:
    """Each file of torch hub's checkpoints is a model, called as its file."""
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    put(folder / "resnet50-0676ba61.pth", b"PK\x03\x04" + bytes(60))

    model = only(folder)

    assert (model.kind, model.repo_id, model.called) == (
        Origin.TORCH_HUB, "torchhub/resnet50-0676ba61", "resnet50-0676ba61",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["Org/Tiny/README.md", "notes.txt"], ids=["folder", "file"])
def test_what_no_reader_understands_is_named(tmp_path: Path, name: str) -> None:
    """What lies beside other programs' models and is part of none is named with its size; hidden files aren't."""
    put(tmp_path / "TheOrg" / "Tiny" / "tiny.gguf", GGUF)
    put(tmp_path / name, b"12345")
    put(tmp_path / ".hidden", b"1")
    put(tmp_path / "empty", b"")

    (thing,) = inventory.find(tmp_path).things

    assert (thing.kind, thing.path, thing.size_bytes, thing.why) == (
        "other", str(tmp_path / name.split("/")[0]), 5, "No reader of shelf understands it.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("left", "target", "is_named"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "base/hub/x", False),
        (TENSORS, "base/hub/x", True),
        (b"version https://git-lfs.github.com/spec/v1\n", "elsewhere/x", True),
    ],
    ids=["taken in", "weights left", "another link"],
)
def test_what_a_program_has_beside_links_to_the_library_is_no_finding(
    tmp_path: Path, left: bytes, target: str, is_named: bool
) -> None:
    """A folder whose weights are links into a base isn't named for what else is in it, one with its own weights is."""
    put(tmp_path / "models/TheOrg/Tiny/tiny.gguf", GGUF)
    put(tmp_path / "base/modelshelf/tier.json", b"{}")
    clone = tmp_path / "models/Clone"
    put(clone / "model.safetensors", left)
    put(clone / "tokenizer.json", b"{}")
    (clone / "object").symlink_to(tmp_path / target)

    assert [thing.path for thing in inventory.find(tmp_path / "models").things] == [str(clone)] * is_named


def test_loose_weights_are_found_in_a_folder_and_in_those_in_it(tmp_path: Path) -> None:
    """Weights that no reader knows are named with size and reason, those deeper and those behind links are not."""
    put(tmp_path / "a.gguf", b"1234")
    put(tmp_path / "in/b.safetensors", b"12")
    put(tmp_path / "in/deep/c.gguf", b"1")
    put(tmp_path / "notes.txt", b"1")
    (tmp_path / "link.gguf").symlink_to(tmp_path / "a.gguf")

    found = inventory.loose_weights(tmp_path)

    named = [(Path(one.path).name, one.size_bytes, one.why.split()[0]) for one in found]
    assert named == [("a.gguf", 4, "Single"), ("b.safetensors", 2, "No")]
