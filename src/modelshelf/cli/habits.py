"""Habits from hf, ollama and docker, and what each is called here.

>>> in_our_words(["list", "--json"]), in_our_words(["help", "remove"]), in_our_words(["ls"])
(['ls', '--json'], ['rm', '--help'], ['ls'])
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from modelshelf.errors import BadInput

DELETING = frozenset({"rm", "gc", "clean", "forget"})
"""Commands that no guess leads to."""

ALIASES = {
    "version": "--version",
    "-v": "--version",
    "-V": "--version",
    "download": "add",
    "list": "ls",
    "images": "ls",
    "info": "show",
    "inspect": "show",
    "remove": "rm",
    "delete": "rm",
    "rmi": "rm",
    "mv": "move",
    "df": "tiers",
    "du": "tiers",
    "stop": "unload",
    "prune": "gc",
    "import": "adopt",
    "settings": "config",
}
"""Other programs' words for our commands. They work and aren't listed."""

LISTED_BY = {"config list": "config", "key list": "key", "view list": "view", "jobs list": "jobs", "jobs ls": "jobs"}
"""Two words of other programs, and the command that lists the same without a second one."""

_TOKEN = ("modelshelf keeps no token.", "Log in once for all programs: hf auth login. Or set HF_TOKEN in .env.")
_COPY = (
    "A model is on one tier, under one name.",
    "Another name: shelf rename NAME NEW_NAME. A copy on another tier: shelf move NAME TIER --keep-source",
)
_UPLOAD = ("modelshelf uploads nothing.", "hf upload ORG/NAME FOLDER does.")
_LOG = (
    "Commands write no log.",
    "What runs, waits or failed: shelf jobs. An engine: shelf logs NAME. The server: journalctl --user -u modelshelf",
)
_EXPORT = (
    "The files of a model are ordinary files.",
    'Where they are: shelf path NAME. A copy elsewhere: cp -rL "$(shelf path NAME)" FOLDER',
)
_BUILD = (
    "modelshelf makes no models.",
    "From the hub: shelf add ORG/MODEL. From another program on this machine: shelf adopt FOLDER",
)
_FREE = ("There is no such command.", "A model: shelf rm NAME. What could go, to tick: shelf clean")
_NO_GROUPS = "shelf has no groups of commands."
_OTHER_TYPES = ("modelshelf keeps models only.", "Datasets and Spaces: hf download --repo-type dataset ORG/NAME")
_INSTEAD = {
    "login": _TOKEN,
    "logout": _TOKEN,
    "auth": _TOKEN,
    "whoami": _TOKEN,
    "log": _LOG,
    "cp": _COPY,
    "copy": _COPY,
    "tag": _COPY,
    "push": _UPLOAD,
    "upload": _UPLOAD,
    "kill": (
        "shelf ends no programs.",
        "shelf unload NAME ends what serves a model, shelf cancel JOB a job; shelf lease lists who else uses a model.",
    ),
    "export": _EXPORT,
    "save": _EXPORT,
    "create": _BUILD,
    "build": _BUILD,
    "clear": _FREE,
    "destroy": _FREE,
    "drop": _FREE,
    "erase": _FREE,
    "purge": _FREE,
    "wipe": _FREE,
    "uninstall": ("shelf doesn't remove itself.", "pipx uninstall modelshelf does. To remove a model: shelf rm NAME"),
    "completion": ("Completion is an option.", "shelf --install-completion; then open a new shell."),
    "cache": (
        _NO_GROUPS,
        "hf cache ls is shelf ls, and so are rm and verify. What could go, to tick: shelf clean",
    ),
    "system": (_NO_GROUPS, "shelf tiers says what the disks hold, shelf clean what could go."),
    "image": (_NO_GROUPS, "shelf ls lists the models, shelf show NAME says more of one."),
    "container": (_NO_GROUPS, "shelf ps lists what is loaded, shelf ls the models."),
    "delete-cache": ("There is no command delete-cache.", "shelf clean lists what could go, to tick."),
    "datasets": _OTHER_TYPES,
    "spaces": _OTHER_TYPES,
    "repo": _UPLOAD,
}
"""Habits without a command here: why, and what to type instead."""

_MEANINGS = {
    "add": "clone fetch get install new register",
    "adopt": "migrate take",
    "cancel": "abort interrupt",
    "files": "quants tree variants",
    "doctor": "check diagnose fix health problems",
    "init": "setup",
    "jobs": "downloads progress queue tasks top",
    "lease": "hold leases users",
    "ls": "all models scan-cache",
    "move": "demote migrate promote transfer",
    "path": "cat dir folder locate open where which",
    "pin": "keep protect",
    "pull": "continue resume retry",
    "reconcile": "recover rescan restore scan sync",
    "rename": "alias name",
    "run": "exec use",
    "search": "find query",
    "serve": "api daemon server start",
    "show": "about describe details",
    "tiers": "disk disks quota size space storage usage",
    "unload": "eject free",
    "update": "outdated refresh upgrade",
    "verify": "checksum hash repair",
}

_IN_A_FOLDER = (
    "files go into the library, not into a folder",
    'Where the files are: shelf path NAME. A copy elsewhere: cp -rL "$(shelf path NAME)" FOLDER',
)
_OPTIONS = {
    "--local-dir": _IN_A_FOLDER,
    "--output": _IN_A_FOLDER,
    "--cache-dir": (
        "files go to a tier",
        "Choose it with --to primary, --to secondary or --to PATH (a base, without hub).",
    ),
    "--repo-type": (_OTHER_TYPES[0].rstrip("."), _OTHER_TYPES[1]),
    "--force-download": (
        "what was downloaded and verified isn't downloaded again",
        "shelf verify NAME --repair reads every byte and downloads what is damaged.",
    ),
    "--quant": (
        "a quantisation stands behind a colon",
        "shelf add ORG/MODEL:Q4_K_M; shelf files ORG/MODEL lists them.",
    ),
    "--license": ("everything is printed at once", "shelf show NAME"),
    "--verbose": ("everything is said already", "What is wrong: shelf doctor. What runs, waits or failed: shelf jobs"),
    "--token": ("others on this machine could read it", _TOKEN[1]),
    "--force": ("--yes answers what it asks", "What it would do: --dry-run"),
    "--format": ("the other format is JSON", "--json prints it."),
}
"""Other programs' options: why there is none of that name, and what to type instead."""
_OPTIONS |= {"--output-dir": _IN_A_FOLDER, "-o": _IN_A_FOLDER, "-f": _OPTIONS["--force"]}
_OPTIONS |= dict.fromkeys(("--debug", "-v"), _OPTIONS["--verbose"])
_OPTIONS |= dict.fromkeys(("--branch", "--tag", "--ref"), ("it is called --revision", "--revision v1"))
_OPTIONS |= dict.fromkeys(("--parameters", "--template", "--modelfile"), _OPTIONS["--license"])
_OPTIONS |= {f"shelf rm {it}": _OPTIONS["--force"] for it in ("-r", "--recursive")}
_OPTIONS |= dict.fromkeys(
    (f"shelf ls {it}" for it in ("-l", "--long", "--detail")),
    ("a row has what fits into it", "More of one model: shelf show NAME. Of all: shelf ls --json"),
)
_OPTIONS |= dict.fromkeys(
    (f"shelf ps {it}" for it in ("-a", "--all")),
    ("it lists what is loaded", "All models: shelf ls. What runs, waits or failed: shelf jobs"),
)
_OPTIONS |= dict.fromkeys((f"shelf jobs {it}" for it in ("-a", "--all")), ("all are listed already", "shelf jobs"))
_OPTIONS |= dict.fromkeys(
    (f"shelf serve {it}" for it in ("-d", "--detach", "--daemon")),
    ("it runs until Ctrl-C", "In the background, also after a restart: shelf install-service"),
)
_OPTIONS["shelf add --tier"] = ("it is called --to", "--to primary, --to secondary or --to PATH")
_OPTIONS["shelf add --name"] = ("the name stands first", "shelf add NAME ORG/MODEL")
_OPTIONS |= dict.fromkeys((f"shelf jobs {it}" for it in ("-w", "--live")), ("it is called --watch", "--watch"))
_ONE_MORE = {
    "shelf ls": "Those that match: shelf ls --filter WORDS",
    "shelf path": 'A file of a model: "$(shelf path NAME)"/WORDS',
}
"""What to type instead of words too many."""


