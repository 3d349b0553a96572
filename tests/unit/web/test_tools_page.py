"""The page of tools: views as rows, and adding or removing one as a plan."""

from __future__ import annotations

from dataclasses import replace

from modelshelf.domain.names import BasePath, ModelName, ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import Made, View, ViewState, ViewStatus
from modelshelf.errors import BadInput
from modelshelf.server.web.tools_page import add_sheet, choices, name_of, remove_sheet, view_row

ROOT = ViewRoot("/studio")
EMPTY = View(ViewKind.LMSTUDIO, ROOT, None, BasePath("/fast"))
VIEW = replace(EMPTY, made={f"org/name/{part}.gguf": Made(ModelName("m"), ("-> x",)) for part in "ab"})


def test_every_kind_can_be_chosen() -> None:
    """Each kind of view that a person can add is offered, those with a usual folder first; every kind has a name."""
    offered = choices()
    assert {choice.kind for choice in offered} == set(ViewKind) - {ViewKind.ADOPTED}
    assert [bool(choice.root) for choice in offered] == [True] * 4 + [False] * (len(offered) - 4)
    assert all(name_of(kind) for kind in ViewKind)


def test_a_row_says_what_is_in_a_view() -> None:
    """A row has its links, its state and the question of its removal; one that the settings keep can't be removed."""
    row = view_row(ViewStatus(VIEW, ViewState.TRUE))
    assert (row.program, row.about) == ("LM Studio", "all models · 2 links · as it should be")
    assert row.remove == "/views/remove?kind=lmstudio&root=%2Fstudio"

    kept = view_row(ViewStatus(replace(VIEW, by_settings=True), ViewState.STALE, "Not as it should be: sync"))
    assert (kept.remove, kept.css, kept.detail) == ("", "warn-t", "Not as it should be: sync")
    assert "kept by VIEWS" in kept.about

    adopted = view_row(ViewStatus(replace(VIEW, kind=ViewKind.ADOPTED), ViewState.TRUE))
    assert (adopted.remove, adopted.detail) == ("", "To give the program its files back: shelf adopt --unlink /studio")


def test_a_plan_names_what_is_read_and_what_is_not() -> None:
    """The button counts the models, the parts name them and those that the program can't read, with the reason."""
    plan = ViewStatus(VIEW, ViewState.STALE, "", {ModelName("plain"): "It reads GGUF."}, ("org/name/c.gguf",))
    sheet = add_sheet(ViewKind.LMSTUDIO, "", "", plan)

    assert (sheet.button, sheet.command) == ("Link 1 model", "shelf view add lmstudio --all")
    assert [[(step.name, step.small) for step in part.steps] for part in sheet.parts] == [
        [("m", "")],
        [("plain", "It reads GGUF.")],
    ]
    assert sheet.notes == ["org/name/c.gguf is another program’s: it stays."]
    assert "2 links" in sheet.summary


def test_a_plan_without_a_model_says_so() -> None:
    """Where the program can read none of the models, the plan says that before the view is made."""
    sheet = add_sheet(ViewKind.LMSTUDIO, "/studio", "", ViewStatus(EMPTY, ViewState.STALE))

    assert (sheet.button, sheet.trouble) == ("Add the view", "LM Studio can read none of the models yet.")


def test_a_refusal_has_no_button() -> None:
    """What can't be made shows why and what to do, and nothing to press; without a folder there is no command yet."""
    sheet = add_sheet(ViewKind.COMFYUI, "", "m", BadInput("It needs a folder.", hint="Name one."))

    assert (sheet.button, sheet.trouble, sheet.hint) == ("", "It needs a folder.", "Name one.")
    assert sheet.command == ""
    named = add_sheet(ViewKind.COMFYUI, "/comfy", "m", BadInput("It is a file."))
    assert named.command == "shelf view add comfyui /comfy m"


def test_removal_says_what_stays() -> None:
    """The question counts the links that go, and says that models and others' files stay."""
    sheet = remove_sheet(ViewStatus(VIEW, ViewState.TRUE))

    assert (sheet.button, sheet.hidden) == ("Remove 2 links", [("kind", "lmstudio"), ("root", "/studio")])
    assert "Every model stays" in sheet.notes[0]
