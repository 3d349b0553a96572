"""The lines of a `.env`: parsed, expanded, read one by one, with every problem collected."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dotenv.parser import parse_stream

from modelshelf.domain.env_text import quoted
from modelshelf.errors import BadInput
from modelshelf.setting_values import Value
from modelshelf.store.settings_file import home

T = TypeVar("T")
_QUOTED = r"""^\s*('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
"""A value in quotes, in which a # begins no comment."""
MAY_BE_EMPTY = frozenset({"VIEWS"})
"""Settings whose empty value means something; of the others it means the default."""


class Problems:
    """Collects problems, so that all are reported at once."""

    def __init__(self) -> None:
        self.found: list[dict[str, str]] = []

    def add(self, name: str, origin: str, detail: str) -> None:
        self.found.append({"name": name, "origin": origin, "detail": detail})

    def raise_any(self) -> None:
        if not self.found:
            return
        lines = "".join(f"\n  {p['origin']}: {p['name']}: {p['detail']}" for p in self.found)
        count = f"{len(self.found)} settings are" if len(self.found) > 1 else "A setting is"
        hint = "Correct them; .env.example in the repository explains each setting."
        raise BadInput(f"{count} wrong:{lines}", hint=hint, problems=self.found)


def read_env_file(path: Path, problems: Problems) -> dict[str, Value]:
    """Return the variables of a `.env`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        problems.add(path.name, str(path), "It isn't UTF-8 text.")
        return {}
    except OSError as err:
        problems.add(path.name, str(path), f"It can't be read ({err.strerror}).")
        return {}
    return parse_env_text(text, path, problems)


def parse_env_text(text: str, path: Path, problems: Problems) -> dict[str, Value]:
    """Return the variables of a `.env`: a BOM, CRLF, quotes, comments and `export` are accepted."""
    values: dict[str, Value] = {}
    for binding in parse_stream(io.StringIO(text.replace("\r\n", "\n"))):
        said = binding.original.string
        blank_lines = said[: len(said) - len(said.lstrip())].count("\n")  # before the one that the parser counted
        origin = f"{path}:{binding.original.line + blank_lines}"
        if binding.error:
            name = re.match(r"(?:export\s+)?[^=\s]*", said.strip())
            problems.add(name[0] if name else "", origin, "This isn't a line NAME=value.")  # the value may be a secret
        elif binding.key and ((text := (binding.value or "").strip()) or binding.key in MAY_BE_EMPTY):
            values[binding.key] = Value(text, origin, path.parent)
    return values


def edited(text: str, wanted: Mapping[str, str]) -> str:
    """Return the text of a `.env` with some settings changed; all other lines, their order and comments stay.

    Args:
        text: The text, with the line ends that it has.
        wanted: The settings with their new texts; an empty one is taken out.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    bindings = list(parse_stream(io.StringIO(text)))
    parts = [binding.original.string for binding in bindings]
    keys = [binding.key or "" for binding in bindings]
    at = {key: number for number, key in enumerate(keys) if key in wanted}  # the last one wins
    for number, key in enumerate(keys):
        if key in wanted:
            parts[number] = _line_with(parts[number], key, wanted[key] if at[key] == number else "")
    for name in (name for name, new in wanted.items() if new and name not in at):
        line = f"{name}={quoted(wanted[name])}{end}"
        example = next((n for n, part in enumerate(parts) if re.match(rf"\s*#\s*{name}=", part)), len(parts) - 1)
        if parts and not parts[example].endswith("\n"):
            parts[example] += end
        parts.insert(example + 1, line)
    return "".join(parts)


def _line_with(said: str, name: str, new: str) -> str:
    """Return a line of `.env` with another value; without the line if that is empty."""
    blank = said[: len(said) - len(said.lstrip())]
    if not new:
        return blank[: blank.rfind("\n") + 1]
    before, _, after = said.strip().partition("=")
    export = "export " if re.match(r"export\s", before) else ""
    comment = re.search(r"\s#.*", re.sub(_QUOTED, "", after, count=1))
    end = said[len(said.rstrip("\r\n")) :]
    return f"{blank}{export}{name}={quoted(new)}{comment[0].rstrip() if comment else ''}{end}"


def expand(value: Value, values: Mapping[str, Value], environ: Mapping[str, str]) -> Value:
    """Replace `~`, `$NAME` and `${NAME}`; an unset name stays as it is, and is refused in a path."""

    def lookup(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if environ.get(name):
            return environ[name]
        return values[name].text if name in values else match[0]

    text = re.sub(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", lookup, value.text)
    if text == "~" or text.startswith("~/"):
        text = home(environ) + text[1:]
    return Value(text, value.origin, value.folder)


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads one setting after the other; an invalid one is recorded and gets its default."""

    values: Mapping[str, Value]
    problems: Problems

    def __call__(self, name: str, parse: Callable[[Value], T], default: T) -> T:
        value = self.values.get(name)
        if value is None:
            return default
        try:
            return parse(value)
        except BadInput as err:
            self.problems.add(name, value.origin, f"{err.detail} {err.hint}".strip())
        except ValueError as err:
            self.problems.add(name, value.origin, f"{err}")
        return default
