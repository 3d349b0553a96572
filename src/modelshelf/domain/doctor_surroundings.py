"""What the doctor says about a library's surroundings: settings, tools, token, hub and engines. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from modelshelf.domain.doctor_report import Diagnosis, Severity
from modelshelf.domain.tiers import PRIMARY, Tier
from modelshelf.domain.tool_environment import ENGINE_PACKAGES, ToolFolder
from modelshelf.domain.unadopted import Unadopted
from modelshelf.domain.views import ViewState, ViewStatus

_ERROR, _WARNING, _INFO, _OK = Severity


def of_tools(places: Sequence[tuple[ToolFolder, int]], tiers: Sequence[Tier]) -> Iterator[Diagnosis]:
    """Yield each tool's folder with its bytes; several tools with one folder are one line.

    Where the tools of Hugging Face would download to is said elsewhere: an empty folder of theirs needs no line.
    """
    hubs = {f"{tier.base}/hub": tier for tier in tiers}
    for path, group in groupby(places, key=lambda item: item[0].path):
        items = list(group)
        place, size_bytes = items[0]
        names = ", ".join(item[0].tool for item in items)
        tier = hubs.get(path)
        if tier is not None:
            severity, detail = _OK, f"{names}: the {tier.location} tier, {path} ({place.why})."
        elif place.stock:
            if not size_bytes:
                continue
            severity, detail = _INFO, f"{names}: {path} ({place.why}), which isn't a tier."
        else:
            severity, detail = _OK, f"{names}: {path} ({place.why}), files of its own kind."
        yield Diagnosis(severity, "tool", detail, path=path, size_bytes=size_bytes)


def of_unadopted(found: Unadopted) -> Iterator[Diagnosis]:
    """Yield models that the library doesn't know."""
    if found.models:
        detail = f"{found.where}, and not in the library."
        yield Diagnosis(_INFO, "tool", detail, found.command, found.path, found.size_bytes)


_OF_VIEWS = {ViewState.AWAY: _INFO, ViewState.FOREIGN: _INFO}
"""How bad a view is that isn't true; a warning for the others."""


def of_views(views: Sequence[ViewStatus]) -> Iterator[Diagnosis]:
    """Yield views that aren't as they should be."""
    for status in views:
        kind, root = status.view.kind, status.view.root
        if status.state is not ViewState.TRUE:
            detail = f"The view {kind} in {root} is {status.state}. {status.detail}"
            yield Diagnosis(_OF_VIEWS.get(status.state, _WARNING), "tool", detail, status.command, root)


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """The facts of a token, without reading it."""

    given: bool
    """Whether HF_TOKEN sets it."""
    path: str
    mode: int | None
    """The file's mode; None without a file."""
    readable: bool = True
    shared: tuple[str, ...] = ()
    """Token files in bases: a container that mounts a base can read them."""


def of_token(token: TokenFacts) -> Iterator[Diagnosis]:
    """Yield where the token is and who can read it; never the token."""
    if token.mode is not None and token.mode & 0o077:
        who = "everybody" if token.mode & 0o004 else "its group"
        detail = f"The token in {token.path} can be read by {who} (mode {token.mode:04o})."
        yield Diagnosis(_WARNING, "token", detail, f"chmod 600 {shlex.quote(token.path)}", token.path)
    if not token.readable:
        detail = f"The token in {token.path} cannot be read by this user: every download fails."
        yield Diagnosis(_ERROR, "token", detail, f"sudo chown $(id -u) {shlex.quote(token.path)}", token.path)
    for path in token.shared:
        yield Diagnosis(
            _INFO, "token", f"{path} holds a token: a container that mounts this base can read it.", path=path
        )
    if token.given:
        yield Diagnosis(_OK, "token", "HF_TOKEN holds a token and overrides one that hf auth login stored.")
    elif token.mode is not None:
        yield Diagnosis(_OK, "token", f"A token is stored in {token.path}.", path=token.path)
    else:
        detail = "No token: gated and private repositories can't be downloaded."
        yield Diagnosis(_INFO, "token", detail, "hf auth login", token.path)


@dataclass(frozen=True, slots=True)
class HubFacts:
    """The hub's answer."""

    endpoint: str
    is_mirror: bool
    offline_by: str = ""
    """The variable that forbids asking it."""
    trouble: str = ""
    refused: bool = False
    """Whether it refused the token."""


def of_hub(hub: HubFacts) -> Iterator[Diagnosis]:
    """Yield whether the hub is reachable."""
    mirror = ", a mirror (HF_ENDPOINT)" if hub.is_mirror else ""
    if hub.offline_by:
        yield Diagnosis(_INFO, "hub", f"{hub.endpoint}{mirror} wasn't contacted: {hub.offline_by} is set.")
    elif hub.trouble:
        command = f"curl -I {shlex.quote(hub.endpoint)}"
        yield Diagnosis(_WARNING, "hub", f"{hub.trouble.rstrip('.')}. Downloaded models keep working.", command)
    else:
        yield Diagnosis(_OK, "hub", f"{hub.endpoint}{mirror} answers.")
        if hub.refused:
            yield Diagnosis(_WARNING, "token", f"{hub.endpoint} rejects the token.", "hf auth login")


def of_settings(problems: Sequence[Mapping[str, str]], primary: Tier) -> Iterator[Diagnosis]:
    """Yield invalid settings; the rest of a report uses the defaults for them."""
    for problem in problems:
        origin, name = problem["origin"], problem["name"]
        file, _, line = origin.rpartition(":")
        command = f"unset {name}" if origin == "environment" else f"${{EDITOR:-vi}} +{line} {shlex.quote(file)}"
        if not file and origin != "environment":
            command = f"ls -l {shlex.quote(origin)}"
        end = "" if problem["detail"].endswith((".", "?")) else "."
        detail = f"{name} in {origin}: {problem['detail']}{end}"
        yield Diagnosis(_ERROR, "settings", detail, command, "" if origin == "environment" else file or origin)
    if any(problem["name"] in ("PRIMARY_CACHE_PATH", "HF_HOME") for problem in problems):
        assert primary.location == PRIMARY
        detail = f"The rest of this report assumes the primary base {primary.base}."
        yield Diagnosis(_INFO, "settings", detail, path=primary.base)


def of_engines(engines: Mapping[str, str], python: str) -> Iterator[Diagnosis]:
    """Yield the installed engines, name to path; without any, what to install."""
    if engines:
        listed = ", ".join(f"{name} ({place})" for name, place in engines.items())
        yield Diagnosis(_OK, "engine", f"Engines: {listed}.")
    else:
        detail = "No engine is installed: models can be stored, but not run."
        yield Diagnosis(_INFO, "engine", detail, f"{shlex.quote(python)} -m pip install {ENGINE_PACKAGES}")
