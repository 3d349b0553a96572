"""The memory of the machine and of its graphics card."""

from __future__ import annotations

import subprocess

import psutil

from modelshelf.domain.serving import DeviceMemory

_QUERY = ("nvidia-smi", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits")
_TIMEOUT_S = 10
_MIB = 2**20


def device_memory() -> dict[str, DeviceMemory]:
    """Return the memory of each device: "" is the machine's own, `gpu` the first graphics card's, where there is one.

    Source: `nvidia-smi --help-query-gpu`: both are MiB.
    """
    machine = psutil.virtual_memory()
    found = {"": DeviceMemory(machine.available, machine.total)}
    if card := _card():
        found["gpu"] = card
    return found


def _card() -> DeviceMemory | None:
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
        free, total = (int(number) * _MIB for number in done.stdout.splitlines()[0].split(","))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return DeviceMemory(free, total)
