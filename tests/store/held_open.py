"""Files that another process has open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held_open(path: Path, mode: str = "ab") -> Iterator[None]:
    """Keep a file open, or mapped, in another process."""
    code = """
import mmap, sys
f = open(sys.argv[1], "r+b" if sys.argv[2] == "mapped" else sys.argv[2])
if sys.argv[2] == "mapped":
    m = mmap.mmap(f.fileno(), 0); f.close()
print("open", flush=True); sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(path), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
        process.communicate()
