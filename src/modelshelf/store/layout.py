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
        views/<kind>-<hash>.json              a record for each view, in the primary base: what we made there
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
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from modelshelf.domain.names import CommitHash, Digest, ModelName, RefName, RepoId
from modelshelf.domain.repo_folders import repo_folder_name

SHARED_MARKER = ".huggingface-shared-blobs"
"""The file that makes a folder a shared blob store of huggingface_hub."""


class RepoFolders(NamedTuple):
    """The folders in a repository's, as texts: a look at a library asks for those of each."""

    blobs: str
    snapshots: str
    refs: str
    trees: str


WRITTEN_FOLDERS = frozenset(RepoFolders._fields)
"""The folders of a repository that huggingface_hub and we write in."""


@dataclass(frozen=True)
class Repo:
    """The folder of one repository; the paths that are asked for most are made once."""

    folder: str
    """Its path as a text: a look at a library asks for that of each, and few need more."""
    root: Path
    """The root of every change in it: the base, or the cache_dir."""

    @cached_property
    def path(self) -> Path:
        """Its path."""
        return Path(self.folder)

    @cached_property
    def blobs(self) -> Path:
        """The folder of its blobs."""
        return self.path / "blobs"

    @cached_property
    def snapshots(self) -> Path:
        """The folder of its snapshots."""
        return self.path / "snapshots"

    @cached_property
    def refs(self) -> Path:
        """The folder of its refs."""
        return self.path / "refs"

    @cached_property
    def trees(self) -> Path:
        """The folder of its file lists."""
        return self.path / "trees"

    def blob(self, digest: Digest) -> Path:
        """The file with this digest."""
        return self.blobs / digest

    def snapshot(self, commit_hash: CommitHash) -> Path:
        """The folder of one commit."""
        return self.snapshots / commit_hash

    @cached_property
    def folders(self) -> RepoFolders:
        """The folders in it."""
        path = self.folder
        return RepoFolders(f"{path}/blobs", f"{path}/snapshots", f"{path}/refs", f"{path}/trees")

    def folders_of(self, commit_hash: CommitHash) -> tuple[str, str]:
        """The folders of one commit and of the blobs, as texts: a listing asks for those of each model."""
        return f"{self.folders.snapshots}/{commit_hash}", self.folders.blobs

    def ref(self, revision: RefName) -> Path:
        """The file with the commit of a revision."""
        return self.refs / revision

    def tree(self, commit_hash: CommitHash) -> Path:
        """The list of files of a commit."""
        return self.trees / f"{commit_hash}.json"

    @property
    def absences(self) -> Path:
        """The folder of the negative cache."""
        return self.path / ".no_exist"

    def no_exist(self, commit_hash: CommitHash) -> Path:
        """The folder of files known not to exist at a commit."""
        return self.absences / commit_hash


