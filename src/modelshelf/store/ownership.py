"""Who owns a base's files: what one user wrote and another can't read or delete, and what repairs that.

A base belongs to the owner of its folder. If that folder is setgid and its group may write in it, the base and
everything in it belong to the group as well.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from modelshelf.domain.names import RepoId
from modelshelf.domain.permissions import Foreign, is_shared
from modelshelf.errors import Denied
from modelshelf.store import fs
from modelshelf.store.layout import WRITTEN_FOLDERS, Base, Repo
from modelshelf.store.listing import Listing

_EXAMPLES = 3
_ALONE = r"\( -type d -o -type f -links 1 \)"
"""What a fix may change, for `find`: a file with other hard links may be another program's, which would lose it."""
_ADOPT_AGAIN = "shelf adopt FOLDER --move --copy"
"""What helps if all of them are another program's files as well: FOLDER is that program's."""
_SECRETS = frozenset({"token", "stored_tokens"})
"""huggingface_hub's files in the base itself that are for their owner alone."""


def foreign(base: Base, listing: Listing | None = None) -> Foreign | None:
    """Return what the owner of a base, or its group, can't use in full; None if there is nothing.

    In full means: every folder can be entered and written, every file read, our own files and refs written.
    Links have no mode and go with their folder. huggingface_hub's token is left alone.

    Args:
        base: The base.
        listing: What was seen of it already.
    """
    owners: Counter[tuple[int, int]] = Counter()
    others: Counter[tuple[int, int]] = Counter()
    examples: list[str] = []
    linked: list[str] = []
    size_bytes = 0
    try:
        root = base.path.stat()
    except OSError:
        return None
    judge = _Judge(base, root)
    for path, found in judge.unusable(listing or Listing()):
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            others[found.st_uid, found.st_gid] += 1
            linked = [*linked, path][:_EXAMPLES]
        else:
            owners[found.st_uid, found.st_gid] += 1
            examples = [*examples, path][:_EXAMPLES]
            size_bytes += 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    if others and not owners:
        whose = tuple(owner for owner, _ in others.most_common())
        return Foreign(str(base.path), others.total(), 0, whose, tuple(linked), _ADOPT_AGAIN)
    if not owners and _may_write(base.path):
        return None
    most_first = tuple(owner for owner, _ in owners.most_common())
    return Foreign(str(base.path), owners.total(), size_bytes, most_first, tuple(examples), fix(base))


def fix(base: Base) -> str:
    """Return the command that lets this user, and the group of a group's base, use all of a base.

    Another ordinary user's base isn't taken from them: there it is a sentence.
    """
    root, path = base.path.stat(), shlex.quote(str(base.path))
    sudo = "" if os.geteuid() == 0 else "sudo "
    if not is_shared(root.st_mode):
        if sudo and root.st_uid not in (0, os.geteuid()):
            return (
                f"The base belongs to user {root.st_uid}: ask them to share it with a group, see docs/guides/team.md."
            )
        uid, gid = (root.st_uid, root.st_gid) if not sudo or root.st_uid else (os.geteuid(), os.getegid())
        return f"{sudo}find {path} {_ALONE} -exec chown -h {uid}:{gid} {{}} + -exec chmod u+rX {{}} +"
    join = f'{sudo}usermod -aG "$(getent group {root.st_gid} | cut -d: -f1)" "$(id -un)" && '
    return (
        f"{'' if _may_write(base.path) else join}"
        f"{sudo}find {path} {_ALONE} -exec chgrp -h {root.st_gid} {{}} + -exec chmod g+rX {{}} +"
        f" && {sudo}find {path} -type d -exec chmod g+ws {{}} +"
        f" && {sudo}find {shlex.quote(str(base.own))} {_ALONE} -exec chmod g+rw {{}} +"
    )


def why_not_changeable(repo: Repo, listing: Listing | None = None) -> str:
    """Return why this process may not change a repository's folder; empty if it may.

    Another user wrote there, such as root in a container; `fix` says what helps.

    Args:
        repo: The repository.
        listing: What was seen of it already.
    """
    listing = listing or Listing()
    path = str(repo.path)
    folders = [entry.path for entry in listing.readable(path) if entry.name in WRITTEN_FOLDERS]
    for folder in (path, *folders, *_folders(repo.snapshots, listing)):
        if not _may_write(folder) and os.access(folder, os.F_OK):
            owner = os.stat(folder)  # noqa: PTH116 - one of many
            return f"{folder} belongs to user {owner.st_uid}, group {owner.st_gid}, and others can't change it."
    return ""


