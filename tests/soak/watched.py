"""Runs `PYTHON PROGRAM` and says on SIGUSR1 what of its memory is in use: `watched.py REPORT PYTHON PROGRAM`.

How much memory a process has of the system says little about leaks: what was freed stays with its allocators, in
holes. What is in use is what Python's blocks and malloc's hold once cycles are collected. SIGUSR2 gives back to the
system what malloc keeps of freed memory. glibc alone tells of malloc.
"""

from __future__ import annotations

import ctypes
import gc
import json
import runpy
import signal
import sys
from pathlib import Path

_NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class _Mallinfo(ctypes.Structure):
    """Source: mallinfo2(3)."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _NAMES.split())


def in_use() -> dict[str, int]:
    """Return how many blocks Python's allocator has given out, and how many bytes malloc has."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Mallinfo
    gc.collect()
    told = libc.mallinfo2()
    return {"blocks": sys.getallocatedblocks(), "malloc_bytes": told.uordblks + told.hblkhd}


def main() -> None:
    """Run the program; its signal handler replaces its report as a whole."""
    report, sys.argv = Path(sys.argv[1]), sys.argv[3:]

    def tell(*_: object) -> None:
        said = in_use()
        report.with_suffix(".new").write_text(json.dumps(said), encoding="utf-8")
        report.with_suffix(".new").rename(report)

    signal.signal(signal.SIGUSR1, tell)
    signal.signal(signal.SIGUSR2, lambda *_: ctypes.CDLL(None).malloc_trim(0))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
