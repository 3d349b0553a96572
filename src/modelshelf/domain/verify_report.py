"""What verify found wrong: one value for each finding."""

from __future__ import annotations

import enum
import shlex
from dataclasses import dataclass

from modelshelf.domain.made_up_commits import is_made_up
from modelshelf.domain.repo_folders import parse_repo_folder


class Fault(enum.StrEnum):
    """A kind of finding."""

    MISSING_FILE = "missing_file"
    WRONG_SIZE = "wrong_size"
    WRONG_BYTES = "wrong_bytes"
    READ_ERROR = "read_error"
    WRONG_LINK = "wrong_link"
    DANGLING_LINK = "dangling_link"
    LINK_LEAVES_BASE = "link_leaves_base"
    DANGLING_REF = "dangling_ref"
    UNREADABLE_TREE = "unreadable_tree"
    BROKEN_TREE = "broken_tree"
    UNREADABLE_FILE = "unreadable_file"
    UNREADABLE_FOLDER = "unreadable_folder"
    INCOMPLETE = "incomplete"
    TEXT_LINK = "text_link"
    LOST_LINKS = "lost_links"
    NO_MODEL = "no_model"


DAMAGE = frozenset({Fault.WRONG_SIZE, Fault.WRONG_BYTES, Fault.READ_ERROR})
"""Bytes that don't match their name: they are set aside before anything else is done."""
FORBIDDEN = frozenset({Fault.UNREADABLE_TREE, Fault.UNREADABLE_FILE, Fault.UNREADABLE_FOLDER})
"""Files that this user can't read; somebody with access has to fix it."""
_ONLY_A_NAME = frozenset({Fault.LINK_LEAVES_BASE, Fault.DANGLING_REF})
"""Names without bytes behind them; a download writes a ref again, and a ref may not be the hub's."""
OTHER_NAMES = ": it has other names, and another program may need it as it is"
"""The reason not to open an unreadable file."""

_SENTENCES = {
    Fault.MISSING_FILE: "It is missing.",
    Fault.WRONG_SIZE: "It has {fact}.",
    Fault.WRONG_BYTES: "Its bytes don't match its digest.",
    Fault.READ_ERROR: "It cannot be read from the disk: {fact}.",
    Fault.WRONG_LINK: "It links to {fact}, which has another file's content.",
    Fault.DANGLING_LINK: "It links to {fact}, which doesn't exist.",
    Fault.LINK_LEAVES_BASE: "It leads out of its base, to {fact}.",
    Fault.DANGLING_REF: "It points to {fact}, which has no snapshot.",
    Fault.UNREADABLE_TREE: "This user can't read it, so an incomplete snapshot looks complete.",
    Fault.BROKEN_TREE: "It isn't a list of files.",
    Fault.UNREADABLE_FILE: "This user can't read it{fact}.",
    Fault.UNREADABLE_FOLDER: "This user can't read this folder.",
    Fault.INCOMPLETE: "Its download never finished.",
    Fault.TEXT_LINK: "It was a link and became a text file that names {fact}.",
    Fault.LOST_LINKS: "{fact} lost their links; their blobs are here.",
    Fault.NO_MODEL: "It {fact}.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding, and the result of its repair."""

    kind: Fault
    base: str
    path: str
    """The file, link, ref or folder that it is about."""
    repo_id: str = ""
    file: str = ""
    """A file of the repository with this content; empty if none is known."""
    model_name: str = ""
    """The registered model that needs it; empty if none does."""
    digest: str = ""
    """The digest that its bytes should have; empty if it isn't about bytes."""
    commit_hash: str = ""
    """The commit of its snapshot; empty if it belongs to no single one."""
    fact: str = ""
    """What was found instead."""
    repaired: bool = False
    quarantined: str = ""
    """The path of the damaged bytes in quarantine; empty if they weren't moved."""
    trouble: str = ""
    """Why it couldn't be repaired, in a sentence."""

    @property
    def detail(self) -> str:
        """What is wrong, in a sentence or two."""
        sentence = _SENTENCES[self.kind].format(fact=self.fact)
        return f"{sentence} {self.trouble}".rstrip()

    @property
    def hint(self) -> str:
        """The command that fixes it; empty if nothing is left to do."""
        if self.repaired:
            return ""
        if self.kind is Fault.NO_MODEL:
            return f"hf download {self.repo_id} --force-download"
        if self.kind in FORBIDDEN:
            return self._hint_to_read()
        if not self.model_name:
            return self._hint_for_nobody()
        name = self.model_name
        if self.trouble and is_made_up(self.commit_hash):
            return f"Adopt its source folder again (shelf adopt FOLDER --move), or remove it: shelf rm {name}"
        return f"shelf pull {name}" if self.kind is Fault.INCOMPLETE else f"shelf verify {name} --repair"

    def _hint_to_read(self) -> str:
        if self.fact == OTHER_NAMES:
            return "shelf adopt FOLDER --move --copy"
        if self.fact:
            return "Run the command as that user, or ask them to let you read it."
        mode = "a+rx" if self.kind is Fault.UNREADABLE_FOLDER else "a+r"
        return f"sudo chmod {mode} {shlex.quote(self.path)}"

    def _hint_for_nobody(self) -> str:
        if self.kind in (Fault.LOST_LINKS, Fault.TEXT_LINK):
            return f"shelf adopt {shlex.quote(self.base)}"
        if self.kind in DAMAGE and not self.quarantined:
            return "shelf verify --all --repair"
        if self.kind in _ONLY_A_NAME or not self.repo_id:
            return f"rm {shlex.quote(self.path)}"
        revision = self.commit_hash
        folder = next(parsed for part in self.path.split("/") if (parsed := parse_repo_folder(part)))
        kind = f" --repo-type {folder[0]}" if folder[0] != "model" else ""
        return f"hf download {self.repo_id}{kind}" + (f" --revision {shlex.quote(revision)}" if revision else "")


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification read and found."""

    checked_blobs: int
    checked_bytes: int
    skipped_blobs: int
    """Verified recently enough, or by an earlier run of the same job."""
    skipped_bytes: int
    offline: tuple[str, ...]
    """The offline bases, about which nothing is known."""
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> list[Finding]:
        """The findings that are still wrong."""
        return [finding for finding in self.findings if not finding.repaired]
