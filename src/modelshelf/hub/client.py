"""A Hugging Face hub: a revision's commit, a commit's files, and their bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from modelshelf.domain.candidates import Candidate
from modelshelf.domain.models import FileEntry, Resolved
from modelshelf.domain.names import CommitHash, FilePath, RefName, RepoId
from modelshelf.domain.network import Network
from modelshelf.domain.ports import ByteStream
from modelshelf.errors import BadInput, Conflict, Denied, NotFound, ShelfError, Unavailable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from modelshelf.hub.answers import ListedFile, RepoInfo, Tree
    from modelshelf.hub.http import Http
    from modelshelf.hub.ranges import RangeClient
    from modelshelf.hub.transport import Patience

_MAX_ENTRIES = 1_000_000
_MAX_PAGES = 10_000
_MAX_TREE_BYTES = 2**29
_MAX_HIDDEN_SIZES = 1_000
"""How many sizes that a tree leaves out are asked for one by one."""
_MAX_REFS_NAMED = 8
_SHOWN = ("downloads", "gated", "gguf", "lastModified", "likes", "safetensors", "tags", "usedStorage")
"""Fields that a search asks for."""


class HubClient:
    """One hub.

    Args:
        endpoint: Its address, without a slash at the end.
        token: A token; empty: none; None: the one that `hf auth login` stored, if any.
        user_agent: The User-Agent header.
        connections: How many requests run at the same time.
        network: Proxies and certificates; None: neither.
        patience: How long to wait for an answer; None: the default.
    """

    def __init__(
        self,
        endpoint: str,
        token: str | None,
        user_agent: str,
        connections: int,
        network: Network | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._given_token = token
        self._user_agent = user_agent
        self._connections = connections
        self._network = network or Network()
        self._patience = patience
        self._made: tuple[Http, RangeClient] | None = None

    def with_token(self, token: str) -> HubClient:
        """Return the same hub for another token, over the same connections; empty for none.

        What one token opened, such as the address of a file's storage, isn't known to the other.
        """
        from modelshelf.hub.http import Http
        from modelshelf.hub.ranges import RangeClient

        other = HubClient(self.endpoint, token, self._user_agent, self._connections, self._network, self._patience)
        http = Http(self.endpoint, other._token, self._ready()[0].transport)
        other._made = http, RangeClient(http)
        return other

    def greet(self, timeout_s: float) -> bool | None:
        """Ask whose the token is; return whether the hub accepts it, or None without one or if the hub doesn't say.

        Raises:
            Unavailable: The hub isn't reachable, or fails.
        """
        from modelshelf.hub.errors import unreachable

        _, answer = self._http.ask("GET", f"{self.endpoint}/api/whoami-v2", tries=1, timeout_s=timeout_s)
        answer.close()
        if answer.status >= 500:
            raise unreachable(self.endpoint, f"it answers {answer.status}")
        if not self._token() or answer.status not in (200, 401):
            return None
        return answer.status == 200

    def resolve(self, repo_id: RepoId, revision: RefName | CommitHash) -> Resolved:
        """Return the repository in the hub's spelling, and the commit of `revision`.

        Raises:
            NotFound: No such repository or revision; the hint lists the revisions.
            Denied: It is gated or private.
            Corrupt: The hub's answer violates the protocol, or is about another repository.
            Unavailable: The hub isn't reachable.
        """
        from modelshelf.hub import answers

        what = f"repository {repo_id}"
        url = self._api(repo_id, f"/revision/{quote(revision, safe='')}")
        try:
            landed, response = self._asked(url, repo_id, revision, what)
        except NotFound as err:
            if "revision" in err.fields:
                raise self._with_revisions(err, repo_id) from err
            raise
        answer = self._http.json(response)
        with self._sense():
            info = answers.repo_info(answer)
        renamed = landed != url and landed.startswith(self._api(info.repo_id, "/"))
        if info.repo_id.lower() != repo_id.lower() and not renamed:
            raise self._nonsense(f"it was asked for {repo_id} but answered about {info.repo_id}.")
        if info.gated and info.first_path is not None:  # information about it is open to all, its files aren't
            self._size(info, info.first_path)
        return Resolved(info.repo_id, info.commit_hash)

    def search(self, text: str, limit: int) -> list[Candidate]:
        """Return at most so many repositories with these words in their names, most downloads first.

        Raises:
            Corrupt: The hub's answer violates the protocol.
            NotFound: It can't be searched.
            Unavailable: It isn't reachable.

        Source: huggingface_hub `HfApi.list_models`.
        """
        from modelshelf.hub import answers, errors

        asked = [("search", text), ("limit", limit), ("sort", "downloads"), *(("expand", name) for name in _SHOWN)]
        _, response = self._http.ask("GET", f"{self.endpoint}/api/models?{urlencode(asked)}")
        if response.status in (404, 405):
            response.close()
            raise errors.no_search(self.endpoint)
        self._check(response, "", "", "search")
        answer = self._http.json(response)
        with self._sense():
            return list(answers.candidates(answer))[:limit]

    def list_files(self, repo_id: RepoId, commit_hash: CommitHash) -> list[FileEntry]:
        """Return all files of a commit, by path.

        Raises:
            Conflict: The hub doesn't know whether these are all.
            Corrupt: Its list can't be the files of a commit.
            NotFound: It doesn't have the commit, or no longer; or the commit has no files.
            Unavailable: It isn't reachable, doesn't tell a size, or lists without end.
        """
        from modelshelf.hub import answers, errors

        tree = answers.Tree()
        url: str | None = self._api(repo_id, f"/tree/{commit_hash}?recursive=true")
        pages: set[str] = set()
        left_bytes = _MAX_TREE_BYTES
        while url is not None:
            if url in pages:
                raise self._nonsense("the pages of its list link in a circle.")
            if len(pages) >= _MAX_PAGES:
                raise errors.too_much(self.endpoint, f"{_MAX_PAGES} pages of files")
            pages.add(url)
            landed, response = self._asked(url, repo_id, commit_hash, f"commit {commit_hash} of {repo_id}")
            left_bytes = self._read_page(response, tree, left_bytes)
            link = answers.next_page(response.headers.get("Link"))
            url = None if link is None else self._http.follow(landed, link)
        if not tree.files:
            raise NotFound(f"{repo_id} holds no files at commit {commit_hash}.", hf_path=repo_id)
        with self._sense():
            tree.check()
        if tree.may_be_short:  # a manifest is kept for ever, and what it doesn't name is never fetched
            raise Conflict(
                f"{self.endpoint} has {repo_id}, but doesn't know whether that is all of commit {commit_hash}.",
                hint=f"Set HF_ENDPOINT to the hub that it came from, or: hf download {repo_id} and shelf adopt.",
            )
        return [self._entry(repo_id, commit_hash, tree.files[path]) for path in self._with_sizes(tree)]

    def open_range(
        self, repo_id: RepoId, commit_hash: CommitHash, path: FilePath, start: int, stop: int
    ) -> AbstractContextManager[ByteStream]:
        """Ask for a half-open byte range of one file; see `ranges.RangeClient.open`."""
        return self._ready()[1].open(repo_id, commit_hash, path, start, stop)

    def _read_page(self, response: BaseHTTPResponse, tree: Tree, left_bytes: int) -> int:
        """Read one page of a tree; return how many bytes the next pages may have."""
        from modelshelf.hub import answers, errors

        def counted() -> Iterator[bytes]:
            nonlocal left_bytes
            for piece in self._http.pieces(response):
                left_bytes -= len(piece)
                if left_bytes < 0:
                    raise errors.too_much(self.endpoint, f"{_MAX_TREE_BYTES} bytes")
                yield piece

        with self._sense():
            for entry in answers.elements(counted()):
                tree.add(entry)
                if tree.entries > _MAX_ENTRIES:
                    raise errors.too_much(self.endpoint, f"{_MAX_ENTRIES:,} files")
        return left_bytes

    def _with_sizes(self, tree: Tree) -> list[str]:
        """Return a tree's paths, sorted, with their sizes, asking for a few missing ones."""
        hidden = sum(file.size_bytes is None for file in tree.files.values())
        if hidden > _MAX_HIDDEN_SIZES:
            raise Unavailable(f"The hub {self.endpoint} doesn't say the size of {hidden} files.")
        return sorted(tree.files)

    def _entry(self, repo_id: RepoId, commit_hash: CommitHash, file: ListedFile) -> FileEntry:
        size_bytes = file.size_bytes
        if size_bytes is None:
            size_bytes = self._size(Resolved(repo_id, commit_hash), file.path)
        if size_bytes is None:
            raise Unavailable(
                f"The hub doesn't say the size of {file.path} in {repo_id}, and a limit can't be kept without it.",
                hint="Leave the file out with --include.",
                endpoint=self.endpoint,
                path=file.path,
            )
        return FileEntry(file.path, size_bytes, file.digest)

    def _size(self, repo: Resolved | RepoInfo, path: str) -> int | None:
        """Return a file's size from the answer's headers; None if they don't tell it.

        Raises:
            Denied: The repository is gated.
        """
        from modelshelf.hub import answers

        url = f"{self.endpoint}/{repo.repo_id}/resolve/{repo.commit_hash}/{quote(path)}"
        for _, response in self._http.hops("HEAD", url, {}):
            self._check(response, repo.repo_id, repo.commit_hash, f"file {path} in {repo.repo_id}")
            linked = answers.header_size(response.headers.get("X-Linked-Size"))
            if linked is not None or response.status == 200:
                response.close()
                return linked if linked is not None else answers.header_size(response.headers.get("Content-Length"))
        return None

    def _asked(self, url: str, repo_id: str, revision: str, what: str) -> tuple[str, BaseHTTPResponse]:
        """Return the successful answer to a question about a repository, unread, and its address."""
        from modelshelf.hub import errors

        landed, response = self._http.ask("GET", url)
        self._check(response, repo_id, revision, what)
        if response.status != 200:
            response.close()
            raise self._nonsense(f"status {response.status}.")
        if errors.is_page(response.headers):
            response.close()
            raise errors.login_page(landed)
        return landed, response

    def _check(self, response: BaseHTTPResponse, repo_id: str, revision: str, what: str) -> None:
        from modelshelf.hub import errors

        if response.status < 400:
            return
        response.close()
        if _is_problem(response) and "X-Error-Code" not in response.headers and self._is_a_shelf():
            raise errors.without_hf(self.endpoint)
        raise errors.by_status(
            response.status,
            response.headers,
            repo_id=repo_id,
            revision=revision,
            what=what,
            endpoint=self.endpoint,
            token=self._http.has_token,
        )

    def _is_a_shelf(self) -> bool:
        """Return whether a server that knows no route of a hub is one of ours, asked without `/hf`."""
        with contextlib.suppress(ShelfError):
            _, response = self._http.ask("GET", f"{self.endpoint}/hf/api/whoami-v2", tries=1)
            response.close()
            return response.status == 200 or "X-Error-Message" in response.headers or _is_problem(response)
        return False

    def _with_revisions(self, err: NotFound, repo_id: str) -> NotFound:
        """Return the error for a missing revision, with those that exist."""
        from modelshelf.hub import answers

        with contextlib.suppress(ShelfError):
            _, response = self._http.ask("GET", self._api(repo_id, "/refs"), tries=1)
            names = list(answers.refs(self._http.json(response))) if response.status == 200 else []
            if names:
                more = " …" if len(names) > _MAX_REFS_NAMED else ""
                hint = f"It has {', '.join(names[:_MAX_REFS_NAMED])}{more or '.'}"
                return NotFound(err.detail, hint=hint, **err.fields)
        return err

    @contextlib.contextmanager
    def _sense(self) -> Iterator[None]:
        """Turn the error for an answer that can't be parsed into one that says so."""
        try:
            yield
        except ValueError as err:
            raise self._nonsense(f"{err}") from err
        except BadInput as err:
            raise self._nonsense(err.detail) from err

    def _nonsense(self, why: str) -> ShelfError:
        from modelshelf.hub import errors

        return errors.nonsense(self.endpoint, why)

    def _api(self, repo_id: str, rest: str) -> str:
        return f"{self.endpoint}/api/models/{repo_id}{rest}"

    @property
    def _http(self) -> Http:
        return self._ready()[0]

    def _ready(self) -> tuple[Http, RangeClient]:
        """Return the transport, created on first use: importing urllib3 takes time that `shelf ls` doesn't have."""
        if self._made is None:
            from modelshelf.hub.http import Http
            from modelshelf.hub.ranges import RangeClient
            from modelshelf.hub.transport import Patience, Transport

            transport = Transport(self._network, self._user_agent, self._connections, self._patience or Patience())
            http = Http(self.endpoint, self._token, transport)
            self._made = http, RangeClient(http)
        return self._made

    def _token(self) -> str | None:
        """Return the token.

        Raises:
            Denied: There is a stored one that this user can't read.
        """
        if self._given_token is not None:
            return self._given_token or None
        from huggingface_hub import get_token

        try:
            return get_token()
        except OSError as err:
            raise Denied(
                f"The token in {err.filename} cannot be read ({err.strerror}).",
                hint=f"Take ownership of it, or set HF_TOKEN: sudo chown $(id -u) {err.filename}",
            ) from err


def _is_problem(response: BaseHTTPResponse) -> bool:
    """Return whether an answer is a problem document, which no hub but ours sends."""
    return response.headers.get("Content-Type", "").startswith("application/problem+json")
