"""Write docs/reference/ from the program: commands, HTTP, settings, Python, errors. `--check` names pages that differ.

It needs nothing but what the program and its tests need. Each page is Markdown that reads well unrendered.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer.main
from typer.core import TyperArgument, TyperOption

import modelshelf
from modelshelf import errors as error_tree
from modelshelf import settings as program_settings

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- docs/generate.py writes this page from the program. Change the program, then run: make reference -->"
HEADING = re.compile(r"# --- (.+) ---")
SETTING = re.compile(r"#?([A-Z][A-Z0-9_]+)=")
FOR_COMPOSE = {"SHELF_UID", "SHELF_GID", "SHELF_PUBLISH", "SHELF_PUBLISH_GPU"}
"""What docker-compose.yml alone reads."""
SPELLED_IN_PROSE = {"HF_HOME", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"}
"""Settings that .env.example names in the sentence of another one."""


def main() -> None:
    """Write every page that differs; with `--check` write none and end with 1 where one differs."""
    stale = stale_pages()
    if stale and "--check" in sys.argv:
        raise SystemExit(f"These pages differ from the program: {', '.join(stale)}. Run: make reference")
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"Wrote docs/reference/{name}")


def stale_pages() -> list[str]:
    """Return the names of the pages that differ from what the program says."""
    return [name for name, page in PAGES.items() if _text_of(FOLDER / name) != page()]


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", NOTE, *parts)) + "\n"


def _bullet(name: str, meaning: str) -> str:
    return f"- `{name}`: {' '.join(meaning.split())}" if meaning else f"- `{name}`"


# --- Commands ---


def commands() -> str:
    """Return the page of the commands, from their definitions."""
    from modelshelf.cli.main import make_app

    group: Any = typer.main.get_command(make_app())
    context = group.context_class(group, info_name="shelf")
    known = [group.get_command(context, name) for name in group.list_commands(context)]
    shown = [command for command in known if not command.hidden]
    groups = dict.fromkeys(str(command.rich_help_panel) for command in shown)
    contents = [
        "\n".join((f"{group}:", "", *(_entry(one) for one in shown if str(one.rich_help_panel) == group)))
        for group in groups
    ]
    intro = "`shelf COMMAND --help` says the same. [Errors](errors.md) lists the exit codes."
    return _page("Commands", intro, *contents, *(_command(command, context) for command in shown))


def _entry(command: Any) -> str:
    return f"- [shelf {command.name}](#shelf-{command.name}): {_first(command.help)}"


def _command(command: Any, parent: Any) -> str:
    context = command.context_class(command, info_name=command.name, parent=parent)
    parameters = command.get_params(context)
    arguments = [parameter for parameter in parameters if isinstance(parameter, TyperArgument)]
    options = [one for one in parameters if isinstance(one, TyperOption) and one.name != "help" and not one.hidden]
    words = [f"shelf {command.name}", *(["[OPTIONS]"] if options else []), *(_spelled(one) for one in arguments)]
    parts = [f"## shelf {command.name}", inspect.cleandoc(command.help or ""), f"```\n{' '.join(words)}\n```"]
    bullets = [_bullet(_word(one), one.help or "") for one in arguments]
    bullets += [_bullet(*one.get_help_record(context)) for one in options]
    return "\n\n".join([*parts, *(["\n".join(bullets)] if bullets else [])])


def _word(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper()).strip("[].")


def _spelled(argument: Any) -> str:
    word = _word(argument) + ("..." if argument.nargs == -1 else "")
    return word if argument.required else f"[{word}]"


def _first(text: str | None) -> str:
    return inspect.cleandoc(text or "").partition("\n\n")[0].replace("\n", " ")


# --- HTTP ---


def http() -> str:
    """Return the page of the HTTP API, from its OpenAPI description."""
    from modelshelf.server.app import describe

    api = describe()
    routes = [
        (f"{method.upper()} {path}", route)
        for path, methods in api["paths"].items()
        for method, route in methods.items()
    ]
    contents = [f"- [{name}](#{_anchor(name)}): {route['summary']}" for name, route in routes]
    objects = sorted(api["components"]["schemas"].items())
    return _page(
        "HTTP API",
        "A running server shows the same at `/docs`, and at `/openapi.json` for programs. [HTTP](../http.md) has\n"
        "examples, [the hub face](../hub-face.md) the routes below `/hf`. A refusal is a problem document\n"
        "([errors](errors.md)).",
        "\n".join(contents),
        *(_route(name, route) for name, route in routes),
        "## Objects",
        *(_object(name, schema) for name, schema in objects),
    )


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _about(described: dict[str, Any]) -> str:
    return " ".join(inspect.cleandoc(described.get("description", "")).split())


def _route(name: str, route: dict[str, Any]) -> str:
    parts = [f"## {name}", f"{route['summary']}. {_about(route)}".rstrip()]
    bullets = [
        f"- `{one['name']}` ({one['in']}, {_type(one['schema'])}): {one.get('description', '')}".rstrip(": ")
        for one in route.get("parameters", [])
    ]
    if body := _json_of(route.get("requestBody", {})):
        bullets.append(f"- the body{'' if route['requestBody'].get('required') else ' (optional)'}: {_type(body)}")
    for status, answer in sorted(route["responses"].items()):
        if int(status) < 400:
            shape = f"{_type(_json_of(answer))}. " if _json_of(answer) else ""
            bullets.append(f"- {status}: {shape}{answer['description']}")
    bullets.append(f"- refused: {', '.join(status for status in sorted(route['responses']) if status >= '4')}")
    return "\n\n".join([*parts, "\n".join(bullets)])


def _json_of(described: dict[str, Any]) -> dict[str, Any]:
    shape: dict[str, Any] = described.get("content", {}).get("application/json", {}).get("schema", {})
    return shape


def _object(name: str, schema: dict[str, Any]) -> str:
    needed = set(schema.get("required", []))
    members = []
    for member, shape in schema.get("properties", {}).items():
        default = (
            ""
            if member in needed or shape.get("default") in (None, "")
            else f", default {json.dumps(shape['default'])}"
        )
        members.append(f"- `{member}` ({_type(shape)}{default}): {shape.get('description', '')}".rstrip(": "))
    values = f"One of {', '.join(f'`{value}`' for value in schema['enum'])}." if "enum" in schema else ""
    return "\n\n".join(part for part in (f"### {name}", _about(schema), values, "\n".join(members)) if part)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[*{name}*](#{_anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any JSON"))


# --- Settings ---


def settings() -> str:
    """Return the page of the settings, from `.env.example`, which must name each setting that the program reads."""
    text = _text_of(ROOT / ".env.example")
    documented = set(re.findall(rf"(?m)^{SETTING.pattern}", text)) - FOR_COMPOSE | SPELLED_IN_PROSE
    known = program_settings._NAMES | program_settings._NETWORK
    if documented != known:
        raise SystemExit(f".env.example and settings.py differ: {', '.join(sorted(documented ^ known))}")
    intro = "From [.env.example](../../.env.example), which you copy to `.env`."
    return _page("Settings", intro, *filter(None, map(_paragraph, text.split("\n\n"))))


def _paragraph(text: str) -> str:
    lines = text.strip().splitlines()
    if heading := HEADING.fullmatch(text.strip()):
        return f"## {heading[1]}"
    examples = [line.removeprefix("#") for line in lines if SETTING.match(line)]
    prose = [line.removeprefix("#").removeprefix(" ") for line in lines if not SETTING.match(line)]
    if not examples:
        table = any("   " in line for line in prose)
        return f"```\n{chr(10).join(prose)}\n```" if table else "\n".join(prose).strip()
    names = ", ".join(dict.fromkeys(example.partition("=")[0] for example in examples))
    return "\n\n".join((f"### {names}", "\n".join(prose), "```\n" + "\n".join(examples) + "\n```"))


# --- Python ---


def python() -> str:
    """Return the page of the Python API, from the docstrings of what `modelshelf` exports."""
    about, _, example = inspect.cleandoc(modelshelf.__doc__ or "").partition("\n\n")
    exported = [(name, getattr(modelshelf, name)) for name in modelshelf.__all__ if not name.startswith("__")]
    functions = [(name, value) for name, value in exported if inspect.isfunction(value)]
    classes = [(name, value) for name, value in exported if inspect.isclass(value) and not _is_error(value)]
    raised = [value for _, value in exported if _is_error(value)]
    parts = [about, f"```python\n{example}\n```"]
    parts += [_function(f"modelshelf.{name}", value, "##") for name, value in functions]
    parts += [part for name, kind in sorted(classes, key=_shelf_first) for part in _class(name, kind)]
    if raised:
        parts += ["## Errors", "\n".join(_bullet(kind.__name__, _first(kind.__doc__)) for kind in raised)]
    return _page("Python API", *parts)


def _is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


def _shelf_first(exported: tuple[str, type]) -> tuple[bool, str]:
    return exported[0] != "Shelf", exported[0]


def _class(exported: str, kind: type) -> Iterator[str]:
    yield f"## {exported}\n\n{_doc(kind)}"
    if fields := list(_fields(kind)):
        yield "\n".join(fields)
    ours = [base for base in kind.__mro__ if base.__module__.startswith("modelshelf.")]
    for name, value in (member for base in ours for member in vars(base).items()):
        if name.startswith("_"):
            continue
        if isinstance(value, property):
            yield f"### {exported}.{name}\n\n{_doc(value)}"
        elif inspect.isfunction(value):
            yield _function(f"{exported}.{name}", value, "###")


def _fields(kind: type) -> Iterator[str]:
    """Yield a line for each public field of a dataclass: its name, its type, and the string that stands below it."""
    if not dataclasses.is_dataclass(kind):
        return
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    for here, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name) and not here.target.id.startswith("_"):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            about = inspect.cleandoc(str(below.value.value)) if is_text else ""  # type: ignore[union-attr]
            yield f"- `{here.target.id}` (`{ast.unparse(here.annotation)}`): {' '.join(about.split())}".rstrip(": ")


def _function(name: str, function: Callable[..., object], level: str) -> str:
    signature = str(_unquoted(inspect.signature(function))).replace("(self, ", "(").replace("(self)", "()")
    call = f"{name.rpartition('.')[2]}{signature}"
    if len(call) > 100:
        start, _, end = call.partition("(")
        inside, _, result = end.rpartition(") ->")
        call = f"{start}(\n    " + ",\n    ".join(_arguments(inside)) + f",\n) ->{result}"
    return f"{level} {name}\n\n```python\n{call}\n```\n\n{_doc(function)}"


class _Bare(str):
    """An annotation that shows without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _unquoted(signature: inspect.Signature) -> inspect.Signature:
    parameters = [one.replace(annotation=_Bare(one.annotation)) for one in signature.parameters.values()]
    parameters[:1] = [one if one.name != "self" else one.replace(annotation=one.empty) for one in parameters[:1]]
    return signature.replace(parameters=parameters, return_annotation=_Bare(signature.return_annotation))


