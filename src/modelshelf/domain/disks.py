"""What a mount table says about a disk, as data."""

from __future__ import annotations

from dataclasses import dataclass

NETWORK = frozenset(
    "9p afs ceph cifs fuse.glusterfs fuse.rclone fuse.sshfs lustre nfs nfs4 smb3 smbfs virtiofs".split()
)
"""File systems whose locks hang or hold nothing on some machines, and on which SQLite's WAL must not live."""
CONTAINER = frozenset({"overlay", "aufs", "fuse.fuse-overlayfs"})
"""What a container's own layer lies on, which vanishes with the container."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    point: str
    """Where it is mounted."""
    kind: str
    """Its type as the mount table spells it: `ext4`, `9p`, `fuseblk`; `drvfs` for a Windows drive under WSL."""
    source: str
    """The device, share or drive."""
    read_only: bool
    boundary: bool = True
    """Whether it is mounted below the root: in a container, what lies on no such mount vanishes with the container."""

    @property
    def is_network(self) -> bool:
        """Whether it lies on another machine, or behind a protocol as slow and as lax about locks."""
        return self.kind in NETWORK or self.kind == "drvfs"

    @property
    def is_container_layer(self) -> bool:
        """Whether it is the own layer of a container."""
        return self.kind in CONTAINER and not self.boundary