def unknown_option(option: str, command: str, similar: Sequence[str] = ()) -> BadInput:
    """Return the error for an option that a command doesn't have, with what to type instead.

    Args:
        option: What was typed.
        command: What to type for the command, such as `shelf rm`.
        similar: The command's options that may be meant. Of a command that deletes, none is suggested.
    """
    meant = get_close_matches(option.strip("-"), [one.strip("-") for one in similar], 1, cutoff=0.7)
    is_safe = meant and command.removeprefix("shelf ") not in DELETING
    lists = f"Did you mean --{meant[0]}?" if is_safe else f"{command} --help lists the options."
    why, hint = _OPTIONS.get(f"{command} {option}") or _OPTIONS.get(option, ("", lists))
    detail = f"{command} has no option {option}{f': {why}' if why else ''}."
    return BadInput(detail, hint=hint, option=option)


def check_completion(words: Sequence[str]) -> None:
    """Check that nothing follows an option for completion, which would be ignored.

    Raises:
        BadInput: Something does.
    """
    if words[:1] in (["--install-completion"], ["--show-completion"]) and len(words) > 1:
        hint = f"Type {words[0]} alone in the shell that is to complete: bash, zsh or fish."
        raise BadInput(f"{words[0]} is for the shell in which it is typed: it doesn't take {words[1]:.80}.", hint=hint)


