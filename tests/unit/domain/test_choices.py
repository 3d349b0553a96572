"""What a person can take of a repository, and which choice is proposed."""

from __future__ import annotations

import re

import pytest

from modelshelf.domain.choices import Choice, Fit, RepoFiles, choices_of, fitted, recommended, sizes_to_fit
from modelshelf.domain.models import FileEntry, select_files
from modelshelf.domain.names import CommitHash, RefName, RepoId
from modelshelf.domain.references import is_projector, parse_reference
from modelshelf.errors import BadInput
from tests.unit.domain.test_weight_files import files_of

REPO, MAIN = RepoId("org/m-GGUF"), RefName("main")
GOOD = Fit(memory=True, cache_location="primary")
FILES = files_of("m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-F16.gguf", "mmproj-F16.gguf", "README.md")


def choices(files: list[FileEntry], *fits: Fit, revision: RefName = MAIN) -> list[Choice]:
    """Return the choices of a repository with these fits, smallest first."""
    found = choices_of(REPO, revision, files)
    sizes = sorted(sizes_to_fit(found))
    return fitted(found, dict(zip(sizes, fits or [GOOD] * len(sizes), strict=True)))


def test_each_model_is_taken_by_a_few_words() -> None:
    """A quantisation is named after the repository; files that aren't weights can't be chosen alone."""
    found = choices(FILES)

    assert [choice.reference for choice in found] == [
        "org/m-GGUF:Q4_K_M",
        "org/m-GGUF:Q8_0",
        "org/m-GGUF:F16",
        "",
        "",
    ]
    assert [choice.fit for choice in found][3:] == [None, None]


@pytest.mark.parametrize(
    ("files", "reference"),
    [
        (files_of("a-Q4_0.gguf", "b-Q4_0.gguf"), "org/m-GGUF:a-Q4_0.gguf"),
        (files_of("x/m.gguf", "y/m.gguf"), "org/m-GGUF --include 'x/m.gguf'"),
        (files_of("model.safetensors", "config.json"), "org/m-GGUF"),
    ],
    ids=["by its file", "by a pattern", "all of it"],
)
def test_what_no_quantisation_tells_apart_is_taken_by_its_name(files: list[FileEntry], reference: str) -> None:
    """Files that the quantisation doesn't tell apart are chosen by name or by pattern."""
    assert choices(files)[0].reference == reference


@pytest.mark.parametrize(
    "files",
    [FILES, files_of("a-Q4_0.gguf", "b-Q4_0.gguf"), files_of("x/m.gguf", "y/m.gguf", "z/n-Q2_K.gguf")],
    ids=["quantisations", "one twice", "folders"],
)
def test_the_patterns_of_a_choice_take_its_files_alone(files: list[FileEntry]) -> None:
    """A choice selects its own files and projectors."""
    for choice in choices(files):
        if choice.patterns:
            taken = [file for file in select_files(files, choice.patterns) if not is_projector(file.path)]
            assert taken == list(choice.group.files)


def test_a_vision_models_projectors_count_as_they_are_taken() -> None:
    """What the words of a GGUF take, its projectors too, has to fit memory and tier, and is its size."""
    files = [FileEntry("m-Q4_K_M.gguf", 40, "1" * 64), FileEntry("mmproj-F16.gguf", 70, "2" * 64)]

    found = choices_of(REPO, MAIN, files)

    assert [(one.label, one.size_bytes, one.taken_bytes) for one in found] == [
        ("Q4_K_M + mmproj", 110, 110),
        ("mmproj-F16.gguf", 70, 70),
    ]
    assert sizes_to_fit(found) == {110}


def test_what_is_used_has_to_fit_memory_and_all_that_is_taken_the_tier() -> None:
    """Weights in a format are taken with their whole repository, of which memory holds them alone."""
    files = [FileEntry("model.safetensors", 40, "1" * 64), FileEntry("pytorch_model.bin", 60, "2" * 64)]
    fits = {40: Fit(True, "primary"), 60: Fit(False, "primary"), 100: Fit(False, "secondary")}

    found = fitted(choices_of(REPO, MAIN, files), fits)

    assert [(one.size_bytes, one.taken_bytes) for one in found] == [(40, 100), (60, 100)]
    assert [one.fit for one in found] == [Fit(True, "secondary"), Fit(False, "secondary")]


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        ("org/m-GGUF", ["Q4_K_M", "Q8_0", "F16", "mmproj-F16.gguf", "other files"]),
        ("org/m-GGUF:q8_0", ["Q8_0", "mmproj-F16.gguf"]),
        ("hf.co/org/m-GGUF/blob/main/README.md", ["other files"]),
    ],
)
def test_only_what_a_person_named_is_shown(words: str, labels: list[str]) -> None:
    """A quantisation or a file behind the repository shows the choices that it is in, and the projectors."""
    found = RepoFiles(REPO, MAIN, CommitHash("c" * 40), choices(FILES))

    assert [one.group.label for one in found.of(parse_reference(words)).choices] == labels


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("org/m-GGUF:Q3_K_S", "No file of org/m-GGUF is a GGUF of Q3_K_S."),
        ("hf.co/org/m-GGUF/blob/main/x.gguf", "No file of org/m-GGUF matches x.gguf."),
    ],
)
def test_what_is_not_there_is_not_shown_as_if_it_were(words: str, why: str) -> None:
    """A quantisation or a file that the repository lacks is refused, as it is when it is added."""
    found = RepoFiles(REPO, MAIN, CommitHash("c" * 40), choices(FILES))

    with pytest.raises(BadInput, match=re.escape(why)):
        found.of(parse_reference(words))


