"""The command that starts an engine: a backend's words, filled with what is known of the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelshelf.domain.backends import Backend
from modelshelf.domain.engine_kinds import EngineKind
from modelshelf.errors import BadInput

_VALUE = re.compile(r"[\w.,:+-]*", re.ASCII)
"""The value of an argument: no path, and no repository whose code an engine would run."""


@dataclass(frozen=True, slots=True)
class LaunchValues:
    """What a command is filled with."""

    model: str
    """The snapshot folder, or the file."""
    name: str
    """The library's name for it."""
    port: int
    """0: the child chooses one."""
    key: str = field(repr=False)
    context: int = 0
    """Tokens; 0 where that isn't known."""
    slots: int = 1
    mmproj: str = ""
    """The file that reads images; empty without one."""
    adapter: str = ""
    """The file or folder of a LoRA adapter on top of `model`; empty without one."""

    def fill(self, template: str) -> str:
        """Return a word of a command, or a value of a variable, with these values in it; empty for an unknown one."""
        context = str(self.context) if self.context else ""
        known = {
            "model": self.model,
            "name": self.name,
            "base": f"{self.name}-base" if self.adapter else self.name,
            "port": str(self.port),
            "key": self.key,
            "context": context,
            "slots": str(self.slots),
            "mmproj": self.mmproj,
            "adapter": self.adapter,
        }
        return re.sub(r"\{(\w+)\}", lambda word: known[word[1]], template)


def command_of(
    program: Sequence[str],
    backend: Backend,
    kind: EngineKind,
    values: LaunchValues,
    arguments: Sequence[str] = (),
) -> list[str]:
    """Return the command that starts an engine.

    Args:
        program: What it begins with; see `FoundBackend.program`.
        backend: The backend.
        kind: What the model is for.
        values: What the command is filled with.
        arguments: What a person wants beside; checked by `check_arguments`.

    Raises:
        BadInput: An argument isn't allowed.
    """
    check_arguments(backend, arguments)
    words = list(program)
    for group in backend.command:
        if all(values.fill(name) for name in re.findall(r"\{\w+\}", " ".join(group))):
            words += [values.fill(word) for word in group]
    wanted = arguments if backend.joins_values else [part for word in arguments for part in word.split("=", 1)]
    return [*words, *map(values.fill, backend.by_kind.get(kind, ())), *wanted]


def check_arguments(backend: Backend, arguments: Sequence[str]) -> None:
    """Do nothing where a backend takes each of these words: `--name` or `--name=value`.

    Raises:
        BadInput: It doesn't; names those that it takes.
    """
    for word in arguments:
        name, _, value = word.partition("=")
        if name not in backend.arguments:
            allowed = ", ".join(sorted(backend.arguments)) or "none"
            raise BadInput(
                f"{word} isn't an argument that {backend.name} may be started with.",
                hint=f"Allowed are {allowed}; write a value as --name=value.",
            )
        if not (value or backend.joins_values):
            raise BadInput(f"{word} needs a value.", hint="Write it as --name=value.")
        if not _VALUE.fullmatch(value):
            raise BadInput(
                f"{word!r:.200} has a value that no engine is started with.",
                hint="Letters, digits and . _ , : + - are.",
            )
