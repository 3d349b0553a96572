"""Which paths an HTTP request may name."""

from __future__ import annotations

import pytest

from modelshelf.domain.http_roots import DRIVES, NamedFolder, check_http_path
from modelshelf.errors import BadInput, Denied

ROOTS = [NamedFolder(drive, drive) for drive in DRIVES]


def check(path: str, real: str | None = None, roots: list[NamedFolder] = ROOTS) -> None:
    """Check a path that a request named."""
    check_http_path(NamedFolder(path, real or path), ["/home/me/.cache/huggingface"], roots)


@pytest.mark.parametrize(
    "path", ["/mnt/usb/models", "/media/me/USB DISK", "/run/media/me/x", "/home/me/.cache/huggingface"]
)
def test_drives_and_known_folders_are_open(path: str) -> None:
    """A request may name a path where drives are mounted or below a root that a person allowed."""
    check(path)


@pytest.mark.parametrize(
    "path",
    ["/mnt", "/mntx/y", "/home/me/models", "/home/me/.cache/huggingface/x", "/run/user/0", "/mnt/usb/.hidden/x", "/"],
)
def test_everything_else_is_closed(path: str) -> None:
    """A root itself, its neighbours, homes and hidden folders are denied, and the error names the setting."""
    with pytest.raises(Denied, match="may not name") as caught:
        check(path)

    assert "SHELF_CUSTOM_ROOTS" in caught.value.hint


@pytest.mark.parametrize("path", ["models", "~/models", "/mnt/../etc", ""])
def test_a_path_is_whole(path: str) -> None:
    """A relative path or one with `..` is refused."""
    with pytest.raises(BadInput):
        check(path)


@pytest.mark.parametrize("real", ["/etc/cron.d", "/home/me/models", "/mnt/usb/.ssh"])
def test_a_link_that_leads_out_is_closed(real: str) -> None:
    """A folder below a root counts as the folder that it links to."""
    with pytest.raises(Denied):
        check("/mnt/usb/models", real)


def test_a_root_may_be_a_link_itself() -> None:
    """If a person names a link as a root, the folder it leads to is open."""
    check("/models/a", "/home/me/big/a", [NamedFolder("/models", "/home/me/big")])


@pytest.mark.parametrize(("root", "is_open"), [("/", False), ("/var", True), ("/var/lib/models", True)])
def test_a_folder_of_the_system_is_open_only_where_it_is_named(root: str, is_open: bool) -> None:
    """A root above the system's folders doesn't open them; a root inside one opens itself."""
    if is_open:
        check("/var/lib/models/a", roots=[NamedFolder(root, root)])
    else:
        with pytest.raises(Denied):
            check("/var/lib/models/a", roots=[NamedFolder(root, root)])
