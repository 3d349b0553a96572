"""Judging files and snapshots on a real disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

from modelshelf.domain.adopt_inventory import FoundFile, Says
from modelshelf.domain.names import Digest, FilePath
from modelshelf.store.repos import judge
from tests.builders import put
from tests.store.users import acting_as

DIGEST = "ab" * 32


def test_the_first_bytes_of_a_plain_file_alone_are_read(tmp_path: Path) -> None:
    """Only a plain file has first bytes; a pipe, link, folder or missing file has none."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(put(tmp_path / "file", b"GGUF" * 2000))

    assert judge.head(tmp_path / "file") == b"GGUF" * 275
    assert [judge.head(tmp_path / name) for name in ("pipe", "link", "gone", ".")] == [b""] * 4


def test_a_text_file_that_was_a_link_is_known(tmp_path: Path) -> None:
    """A short text file in place of a link is recognised; a real link, a long file and a missing one aren't."""
    text = f"../../blobs/{DIGEST}".encode()
    (tmp_path / "link").symlink_to(text.decode())

    assert judge.link_text(put(tmp_path / "text", text)) == DIGEST
    assert judge.link_text(put(tmp_path / "long", text + b" " * 4000)) is None
    assert [judge.link_text(tmp_path / name) for name in ("link", "gone")] == [None, None]


def test_what_a_name_promises_is_looked_at(tmp_path: Path) -> None:
    """A file is judged by what its name promises, and a missing one isn't judged."""
    assert judge.why_not(put(tmp_path / "a.gguf", b"GGUF"), "a.gguf") == ""
    assert "GGUF" in judge.why_not(put(tmp_path / "b.gguf", b"<x>"), "b.gguf")
    assert judge.why_not(tmp_path / "gone", "gone.gguf") == ""


def test_a_snapshot_says_what_belongs_to_it(tmp_path: Path) -> None:
    """An index names its files and a pipeline its folders; what isn't a JSON object names nothing."""
    put(tmp_path / "unet" / "m.index.json", json.dumps({"weight_map": {"x": "2", "y": "1", "z": 3}}).encode())
    put(tmp_path / "odd.index.json", b'{"weight_map": 7}')
    put(tmp_path / "broken.index.json", b"{")
    put(tmp_path / "list.index.json", b"[]")
    pipeline = {"_class_name": "X", "unet": ["diffusers", "U"], "safety": [None, None], "n": [1]}
    put(tmp_path / "model_index.json", json.dumps(pipeline).encode())
    names = ["unet/m.index.json", "odd.index.json", "broken.index.json", "list.index.json", "gone.index.json"]

    assert judge.says(tmp_path, [*names, "model_index.json", "x.bin"]) == Says(
        {"unet/m.index.json": ["1", "2"]}, ["unet"]
    )


def test_only_files_that_nobody_vouches_for_are_looked_into(tmp_path: Path) -> None:
    """Only files without a digest of the Hub are judged by their first bytes."""
    put(tmp_path / "m.gguf", b"page")
    vouched, unknown = FoundFile(FilePath("m.gguf"), 4, Digest(DIGEST)), FoundFile(FilePath("m.gguf"), 4, None)

    assert judge.why_not_whole(tmp_path, [vouched], ()) == ""
    assert judge.why_not_whole(tmp_path, [unknown], ()) == ("m.gguf isn't a GGUF file: it doesn't begin with GGUF.")


def test_a_download_that_nobody_finished_leaves_it_unknown(tmp_path: Path) -> None:
    """If a partial download belongs to no known file, nobody knows whether the snapshot is whole."""
    whole = [FoundFile(FilePath("m.gguf"), 4, Digest(DIGEST))]

    assert "may be incomplete" in judge.why_not_whole(tmp_path, whole, (), ["cd" * 32])
    assert judge.why_not_whole(tmp_path, whole, (), [DIGEST]) == ""


def test_a_file_that_cannot_be_read_says_why(open_path: Path) -> None:
    """A file in a closed folder, a missing one and an unreadable one have different reasons."""
    closed, secret = put(open_path / "closed" / "x", b"x"), put(open_path / "secret", b"x")
    closed.parent.chmod(0o700)
    secret.chmod(0o600)

    with acting_as():
        found = [judge.why_unread(path) for path in (closed, secret, open_path / "gone", open_path)]

    assert found == [
        "can't be examined by this user",
        "can't be read by this user (it belongs to uid 0)",
        "isn't there",
        "isn't a file",
    ]


def test_an_index_that_is_a_loop_of_links_says_nothing(tmp_path: Path) -> None:
    """An index that is a loop of links names nothing and raises nothing."""
    (tmp_path / "m.index.json").symlink_to("m.index.json")

    assert judge.says(tmp_path, ["m.index.json"]) == Says({}, ())
