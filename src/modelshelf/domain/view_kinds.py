"""The kinds of views, which settings name."""

from __future__ import annotations

import enum

from modelshelf.errors import BadInput


class ViewKind(enum.StrEnum):
    """The program whose layout a view has."""

    FOLDER = "folder"
    LMSTUDIO = "lmstudio"
    OLLAMA = "ollama"
    JAN = "jan"
    LLAMA_SERVER = "llama-server"
    LLAMA_SWAP = "llama-swap"
    TEXTGEN = "textgen"
    GPT4ALL = "gpt4all"
    COMFYUI = "comfyui"
    A1111 = "a1111"
    FORGE = "forge"
    INVOKEAI = "invokeai"
    HF = "hf"
    CACHE_DIR = "cache_dir"
    ADOPTED = "adopted"
    """Links in place of a program's own files, where those were; only adopt makes one."""


DEFAULT_KINDS = (ViewKind.HF, ViewKind.CACHE_DIR)
"""Kinds that stand in a base itself, so that they can be kept without anybody naming a folder."""


BY_REPOSITORY = frozenset(ViewKind) - {
    *(ViewKind.OLLAMA, ViewKind.JAN, ViewKind.LLAMA_SERVER, ViewKind.LLAMA_SWAP, ViewKind.TEXTGEN, ViewKind.GPT4ALL),
    ViewKind.ADOPTED,
}
"""Kinds in which only models of one repository want one path, so that a change of these concerns no other model."""


def kind_of(text: str) -> ViewKind:
    """Return a kind of view.

    Raises:
        BadInput: There is no such kind.
    """
    if text not in set(ViewKind):
        kinds = ", ".join(kind for kind in ViewKind if kind is not ViewKind.ADOPTED)
        raise BadInput(f"There is no kind of view {text!r:.80}.", hint=f"Use one of {kinds}.", kind=text[:80])
    return ViewKind(text)
