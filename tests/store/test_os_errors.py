"""Opening a file of bytes where something else may lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf.errors import Corrupt
from modelshelf.store.os_errors import open_to_read


@pytest.mark.timeout(30)
def test_a_fifo_in_place_of_a_blob_holds_nobody_up(tmp_path: Path) -> None:
    """What is no regular file is corrupt, and nothing waits for a writer."""
    os.mkfifo(tmp_path / "blob")

    with pytest.raises(Corrupt, match="isn't a regular file"):
        open_to_read(tmp_path / "blob")
