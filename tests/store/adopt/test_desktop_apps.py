"""Reading the folders of Jan, GPT4All, llama.cpp, the web UIs and InvokeAI."""

from __future__ import annotations

from pathlib import Path

from modelshelf.domain.adopt_inventory import Origin
from modelshelf.store.adopt import sample
from tests.builders import put
from tests.store.adopt.test_tool_folders import GGUF, TENSORS, found


def test_jan_keeps_a_folder_for_each_model(tmp_path: Path) -> None:
    """A folder with `model.yml` is a model without that file; one whose weights are elsewhere is none."""
    put(tmp_path / "models/qwen/model.gguf", GGUF)
    put(tmp_path / "models/qwen/model.yml", b"model_path: model.gguf")
    put(tmp_path / "models/elsewhere/model.yml", b"model_path: /x.gguf")
    put(tmp_path / "models/(-)/model.yml", b"")
    put(tmp_path / "models/(-)/model.gguf", GGUF)

    assert found(tmp_path) == [(Origin.JAN, "jan/qwen", ["model.gguf"])]


def test_gpt4all_keeps_files_side_by_side(tmp_path: Path) -> None:
    """Each GGUF file is a model, and links aren't."""
    put(tmp_path / "GPT4All/a-Q4.gguf", GGUF)
    (tmp_path / "GPT4All/link.gguf").symlink_to("a-Q4.gguf")

    assert found(tmp_path / "GPT4All") == [(Origin.GPT4ALL, "gpt4all/a-Q4", ["a-Q4.gguf"])]


def test_llama_cpp_names_the_repository_in_a_manifest(tmp_path: Path) -> None:
    """Files get the repository that a manifest names, and those without one an id of their own."""
    cache = tmp_path / "llama.cpp"
    put(cache / "manifest=TheOrg=Tiny-GGUF=latest.json", b"{}")
    put(cache / "manifest=no id=x=latest.json", b"{}")
    put(cache / "manifest=odd.json", b"{}")
    put(cache / "TheOrg_Tiny-GGUF_tiny-Q4.gguf", GGUF)
    put(cache / "other.gguf", GGUF)

    assert found(cache) == [
        (Origin.LLAMA_CPP, "TheOrg/Tiny-GGUF", ["tiny-Q4.gguf"]),
        (Origin.LLAMA_CPP, "llamacpp/other", ["other.gguf"]),
    ]


def test_a_web_ui_keeps_files_by_kind(tmp_path: Path) -> None:
    """Each file of weights of AUTOMATIC1111 or Forge is a model; other folders aren't looked at."""
    put(tmp_path / "models/Stable-diffusion/xl/base.safetensors", TENSORS)
    put(tmp_path / "models/karlo/ViT.safetensors", TENSORS)
    put(tmp_path / "embeddings/easy.safetensors", TENSORS)

    assert found(tmp_path) == [
        (Origin.WEB_UI, "webui/Stable-diffusion.xl-base", ["base.safetensors"]),
        (Origin.WEB_UI, "webui/embeddings.easy", ["easy.safetensors"]),
    ]


def test_invokeai_keeps_pipelines_and_files(tmp_path: Path) -> None:
    """A folder with `model_index.json` is one model, and each other file of weights as well."""
    put(tmp_path / "invokeai.yaml", b"")
    put(tmp_path / "models/1234/model_index.json", b'{"unet": ["diffusers", "UNet"]}')
    put(tmp_path / "models/1234/unet/model.safetensors", TENSORS)
    put(tmp_path / "models/(-)/model_index.json", b"{}")
    put(tmp_path / "models/empty/model_index.json", b"{}")
    put(tmp_path / "models/5678/lora.safetensors", TENSORS)

    assert found(tmp_path / "models") == [
        (Origin.INVOKEAI, "invokeai/1234", ["model_index.json", "unet/model.safetensors"]),
        (Origin.INVOKEAI, "invokeai/5678-lora", ["lora.safetensors"]),
    ]


def test_equal_files_have_one_key(tmp_path: Path) -> None:
    """A key tells files apart by size, beginning, middle and end."""
    content = bytearray(300_000)
    put(tmp_path / "a", bytes(content))
    put(tmp_path / "same", bytes(content))
    keys = {sample.key_of(tmp_path / "a"), sample.key_of(tmp_path / "same")}
    for number, at in enumerate((0, 150_000, 299_999)):
        put(tmp_path / str(number), bytes(content[:at]) + b"x" + bytes(content[at + 1 :]))
        keys.add(sample.key_of(tmp_path / str(number)))
    assert len(keys) == 4
