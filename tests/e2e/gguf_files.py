"""GGUF files of the tests' own, made from the real model's: one in parts, and a LoRA adapter."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from demo.build_models import find_gguf

_BY_THE_WRITER = ("GGUF.", gguf.Keys.General.ARCHITECTURE)


def split(folder: Path, stem: str, tensors: int) -> list[Path]:
    """Write the real model in parts, named and numbered as llama.cpp's own `gguf-split` does.

    Args:
        folder: Where to.
        stem: What the names of the parts begin with.
        tensors: The number of tensors in each part.

    Source: `split.no`, `split.count` and `split.tensors.count` of llama.cpp's tools/gguf-split.
    """
    reader = gguf.GGUFReader(find_gguf())
    writer = gguf.GGUFWriter(folder / f"{stem}.gguf", "llama", split_max_tensors=tensors)
    for field in reader.fields.values():
        if not field.name.startswith(_BY_THE_WRITER):
            kind = field.types[0]
            of = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, sub_type=of)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    _write(writer)
    return sorted(folder.glob(f"{stem}-*-of-*.gguf"))


def adapter(path: Path) -> Path:
    """Write a LoRA adapter for the real model that changes what it says, without any sense."""
    drawn = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 8.0)
    for tensor in gguf.GGUFReader(find_gguf()).tensors:
        if tensor.name.endswith("attn_output.weight"):
            inner, outer = (int(size) for size in tensor.shape)
            writer.add_tensor(f"{tensor.name}.lora_a", drawn.normal(size=(4, inner)).astype(np.float32))
            writer.add_tensor(f"{tensor.name}.lora_b", drawn.normal(size=(outer, 4)).astype(np.float32))
    _write(writer)
    return path


def _write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
