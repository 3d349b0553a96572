"""Who owns a base's files."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.permissions import is_shared
from modelshelf.errors import Denied
from modelshelf.store import fs, ownership
from modelshelf.store.layout import Base
from tests.store.users import USER, acting_as

GROUP = 4720


@pytest.fixture
def base() -> Iterator[Base]:
    """A base with one model that every user may reach."""
    folder = Path(tempfile.mkdtemp(prefix="modelshelf-base-"))
    folder.chmod(0o755)
    made = Base(folder / "it's a base")
    repo = made.repo("org/a")
    for path in (repo.blob("b" * 40), repo.tree("c" * 40), made.registry):
        fs.write_text(made.path, path, "x")
    fs.write_text(repo.root, repo.ref("main"), "c" * 40)
    fs.make_folder(repo.root, repo.snapshot("c" * 40))
    fs.make_link(repo.root, repo.snapshot("c" * 40) / "f", f"../../blobs/{'b' * 40}")
    yield made
    shutil.rmtree(folder)


def give(path: Path, uid: int, gid: int) -> None:
    """Give a tree to a user."""
    if os.geteuid() != 0:
        pytest.skip("giving files to another user needs root")
    for each in (path, *path.rglob("*")):
        os.chown(each, uid, gid, follow_symlinks=False)


def mode(path: Path) -> str:
    """Return the permissions of a file."""
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_a_base_of_one_user_holds_nothing_foreign(base: Base) -> None:
    """A base that one user wrote holds nothing foreign."""
    assert ownership.foreign(base) is None


def test_a_base_that_is_not_there_holds_nothing_foreign(tmp_path: Path) -> None:
    """A missing base holds nothing foreign."""
    assert ownership.foreign(Base(tmp_path / "gone")) is None


def test_the_token_is_nobodys_business(base: Base) -> None:
    """The token file isn't reported, whoever owns it."""
    (base.path / "token").write_text("secret")
    (base.path / "token").chmod(0o600)
    base.path.chmod(0o2775)
    for path in base.path.rglob("*"):
        if path.name != "token":
            fs.take_folder_permissions(base.path, path)

    assert ownership.foreign(base) is None
    assert mode(base.path / "token") == "0o600"


@pytest.mark.parametrize("base_mode", [0o755, 0o2775], ids=["of a user", "of a group"])
def test_what_root_left_is_counted_and_the_command_repairs_it(base: Base, base_mode: int) -> None:
    """Root's files are counted, and the printed command repairs them, even with blanks and quotes in the path."""
    give(base.path, USER, GROUP)
    base.path.chmod(base_mode)
    if is_shared(base_mode):
        for path in base.path.rglob("*"):
            fs.take_folder_permissions(base.path, path)
    repo = base.repo("org/a").path
    give(repo, 0, 0)
    for folder in (repo, repo / "blobs"):
        folder.chmod(0o755)
    base.repo("org/a").tree("c" * 40).chmod(0o600)

    found = ownership.foreign(base)
    assert found is not None
    done = subprocess.run(found.fix.replace("sudo ", ""), shell=True, capture_output=True, text=True)

    assert found.owners == ((0, 0),)
    assert found.files >= 3
    assert str(repo) in found.examples
    assert done.returncode == 0, done.stderr
    assert ownership.foreign(base) is None
    assert ((repo / "trees").stat().st_uid == USER) is not is_shared(base_mode)


def test_a_file_with_other_names_is_never_taken_from_another_program(base: Base, tmp_path: Path) -> None:
    """A file with other hard links isn't changed: alone it leads to adopt, among others the command skips it."""
    give(base.path, USER, GROUP)
    theirs = tmp_path / "sha256-x"
    theirs.write_text("x")
    theirs.chmod(0o600)
    shared = base.repo("org/a").blob("d" * 40)
    shared.hardlink_to(theirs)

    alone = ownership.foreign(base)
    assert alone is not None
    assert (alone.fix, alone.examples, alone.owners) == ("shelf adopt FOLDER --move --copy", (str(shared),), ((0, 0),))

    give(base.repo("org/a").trees, 0, 0)
    found = ownership.foreign(base)
    assert found is not None
    subprocess.run(found.fix.replace("sudo ", ""), shell=True, check=True)
    assert (theirs.stat().st_uid, mode(theirs)) == (0, "0o600")


def test_what_lies_in_quarantine_keeps_its_rights_where_it_has_other_names(base: Base, tmp_path: Path) -> None:
    """In quarantine the group's command opens our own files and skips another program's file."""
    give(base.path, 0, GROUP)
    base.path.chmod(0o2775)
    theirs = tmp_path / "sha256-x"
    theirs.write_text("x")
    theirs.chmod(0o600)
    base.quarantine.mkdir()
    (base.quarantine / "d").hardlink_to(theirs)
    base.registry.chmod(0o600)

    subprocess.run(ownership.fix(base), shell=True, check=True)

    assert (mode(theirs), mode(base.registry)) == ("0o600", "0o660")


