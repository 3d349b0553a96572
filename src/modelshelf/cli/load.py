"""shelf load, and the child process that does it."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name
from modelshelf.domain.names import ModelName
from modelshelf.errors import Unavailable
from modelshelf.units import format_duration, format_size

if TYPE_CHECKING:
    from modelshelf.bootstrap.running_server import RunningServer
    from modelshelf.services.shelf import Shelf

QUESTION = "What is 2+2?"
_QUIET = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
"""A load of a second needs no progress bars."""


def load(
    name: Name,
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="The question.")] = QUESTION,
    as_json: AsJson = False,
) -> None:
    """Load a model and ask it one question.

    Where a server of this library runs, it loads the model and keeps it. Else a process of its own loads it as a test,
    offline: llama.cpp, if it is installed, for a GGUF, else transformers. The command prints the answer, the seconds
    and the memory that it took.
    """
    from modelshelf.bootstrap.running_server import server_of
    from modelshelf.bootstrap.shelf import open_shelf

    with at_the_edge(as_json=as_json), open_shelf(begins=False) as shelf:
        shelf.path(name)  # a test of what is there downloads nothing
        server = server_of(shelf.services)
        no_template = _no_template(shelf, name)
        talks = not no_template
        made = _into(server, shelf, name, prompt, talks=talks) if server else _alone(shelf, name, prompt)
        view = {"model_name": name, **made}
        if as_json:
            output.as_json(view)
        else:
            _show(name, view)
            if no_template:
                output.note(f"{name} has no chat template: it went on with the question as a text. {no_template}")
            if server:
                output.note(
                    f"The server at {server.url} keeps it: shelf ps shows for how long, shelf unload {name} ends it."
                )


def _no_template(shelf: Shelf, name: str) -> str:
    """Return what to do about a model's missing chat template; empty where nothing misses it."""
    from modelshelf.bootstrap.engines import make_starter
    from modelshelf.errors import BadInput

    try:
        return make_starter(shelf.services).look(name).no_template
    except BadInput:  # no engine here serves it; who loads it says why
        return ""


def _into(server: RunningServer, shelf: Shelf, name: str, prompt: str, *, talks: bool) -> dict[str, Any]:
    """Return what loading a model into a running server and asking it took; it stays loaded."""
    from urllib.parse import quote

    from modelshelf.domain.engine_kinds import EngineKind
    from modelshelf.domain.outcomes import Trial
    from modelshelf.domain.serving import Served
    from modelshelf.engines.ask import ask
    from modelshelf.schemas.trial import TrialJson

    job = server.ask("POST", f"/api/models/{quote(name, safe='')}/load")
    shelf.services.runner.finish(shelf.services.registry.job(job["id"]))
    loaded = next((one for one in server.ask("GET", "/api/engines") if one["model_name"] == name), None)
    if loaded is None:
        raise Unavailable(f"{name} was unloaded again at once.", hint="Load it again, or ask it: the request waits.")
    asked_s = time.monotonic()
    served = Served(ModelName(name), loaded["engine"], server.url, name, server.key)
    answer = ask(served, EngineKind(loaded["kind"]), prompt, talks=talks)
    took_s = time.monotonic() - asked_s
    return vars(TrialJson.of(Trial(loaded["load_s"] or 0.0, took_s, loaded["memory_bytes"], prompt, answer)))


def _alone(shelf: Shelf, name: str, prompt: str) -> dict[str, Any]:
    """Return what a test of a model took, which is unloaded again."""
    return _through_llama(shelf, name, prompt) or _through_transformers(shelf, name, prompt)


def _through_llama(shelf: Shelf, name: str, prompt: str) -> dict[str, Any] | None:
    """Return what asking a GGUF through llama.cpp took; None where transformers loads the model."""
    from modelshelf.bootstrap.engines import make_starter
    from modelshelf.errors import BadInput
    from modelshelf.schemas.trial import TrialJson
    from modelshelf.services.serving.try_engine import try_engine

    starter = make_starter(shelf.services)
    try:
        wanted = starter.look(name)
    except BadInput:  # no engine serves it; perhaps transformers loads it all the same
        return None
    if wanted.backend != "llama":
        return None
    return vars(TrialJson.of(try_engine(starter, wanted, prompt)))


def _through_transformers(shelf: Shelf, name: str, prompt: str) -> dict[str, Any]:
    """Return what asking a model through transformers took, in a child process."""
    from modelshelf.bootstrap.read_only import run_environment
    from modelshelf.domain.engine_kinds import EngineKind
    from modelshelf.domain.serving import Wanted
    from modelshelf.services.serving.try_engine import try_program

    with shelf.services.loader.using(name, f"shelf load (pid {os.getpid()})") as (model, base):
        command = [sys.executable, "-m", "modelshelf", "try-out", str(model.path), prompt]
        command += [str(base.path)] if base is not None else []
        command += ["--trust-remote-code"] if shelf.services.loader.runs_code(base or model) else []
        wanted = Wanted(model.row.id, model.row.model_name, EngineKind.GENERATE, "transformers", needs_bytes=0)
        environment = run_environment(shelf.services.tiers.settings, model) | _QUIET
        written = try_program(shelf.services.load_jobs, wanted, command, environment)
    answered: dict[str, Any] = json.loads(written)
    return answered


def try_out(
    path: str,
    prompt: str,
    base: Annotated[str | None, typer.Argument()] = None,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code")] = False,
) -> None:
    """Load the model of a snapshot folder and print the times; `shelf load` runs this in a child process."""
    from pathlib import Path

    from modelshelf.schemas.trial import TrialJson
    from modelshelf.services.serving.load import try_out as attempt

    with at_the_edge(as_json=False):
        trial = attempt(Path(path), prompt, Path(base) if base else None, runs_code=trust_remote_code)
        output.as_json(TrialJson.of(trial))


def _show(model_name: str, view: dict[str, Any]) -> None:
    """Print the times and memory of loading a model and asking it."""
    output.line(f"{model_name}: {view['answer']}")
    output.note(
        f"loaded in {format_duration(view['load_s'])}, answered in {format_duration(view['answer_s'])},"
        f" {format_size(view['memory_bytes'])} of memory"
    )