@dataclass(frozen=True)
class Base:
    """The root of a tier."""

    path: Path

    @cached_property
    def hub(self) -> Path:
        """The cache_dir of every Hugging Face call."""
        return self.path / "hub"

    @property
    def xet(self) -> Path:
        """The folder of hf_xet."""
        return self.path / "xet"

    @property
    def nested_hub(self) -> Path:
        """What a tool with HF_HOME=BASE/hub creates; no tool of the tier reads it."""
        return self.hub / "hub"

    @property
    def token(self) -> Path:
        """What `hf auth login` stores with HF_HOME=BASE."""
        return self.path / "token"

    @property
    def old_transformers(self) -> Path:
        """What transformers before 4.22 wrote; no tool of today reads it."""
        return self.path / "transformers"

    @cached_property
    def own(self) -> Path:
        """Everything that modelshelf writes."""
        return self.path / "modelshelf"

    @property
    def marker(self) -> Path:
        """The tier's marker."""
        return self.own / "tier.json"

    @property
    def capabilities(self) -> Path:
        """What the tier's file system can, by a probe."""
        return self.own / "capabilities.json"

    @property
    def registry(self) -> Path:
        """The registry, unless DATABASE_URL says otherwise."""
        return self.own / "registry.db"

    @property
    def meter(self) -> Path:
        """The results of the last walk."""
        return self.own / "meter.json"

    @property
    def incoming(self) -> Path:
        """The folder of parts."""
        return self.own / "incoming"

    @property
    def quarantine(self) -> Path:
        """Blobs whose bytes didn't match their name."""
        return self.own / "quarantine"

    def repo(self, repo_id: RepoId, repo_type: str = "model") -> Repo:
        """The folder of a repository."""
        return Repo(f"{self.hub}/{repo_folder_name(repo_id, repo_type)}", self.path)

    @property
    def sidecars(self) -> Path:
        """The folder of the models' sidecars."""
        return self.own / "models"

    def sidecar(self, model_name: ModelName) -> Path:
        """A model's sidecar, beside its bytes."""
        return self.sidecars / f"{model_name}.json"

    @property
    def links(self) -> Path:
        """The old bases that are links to this one, and their backups."""
        return self.own / "links.json"

    @cached_property
    def locks(self) -> Path:
        """The folder of the repositories' locks."""
        return self.own / "locks"

    @property
    def beside_store(self) -> Path:
        """Where `cache_dir=BASE` has its shared store, beside `hub`."""
        return self.path / "blobs"

    @property
    def views(self) -> Path:
        """The folder of the views' records."""
        return self.own / "views"

    def view(self, kind: str, root: str) -> Path:
        """The record of a view; one in this base itself has one name whatever the base's path."""
        root = "" if root == str(self.path) else root
        return self.views / f"{kind}-{sha256(root.encode()).hexdigest()[:16]}.json"

    def view_sections(self, kind: str, root: str) -> Path:
        """The folder of what was made in a view, in several files."""
        return self.view(kind, root).with_suffix("")

    @property
    def views_mark(self) -> Path:
        """What views were made true for."""
        return self.views / "true"

    @property
    def views_lock(self) -> Path:
        """The lock for changing what views hold."""
        return self.locks / "views.lock"

    @property
    def mirror_lock(self) -> Path:
        """The lock for registering what a client of `/hf` asked for."""
        return self.locks / "mirror.lock"

    def repo_lock(self, repo_id: RepoId) -> Path:
        """The lock for laying out or deleting in a repository's folder."""
        return self.locks / repo_lock_name(repo_id)

    @property
    def things_lock(self) -> Path:
        """The lock for bringing what isn't a repository."""
        return self.locks / "things.lock"

    def part(self, digest: Digest) -> Path:
        """The part of a blob."""
        return self.incoming / f"{digest}.part"

    def part_map(self, digest: Digest) -> Path:
        """The map of a part's segments."""
        return self.incoming / f"{digest}.map"

    def part_lock(self, digest: Digest) -> Path:
        """The lock for fetching a blob."""
        return self.incoming / f"{digest}.lock"

    def hub_lock(self, repo_id: RepoId, digest: Digest, repo_type: str = "model") -> Path:
        """huggingface_hub's lock of a repository's blob."""
        return self.hub_locks(repo_id, repo_type) / f"{digest}.lock"

    def hub_locks(self, repo_id: RepoId, repo_type: str = "model") -> Path:
        """The folder of huggingface_hub's locks of a repository."""
        return self.hub / ".locks" / repo_folder_name(repo_id, repo_type)


@dataclass(frozen=True, slots=True)
class CacheDir(Base):
    """A cache_dir that isn't a base: repositories are in it directly, as after `cache_dir=BASE`."""

    @cached_property
    def hub(self) -> Path:
        """The folder itself."""
        return self.path


def repo_lock_name(repo_id: RepoId) -> str:
    """The name of `Base.repo_lock` in its folder.

    >>> repo_lock_name(RepoId("org/name"))
    'models--org--name.lock'
    """
    return f"{repo_folder_name(repo_id)}.lock"


def is_part_lock(path: Path) -> bool:
    """Return whether a lock is a part's, which is deleted on release.

    >>> is_part_lock(Base(Path("/mnt/fast")).part_lock(Digest("ab" * 20)))
    True
    """
    return path.parent.name == "incoming"


def before_name(path: Path, day: str, number: int = 1) -> Path:
    """The backup path of a base that was replaced by a link: its name with `.before-modelshelf-20261123`."""
    return path.with_name(f"{path.name}.before-modelshelf-{day}" + (f"-{number}" if number > 1 else ""))


def is_before_name(path: Path, backup: Path) -> bool:
    """Return whether `before_name` makes this backup's name for a base.

    >>> is_before_name(Path("/a/b"), before_name(Path("/a/b"), "20261123", 2)), is_before_name(Path("/a/b"), Path("/c"))
    (True, False)
    """
    name = re.fullmatch(r"(.+)\.before-modelshelf-\d{8}(-\d+)?", backup.name)
    return name is not None and backup.parent == path.parent and name[1] == path.name


def known_bases_file(state_home: Path) -> Path:
    """The user's list of every base ever used, outside all of them."""
    return state_home / "modelshelf" / "bases.json"


def known_libraries_file(state_home: Path) -> Path:
    """Return the file with the user's list of known libraries.

    Args:
        state_home: XDG_STATE_HOME.
    """
    return state_home / "modelshelf" / "libraries.json"


def engines_folder(state_home: Path) -> Path:
    """Return the folder of what is written down of running engines: a log for each model, a record for each child."""
    return state_home / "modelshelf" / "engines"


def chat_history_file(state_home: Path) -> Path:
    """Return the file of what a user typed into conversations, a line each."""
    return state_home / "modelshelf" / "chat_history"


def modules_folder(state_home: Path) -> Path:
    """Return where transformers copies the code that models bring, which it runs from there.

    >>> modules_folder(Path("/state")).relative_to("/state").as_posix()
    'modelshelf/engines/code'
    """
    return engines_folder(state_home) / "code"


def user_unit_file(config_home: Path, name: str) -> Path:
    """The file of a user's systemd unit."""
    return config_home / "systemd" / "user" / name
