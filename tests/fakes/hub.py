"""A Hugging Face hub on loopback that can fail on demand.

    with FakeHub() as hub:
        commit = hub.add_repo("org/name", {"config.json": b"{}", "model.safetensors": weights})
        hub.fail("*/model.safetensors", cut_after=1000, times=1)
        ...  # a client with HF_ENDPOINT=hub.url

It speaks the protocol of the real one as far as huggingface_hub, transformers and llama.cpp use it, and never
offers Xet. What a gated repository says about itself is open, as on the real hub; only its files are refused.
`python -m tests.fakes.hub --file PATH` serves files from a process of its own.
"""

from __future__ import annotations

import argparse
import ssl
import sys
import threading
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fakes.hub_repos import Blob, Commit, HubState, Repo, Request, full_ref
from tests.fakes.hub_rules import Faults, Rule
from tests.fakes.hub_wire import HubServer

__all__ = ["FakeHub", "Request"]

LFS_PATTERNS = ("*.safetensors", "*.gguf", "*.bin")


class FakeHub:
    """The hub: its repositories, its faults, and whether it listens.

    **Concurrency:** every method may be called while requests are answered.
    """

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Make an empty hub that doesn't listen yet; port 0 takes a free one.

        With `tls` it speaks https, its CDN too; its files are in memory then.
        """
        self._tls = tls
        self._state = HubState()
        self._servers: list[HubServer] = []
        self._ports = [port, 0]

    def __enter__(self) -> Self:
        """Start to listen."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Listen; after `stop`, on the same ports as before. Does nothing if it already listens."""
        if self._servers:
            return
        self._state.meter.set_stopped(False)
        for port in self._ports:
            self._servers.append(HubServer(port, self._state, self._tls))
        self._ports = [server.server_address[1] for server in self._servers]
        self._state.cdn_url = self._servers[1].url

    def stop(self) -> None:
        """Close the ports and every connection; connections are refused from now on."""
        self._state.meter.set_stopped(True)
        while self._servers:
            self._servers.pop().stop()

    @property
    def url(self) -> str:
        """The endpoint, such as http://127.0.0.1:40123, which `stop` and `start` don't change."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._ports[0]}"

    @property
    def cdn_url(self) -> str:
        """The origin to which `redirect_to` sends the clients."""
        return self._state.cdn_url

    @property
    def requests(self) -> list[Request]:
        """Every request so far, including those to the CDN; a test may clear it."""
        return self._state.requests

    @property
    def bytes_sent(self) -> int:
        """Bytes of files (resolve and CDN) that were written to clients."""
        return self._state.meter.sent_bytes

    @property
    def token(self) -> str:
        """The bearer token that opens gated and private repositories."""
        return self._state.token

    @token.setter
    def token(self, token: str) -> None:
        self._state.token = token

    @property
    def page_size(self) -> int | None:
        """Entries on one page of a tree; None (the default) for one page."""
        return self._state.page_size

    @page_size.setter
    def page_size(self, entries: int | None) -> None:
        self._state.page_size = entries

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, bytes | Path],
        lfs: Iterable[str] = LFS_PATTERNS,
        revision: str = "main",
        gated: bool = False,
        private: bool = False,
    ) -> str:
        """Commit `files`, the repository's whole content, to a branch, and return the commit hash.

        Earlier commits stay. The hash depends on the id and the files alone. A file given as a path is served
        from there and must not change.
        """
        patterns = tuple(lfs)
        blobs = {
            path: Blob.of(content, lfs=any(fnmatchcase(path, pattern) for pattern in patterns))
            for path, content in files.items()
        }
        commit = Commit.of(repo_id, blobs)
        repo = self._state.repos.setdefault(repo_id, Repo(repo_id))
        repo.gated, repo.private = gated, private
        repo.commits[commit.commit_hash] = commit
        repo.refs[full_ref(revision, "heads")] = commit.commit_hash
        return commit.commit_hash

    def describe(self, repo_id: str, **said: Any) -> None:
        """Add to what a search says of a repository, by the names of the Hub's API.

        Raises:
            KeyError: no such repository.
        """
        self._state.repos[repo_id].said |= said

    def set_ref(self, repo_id: str, name: str, commit: str) -> None:
        """Point a name at a commit: a full ref such as `refs/pr/1`, or a bare name of a branch, else of a tag.

        Raises:
            KeyError: no such repository or commit.
        """
        repo = self._state.repos[repo_id]
        branch = full_ref(name, "heads")
        ref = branch if branch in repo.refs else full_ref(name, "tags")
        repo.refs[ref] = repo.commits[commit].commit_hash

    def forget(self, repo_id: str, commit: str) -> None:
        """Delete a commit, as after a squash; no ref may lead to it.

        Raises:
            KeyError: no such repository or commit.
        """
        del self._state.repos[repo_id].commits[commit]

    def hide_commits(self) -> None:
        """Leave out X-Repo-Commit from now on, as some mirrors do."""
        self._state.hides_commits = True

    def rename(self, old_id: str, new_id: str) -> None:
        """Rename a repository; requests for the old id are redirected with 307."""
        repo = self._state.repos.pop(old_id)
        repo.repo_id = new_id
        self._state.repos[new_id] = repo
        self._state.renamed.pop(new_id, None)
        self._state.renamed[old_id] = new_id

    def fail(self, path_pattern: str, *, method: str | None = None, times: int | None = None, **faults: Any) -> None:
        """Add a rule; the first rule that would change an answer acts on it, `times` often or always.

        Args:
            path_pattern: fnmatch pattern of the percent-decoded URL path, `*` crosses slashes.
            method: The only method that it applies to.
            times: How many answers it changes; None for all.
            faults: The fields of `Faults`, such as `status=503` or `cut_after=1000`.

        Raises:
            TypeError: an unknown fault.
            ValueError: no fault at all.
        """
        self._state.rules.add(Rule(path_pattern, method, times, Faults(**faults)))

    def heal(self) -> None:
        """Remove all rules."""
        self._state.rules.clear()

    def pause(self, after_bytes: int = 0) -> None:
        """Hold the bodies of all files after exactly `after_bytes` more; headers still go out."""
        self._state.meter.pause(after_bytes)

    def resume(self) -> None:
        """Send the bodies on."""
        self._state.meter.resume()

    def wait_for_bytes(self, total_bytes: int, timeout_s: float = 60) -> None:
        """Block until `bytes_sent` is at least `total_bytes`.

        Raises:
            TimeoutError: it is not, within `timeout_s`.
        """
        self._state.meter.wait_for(total_bytes, timeout_s)


def main() -> None:
    """Print the endpoint, then serve the files given on the command line until the process ends."""
    parser = argparse.ArgumentParser(description="Serve files as one repository of a Hugging Face hub.")
    parser.add_argument("--file", type=Path, action="append", required=True, help="may be repeated")
    parser.add_argument("--repo", default="org/model")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with FakeHub(options.port) as hub:
        # A file given to be served is in LFS, whatever its name.
        commit = hub.add_repo(options.repo, {file.name: file for file in options.file}, lfs=("*",))
        sys.stdout.write(f"{hub.url} {options.repo} {commit}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
