"""A Hugging Face hub through its own client: what a revision means, what a commit holds, and the layout of a cache."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import COMMIT_HASH, CommitHash, Digest, FilePath
from modelshelf.domain.ports import ByteStream
from modelshelf.errors import Denied, Unavailable
from modelshelf.hub.errors import translated, unreachable

if TYPE_CHECKING:
    from huggingface_hub import HfApi, HfFileMetadata
    from huggingface_hub.hf_api import RepoFile

    from modelshelf.hub.ranges import RangeClient


class HubClient:
    """One hub.

    Args:
        endpoint: Its address, without a slash at the end.
        token: A token; None: what `hf auth login` stored, if anything.
        user_agent: Who asks.
        connections: How many requests run side by side.
    """

    def __init__(self, endpoint: str, token: str | None, user_agent: str, connections: int) -> None:
        self.endpoint = endpoint
        self._given_token = token
        self._user_agent = user_agent
        self._connections = connections
        self._ranges: RangeClient | None = None

    def greet(self, timeout_s: float) -> bool | None:
        """Ask who the token belongs to; returns whether the hub takes it, None without one or where it does not say.

        Raises:
            Unavailable: The hub cannot be reached, or fails.
        """
        from huggingface_hub import get_session
        from huggingface_hub.utils._headers import build_hf_headers

        headers = build_hf_headers(token=self._token(), user_agent=self._user_agent)
        with self._translated("", ""):
            answer = get_session().get(f"{self.endpoint}/api/whoami-v2", headers=headers, timeout=timeout_s)
        if answer.status_code >= 500:
            raise unreachable(self.endpoint, f"it answers {answer.status_code}")
        if not self._token() or answer.status_code not in (200, 401):
            return None
        return bool(answer.status_code == 200)

    def resolve(self, repo_id: str, revision: str) -> CommitHash:
        """Return the commit hash that `revision` means.

        Raises:
            NotFound: No such repository or revision.
            Denied: It is gated or private.
            Unavailable: The hub cannot be reached.
        """
        with self._translated(repo_id, revision):
            info = self._api().model_info(repo_id, revision=revision)
        if info.sha is None or not COMMIT_HASH.fullmatch(info.sha):
            raise Unavailable(f"The hub names no commit for {revision} of {repo_id}.", endpoint=self.endpoint)
        if info.gated and info.siblings:  # what it says about itself is open to all, its files are not
            self._metadata(repo_id, info.sha, info.siblings[0].rfilename)
        return CommitHash(info.sha)

    def list_files(self, repo_id: str, commit_hash: str) -> list[FileEntry]:
        """Return all files of a commit, by path.

        Raises:
            BadInput: A path that would leave the snapshot.
            Unavailable: The hub cannot be reached, or does not tell a size.
        """
        from huggingface_hub.hf_api import RepoFile

        with self._translated(repo_id, commit_hash):
            tree = list(self._api().list_repo_tree(repo_id, recursive=True, revision=commit_hash))
        entries = [self._entry(repo_id, commit_hash, file) for file in tree if isinstance(file, RepoFile)]
        return sorted(entries, key=lambda entry: entry.path)

    def open_range(
        self, repo_id: str, commit_hash: str, path: str, start: int, stop: int
    ) -> AbstractContextManager[ByteStream]:
        """Ask for the half-open byte range of one file; see `ranges.RangeClient.open`."""
        if self._ranges is None:
            from modelshelf.hub.ranges import RangeClient

            self._ranges = RangeClient(
                self.endpoint, str(self._token() or "") or None, self._user_agent, self._connections
            )
        return self._ranges.open(repo_id, commit_hash, path, start, stop)

    def lay_out(self, repo_id: str, commit_hash: str, hub_dir: Path, allow_patterns: Sequence[str]) -> Path:
        """Let huggingface_hub link the snapshot of blobs that are already there; returns its folder.

        It writes the tree list, the links and CACHEDIR.TAG, and would download what is missing. By commit hash it
        writes no ref.

        Raises:
            Unavailable: The hub cannot be reached.
        """
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils.tqdm import tqdm

        class Silent(tqdm):
            monitor_interval = 0  # else a thread per call that never ends

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **(kwargs | {"disable": True}))  # type: ignore[no-untyped-call]

        with self._translated(repo_id, commit_hash):
            folder = snapshot_download(
                repo_id,
                revision=commit_hash,
                cache_dir=hub_dir,
                allow_patterns=list(allow_patterns) or None,
                endpoint=self.endpoint,
                token=self._token(),
                max_workers=self._connections,
                tqdm_class=Silent,
                user_agent=self._user_agent,
            )
        return Path(str(folder))

    def _entry(self, repo_id: str, commit_hash: str, file: RepoFile) -> FileEntry:
        size_bytes = file.lfs.size if file.lfs is not None else file.size
        if size_bytes is None:
            size_bytes = self._size(repo_id, commit_hash, file.path)
        digest = file.lfs.sha256 if file.lfs is not None else file.blob_id
        return FileEntry(FilePath(file.path), int(size_bytes), Digest(digest))

    def _size(self, repo_id: str, commit_hash: str, path: str) -> int:
        """Ask for the size of one file that the tree does not tell."""
        size_bytes = self._metadata(repo_id, commit_hash, path).size
        if size_bytes is None:
            raise Unavailable(
                f"The hub does not tell the size of {path} in {repo_id}; a limit cannot be held without it.",
                hint="Leave the file out with --include.",
                endpoint=self.endpoint,
                path=path,
            )
        return size_bytes

    def _metadata(self, repo_id: str, commit_hash: str, path: str) -> HfFileMetadata:
        """Ask for what the hub says about one file before it sends it."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(repo_id, path, revision=commit_hash, endpoint=self.endpoint)
        with self._translated(repo_id, commit_hash):
            return get_hf_file_metadata(url, token=self._token(), endpoint=self.endpoint)

    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self._token(), user_agent=self._user_agent)

    def _token(self) -> str | bool:
        """Return the token, or False, which keeps huggingface_hub from looking for one itself.

        Raises:
            Denied: One is stored that this user may not read.
        """
        from huggingface_hub import get_token

        try:
            return self._given_token or get_token() or False
        except OSError as err:
            raise Denied(
                f"The token in {err.filename} cannot be read ({err.strerror}).",
                hint=f"Give it back to yourself, or set HF_TOKEN: sudo chown $(id -u) {err.filename}",
            ) from err

    def _translated(self, repo_id: str, revision: str) -> AbstractContextManager[None]:
        return translated(self.endpoint, repo_id, revision, token=bool(self._token()))
