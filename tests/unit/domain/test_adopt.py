"""What adopt plans for each thing that it found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelshelf.domain.adopt import (
    Act,
    AdoptMode,
    AdoptPlan,
    Order,
    Registered,
    adopt_mode_of,
    plan_adopt,
    with_need,
)
from modelshelf.domain.adopt_inventory import FoundModel, FoundThing, Inventory, Origin, why_partial
from modelshelf.domain.file_kinds import is_weights
from modelshelf.domain.models import FileEntry
from modelshelf.errors import BadInput

OLD, FAST, SLOW = "/old", "/fast", "/slow"
C1, C2 = "1" * 40, "2" * 40
WEIGHTS = FileEntry("model.safetensors", 900, "a" * 64)
CONFIG = FileEntry("config.json", 20, "b" * 40)
LEAVE = Order(AdoptMode.LEAVE, OLD, "custom", OLD, "custom")
MOVE = Order(AdoptMode.MOVE, OLD, "custom", FAST, "primary")
LINK = replace(MOVE, mode=AdoptMode.LINK)


def found(repo_id: str = "Org/Name", commit: str = C1, kind: Origin = Origin.CACHE, **more: object) -> FoundModel:
    """Return a whole snapshot."""
    files = (WEIGHTS, CONFIG)
    model = FoundModel(kind, f"{OLD}/hub", repo_id, commit, files, files, "main")
    return replace(model, **more)


def row(name: str = "mine", base: str = OLD, *, complete: bool = True, busy: bool = False) -> Registered:
    """Return a registered model of the same commit."""
    return Registered(name, "Org/Name", C1, base, complete, busy)


def plan(
    order: Order, *models: FoundModel, rows: tuple[Registered, ...] = (), names: tuple[str, ...] = ()
) -> AdoptPlan:
    """Return the plan."""
    return plan_adopt(Inventory(OLD, models), order, rows, names)


def told(decided: AdoptPlan) -> list[tuple[str, str]]:
    """Return each model's name and action."""
    return [(adoption.model_name, adoption.act.value) for adoption in decided.models]


@pytest.mark.parametrize(("order", "act"), [(LEAVE, Act.REGISTER), (MOVE, Act.MOVE), (LINK, Act.MOVE)])
def test_a_whole_model_is_registered_or_moves(order: Order, act: Act) -> None:
    """A whole model is registered or moved under its repository's name in lower case."""
    assert told(plan(order, found())) == [("name", act)]


def test_what_is_in_trouble_gets_no_name_whatever_is_wished() -> None:
    """A model with a problem stays, or moves along with a folder that becomes a link; the problem is the reason."""
    for order, act in ((LEAVE, "stay"), (MOVE, "stay"), (LINK, "along")):
        decided = plan(order, found(trouble="It has no weights."))
        assert (told(decided), decided.models[0].why) == ([("", act)], "It has no weights.")


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        ((), "name"),
        (("name",), "org-name"),
        (("name", "org-name"), "org-name-2"),
        (("name", "org-name", "org-name-2"), "org-name-3"),
    ],
)
def test_a_taken_name_gets_the_organisation_then_a_number(taken: tuple[str, ...], name: str) -> None:
    """Adopt never gives a name that another model or sidecar has."""
    assert told(plan(LEAVE, found(), names=taken)) == [(name, "register")]


def test_two_without_an_organisation_are_numbered() -> None:
    """Two repositories of one name without an organisation are told apart by a number."""
    assert told(plan(LEAVE, found("gpt2"), names=("gpt2",))) == [("gpt2-2", "register")]


def test_the_commit_that_a_ref_leads_to_has_the_plain_name() -> None:
    """An older commit has its hash after the name, in whatever order the commits were found."""
    older = found(commit=C2, revision="")

    assert told(plan(LEAVE, older, found())) == [("name", "register"), ("name-2222222", "register")]


def test_what_is_registered_here_keeps_its_name() -> None:
    """A registered model keeps its name: leaving does nothing, and moving moves it under that name."""
    assert told(plan(LEAVE, found(), rows=(row(),))) == [("mine", "none")]
    assert told(plan(MOVE, found(), rows=(row(),))) == [("mine", "move")]


@pytest.mark.parametrize("base", [OLD, FAST])
def test_a_model_that_waits_for_its_files_gets_them(base: str) -> None:
    """Files of a registered but incomplete model of the same commit complete that model."""
    assert told(plan(MOVE, found(), rows=(row(base=base, complete=False),))) == [("mine", "move")]


def test_a_model_that_waits_elsewhere_is_another() -> None:
    """A row of the same commit on a third base isn't touched."""
    assert told(plan(MOVE, found(), rows=(row(base=SLOW, complete=False),))) == [("name", "move")]


def test_a_model_at_work_is_left_to_its_job() -> None:
    """A model that is being pulled or removed isn't touched."""
    assert told(plan(MOVE, found(), rows=(row(busy=True),))) == [("mine", "stay")]


