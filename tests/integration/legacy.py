"""Caches as tools of every age left them: by the real library, or drawn where today's no longer writes them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.builders import content, lay_out, put
from tests.world import Home, random_bytes

REPO = "Org/Name-1B"
NAME = "name-1b"
FILES = {
    "config.json": b"{}",
    "deep/extra.bin": random_bytes(70_000, 2),
    "model.safetensors": random_bytes(300_000, 1),
    "tokenizer.json": b'{"a": 1}',
}


def download(home: Home, base: Path) -> None:
    """Download into a base with the real library."""
    home.hf(base, "download", REPO).checked()


def with_2x(home: Home, base: Path) -> None:
    """Write what huggingface_hub 2 does without its shared store: the list of files beside the snapshot."""
    download(home, base)


def with_shared_store(home: Home, base: Path) -> None:
    """Write what huggingface_hub 2 does if the hub offers Xet: the weights in the shared store."""
    from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store

    download(home, base)
    for blob in Base(base).repo(REPO).blobs.iterdir():
        if len(blob.name) == 64:
            xet_hash = hashlib.sha256(blob.read_bytes()).hexdigest()
            size_bytes = blob.stat().st_size
            where = {"blob_path": str(blob), "xet_hash": xet_hash, "cache_dir": Base(base).hub}
            assert publish_blob_to_shared_store(**where, expected_size=size_bytes)


def with_1x(home: Home, base: Path) -> None:
    """Write what huggingface_hub 1 did: no list of files."""
    download(home, base)
    shutil.rmtree(Base(base).repo(REPO).trees)


def with_0x(home: Home, base: Path) -> None:
    """Write what huggingface_hub 0.2x did: a version file, no list of files, and older flat files."""
    with_1x(home, base)
    put(base / "hub" / "version.txt", b"1")
    flat(base / "transformers")


def without_links(home: Home, base: Path) -> None:
    """Write what is written without symbolic links: the bytes in the snapshot."""
    home.hf(base, "download", REPO, HF_HUB_DISABLE_SYMLINKS="1").checked()


def with_absolute_links(home: Home, base: Path) -> None:
    """Write what a tool does that makes absolute links."""
    with_1x(home, base)
    for _, _, repo in scan.repos(Base(base)):
        for path in scan.walk_files(repo.snapshots):
            real = path.resolve()
            path.unlink()
            path.symlink_to(real)


AGES: dict[str, Callable[[Home, Path], None]] = {
    "0.2x": with_0x,
    "1.x": with_1x,
    "2.x": with_2x,
    "2.x shared": with_shared_store,
    "no links": without_links,
    "absolute links": with_absolute_links,
}


def flat(folder: Path) -> None:
    """Write what transformers before 4.22 did: files named by the hashes of url and etag, each with its `.json`."""
    for number in range(2):
        name = f"{hashlib.sha256(b'url%d' % number).hexdigest()}.{hashlib.sha256(b'etag%d' % number).hexdigest()}"
        put(folder / f"{name}.h5", content(name, 500))
        put(folder / f"{name}.h5.json", json.dumps({"url": "https://x/y.h5", "etag": "e"}).encode())


def stray(base: Path, drawing: str, below: str = ".") -> None:
    """Draw a cache whose repositories are in `base/below` directly, as with `cache_dir=base`."""
    drawn = base.with_name(f"{base.name}-drawn")
    lay_out(drawn, drawing)
    (base / below).mkdir(parents=True, exist_ok=True)
    for path in (drawn / "hub").iterdir():
        shutil.move(path, base / below / path.name)
    shutil.rmtree(drawn)


def lm_studio(folder: Path) -> bytes:
    """Write a folder of LM Studio; return the bytes of its model."""
    data = b"GGUF" + random_bytes(199_996, 7)
    put(folder / "TheOrg" / "Tiny-GGUF" / "tiny-q4.gguf", data)
    return data


def ollama(folder: Path) -> bytes:
    """Write Ollama's files of one model; return the bytes of its weights."""
    data, template = b"GGUF" + random_bytes(199_996, 8), b"{{ .Prompt }}"
    layers: list[dict[str, Any]] = []
    for kind, layer in (("model", data), ("template", template)):
        digest = hashlib.sha256(layer).hexdigest()
        put(folder / "blobs" / f"sha256-{digest}", layer)
        media = f"application/vnd.ollama.image.{kind}"
        layers.append({"mediaType": media, "digest": f"sha256:{digest}", "size": len(layer)})
    manifest = {"schemaVersion": 2, "layers": layers}
    put(folder / "manifests" / "registry.ollama.ai" / "library" / "llama3" / "8b", json.dumps(manifest).encode())
    return data