def check_changeable(base: Base, repo_id: RepoId) -> None:
    """Raise if a repository's folder exists and this process may not change it.

    Raises:
        Denied: It may not; nothing was changed, and the hint repairs it.
    """
    why = why_not_changeable(base.repo(repo_id))
    if why:
        raise Denied(why, hint=fix(base), cache_path=str(base.path))


def give_repo_to_group(base: Base, repo_id: RepoId) -> None:
    """Give what huggingface_hub wrote for a repository, by its umask, the base's group permissions.

    This includes its list of a commit's files, of mode 0600: without it another user gets a part of a snapshot and is
    told that it is whole.
    """
    repo, locks = base.repo(repo_id), base.hub_locks(repo_id)
    for path in (base.hub, *base.hub.glob("*"), locks.parent):
        fs.take_folder_permissions(base.path, path)
    for tree in (locks, repo.path):
        fs.take_folder_permissions(base.path, tree)
        for path, _ in _walk(tree):
            fs.take_folder_permissions(base.path, path)


def _folders(path: Path, listing: Listing) -> Iterator[str]:
    """Yield the folders below a folder; the type of an entry is known without asking for its status."""
    for entry in listing.walk(str(path)):
        if entry.is_dir(follow_symlinks=False):
            yield entry.path


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield what is below a folder, parents first, without following links; what can't be read is left out."""
    for entry in Listing().walk(str(folder)):
        with contextlib.suppress(OSError):
            yield Path(entry.path), entry.stat(follow_symlinks=False)


class _Judge:
    """Judges for one base whether its owner, or its group, can use something."""

    def __init__(self, base: Base, root: os.stat_result) -> None:
        self._base, self._root = base, root
        self._class_bits, whose = (3, "st_gid") if is_shared(root.st_mode) else (6, "st_uid")
        self._kind: Callable[[os.stat_result], tuple[int, int]] = attrgetter("st_mode", whose)
        """Returns the mode of something and whose it is, by which most of a base is judged."""
        self._owner = self._kind(root)[1]
        self._usable: set[tuple[int, int]] = set()
        """What can be used in full wherever it lies, as `_kind` says it."""
        self._own, self._quarantine = f"{base.own}/", f"{base.quarantine}/"
        self._secrets = frozenset(str(base.path / name) for name in _SECRETS)

    def unusable(self, listing: Listing) -> Iterator[tuple[str, os.stat_result]]:
        """Yield what lies in the base, has a mode and can't be used in full, with its status."""
        for entries in listing.folders(str(self._base.path)):
            if self._are_usable_anywhere(entries):
                continue
            for entry in [entry for entry in entries if not entry.is_symlink()]:
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if not self._is_usable(entry.path, found, is_theirs=self._kind(found)[1] == self._owner):
                        yield entry.path, found

    def _are_usable_anywhere(self, entries: Sequence[os.DirEntry[str]]) -> bool:
        """Return whether what has a mode in a folder can be used in full wherever it lies: most of a base, at once."""
        try:
            kinds = {self._kind(entry.stat(follow_symlinks=False)) for entry in entries if not entry.is_symlink()}
        except OSError:  # one is gone
            return False
        for mode, owner in kinds - self._usable:
            if owner != self._owner or not _allows_all(mode >> self._class_bits, mode):
                return False
            self._usable.add((mode, owner))
        return True

    def _is_usable(self, path: str, found: os.stat_result, *, is_theirs: bool) -> bool:
        """Return whether it can be used in full: by everybody, like lock files, or by the base's owner."""
        allowed = found.st_mode >> self._class_bits if is_theirs else 0
        needs = self._needs(path, found.st_mode)
        return allowed & needs == needs or found.st_mode & needs == needs or path in self._secrets

    def _needs(self, path: str, mode: int) -> int:
        """Return the required permissions as the bits of one class: 4 read, 2 write, 1 enter."""
        if stat.S_ISDIR(mode):
            return 0o7
        is_written = path.startswith(self._own) and not path.startswith(self._quarantine)
        return 0o6 if is_written or path.rpartition("/")[0].endswith("/refs") else 0o4


def _allows_all(bits: int, mode: int) -> bool:
    """Return whether the bits of one class allow whatever a base needs of something with this mode."""
    needs = 0o7 if stat.S_ISDIR(mode) else 0o6
    return bits & needs == needs


def _may_write(folder: Path | str) -> bool:
    return os.access(folder, os.R_OK | os.W_OK | os.X_OK)
