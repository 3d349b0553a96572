"""The plan that takes in what every known program keeps."""

from __future__ import annotations

from modelshelf.domain.adopt import Act, AdoptMode
from modelshelf.schemas.adopt import AdoptAllPlanJson, GoingJson, PlacePlanJson, UnreadJson
from modelshelf.server.web.adopt_sheets import everything_sheet, mark_of

NBSP = "\N{NO-BREAK SPACE}"


def going(name: str, action: Act, to: str = "", detail: str = "") -> GoingJson:
    """Return what happens with a model of 1 MB."""
    return GoingJson(name, f"org/{name}", f"/there/{name}", 1_000_000, 0, action, to, detail)


def place(*models: GoingJson, mode: AdoptMode = AdoptMode.LINK, trouble: str = "") -> PlacePlanJson:
    """Return what happens in a place."""
    others = [UnreadJson("/there/odd.bin", 7, "No reader knows it.")]
    return PlacePlanJson("LM Studio", "/there", mode, 1_000_000 * len(models), 500_000, models, others, trouble)


def sheet_lines(*places: PlacePlanJson) -> list[str]:
    """Return the steps as texts."""
    sheet = everything_sheet(AdoptAllPlanJson(places, 1_000_000, 500_000))
    return [" ".join(filter(None, (one.verb, one.name, one.behind))) for part in sheet.parts for one in part.steps]


def test_each_model_says_where_it_goes() -> None:
    """A model goes to its tier, into a copy that is here, is registered where it is, or stays; those that stay last."""
    moved = place(
        going("stays", Act.STAY, detail="No tier has room for it."),
        going("new", Act.BRING, "secondary"),
        going("twin", Act.BRING),
    )
    cache = place(going("cached", Act.REGISTER), mode=AdoptMode.LEAVE)

    assert sheet_lines(moved, cache) == [
        "Move new to secondary", "Move twin into the copy that is here", "Leave stays", "Register cached where it is",
    ]  # fmt: skip


def test_the_plan_says_what_it_takes_and_what_stays() -> None:
    """The button counts what is taken in; what one copy saves and what stays stands beside it."""
    models = going("new", Act.BRING, "primary"), going("old", Act.STAY, detail="No tier has room for it.")
    plan = AdoptAllPlanJson([place(*models, trouble="One is damaged.")], 2_000_000, 500_000)
    sheet = everything_sheet(plan)

    assert (sheet.button, sheet.hidden) == ("Take in 1 model", [("all", "1"), ("seen", mark_of(plan))])
    assert sheet.summary == f"1.0{NBSP}MB in all. One copy saves 500.0{NBSP}kB. Files that move leave links."
    assert sheet.notes == ["/there: One is damaged.", "Stays: /there/odd.bin (No reader knows it.)"]


def test_without_anything_to_take_in_there_is_no_button() -> None:
    """Where nothing is found, or all of it stays, the plan says so and offers nothing."""
    stays = everything_sheet(AdoptAllPlanJson([place(going("a", Act.NONE))], 1_000_000, 0))
    nothing = everything_sheet(AdoptAllPlanJson([], 0, 0))

    assert (stays.button, stays.summary) == ("", "")
    assert (nothing.button, len(nothing.notes)) == ("", 1)


def test_a_plan_has_another_mark_once_it_takes_something_else_in() -> None:
    """What stays may change; another model to take in, or another tier, is another plan."""

    def mark(*models: GoingJson) -> str:
        return mark_of(AdoptAllPlanJson([place(*models)], 0, 0))

    new = going("new", Act.BRING, "primary")
    marks = [mark(new), mark(new, going("more", Act.BRING, "primary")), mark(going("new", Act.BRING, "secondary"))]

    assert len(set(marks)) == 3
    assert mark(new, going("stays", Act.STAY)) == mark(new)
