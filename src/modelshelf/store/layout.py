"""The tree below a base: the only module that builds paths.

    BASE/                                     what Hugging Face calls HF_HOME; always named without `hub`
      hub/                                    what it calls the cache_dir
        CACHEDIR.TAG                          backup tools skip what is below
        .locks/models--ORG--NAME/<digest>.lock
        blobs/<2 hex>/<xet hash>              the shared blob store of huggingface_hub 2
        models--ORG--NAME/
          blobs/<digest>                      the bytes, or a link into the shared store
          blobs/<digest>.<8 hex>.incomplete   a download of another tool, in flight or dead
          snapshots/<commit>/<path>           a relative link to the blob
          refs/<revision>                     the commit it means, 40 hex
          .no_exist/<commit>/<path>           files known not to exist
          trees/<commit>.json                 the list of files
      modelshelf/                             everything of ours
        tier.json                             the tier's id: a base without it is not mounted
        capabilities.json                     what its file system can, tried once
        registry.db                           the registry, in the primary base, unless DATABASE_URL says otherwise
        meter.json                            what was last measured, by repository
        incoming/<digest>.part                bytes of a blob as they arrive
        incoming/<digest>.map                 the XXH3 of each of its segments that is there
        incoming/<digest>.lock                who is fetching it
        links.json                            old bases that are links to this one, and their backups
        models/<name>.json                    a sidecar for each model here: its name and files, for a lost registry
        locks/<repository>.lock               who lays out or deletes in a repository's folder
        quarantine/                           damaged blobs; only `shelf gc --quarantine` deletes them

>>> base = Base(Path("/mnt/fast"))
>>> str(base.repo(RepoId("Qwen/Qwen2.5-3B-Instruct")).snapshot(CommitHash("c" * 40)))[:50]
'/mnt/fast/hub/models--Qwen--Qwen2.5-3B-Instruct/sn'
>>> base.repo(RepoId("gpt2")).ref(RefName("refs/pr/1"))
PosixPath('/mnt/fast/hub/models--gpt2/refs/refs/pr/1')
>>> base.part(Digest("ab12" * 10)).name[-9:]
'ab12.part'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.names import CommitHash, Digest, ModelName, RefName, RepoId, repo_folder_name


@dataclass(frozen=True, slots=True)
class Repo:
    """The folder of one repository."""

    path: Path
    root: Path
    """The folder that it belongs to, below which alone it is changed: the base, or the cache_dir."""

    @property
    def blobs(self) -> Path:
        """The folder of its blobs."""
        return self.path / "blobs"

    @property
    def snapshots(self) -> Path:
        """The folder of its snapshots."""
        return self.path / "snapshots"

    @property
    def refs(self) -> Path:
        """The folder of its refs."""
        return self.path / "refs"

    @property
    def trees(self) -> Path:
        """The folder of its file lists."""
        return self.path / "trees"

    def blob(self, digest: Digest) -> Path:
        """The bytes that have this digest."""
        return self.blobs / digest

    def snapshot(self, commit_hash: CommitHash) -> Path:
        """The folder of one commit."""
        return self.path.joinpath("snapshots", commit_hash)  # one step: a listing asks thousands of times

    def ref(self, revision: RefName) -> Path:
        """The file that says which commit a revision means."""
        return self.refs / revision

    def tree(self, commit_hash: CommitHash) -> Path:
        """The list of files of a commit."""
        return self.trees / f"{commit_hash}.json"

    @property
    def absences(self) -> Path:
        """The folder of what is known not to exist."""
        return self.path / ".no_exist"

    def no_exist(self, commit_hash: CommitHash) -> Path:
        """The folder of files known not to exist at a commit."""
        return self.absences / commit_hash


@dataclass(frozen=True, slots=True)
class Base:
    """The root of a tier."""

    path: Path

    @property
    def hub(self) -> Path:
        """The cache_dir of every Hugging Face call."""
        return self.path / "hub"

    @property
    def xet(self) -> Path:
        """The folder of hf_xet."""
        return self.path / "xet"

    @property
    def nested_hub(self) -> Path:
        """What a tool makes that was given HF_HOME=BASE/hub; no tier's tool looks there."""
        return self.hub / "hub"

    @property
    def token(self) -> Path:
        """What `hf auth login` stores with HF_HOME=BASE."""
        return self.path / "token"

    @property
    def old_transformers(self) -> Path:
        """What transformers before 4.22 wrote; nothing of today reads it."""
        return self.path / "transformers"

    @property
    def own(self) -> Path:
        """Everything of modelshelf's."""
        return self.path / "modelshelf"

    @property
    def marker(self) -> Path:
        """The tier's id."""
        return self.own / "tier.json"

    @property
    def capabilities(self) -> Path:
        """What its file system can, tried once."""
        return self.own / "capabilities.json"

    @property
    def registry(self) -> Path:
        """The registry, where DATABASE_URL does not say otherwise."""
        return self.own / "registry.db"

    @property
    def meter(self) -> Path:
        """What the last walk measured."""
        return self.own / "meter.json"

    @property
    def incoming(self) -> Path:
        """Blobs as they arrive."""
        return self.own / "incoming"

    @property
    def quarantine(self) -> Path:
        """Blobs whose bytes were not what their name says."""
        return self.own / "quarantine"

    def repo(self, repo_id: RepoId, repo_type: str = "model") -> Repo:
        """The folder of a repository."""
        return Repo(self.path.joinpath("hub", repo_folder_name(repo_id, repo_type)), self.path)

    @property
    def sidecars(self) -> Path:
        """The folder of the models' sidecars."""
        return self.own / "models"

    def sidecar(self, model_name: ModelName) -> Path:
        """What is known of a model, beside its bytes."""
        return self.sidecars / f"{model_name}.json"

    @property
    def links(self) -> Path:
        """Which old bases are links to this one, and where they lie now."""
        return self.own / "links.json"

    @property
    def locks(self) -> Path:
        """The folder of the repositories' locks."""
        return self.own / "locks"

    def repo_lock(self, repo_id: RepoId) -> Path:
        """The lock of whoever lays out or deletes in a repository's folder."""
        return self.locks / f"{repo_folder_name(repo_id)}.lock"

    @property
    def things_lock(self) -> Path:
        """The lock of whoever brings what isn't a repository."""
        return self.locks / "things.lock"

    def part(self, digest: Digest) -> Path:
        """The bytes of a blob as they arrive."""
        return self.incoming / f"{digest}.part"

    def part_map(self, digest: Digest) -> Path:
        """Which segments of a part are there."""
        return self.incoming / f"{digest}.map"

    def part_lock(self, digest: Digest) -> Path:
        """The lock of whoever fetches a blob."""
        return self.incoming / f"{digest}.lock"

    def hub_lock(self, repo_id: RepoId, digest: Digest, repo_type: str = "model") -> Path:
        """The lock that huggingface_hub takes for a blob of a repository."""
        return self.hub_locks(repo_id, repo_type) / f"{digest}.lock"

    def hub_locks(self, repo_id: RepoId, repo_type: str = "model") -> Path:
        """The folder of the locks that huggingface_hub takes for a repository."""
        return self.hub / ".locks" / repo_folder_name(repo_id, repo_type)


