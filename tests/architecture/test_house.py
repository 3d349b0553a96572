"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelshelf.cli.main import make_app

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "modelshelf"
MODULES = sorted(PACKAGE.rglob("*.py"))
MIGRATIONS = PACKAGE / "registry" / "migrations" / "versions"
THE_PRINTER = PACKAGE / "cli" / "output.py"

OPPOSITES = {"unpin": "pin", "cancel": "jobs", "try-out": "load"}
"""Commands that share a file: a command and its opposite, or a command's child process."""

MAX_MODULE_LINES = 400
MAX_BODY_LINES = 40
MAX_FILE_BYTES = 500_000
HEAVY = ("sqlalchemy", "fastapi", "huggingface_hub", "torch", "transformers")
LIGHT_IMPORT = f"import modelshelf, sys; print(*sorted(sys.modules.keys() & set({HEAVY!r})))"
PRIVATE_PATH = re.compile(rb"\.\./" rb"shared\b|(?<![\w.$}<>-])/" rb"work/")
"""A path that exists only on one developer's machine, in two pieces so that this file doesn't match."""


def parse(module: Path) -> ast.Module:
    """Return the syntax tree of `module`."""
    return ast.parse(module.read_text(encoding="utf-8"), filename=str(module))


def where(module: Path, line: int = 1) -> str:
    """Return `module` and `line` in the form that editors open."""
    return f"{module.relative_to(ROOT)}:{line}"


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of `module`, nested ones too."""
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines `function` has from its first statement after the docstring to its end."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def is_print(node: ast.AST) -> bool:
    """Return whether `node` calls the built-in `print`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def commands() -> Iterator[Any]:
    """Yield the commands of `shelf`, including the hidden one."""
    for command in make_app().registered_commands:
        assert command.callback is not None
        command.name = command.name or command.callback.__name__.replace("_", "-")
        yield command


def git(*arguments: str) -> bytes:
    """Return git's output about this checkout; skip the test without a checkout or git."""
    try:
        result = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    except subprocess.CalledProcessError as err:
        pytest.skip(f"not a git checkout: {err.stderr.decode(errors='replace').strip()}")
    return result.stdout


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Return every file that git tracks and that is on disk."""
    names = git("ls-files", "-z").split(b"\0")
    return [path for name in names if name and (path := ROOT / name.decode()).is_file()]


def test_no_module_is_too_long() -> None:
    """A module of the package has at most 400 lines."""
    lengths = {module: len(module.read_bytes().splitlines()) for module in MODULES}

    assert [f"{where(module)} has {n}" for module, n in lengths.items() if n > MAX_MODULE_LINES] == []


def test_no_function_is_too_long() -> None:
    """A function's body has at most 40 lines, except in a migration."""
    too_long = [
        f"{where(module, function.lineno)} {function.name} has {body_lines(function)}"
        for module in MODULES
        if not module.is_relative_to(MIGRATIONS)
        for function in functions(module)
        if body_lines(function) > MAX_BODY_LINES
    ]

    assert too_long == []


def test_every_module_says_what_it_is() -> None:
    """A module of the package begins with a docstring."""
    assert [where(module) for module in MODULES if not ast.get_docstring(parse(module))] == []


def test_one_module_prints() -> None:
    """Only the command line's output module calls `print`."""
    printing = [
        where(module, node.lineno)
        for module in MODULES
        if module != THE_PRINTER
        for node in ast.walk(parse(module))
        if isinstance(node, ast.expr) and is_print(node)
    ]

    assert printing == []


def test_a_command_lives_in_the_file_of_its_name() -> None:
    """A command is in cli/ under its own name, or in the file of its opposite."""
    homes = {str(command.name): command.callback.__module__ for command in commands()}
    wanted = {name: f"modelshelf.cli.{OPPOSITES.get(name, name).replace('-', '_')}" for name in homes}

    assert len(homes) > 20
    assert homes == wanted


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Importing modelshelf doesn't import the database, the server, the hub client or an engine."""
    result = subprocess.run([sys.executable, "-c", LIGHT_IMPORT], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout.split(), result.stderr) == (0, [], "")


def test_no_file_names_a_path_of_one_machine(tracked: list[Path]) -> None:
    """No tracked file refers to anything outside a clone."""
    naming = [
        where(path, number)
        for path in tracked
        for number, line in enumerate(path.read_bytes().splitlines(), start=1)
        if PRIVATE_PATH.search(line)
    ]

    assert naming == []


def test_no_file_is_too_large_for_git(tracked: list[Path]) -> None:
    """A tracked file has at most 500 kB, except what a browser loads, which is copied from others unchanged."""
    sizes = {path: path.stat().st_size for path in tracked if "static" not in path.parts}

    assert [f"{path.relative_to(ROOT)} has {n}" for path, n in sizes.items() if n > MAX_FILE_BYTES] == []
