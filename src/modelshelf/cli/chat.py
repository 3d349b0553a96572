"""shelf chat."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge, report
from modelshelf.cli.interrupts import interrupt_stops
from modelshelf.cli.options import Name
from modelshelf.cli.prompt import FENCE, remembering, typed
from modelshelf.cli.terminal import WISHES, columns, has_color, is_drawable, rows
from modelshelf.errors import BadInput, ShelfError
from modelshelf.units import format_duration

if TYPE_CHECKING:
    from modelshelf.services.serving.conversation import Conversation

_HELP = f"""\
/system TEXT  tell the model beforehand what it is to be; without a text: nothing
/clear        forget what was said
/bye          leave; so does Ctrl-D
{FENCE}           begins and ends a text of several lines
Ctrl-C ends an answer. The up arrow and Ctrl-R find what you typed before, in
earlier conversations too."""


def chat(
    name: Name,
    question: Annotated[
        list[str] | None, typer.Argument(metavar="[QUESTION]", help="The one question; what is piped in follows it.")
    ] = None,
    system: Annotated[str, typer.Option(metavar="TEXT", help="The system prompt.")] = "",
) -> None:
    """Talk to a model.

    With a question, or with a text piped in, it prints the answer and ends. The running server of this library answers;
    without one, the command loads the model itself.
    """
    from modelshelf.bootstrap.partner import open_partner
    from modelshelf.services.serving.conversation import Conversation

    with at_the_edge(as_json=False):
        text = _question(question)
        with open_partner(name, _wait) as partner:
            talk = Conversation(partner, system, _wait)
            if text is None:
                _converse(talk, name)
            else:
                _answer(talk, text)


def _question(words: list[str] | None) -> str | None:
    """Return the one question of a command, with what is piped in behind it; None: a person asks at the terminal.

    Raises:
        BadInput: There is neither.
    """
    piped = "" if sys.stdin.isatty() else sys.stdin.buffer.read().decode(errors="replace").strip()
    text = "\n\n".join(filter(None, (" ".join(words or ()), piped)))
    if not text and not sys.stdin.isatty():
        raise BadInput("There is no question.", hint="Ask it behind the name, or pipe it in.")
    return text or None


def _converse(talk: Conversation, name: str) -> None:
    """Ask what a person types, until they leave."""
    from modelshelf.bootstrap.partner import open_history

    output.note(f"{name}: /help lists the commands, /bye leaves.", style="dim")
    with remembering(open_history()):
        while (text := typed()) is not None:
            if text.startswith("/"):
                if not _obeyed(talk, text):
                    return
            elif text:
                try:
                    _answer(talk, text)
                except ShelfError as err:
                    report(err, as_json=False)
                except KeyboardInterrupt:
                    interrupt_stops()
                    output.note("\n(stopped)", style="dim")


def _obeyed(talk: Conversation, text: str) -> bool:
    """Do what a command says; returns whether the conversation goes on."""
    word, _, rest = text.partition(" ")
    if word in ("/bye", "/exit", "/quit"):
        return False
    if word == "/clear":
        talk.clear()
        output.note("Forgotten.", style="dim")
    elif word == "/system":
        talk.system = rest.strip()
        output.note("The model will be told so." if talk.system else "The model is told nothing.", style="dim")
    else:
        output.note(_HELP if word in ("/help", "/?") else f"There is no {word}. /help lists the commands.")
    return True


def _answer(talk: Conversation, text: str) -> None:
    """Print the answer to a question as it comes, and beside it how fast it came."""
    on_terminal = is_drawable(sys.stdout)
    show = _markdown() if on_terminal else output.part
    try:
        for piece in talk.ask(text):
            show(piece)
    finally:
        if talk.figures and not on_terminal:
            output.line("")
    if talk.figures and is_drawable(sys.stderr) and not WISHES.quiet:
        figures = talk.figures
        rate = f", {figures.tokens_per_s:.1f} tokens/s" if figures.tokens_per_s else ""
        output.note(f"(first token after {format_duration(figures.first_s)}{rate})", style="dim")


def _markdown() -> Callable[[str], None]:
    """Return what draws the pieces of an answer in Markdown on stdout's terminal."""
    from modelshelf.cli.markdown import MarkdownAnswer

    drawn = MarkdownAnswer(columns(sys.stdout), rows(sys.stdout), has_color(sys.stdout))
    return lambda piece: output.drawn(drawn.add(piece))


def _wait(what: str) -> None:
    """Show what an answer waits for."""
    if is_drawable(sys.stderr) and not WISHES.quiet:
        output.draw(f"{what} …" if what else "")