@pytest.mark.parametrize(
    ("words", "label", "taken"),
    [
        ("hf.co/org/m-GGUF/blob/main/m-Q8_0.gguf", "Q8_0", "org/m-GGUF --include m-Q8_0.gguf"),
        ("org/m-GGUF:q8_0", "Q8_0", "org/m-GGUF:q8_0"),
        ("hf.co/org/m-GGUF/blob/main/README.md", "", "org/m-GGUF --include README.md"),
        ("hf.co/org/m-GGUF/blob/main/mmproj-F16.gguf", "", "org/m-GGUF --include mmproj-F16.gguf"),
        ("hf.co/org/m-GGUF/blob/main/a b.json", "", "org/m-GGUF --include 'a b.json'"),
        ("org/m-GGUF", "", "org/m-GGUF"),
    ],
)
def test_the_file_of_an_address_is_what_is_meant(words: str, label: str, taken: str) -> None:
    """The address of one GGUF means that model; that of another file means that file, and so do its words."""
    found, reference = RepoFiles(REPO, MAIN, CommitHash("c" * 40), choices(FILES)), parse_reference(words)
    meant = found.meant(reference)

    assert (meant.group.label if meant else "", found.words_for(reference)) == (label, taken)


def test_another_revision_is_named() -> None:
    """A choice from a revision other than main names that revision."""
    found = choices(FILES, revision=RefName("v1"))

    assert found[0].reference == "org/m-GGUF:Q4_K_M --revision v1"
    assert RepoFiles(REPO, RefName("v1"), CommitHash("c" * 40), found).reference == "org/m-GGUF --revision v1"


BIG, FAR, NOWHERE, HOMELESS = Fit(False, "primary"), Fit(True, "secondary"), Fit(False, None), Fit(True, None)


@pytest.mark.parametrize(
    ("fits", "label", "why"),
    [
        ((GOOD, GOOD, GOOD), "Q8_0", "the largest up to 8 bits that fits memory and the primary"),
        ((GOOD, BIG, BIG), "Q4_K_M", "the largest up to 8 bits that fits memory and the primary"),
        ((GOOD, FAR, NOWHERE), "Q4_K_M", "the largest up to 8 bits that fits memory and the primary"),
        ((Fit(True, "primary", ("x",)), FAR, NOWHERE), "Q8_0", "the largest up to 8 bits that fits memory"),
        ((BIG, BIG, NOWHERE), "Q4_K_M", "the smallest: none fits the memory that is free"),
        ((HOMELESS, HOMELESS, NOWHERE), "Q4_K_M", "the smallest: no tier has room for one that fits memory"),
    ],
    ids=["all fit", "one fits memory", "one fits the primary", "not the primary", "none", "no tier"],
)
def test_the_best_that_fits_is_proposed(fits: tuple[Fit, ...], label: str, why: str) -> None:
    """The proposal is the largest choice of at most 8 bits a weight that fits memory and the primary; it says why."""
    found = RepoFiles(REPO, MAIN, CommitHash("c" * 40), choices(FILES, *fits))

    best, said = recommended(found.ggufs)

    assert (best.group.label, said) == (label, why)


@pytest.mark.parametrize(("to", "tier"), [("secondary", "the secondary"), ("custom", "its tier")])
def test_the_best_for_another_tier_is_proposed(to: str, tier: str) -> None:
    """A proposal for another tier has to fit that tier."""
    there = Fit(memory=True, cache_location=to)

    best, said = recommended(choices(FILES, there, there, NOWHERE)[:3], to)

    assert (best.group.label, said) == ("Q8_0", f"the largest up to 8 bits that fits memory and {tier}")


def test_unquantised_files_are_proposed_where_there_are_no_others() -> None:
    """A repository with only 16-bit weights still has a proposal."""
    assert recommended(choices(files_of("m-F16.gguf")))[0].group.label == "F16"


@pytest.mark.parametrize(
    ("fit", "text"),
    [
        (GOOD, "fits primary"),
        (Fit(True, "primary", ("a", "b")), "fits primary, evicts a, b"),
        (FAR, "goes to secondary"),
        (Fit(True, "custom"), "fits there"),
        (NOWHERE, "fits nowhere"),
    ],
)
def test_where_it_goes_in_words(fit: Fit, text: str) -> None:
    """A few words say where a choice fits."""
    assert fit.text == text
