"""What a mount table says about a disk, and what its file system can, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from modelshelf.errors import BadInput
from modelshelf.units import format_size

NETWORK = frozenset(
    "9p afs ceph cifs fuse.glusterfs fuse.rclone fuse.sshfs lustre nfs nfs4 smb3 smbfs virtiofs".split()
)
"""File systems whose locks hang or have no effect on some machines, and which SQLite must not be on."""
CONTAINER = frozenset({"overlay", "aufs", "fuse.fuse-overlayfs"})
"""File systems of a container's own layer, which vanishes with the container."""
FAT = frozenset({"vfat", "msdos", "umsdos", "fuse.fusefat"})
"""File systems that store a file's size in 32 bits."""
FAT_FILE_BYTES = 2**32 - 1
PLAIN = FAT | {"exfat", "fuse.exfat"}
"""File systems without any links, which treat `a` and `A` as one name and refuse a colon."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    point: str
    """Where it is mounted."""
    kind: str
    """Its type as the mount table spells it: `ext4`, `9p`, `fuseblk`; `drvfs` for a Windows drive under WSL."""
    source: str
    """The device, network address or drive."""
    read_only: bool
    boundary: bool = True
    """Whether it is mounted below the root: in a container, everything on no such mount vanishes with the container."""
    options: frozenset[str] = frozenset()
    """The options of this mount and of its file system, such as `relatime`."""

    @property
    def is_network(self) -> bool:
        """Whether it is on another machine, or behind a protocol that is as slow and as lax about locks."""
        return self.kind in NETWORK or self.kind == "drvfs"

    @property
    def is_container_layer(self) -> bool:
        """Whether it is a container's own layer."""
        return self.kind in CONTAINER and not self.boundary

    @property
    def may_hang(self) -> bool:
        """Whether a call to it waits for a server or another process, which may never answer."""
        return self.is_network or self.kind.startswith("fuse")

    @property
    def max_file_bytes(self) -> int | None:
        """The largest file it holds; None if no limit is known. The file system behind a network mount isn't known."""
        return FAT_FILE_BYTES if self.kind in FAT else None

    @property
    def named(self) -> str:
        """The mount for people, such as `cifs (//nas/models at /mnt/nas)`."""
        return f"{self.kind} ({self.source} at {self.point})"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a file system can."""

    symlinks: bool
    """Whether a snapshot can link to its blobs; if not, the snapshot itself holds the bytes."""
    hardlinks: bool
    reflinks: bool
    case_sensitive: bool = True
    """Whether `a` and `A` are two names."""
    any_names: bool = True
    """Whether a name may hold a colon and end in a dot."""
    locks: bool = True
    """Whether a held lock keeps others out."""
    network: bool = False
    """Whether it is behind a network or a similar protocol."""
    max_file_bytes: int | None = None
    """The largest file it holds; None if no limit is known."""
    file_system: str = ""
    """Its type as the mount table spells it; empty without a table."""

    @property
    def weaknesses(self) -> tuple[str, ...]:
        """What can't be done there, in plain sentences; none for an ordinary disk."""
        return tuple(self._weaknesses())

    def _weaknesses(self) -> Iterator[str]:
        if not self.symlinks:
            yield "no symbolic links: snapshots hold the files themselves, so each revision is stored in full"
        if not self.hardlinks and not self.reflinks:
            yield "no hard links, no reflinks: identical files cannot share their bytes (shelf dedupe)"
        if not self.case_sensitive:
            yield "case-insensitive: a model with file names that differ only in case is refused"
        if not self.any_names:
            yield 'names with : * ? " < > | or a dot at their end cannot be written: a model that has them is refused'
        if self.max_file_bytes is not None:
            yield f"files of at most {format_size(self.max_file_bytes)}: a model with a larger one is refused"
        if self.network:
            yield f"network mount ({self.file_system}): SQLite and locks aren't reliable there"
        if not self.locks:
            yield "locks don't work: let only one program at a time write there"


def registry_refusal(path: PurePath, mount: Mount, state_home: PurePath) -> BadInput | None:
    """Return why a SQLite registry must not be somewhere, with the way out; None if it may.

    Args:
        path: Its file.
        mount: The mount that it is on.
        state_home: The user's folder for program state on this machine.
    """
    if not mount.is_network:
        return None
    way_out = f"sqlite:///{state_home / 'modelshelf' / 'registry.db'}"
    return BadInput(
        f"The registry can't be at {path}: that is {mount.named}, where SQLite's locks don't work.",
        hint=f"Set DATABASE_URL={way_out} in .env, or give a postgresql:// address.",
        path=str(path),
        file_system=mount.kind,
        database_url=way_out,
    )


_VIRTUAL = ("vd", "xvd", "nbd", "rbd", "loop", "ram", "zram")
_VIRTUAL_MAKERS = ("qemu", "vmware", "vbox", "virtual", "msft", "google", "amazon", "xen")


def is_slow(name: str, made_by: str, *, rotational: bool) -> bool:
    """Return whether a disk has a head that moves, so that two writers are slower than one.

    Args:
        name: Its name in the kernel, such as `sda`.
        made_by: Its maker and model.
        rotational: What the kernel says. Of a virtual machine's disk it says so whatever is below.

    >>> is_slow("sda", "ATA ST8000DM004", rotational=True), is_slow("sda", "ATA Samsung SSD 870", rotational=False)
    (True, False)
    >>> is_slow("vda", "0x1af4", rotational=True), is_slow("sda", "QEMU QEMU HARDDISK", rotational=True)
    (False, False)
    """
    is_virtual = name.startswith(_VIRTUAL) or any(word in made_by.lower() for word in _VIRTUAL_MAKERS)
    return rotational and not is_virtual
