"""A kernel without locks, like NFS without its lock daemon: for one thread and its children."""

from __future__ import annotations

import ctypes
import errno
import platform

import pytest

_FLOCK = {"x86_64": 73, "aarch64": 32}
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(_Step)))


def take_flock_away(answer: int = errno.ENOLCK) -> None:
    """Make the kernel answer each flock of this thread with an error from now on, by a filter of system calls."""
    number = _FLOCK.get(platform.machine())
    if number is None:
        pytest.skip(f"the number of flock is not known on {platform.machine()}")
    steps = (_Step * 4)(
        _Step(_LOAD, 0, 0, 0),
        _Step(_JUMP_IF_EQUAL, 0, 1, number),
        _Step(_RETURN, 0, 0, _ERROR | answer),
        _Step(_RETURN, 0, 0, _ALLOW),
    )
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(steps), steps)
    for request in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*request):
            pytest.skip(f"no filter of system calls can be set here: {ctypes.get_errno()}")