@pytest.mark.parametrize(
    ("order", "base", "act"),
    [
        (LEAVE, SLOW, "stay"),
        (replace(LEAVE, merge=True), SLOW, "merge"),
        (MOVE, SLOW, "stay"),
        (replace(MOVE, merge=True), SLOW, "merge"),
        (MOVE, FAST, "merge"),
    ],
)
def test_a_second_copy_goes_only_on_request_or_where_it_was_to_go(order: Order, base: str, act: str) -> None:
    """A move merges with the copy on the target; any other second copy is named, and merged only with `--merge`."""
    decided = plan(order, found(), rows=(row(base=base),))

    assert (told(decided), decided.models[0].copy_of) == ([("mine", act)], "mine")


def test_the_copy_on_the_target_comes_before_others() -> None:
    """With copies on two tiers, the one on the target decides."""
    decided = plan(MOVE, found(), rows=(row("slow", SLOW), row("fast", FAST)))

    assert told(decided) == [("fast", "merge")]


@pytest.mark.parametrize(
    ("order", "acts"),
    [
        (LEAVE, ["register", "stay"]),
        (replace(LEAVE, merge=True), ["register", "merge"]),
        (MOVE, ["move", "merge"]),
    ],
)
def test_a_stray_beside_its_twin(order: Order, acts: list[str]) -> None:
    """If a commit is in hub/ and outside it, one is the model; the other is merged into it where that is allowed."""
    decided = plan(order, found(kind=Origin.STRAY), found())

    assert [adoption.act.value for adoption in decided.models] == acts
    assert plan(order, found(kind=Origin.STRAY), rows=(row(),)).models[0].act.value == acts[1]


@pytest.mark.parametrize(
    ("order", "act", "word"),
    [
        (LEAVE, "register", "linked into hub/"),
        (replace(MOVE, base=FAST), "register", "moves into hub/"),
        (MOVE, "move", "moves to primary"),
    ],
)
def test_a_stray_alone(order: Order, act: str, word: str) -> None:
    """A stray moves into hub/, and the reason says how."""
    decided = plan(order, found(kind=Origin.STRAY))

    assert (told(decided), word in decided.models[0].why) == ([("name", act)], True)


def test_what_is_on_no_hub_follows_no_revision() -> None:
    """The models of Ollama, ComfyUI and torch hub are known to no hub by the names that they have here."""
    images = {Origin.COMFYUI, Origin.WEB_UI, Origin.INVOKEAI}
    made_up = images | {Origin.OLLAMA, Origin.TORCH_HUB, Origin.JAN, Origin.GPT4ALL}
    assert {kind for kind in Origin if kind.is_of_no_hub} == made_up


@pytest.mark.parametrize("kind", sorted(set(Origin) - {Origin.CACHE, Origin.STRAY}))
def test_what_is_another_programs_is_brought_or_stays(kind: Origin) -> None:
    """Another program's model is copied or stays; its folder never becomes a tier, and a registered one is skipped."""
    model = found(kind=kind, called="llama3:8b")

    assert told(plan(LEAVE, model)) == [("", "stay")]
    assert told(plan(MOVE, model)) == [("llama3:8b", "bring")]
    assert told(plan(MOVE, model, rows=(row(base=FAST),))) == [("mine", "none")]


THINGS = ("dataset", "token", "modules", "xet", "dead", "link", "unreadable", "partial", "other")


@pytest.mark.parametrize(
    ("order", "going"),
    [
        (LEAVE, {}),
        (MOVE, {"dataset": "move"}),
        (LINK, {"dataset": "move", "modules": "move", "partial": "move", "token": "copy"}),
    ],
)
def test_everything_else_is_named_with_what_happens(order: Order, going: dict[str, str]) -> None:
    """A data set moves unchanged; what the old path must still lead to is moved and linked; the rest stays."""
    things = tuple(FoundThing(kind, f"{OLD}/{kind}", 1) for kind in THINGS)

    decided = plan_adopt(Inventory(OLD, (), things), order, ())

    assert {other.thing.kind: other.act for other in decided.others} == dict.fromkeys(THINGS, "stay") | going
    assert all(other.why for other in decided.others)


def test_a_stray_data_set_of_the_target_moves_into_its_hub() -> None:
    """Where base and target are the same, repositories in hub/ stay and strays move in."""
    things = (
        FoundThing("dataset", f"{FAST}/datasets--a--b", 1),
        FoundThing("dataset", f"{FAST}/hub/datasets--a--b", 1),
    )

    decided = plan_adopt(Inventory(FAST, (), things), replace(MOVE, base=FAST), ())

    assert [other.act for other in decided.others] == ["move", "stay"]


def files(*paths: str) -> list[FileEntry]:
    """Return files with these names."""
    return [FileEntry(path, 1, f"{number:064x}") for number, path in enumerate(paths)]


