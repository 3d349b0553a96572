"""What is on a disk before adopt runs: models, complete or not, and everything else. Pure values."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from modelshelf.domain.file_kinds import is_weights, missing_component, missing_shard
from modelshelf.domain.models import FileEntry, total_size
from modelshelf.domain.names import CommitHash, Digest, FilePath, RepoId
from modelshelf.domain.patterns import FilePattern, escape, patterns_of

_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_SETS = ("config.json", "tokenizer_config.json", "model_index.json")
"""Small files without which a snapshot that should have them can't be loaded."""


class Origin(enum.StrEnum):
    """The program that laid out a model."""

    CACHE = "cache"
    STRAY = "stray"
    LOCAL_DIR = "local_dir"
    LM_STUDIO = "lm_studio"
    OLLAMA = "ollama"
    GIT = "git"
    MODELSCOPE = "modelscope"
    SENTENCE_TRANSFORMERS = "sentence_transformers"
    WEBUI = "webui"
    COMFYUI = "comfyui"
    TORCH_HUB = "torch_hub"
    JAN = "jan"
    GPT4ALL = "gpt4all"
    LLAMA_CPP = "llama_cpp"
    WEB_UI = "web_ui"
    INVOKEAI = "invokeai"

    @property
    def is_foreign(self) -> bool:
        """Whether it belongs to another program, and is only ever linked or copied from."""
        return self not in (Origin.CACHE, Origin.STRAY)

    @property
    def is_of_no_hub(self) -> bool:
        """Whether its repository's id is made up, so that it follows no revision."""
        return self in _OF_NO_HUB


_OF_NO_HUB = frozenset(
    {Origin.OLLAMA, Origin.COMFYUI, Origin.TORCH_HUB, Origin.JAN, Origin.GPT4ALL, Origin.WEB_UI, Origin.INVOKEAI}
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file on the disk."""

    path: FilePath
    """Its path in the repository."""
    size_bytes: int
    digest: Digest | None
    """None if only reading it tells."""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A snapshot, or another program's files, as found."""

    kind: Origin
    place: str
    """The cache_dir, which holds its repository's folder; for a foreign one the folder of its files."""
    repo_id: str
    """Empty if no repository is known; see `repo`."""
    commit_hash: str
    """Made up from the files if no commit is known; empty until then. See `commit`."""
    files: tuple[FoundFile, ...]
    """The files on the disk."""
    listed: tuple[FileEntry, ...] = ()
    """All files of the commit; none without a list of them."""
    revision: str = ""
    """A ref to it; empty without one."""
    trouble: str = ""
    """Why it can't be adopted, in a sentence."""
    called: str = ""
    """The name that its program gives it, if not the repository's."""
    sources: tuple[tuple[str, str], ...] = ()
    """Of a foreign model: each file's path in the snapshot, and its path on the disk."""
    note: str = ""
    """What a person should know about it."""
    lost: tuple[FileEntry, ...] = ()
    """Those of its files whose links were lost and whose blobs exist: they are linked again first."""

    @property
    def repo(self) -> RepoId:
        """Its repository; raises BadInput if none is known."""
        return RepoId(self.repo_id)

    @property
    def commit(self) -> CommitHash:
        """Its commit; raises BadInput if none is known."""
        return CommitHash(self.commit_hash)

    @property
    def entries(self) -> tuple[FileEntry, ...]:
        """The existing files whose digest is known."""
        return tuple(FileEntry(f.path, f.size_bytes, f.digest) for f in self.files if f.digest is not None)

    @property
    def size_bytes(self) -> int:
        """The bytes of its distinct contents on the disk."""
        return total_size(self.entries) + sum(file.size_bytes for file in self.files if file.digest is None)

    @property
    def is_whole(self) -> bool:
        """Whether every file of the commit is known and exists."""
        return bool(self.listed) and {f.path for f in self.listed} <= {f.path for f in self.files}

    @property
    def patterns(self) -> tuple[FilePattern, ...]:
        """Patterns of the model's files, if these aren't known to be all of its commit's."""
        return () if self.is_whole else patterns_of(escape(file.path) for file in self.files)


@dataclass(frozen=True, slots=True)
class FoundThing:
    """Anything else that was found."""

    kind: str
    """`dataset`, `space`, `kernel`, `token`, `modules`, `xet`, `dead`, `link`, `unreadable`, `partial` or `other`."""
    path: str
    size_bytes: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything below a path."""

    path: str
    models: tuple[FoundModel, ...] = ()
    things: tuple[FoundThing, ...] = ()


@dataclass(frozen=True, slots=True)
class Says:
    """What a snapshot's own files say about which files belong to it."""

    indexes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Each index of shards, by path, and the files it names, relative to its folder."""
    components: Sequence[str] = ()
    """The folders that a pipeline's `model_index.json` names."""


def why_partial(
    files: Iterable[FoundFile], listed: Sequence[FileEntry], arriving: Iterable[str] = (), says: Says | None = None
) -> str:
    """Return why the existing files aren't a model, in a sentence; empty if they are.

    A snapshot is often a part of its commit on purpose: a program took one format of three, a person one GGUF of ten.

    Args:
        files: The existing files.
        listed: All files of the commit; none if they aren't known.
        arriving: Digests of partial downloads there.
        says: What the files themselves name.
    """
    files, says = list(files), says or Says()
    there = {file.path for file in files}
    if listed and all(file.path in there for file in listed):
        return ""
    if not any(is_weights(path) for path in there):
        return "It has no weights."
    begun = set(arriving) - {file.digest for file in files}
    for file in listed:
        if file.path not in there and file.digest in begun:
            return f"The download of {file.path} was interrupted."
    if begun and not listed:
        return "A download into it was interrupted, and no list says which file: it may be incomplete."
    missing = missing_shard(there, says.indexes) or _missing_setting(there, {file.path for file in listed})
    return f"{missing} is not there." if missing else missing_component(there, says.components)


def _missing_setting(there: Set[str], listed: Set[str]) -> str:
    """Return a missing small file of the commit without which nothing loads; GGUF needs none."""
    if all(path.endswith((".gguf", ".ggml")) for path in there if is_weights(path)):
        return ""
    wanted = [name for name in _SETS if name in listed and name not in there]
    tokenizers = [name for name in _TOKENIZERS if name in listed]
    if tokenizers and not there & set(tokenizers):
        wanted.append(tokenizers[0])
    return wanted[0] if wanted else ""
