"""Handing a job to a process that outlives this one: a running server, or a worker of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from modelshelf.bootstrap.partner import server_url

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Job
    from modelshelf.services.services import Services


def detach(services: Services, job: Job) -> str:
    """Leave a queued job to a process that outlives this one; return the URL of the server that it is, or nothing.

    Without a server it is a new process in a session of its own, so that no signal of this terminal reaches it. It ends
    with the job.

    **Crash:** the job stays in the registry, and the next server or command takes it.
    """
    if url := server_url(services):
        return url
    command = [sys.executable, "-m", "modelshelf", "jobs", "resume", str(job.id), "--wait", "--quiet"]
    nothing = subprocess.DEVNULL
    subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    return ""
