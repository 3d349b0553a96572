"""Outside text and outside files come in only by their doors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from modelshelf.domain import names
from tests.architecture.test_house import MODULES, PACKAGE, parse, where

TYPES = {name for name, kind in vars(names).items() if isinstance(kind, type) and issubclass(kind, str)}
"""The types of outside text."""
RAISING = {"exists", "is_file", "is_dir", "is_symlink", "is_mount", "is_fifo", "is_socket"}
"""Methods of Path that before Python 3.13 raise below a closed folder; `store.probe` has replacements."""
READING = {"read_text", "read_bytes", "open"}
"""Methods of Path that block on a fifo and read a terabyte; `store.small_files` has replacements."""
DIR_ENTRY = {"entry", "e"}
"""Names for an `os.DirEntry` in the package, whose methods of the same names are safe."""
HELPERS = {"store/probe.py", "store/small_files.py", "store/os_errors.py", "store/fs.py"}
OWN_FILES = {
    "setting_lines.py": "the .env that this user wrote, which may be a link",
    "store/settings_file.py": "the same",
    "services/setup/systemd.py": "the systemd unit of this user",
    "store/gc/open_files.py": "what the kernel says in /proc",
    "store/mounts.py": "the same",
    "store/tiers/slow.py": "what the kernel says in /sys",
    "services/jobs/process.py": "what the kernel says in /proc",
    "engines/ports.py": "the same",
    "engines/embeddings_worker.py": "beside the files that transformers reads, in a process of its own",
    "store/blobs/link_or_clone.py": "a file that was looked at, to be cloned",
}


def calls(module: Path) -> Iterator[ast.Call]:
    """Yield every call in a module."""
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.Call):
            yield node


def on_a_path(node: ast.Call, methods: set[str]) -> bool:
    """Return whether a call is one of these methods on what may be a Path."""
    called = node.func
    if not isinstance(called, ast.Attribute) or called.attr not in methods:
        return False
    return not (isinstance(called.value, ast.Name) and called.value.id in DIR_ENTRY)


def makes_a_type(node: ast.Call) -> bool:
    """Return whether a call makes a type without its parser, or casts a text to one."""
    called = ast.unparse(node.func)
    claimed = ast.unparse(node.args[0]).strip("'\"").rpartition(".")[2] if node.args else ""
    return called in ("str.__new__", "object.__new__") or (called.rpartition(".")[2] == "cast" and claimed in TYPES)


def test_nothing_makes_a_type_of_outside_text_without_its_parser() -> None:
    """Outside `domain.names` there is no `str.__new__` and no cast to one of its types."""
    assert {"Digest", "CommitHash", "RepoId", "ModelName", "RefName", "FilePath", "BasePath", "TierId"} <= TYPES

    doors = {PACKAGE / "domain" / "names.py"}
    found = [where(m, call.lineno) for m in MODULES if m not in doors for call in calls(m) if makes_a_type(call)]

    assert found == []


def test_nothing_asks_a_path_what_may_raise() -> None:
    """Only `store.probe`, which never raises for a closed folder, asks whether something exists."""
    found = [
        f"{where(module, call.lineno)} {ast.unparse(call)}"
        for module in MODULES
        if module.relative_to(PACKAGE).as_posix() not in HELPERS
        for call in calls(module)
        if on_a_path(call, RAISING) and not (call.args or call.keywords) and not ast.unparse(call).startswith("sa.")
    ]

    assert found == []


def reads_plainly(node: ast.Call) -> bool:
    """Return whether a call reads a file by its name without protection from a fifo."""
    if isinstance(node.func, ast.Name) and node.func.id == "open":
        return not any(keyword.arg == "opener" for keyword in node.keywords)
    if not on_a_path(node, READING):
        return False
    assert isinstance(node.func, ast.Attribute)
    is_mode = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value in ("r", "rb", "r+", "rb+")
    return node.func.attr != "open" or bool(is_mode)


def test_small_files_of_others_have_one_reader() -> None:
    """A file that somebody else may have written is read by `store.small_files` or opened by `open_to_read`."""
    allowed = HELPERS | OWN_FILES.keys()
    found = [
        f"{where(module, call.lineno)} {ast.unparse(call)}"
        for module in MODULES
        if module.relative_to(PACKAGE).as_posix() not in allowed
        for call in calls(module)
        if reads_plainly(call)
    ]

    assert found == []


def test_what_is_exempt_needs_it() -> None:
    """Each module that is exempt from the rule really reads plainly."""
    for name in OWN_FILES:
        assert any(reads_plainly(call) for call in calls(PACKAGE / name)), name
