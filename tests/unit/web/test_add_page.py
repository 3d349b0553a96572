"""Adding a model: what is suggested, and what it would do."""

from __future__ import annotations

from dataclasses import replace

from modelshelf.domain.choices import Choice, Fit, RepoFiles
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest, FilePath, RefName, RepoId
from modelshelf.domain.references import parse_reference
from modelshelf.domain.weight_files import FileGroup
from modelshelf.server.web.add_page import choice_of, repo_page
from tests.unit.web.looks import GB, look, row


def choice(label: str, size_gb: int, fit: Fit) -> Choice:
    """Return a GGUF of a repository."""
    file = FileEntry(FilePath(f"m-{label}.gguf"), size_gb * GB, Digest(f"{size_gb:064}"))
    return Choice(FileGroup(label, "GGUF", (file,)), (), f"org/m:{label}", file.size_bytes, fit)


REPO = RepoFiles(
    RepoId("org/m"),
    RefName("main"),
    CommitHash("a" * 40),
    [
        choice("Q4_K_M", 4, Fit(memory=True, cache_location="primary")),
        choice("Q8_0", 8, Fit(memory=False, cache_location="secondary")),
    ],
)


def test_what_fits_is_suggested() -> None:
    """Without a choice the largest one that fits memory and the primary is chosen; a choice is kept."""
    whole = parse_reference("org/m")
    suggested, chosen = choice_of(REPO, whole, ""), choice_of(REPO, whole, "Q8_0")

    assert suggested is not None
    assert chosen is not None
    assert (suggested.group.label, chosen.group.label) == ("Q4_K_M", "Q8_0")
    assert choice_of(REPO, whole, "nonsense") is suggested


def test_the_file_of_an_address_is_chosen() -> None:
    """The file of a pasted address is chosen until another choice is made; one that is no choice is taken alone."""
    pasted, other = (parse_reference(f"https://huggingface.co/org/m/blob/main/{n}") for n in ("m-Q8_0.gguf", "a.json"))

    assert choice_of(REPO, pasted, "") is REPO.choices[1]
    assert choice_of(REPO, pasted, "Q4_K_M") is REPO.choices[0]
    assert choice_of(REPO, other, "") is None


def test_each_choice_says_what_fits() -> None:
    """Each choice has its size, whether memory holds it, and its tier; models of the repository are named."""
    page = repo_page(
        look(row("mine", hf_path=RepoId("org/m"), allow_patterns=("other.gguf",))), "org/m", REPO, REPO.choices[0], None
    )

    assert [(one.label, one.fits_css, one.tier, one.chosen) for one in page.picks] == [
        ("Q4_K_M", "live", "primary", True),
        ("Q8_0", "", "secondary", False),
    ]
    assert [name for name, _ in page.already] == ["mine"]


def test_what_is_here_evicts_nothing() -> None:
    """A choice that a whole model has already says so, with its tier; the others say what they would evict."""
    fit = Fit(memory=True, cache_location="primary", evicts=("a",))
    repo = replace(REPO, choices=[choice("Q4_K_M", 4, fit), choice("Q8_0", 8, fit)])
    mine = row("mine", hf_path=RepoId("org/m"), cache_location="secondary", allow_patterns=("m-Q4_K_M.gguf",))

    page = repo_page(look(mine), "org/m", repo, repo.choices[0], None)

    assert [(one.tier, one.behind) for one in page.picks] == [
        ("secondary", "is here already"),
        ("primary", "evicts 1 model"),
    ]
