"""One plan over every known place: where each model goes, and what one copy saves."""

from __future__ import annotations

import pytest

from modelshelf.domain.adopt import Act, Adoption, AdoptMode
from modelshelf.domain.adopt_all import Candidate, Content, PlaceFound, PlacePlan, plan_all
from modelshelf.domain.adopt_inventory import FoundFile, FoundModel, Origin
from modelshelf.domain.known_places import known_places
from modelshelf.domain.names import FilePath


def candidate(*contents: tuple[str, int, int], act: Act = Act.BRING) -> Candidate:
    """Return a model with these weights: key, size, inode."""
    files = tuple(FoundFile(FilePath(f"{key}.gguf"), size, None) for key, size, _ in contents)
    found = FoundModel(Origin.LM_STUDIO, "/lm", "org/name", "", files)
    return Candidate(Adoption("name", act, found, "why"), tuple(Content(k, s, (1, i)) for k, s, i in contents))


def place(*models: Candidate, mode: AdoptMode = AdoptMode.LINK) -> PlaceFound:
    """Return a place with these models."""
    return PlaceFound("LM Studio", "/lm", mode, models)


def told(plans: list[PlacePlan]) -> list[tuple[str, str, int]]:
    """Return each model's action, tier and saved bytes."""
    return [(going.adoption.act.value, going.location, going.saved_bytes) for plan in plans for going in plan.models]


def test_the_second_of_equal_files_saves_its_bytes() -> None:
    """Equal files take room once, wherever they are; what the library has too takes none."""
    plans = plan_all(
        [place(candidate(("a", 10, 1))), place(candidate(("a", 10, 2)), candidate(("b", 5, 3)))], {"b"}, {"primary": 10}
    )

    assert told(plans) == [("bring", "primary", 0), ("bring", "", 10), ("bring", "", 5)]
    assert [(plan.size_bytes, plan.saved_bytes, plan.changes) for plan in plans] == [(10, 0, True), (15, 15, True)]


def test_two_names_of_one_file_save_nothing() -> None:
    """A hard link occupies nothing that one copy would free, and no file is counted twice."""
    plans = plan_all(
        [place(candidate(("a", 10, 1)), candidate(("a", 10, 1)), candidate(("a", 10, 2), ("a", 10, 2)))],
        (),
        {"primary": 99},
    )

    assert [saved for _, _, saved in told(plans)] == [0, 0, 10]


def test_a_model_goes_to_the_first_tier_with_room() -> None:
    """A tier that is full passes a model on to the next one; without room anywhere it stays and says so."""
    models = [candidate((key, 10, number)) for number, key in enumerate("abc")]
    plans = plan_all([place(*models)], (), {"primary": 15, "secondary": 10})

    assert told(plans) == [("bring", "primary", 0), ("bring", "secondary", 0), ("stay", "", 0)]
    assert plans[0].models[2].adoption.why == "No tier has room for it."


@pytest.mark.parametrize("act", [Act.STAY, Act.NONE])
def test_what_stays_takes_no_room(act: Act) -> None:
    """A model that can't be taken in, or is registered already, has no tier and saves nothing."""
    (plan,) = plan_all([place(candidate(("a", 10, 1), act=act))], {"a"}, {"primary": 99})
    assert (told([plan]), plan.changes) == ([(act.value, "", 0)], False)


def test_a_cache_that_stays_takes_no_room_and_is_what_others_are_copies_of() -> None:
    """Models that are registered where they are save nothing themselves; equal files elsewhere do."""
    kept = place(candidate(("a", 10, 1), act=Act.REGISTER), mode=AdoptMode.LEAVE)
    assert told(plan_all([kept, place(candidate(("a", 10, 2)))], (), {})) == [("register", "", 0), ("bring", "", 10)]


def test_variables_move_the_places() -> None:
    """Each program's own variable names its place, an empty or relative one doesn't count, and none comes twice."""
    environ = {
        "HOME": "/me",
        "HF_HOME": "/hf",
        "HF_HUB_CACHE": "/data/cache",
        "TRANSFORMERS_CACHE": "/old/hub",
        "OLLAMA_MODELS": "/ollama",
        "TORCH_HOME": "torch",
        "LLAMA_CACHE": " ",
    }
    found = {place.path: place.program for place in known_places(environ)}

    assert [path for path, program in found.items() if program == "Hugging Face"] == [
        "/data/cache",
        "/hf",
        "/old",
        "/me/.cache/huggingface",
    ]
    assert found["/ollama"] == "Ollama"
    assert found["/me/.cache/llama.cpp"] == "llama.cpp"
    assert "torch hub" not in found.values()
