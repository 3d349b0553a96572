"""shelf status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.schemas.status import StatusJson


def status(as_json: AsJson = False) -> None:
    """Show settings, registry, servers, leases and jobs."""
    from modelshelf.bootstrap.status import open_status

    with at_the_edge(as_json=as_json):
        with open_status() as found:
            now = found.read()
        if as_json:
            output.as_json(now)
        else:
            _show(now)


def _show(now: StatusJson) -> None:
    file, registry, versions = now.settings.file, now.registry, now.versions
    _fact("settings", file or "no file, only the environment and the defaults")
    known = f"id {registry.id[:12]}" if registry.id else "not created yet"
    _fact("registry", f"{registry.url} ({known})")
    if registry.detail:
        output.note(f"note: {registry.detail}")
    for base in now.bases:
        library = "in this library" if base.ours else "in no library yet"
        _fact(base.cache_location, f"{base.cache_path}: {base.detail or library}")
    for other in now.other_libraries:
        _fact("other", f"{other.cache_path} ({other.settings or 'no settings file'})")
    tools = now.hugging_face_tools
    where = "the primary tier" if tools.is_primary else f"{tools.hub} ({tools.why}), not the primary tier"
    _fact("tools", f"download to {where}")
    for server in now.servers:
        _fact("server", f"{server.url}, since {server.started_at}")
    if not now.servers:
        _fact("server", "not running")
    for lease in now.leases:
        _fact("lease", f"{lease.model_name}, held by {lease.holder} until {lease.expires_at}")
    for job in now.jobs:
        what = f"{job.kind} {job.model_name}".rstrip()
        _fact("job", f"{job.id} {what}: {job.state} {job.detail}".rstrip())
    for owner in now.owners:
        lives = {True: "runs", False: "is gone", None: "runs elsewhere"}[owner.alive]
        process = owner.owner.split(":")[-2:][0]  # behind the machine and the container stand its pid and its start
        _fact("owner", f"process {process} {lives}, {format_size(owner.reserved_bytes)} reserved")
    _fact("versions", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _fact(label: str, text: str) -> None:
    output.fact(label, text, 10)