@dataclass(frozen=True, slots=True)
class CacheDir(Base):
    """A cache_dir that isn't a base: repositories lie in it directly, as after `cache_dir=BASE`."""

    @property
    def hub(self) -> Path:
        """The folder itself."""
        return self.path

    def repo(self, repo_id: RepoId, repo_type: str = "model") -> Repo:
        """The folder of a repository."""
        return Repo(self.path / repo_folder_name(repo_id, repo_type), self.path)


def is_part_lock(path: Path) -> bool:
    """Return whether a lock is that of whoever fetches a blob, which nobody wants once it is let go.

    >>> is_part_lock(Base(Path("/mnt/fast")).part_lock(Digest("ab" * 20)))
    True
    """
    return path.parent.name == "incoming"


def before_name(path: Path, day: str, number: int = 1) -> Path:
    """Where a base lies that a link took the place of: `.before-modelshelf-20261123` behind its name."""
    return path.with_name(f"{path.name}.before-modelshelf-{day}" + (f"-{number}" if number > 1 else ""))


def is_before_name(path: Path, backup: Path) -> bool:
    """Return whether `before_name` makes this backup of a base.

    >>> is_before_name(Path("/a/b"), before_name(Path("/a/b"), "20261123", 2)), is_before_name(Path("/a/b"), Path("/c"))
    (True, False)
    """
    name = re.fullmatch(r"(.+)\.before-modelshelf-\d{8}(-\d+)?", backup.name)
    return name is not None and backup.parent == path.parent and name[1] == path.name


def known_bases_file(state_home: Path) -> Path:
    """The user's memory of every base ever used, outside of all of them."""
    return state_home / "modelshelf" / "bases.json"


def known_libraries_file(state_home: Path) -> Path:
    """Return the file that remembers the libraries of this user.

    Args:
        state_home: XDG_STATE_HOME.
    """
    return state_home / "modelshelf" / "libraries.json"


def user_unit_file(config_home: Path, name: str) -> Path:
    """A systemd unit of the user's own."""
    return config_home / "systemd" / "user" / name