def test_without_root_the_command_begins_with_sudo(base: Base) -> None:
    """Without root the command starts with sudo; root's base, as Docker makes it, is given to the user who asks."""
    give(base.path, 0, 0)

    with acting_as(USER):
        found = ownership.foreign(base)

    assert found is not None
    assert f"-exec chown -h {USER}:{USER} {{}} +" in found.fix
    assert found.fix.startswith("sudo find")


def test_the_base_of_another_user_is_not_taken_from_them(base: Base) -> None:
    """A user who is neither the base's owner nor root is told whom to ask, and gets no command."""
    give(base.path, USER, GROUP)

    with acting_as(USER + 1):
        found = ownership.foreign(base)

    assert found is not None
    assert found.fix.startswith(f"The base belongs to user {USER}: ask")


@pytest.mark.parametrize(
    ("umask", "base_mode", "folder", "file"),
    [
        (0o077, 0o755, "0o755", "0o644"),
        (0o077, 0o700, "0o700", "0o600"),
        (0o077, 0o2770, "0o2770", "0o660"),
        (0o002, 0o755, "0o775", "0o644"),
        (0o022, 0o2775, "0o2775", "0o664"),
    ],
)
def test_the_base_decides_who_may_use_what_is_written(
    tmp_path: Path, umask: int, base_mode: int, folder: str, file: str
) -> None:
    """The base's permissions hold for new files whatever the umask, and nothing that the umask allows is removed."""
    base = Base(tmp_path / "base")
    base.path.mkdir()
    base.path.chmod(base_mode)
    before = os.umask(umask)
    try:
        fs.write_text(base.path, base.sidecar("m"), "{}")
        os.close(fs.open_part(base.path, base.part("d")))
        os.close(fs.open_part(base.path, base.part_map("d")))
        fs.touch(base.path, base.registry)
        fs.touch(base.path, base.registry)
    finally:
        os.umask(before)

    assert {mode(path) for path in (base.own, base.sidecars, base.incoming)} == {folder}
    assert {mode(path) for path in (base.sidecar("m"), base.part("d"), base.part_map("d"), base.registry)} == {file}


def test_what_root_writes_belongs_to_whom_the_folder_belongs(base: Base) -> None:
    """What root writes belongs to the folder's owner, so a user outside the container can delete it; links too."""
    give(base.path, USER, GROUP)

    fs.write_text(base.path, base.sidecar("m"), "{}")
    fs.make_link(base.path, base.repo("org/a").snapshot("c" * 40) / "g", f"../../blobs/{'b' * 40}")

    written = (base.sidecars, base.sidecar("m"), base.repo("org/a").snapshot("c" * 40) / "g")
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in written} == {(USER, GROUP)}


def test_what_huggingface_hub_wrote_is_shared_with_its_locks(base: Base) -> None:
    """huggingface_hub's list of mode 0600 and its folder of locks are opened to the base's group."""
    lock = base.hub_lock("org/a", "b" * 40)
    lock.parent.mkdir(parents=True)
    lock.touch(0o600)
    base.path.chmod(0o2775)
    base.repo("org/a").tree("c" * 40).chmod(0o600)

    ownership.give_repo_to_group(base, "org/a")

    assert mode(base.repo("org/a").tree("c" * 40)) == "0o664"
    assert (mode(lock.parent), mode(lock)) == ("0o2775", "0o664")


def test_what_may_not_be_changed_is_known_before(base: Base) -> None:
    """Another user's folder is reported before a change, with a hint that repairs it; root may change everything."""
    give(base.path, 0, 0)

    with acting_as(USER):
        why, fix = ownership.why_not_changeable(base.repo("org/a")), ownership.fix(base)
        with pytest.raises(Denied) as caught:
            ownership.check_changeable(base, "org/a")

    assert "belongs to user 0, group 0" in why
    assert (caught.value.detail, caught.value.hint) == (why, fix)
    assert ownership.why_not_changeable(base.repo("org/a")) == ""
    ownership.check_changeable(base, "org/a")


def test_what_cannot_be_looked_at_is_left_out(base: Base) -> None:
    """A folder that can be listed and not entered counts itself and nothing in it."""
    give(base.path, USER, USER)
    blobs = base.repo("org/a").blobs
    give(blobs, 0, 0)
    blobs.chmod(0o744)

    with acting_as(USER):
        found = ownership.foreign(base)

    assert found is not None
    assert (found.files, found.examples) == (1, (str(blobs),))