def too_many(words: Sequence[str], command: str, usage: str) -> BadInput:
    """Return the error for words that a command doesn't take, with what to type instead.

    Args:
        words: Those that are left.
        command: What to type for the command, such as `shelf ls`.
        usage: How it is called.
    """
    said = shlex.join(words)[:200]
    return BadInput(f"{command} doesn't take {said}.", hint=_ONE_MORE.get(command, usage).replace("WORDS", said))


def in_our_words(words: Sequence[str]) -> list[str]:
    """Return a command line with another program's word replaced by ours."""
    if words[:1] == ["help"]:
        return [*in_our_words(words[1:2]), "--help"]
    if words[:1] == ["--json"]:  # as docker's options for all commands, which stand before them
        words = [*words[1:2], *words[:1], *words[2:]]
    ours = [ALIASES.get(words[0], words[0]), *words[1:]] if words else []
    if command := LISTED_BY.get(" ".join(ours[:2])):
        ours = [command, *ours[2:]]
    return ours[:1] if ours[:1] == ["--version"] else ours


def unknown(word: str, commands: Iterable[str]) -> BadInput:
    """Return the error for an unknown command, with what to type instead.

    Args:
        word: What was typed.
        commands: The names of the listed commands.
    """
    if word in _INSTEAD:
        detail, hint = _INSTEAD[word]
        return BadInput(detail, hint=hint, command=word)
    meanings = {one: name for name, words in _MEANINGS.items() for one in words.split()}
    known = {name: name for name in commands} | ALIASES | meanings
    asked = word.lower()
    meant = [known[one] for one in ([asked] if asked in known else get_close_matches(asked, known, cutoff=0.75))]
    is_safe = meant and DELETING.isdisjoint(meant)
    likely = " or ".join(dict.fromkeys(f"shelf {name}" for name in meant))
    hint = f"Did you mean {likely}?" if is_safe else "shelf --help lists the commands."
    return BadInput(f"There is no command {word or repr(word)}.", hint=hint, command=word)