@pytest.mark.parametrize(
    ("there", "listed", "why"),
    [
        (["config.json"], ["config.json"], ""),
        (["config.json"], [], "no weights"),
        (["config.json", "training_args.bin"], [], "no weights"),
        (["model.safetensors"], [], ""),
        (["a-00001-of-00002.safetensors"], [], "a-00002-of-00002.safetensors"),
        (["a-00001-of-00002.bin", "a-00002-of-00002.bin"], [], ""),
        (["x-Q4.gguf"], ["x-Q4.gguf", "x-Q8.gguf", "config.json"], ""),
        (["model.safetensors"], ["model.safetensors", "config.json"], "config.json"),
        (["model.safetensors", "config.json"], ["model.safetensors", "config.json", "pytorch_model.bin"], ""),
        (["model.safetensors"], ["model.safetensors", "tokenizer.json", "vocab.json"], "tokenizer.json"),
        (["model.safetensors", "vocab.json"], ["model.safetensors", "tokenizer.json", "vocab.json"], ""),
    ],
)
def test_what_is_a_model_and_what_a_part(there: list[str], listed: list[str], why: str) -> None:
    """A model is weights with all their shards, and the small files that the commit has and loading needs."""
    said = why_partial(files(*there), files(*listed))

    assert (why in said, bool(said)) == (True, bool(why))


def test_an_interrupted_download_is_no_part_by_intent() -> None:
    """An interrupted download counts as missing a file, even if what is there could be loaded."""
    listed = files("model.safetensors", "extra.bin")

    assert why_partial(listed[:1], listed) == ""
    assert "extra.bin was interrupted" in why_partial(listed[:1], listed, [listed[1].digest])


def test_a_whole_commit_has_no_patterns_and_a_part_has_its_files() -> None:
    """A whole commit has no patterns; a partial one has patterns that match its own files and nothing else."""
    part = found(files=(WEIGHTS, FileEntry("a[1].bin", 3, "c" * 64)))

    assert (found().patterns, part.patterns) == ((), ("model.safetensors", "a[[]1].bin"))
    assert found(listed=()).patterns == ("model.safetensors", "config.json")
    assert (found().size_bytes, replace(found(), files=(WEIGHTS._replace(digest=""),)).size_bytes) == (920, 900)


def test_weights_are_known_by_their_names() -> None:
    """Weights are recognised by their names; other files of a training run aren't weights."""
    assert [is_weights(path) for path in ("a/b.gguf", "optimizer.pt", "x.txt")] == [True, False, False]


def test_a_plan_counts_by_what_happens_and_carries_what_was_measured() -> None:
    """A plan counts models by action; the bytes needed, the backup and the notes don't change any decision."""
    decided = plan(MOVE, found(), found("Org/Other", trouble="It is a link."))

    measured = with_need(decided, 920, "/old.before", ["A note."])

    assert [adoption.found.repo_id for adoption in measured.of(Act.STAY)] == ["Org/Other"]
    assert [adoption.found.repo_id for adoption in measured.of(Act.MOVE, Act.STAY)] == ["Org/Name", "Org/Other"]
    assert measured == replace(decided, need_bytes=920, backup="/old.before", notes=("A note.",))


def test_a_copy_with_more_files_than_the_model_stays() -> None:
    """A copy with more files than the model stays, because merging would delete files that exist only there."""
    part = replace(row(base=FAST), paths=frozenset({"config.json"}))

    decided = plan(replace(MOVE, merge=True), found(), rows=(part,))

    assert told(decided) == [("mine", "stay")]
    assert (
        decided.models[0].why
        == "mine in /fast is a part of it: model.safetensors is only here. To adopt this one: shelf rm mine"
    )


def test_what_was_found_has_a_repository_and_a_commit_or_says_that_it_has_none() -> None:
    """Something found has a repository and a commit, or says that it has none; an Ollama name isn't a Hub id."""
    model = found()

    assert (model.repo, model.commit) == ("Org/Name", C1)
    with pytest.raises(BadInput):
        _ = found("a/b/c").repo


def test_a_word_that_is_no_way_to_adopt_is_refused_with_those_that_are() -> None:
    """An unknown adopt mode is refused, and the error lists the modes."""
    assert [adopt_mode_of(word) for word in ("leave", "move", "link")] == list(AdoptMode)

    with pytest.raises(BadInput, match="isn't a way to adopt") as caught:
        adopt_mode_of("copy")
    assert caught.value.hint == "Use leave, move or link."


def test_links_take_the_place_of_another_programs_files_also_once_it_is_registered() -> None:
    """With --link a foreign model is brought, whether it was linked into a tier before or not."""
    alien = found(kind=Origin.LM_STUDIO)
    for rows in ((), (row(base=FAST),)):
        decided = plan(LINK, alien, rows=rows)
        assert told(decided) == [("mine" if rows else "name", "bring")]
        assert "links take the place" in decided.models[0].why