def _arguments(inside: str) -> Iterable[str]:
    """Split the arguments of a signature at the commas that are not within brackets."""
    depth, start = 0, 0
    for at, letter in enumerate(inside):
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and depth == 0:
            yield inside[start:at].strip()
            start = at + 1
    yield inside[start:].strip()


def _doc(value: object) -> str:
    """Return a docstring in Google form as Markdown, its sections as lists."""
    lines: list[str] = []
    for line in (inspect.getdoc(value) or "").splitlines():
        if re.fullmatch(r"(Args|Raises|Returns|Yields):", line):
            lines += [f"{line}", ""]
        elif entry := re.match(r"    (\*{0,2}\w[\w, ]*): (.*)", line):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        else:
            lines.append(line.replace("        ", "  ", 1))
    return "\n".join(lines)


# --- Errors ---


def errors() -> str:
    """Return the page of the errors, from their classes."""
    kinds = [kind for kind in error_tree.ShelfError.__subclasses__() if kind.__module__ == error_tree.__name__]
    rows = [
        f"| `{kind.__name__}` | `{kind('').to_dict()['type']}` | {kind.status} | {kind.exit_code} |"
        f" {_first(kind.__doc__)} |"
        for kind in sorted(kinds, key=lambda one: one.exit_code)
    ]
    return _page(
        "Errors",
        "An error says what is wrong and, where one helps, the next command. It is the same error everywhere: a class\n"
        "in Python, a problem document (RFC 9457) over HTTP, an exit code of `shelf`.",
        "\n".join(["| Python | HTTP type | status | exit code | meaning |", "|---|---|---|---|---|", *rows]),
        "A command that you stop with Ctrl-C ends with 130.",
    )


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "http.md": http,
    "settings.md": settings,
    "python.md": python,
    "errors.md": errors,
}

if __name__ == "__main__":
    main()
