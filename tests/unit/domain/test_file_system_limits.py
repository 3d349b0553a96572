"""What a file system can't hold, however much room it has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from modelshelf.domain.disks import FAT_FILE_BYTES, Capabilities, Mount, registry_refusal
from modelshelf.domain.file_system_limits import BESIDE_ENTRIES, check_entries, check_names, check_sizes, entries_of
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import Digest, FilePath
from modelshelf.domain.tiers import Tier
from modelshelf.errors import BadInput, OutOfSpace

USUAL = Capabilities(symlinks=True, hardlinks=True, reflinks=True)
FAT = replace(USUAL, case_sensitive=False, any_names=False, max_file_bytes=FAT_FILE_BYTES, file_system="vfat")
TIER = Tier("secondary", "/mnt/stick", None)


@pytest.mark.parametrize("name", ["a:b", "deep/a?b/c", "end.", "blank ", "dir./x", "a|b", 'a"b', "a*"])
def test_a_reserved_name_is_refused_where_it_is_reserved(name: str) -> None:
    """A name that Windows reserves is refused on its file systems and accepted on a Linux disk."""
    with pytest.raises(BadInput, match="reserves it"):
        check_names([name], TIER, FAT)
    check_names([name], TIER, USUAL)


@pytest.mark.parametrize("names", [("README.md", "readme.md"), ("a/X.bin", "a/x.bin"), ("A/x", "a/x")])
def test_names_that_differ_by_case_only_are_refused_where_they_are_one(names: tuple[str, str]) -> None:
    """Two names that differ only by case are refused where the second would overwrite the first."""
    with pytest.raises(BadInput, match="its file system ignores case"):
        check_names(names, TIER, FAT)
    check_names(names, TIER, USUAL)


def test_usual_names_are_held_everywhere() -> None:
    """Every file system holds the usual names: dots, dashes, folders, and one name twice."""
    check_names(["a.safetensors", "b-00001-of-00002.bin", "deep/er/.gitattributes", "a.safetensors"], TIER, FAT)


def test_a_file_beyond_the_limit_is_refused_with_what_would_hold_it() -> None:
    """A FAT file system refuses a file of four GiB and takes one a byte smaller; the error names a tier that fits."""
    files = [FileEntry("small", 1, "a"), FileEntry("big.gguf", FAT_FILE_BYTES + 1, "b")]

    with pytest.raises(OutOfSpace, match=r"big\.gguf has 4\.3 GB") as refused:
        check_sizes(files, TIER, FAT, {"primary": USUAL, "other": FAT})

    assert refused.value.fields["would_hold"] == ["primary"]
    assert "--to primary" in refused.value.hint
    check_sizes([FileEntry("big.gguf", FAT_FILE_BYTES, "b")], TIER, FAT, {})
    check_sizes(files, TIER, USUAL, {})
    check_sizes([], TIER, FAT, {})


def test_with_nothing_else_the_hint_names_a_kind_of_disk() -> None:
    """If no other tier would hold the file, the hint names a kind of disk."""
    with pytest.raises(OutOfSpace) as refused:
        check_sizes([FileEntry("big.gguf", FAT_FILE_BYTES + 1, "b")], TIER, FAT, {})

    assert (refused.value.fields["would_hold"], refused.value.hint) == ([], "Use a disk with ext4 or exFAT.")


@pytest.mark.parametrize(
    ("can", "words"),
    [
        (USUAL, ()),
        (replace(USUAL, symlinks=False), ("symbolic",)),
        (replace(USUAL, hardlinks=False), ()),
        (replace(USUAL, hardlinks=False, reflinks=False), ("dedupe",)),
        (replace(USUAL, network=True, file_system="cifs", locks=False), ("cifs", "locks don't work")),
        (FAT, ("case-insensitive", "cannot be written", "4.3 GB")),
    ],
)
def test_each_weakness_is_one_plain_line(can: Capabilities, words: tuple[str, ...]) -> None:
    """Each weakness of a file system is one plain line, and an ordinary disk has none."""
    found = can.weaknesses

    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


@pytest.mark.parametrize("kind", ["9p", "drvfs", "cifs", "nfs4", "fuse.sshfs"])
def test_a_registry_on_a_share_is_refused_with_the_way_out(kind: str) -> None:
    """A registry on a network mount is refused, since SQLite's WAL needs locks and shared memory; the hint says how."""
    path, mount = PurePosixPath("/mnt/z/base/modelshelf/registry.db"), Mount("/mnt/z", kind, "Z:", read_only=False)

    refused = registry_refusal(path, mount, PurePosixPath("/home/me/.local/state"))

    assert refused is not None
    assert "DATABASE_URL=sqlite:////home/me/.local/state/modelshelf/registry.db" in refused.hint
    assert kind in refused.detail


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "exfat", "fuseblk", "overlay"])
def test_a_registry_on_a_disk_of_this_machine_is_not_refused(kind: str) -> None:
    """A registry on a local disk is accepted, however weak its file system is."""
    mount = Mount("/mnt/z", kind, "/dev/sda1", read_only=False)

    assert registry_refusal(PurePosixPath("/mnt/z/registry.db"), mount, PurePosixPath("/s")) is None


def test_more_entries_than_a_disk_has_left_are_refused_with_both_numbers() -> None:
    """A model with more entries than a disk has inodes left is refused with both numbers."""
    files = [FileEntry(FilePath("a/b.bin"), 1, Digest("d" * 64)), FileEntry(FilePath("c.bin"), 1, Digest("d" * 64))]
    need = entries_of(files, [])

    assert need == BESIDE_ENTRIES + 2 + 1 + 3
    assert entries_of(files, ["d" * 64]) == 0
    check_entries(need, TIER, need)
    check_entries(need, TIER, None)
    with pytest.raises(OutOfSpace, match=r"entries \(inodes\), secondary has 29 left") as refused:
        check_entries(need, TIER, need - 1)
    assert (refused.value.fields["needed_entries"], refused.value.fields["free_entries"]) == (need, need - 1)
